"""A frozen network with places for LoRA factors that come from outside, in any domain.

Where factors are written once, they are added to a copy's weights. In training they run beside the network, as peft
puts them in: to import peft, and transformers with it, takes five seconds, which builds need not spend.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.spec import ParameterSpec

_ADAPTER = ".default.weight"


class LoraCard(Protocol):
    """What a card says of LoRA; the names are peft's."""

    @property
    def modules(self) -> str:
        """Regular expression of the layers that get factors."""

    @property
    def rank(self) -> int:
        """LoRA's r."""

    @property
    def alpha(self) -> int:
        """LoRA's alpha."""

    @property
    def dropout(self) -> float:
        """Of what enters the factors, in training."""

    @property
    def scale(self) -> float:
        """What the factors' product is multiplied by: alpha / r."""


class LoraPlaces(nn.Module):
    """A network that peft has put LoRA into.

    Parameters
    ----------
    model : nn.Module
        peft's; all of it becomes frozen.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self._names = {
            f"{name.removesuffix(f'.{factor}{_ADAPTER}').removeprefix('base_model.model.')}.{factor}": name
            for name, _ in model.named_parameters()
            for factor in ("lora_A", "lora_B")
            if name.endswith(f".{factor}{_ADAPTER}")
        }

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


class AdaptedModule(nn.Module):
    """A frozen network, in eval mode, that takes LoRA factors.

    Parameters
    ----------
    network : nn.Module
        All of it becomes frozen.
    card : LoraCard

    Attributes
    ----------
    adapted : dict of str to (int, int)
        Layers that take LoRA factors, with the lengths of the factors: numbers that enter an output (of a convolution
        channels * k * k), and outputs.
    rank : int
    """

    def __init__(self, network: nn.Module, card: LoraCard) -> None:
        super().__init__()
        self.network, self.rank, self._lora = network.requires_grad_(False), card.rank, card
        self.adapted = {
            name: (math.prod(module.weight.shape[1:]), len(module.weight))
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and re.fullmatch(card.modules, name)
        }
        self._dropout = False
        self._places: LoraPlaces | None = None
        self.train(False)

    def train_adapter(self, mode: bool = True) -> None:
        """Let LoRA's dropout act, and nothing else."""
        self._dropout = mode
        if self._places is not None:
            self._places.train_adapter(mode)

    def with_places(self) -> LoraPlaces:
        """A copy of the network that peft has put LoRA into, for training; made when it is first asked for."""
        if self._places is None:
            from peft import LoraConfig, get_peft_model

            card = self._lora
            settings = LoraConfig(
                r=card.rank, lora_alpha=card.alpha, lora_dropout=card.dropout, target_modules=card.modules
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft's of transformers, none of the user's business
                self._places = LoraPlaces(get_peft_model(copy.deepcopy(self.network), settings))
            self._places.train(False)
            self.train_adapter(self._dropout)
        return self._places

    def merge(self, lora: Mapping[str, Tensor] | None) -> nn.Module:
        """The plain network with the factors merged into its weights: a copy, this one stays as it is."""
        with torch.inference_mode(False), torch.no_grad():  # what is made in inference mode can't be trained later
            network = copy.deepcopy(self.network)
            for name in self.adapted if lora else ():
                weight = network.get_parameter(f"{name}.weight")
                product = lora[f"{name}.lora_B"] @ lora[f"{name}.lora_A"]  # type: ignore[index]
                weight.add_(self._lora.scale * product.reshape(weight.shape))
            return network.eval()


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
