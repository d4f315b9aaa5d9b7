"""A frozen network with places for LoRA factors that come from outside, in any domain. Structure and merge: peft."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.spec import ParameterSpec

_ADAPTER = ".default.weight"


class AdaptedModule(nn.Module):
    """A network that peft has put LoRA into.

    Parameters
    ----------
    model : nn.Module
        peft's; all of it becomes frozen.
    rank : int

    Attributes
    ----------
    adapted : dict of str to (int, int)
        Layers that take LoRA factors, with the lengths of the factors: numbers that enter an output (of a convolution
        channels * k * k), and outputs.
    """

    def __init__(self, model: nn.Module, rank: int) -> None:
        super().__init__()
        self.model, self.rank = model, rank
        self.adapted: dict[str, tuple[int, int]] = {}
        self._names: dict[str, str] = {}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(False)
            if name.endswith(".lora_A" + _ADAPTER):
                layer = name.removesuffix(".lora_A" + _ADAPTER)
                short = layer.removeprefix("base_model.model.")
                outputs = model.get_parameter(layer + ".lora_B" + _ADAPTER).shape[0]
                self.adapted[short] = (math.prod(parameter.shape[1:]), outputs)
                self._names |= {f"{short}.{f}": f"{layer}.{f}{_ADAPTER}" for f in ("lora_A", "lora_B")}

    def train_adapter(self, mode: bool = True) -> None:
        """Let LoRA's dropout act, and nothing else: the network itself is frozen."""
        for name, module in self.model.named_modules():
            if ".lora_dropout." in name:
                module.train(mode)

    def placed(self, lora: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Factors (r, inputs) and (outputs, r) under peft's names and in its shapes; a convolution's have four axes."""
        return {
            self._names[name]: value.reshape(self.model.get_parameter(self._names[name]).shape)
            for name, value in (lora or {}).items()
        }

    def merge(self, lora: Mapping[str, Tensor] | None) -> nn.Module:
        """The plain network with the factors merged into its weights: a copy, this one stays as it is."""
        with torch.inference_mode(False), torch.no_grad():  # what is made in inference mode can't be trained later
            model = copy.deepcopy(self.model)
            for name, value in self.placed(lora).items():
                model.get_parameter(name).copy_(value)
            return model.merge_and_unload()  # type: ignore[operator,no-any-return]


class Adaptable(Protocol):
    """What says where LoRA factors go: `adapted` and `rank` as `AdaptedModule` has them."""

    adapted: dict[str, tuple[int, int]]
    rank: int


def lora_spec(backbone: Adaptable) -> list[ParameterSpec]:
    """What a generator has to write for a backbone: two factors for each adapted layer."""
    spec = []
    for layer, (inputs, outputs) in backbone.adapted.items():
        spec.append(ParameterSpec(f"{layer}.lora_A", (backbone.rank, inputs)))
        spec.append(ParameterSpec(f"{layer}.lora_B", (outputs, backbone.rank), gain=0.0))
    return spec
