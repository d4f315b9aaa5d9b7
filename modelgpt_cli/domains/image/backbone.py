"""The backbone: images to features, with LoRA factors that come from outside. In training they are peft's.

BatchNorm, its running statistics and its affine parameters, is never trained.
Shapes: N images, S pixels a side, E features, r rank, k kernel.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call

from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.core.paths import expand
from modelgpt_cli.domains.image.architectures import ImageCard
from modelgpt_cli.domains.image.efficientnet_lite import EfficientNetLite
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.domains.image.trunks import HEADS, freeze_norms, load_trunk, make_trunk, trunk_hash
from modelgpt_cli.domains.shared.adapted import AdaptedModule
from modelgpt_cli.parameter_generator.shared import read_once

IMAGENET_CLASSES = 1000


class Backbone(AdaptedModule):
    """A trunk with places for LoRA factors.

    Attributes
    ----------
    size : int
        E.
    weights : str
        SHA-256 of the trunk's tensors: a generator fits these only.
    classifier : float (1000, E), optional
        Rows of the ImageNet head that its weights came with, one linear layer on the features; None without.
    first_blocks : int
        How many blocks no factors reach, whose maps can be kept; 0 where the network has none.
    """

    def __init__(self, card: ImageCard, trunk: nn.Module, classifier: Tensor | None = None) -> None:
        super().__init__(trunk, card)
        self.card, self.size, self.classifier = card, card.features, classifier
        self.weights = trunk_hash(trunk)
        self.first_blocks = trunk.blocks_before(self.adapted) if isinstance(trunk, EfficientNetLite) else 0

    @property
    def trunk(self) -> nn.Module:
        """The network without factors."""
        return self.network

    def train(self, mode: bool = True) -> Backbone:
        """Let LoRA's dropout act, and nothing else: BatchNorm stays in eval mode."""
        super().train(False)
        self.train_adapter(mode)
        return self

    def train_adapter(self, mode: bool = True) -> None:
        """Let LoRA's dropout act; BatchNorm stays in eval mode, and its parameters without gradient."""
        freeze_norms(self)
        super().train_adapter(mode)

    def forward(self, pixels: Tensor, lora: Mapping[str, Tensor] | None = None) -> Tensor:
        """Features (N, E).

        Parameters
        ----------
        pixels : float (N, 3, S, S)
            From `preprocess.normalise`.
        lora : mapping of str to Tensor, optional
            ``<layer>.lora_A`` (r, inputs * k * k) and ``<layer>.lora_B`` (outputs, r); the trunk as it is without it.
        """
        if not lora:
            return self.trunk(pixels)  # type: ignore[no-any-return]
        places = self.with_places()
        features: Tensor = functional_call(places.model, places.placed(lora), args=(pixels,))
        return features

    def maps(self, pixels: Tensor) -> Tensor:
        """What the blocks that no factors reach make of images (N, 3, S, S): (N, c, s, s)."""
        assert isinstance(self.trunk, EfficientNetLite)
        return self.trunk.first(pixels, self.first_blocks)

    def from_maps(self, maps: Tensor, lora: Mapping[str, Tensor] | None = None) -> Tensor:
        """Features (N, E) as `forward` has them, of what `maps` has made of the images."""
        if not lora:
            return _Rest(self.trunk, self.first_blocks)(maps)  # type: ignore[no-any-return]
        places = self.with_places()
        rest = _Rest(places.model.get_submodule("base_model.model"), self.first_blocks)
        placed = {name.replace("base_model.model", "trunk", 1): value for name, value in places.placed(lora).items()}
        features: Tensor = functional_call(rest, placed, args=(maps,))
        return features


class _Rest(nn.Module):
    """The blocks of a trunk after the first so many, as a module of its own."""

    def __init__(self, trunk: nn.Module, blocks: int) -> None:
        super().__init__()
        self.trunk, self.blocks = trunk, blocks

    def forward(self, maps: Tensor) -> Tensor:
        """Features (N, E) of maps (N, c, s, s)."""
        assert isinstance(self.trunk, EfficientNetLite)
        return self.trunk.rest(maps, self.blocks)


def load_backbone(card: ImageCard, weights: str | Path | None = None) -> Backbone:
    """Load a card's network.

    Parameters
    ----------
    weights : path-like, optional
        A file of tensors under the names of the card's own (.safetensors, or .pth of plain tensors), BatchNorm kept or
        folded; by default what the card names.

    Raises
    ------
    UsageError
        The file can't be read or doesn't fit, or the card needs one.
    UnreachableError
        The hub, from which torchvision loads weights, is out of reach.
    ModelGPTError
        The weights did not come with this installation, or are not the expected ones.
    """
    trunk = make_trunk(card.network)
    if weights is not None:
        source, state = str(weights), read_weights(weights)
    elif card.source == "package":
        source, state = _packaged(card, trunk)
    elif card.source == "torchvision":
        source, state = f"torchvision's {card.network}", _from_hub(card)
    else:
        raise UsageError(
            f"The backbone {card.name!r} has no weights of its own.",
            "It is there for weights that you have.",
            "Give --backbone-weights FILE.",
        )
    try:
        load_trunk(trunk, state)
    except ValueError as error:
        hint = f"Weights of {card.network} are needed, or another --backbone for these."
        raise UsageError(f"{source} doesn't fit the backbone {card.name!r}.", str(error), hint) from error
    return Backbone(card, trunk, classifier_rows(state, card.features))


shared_backbone = read_once(load_backbone, lambda card, weights=None: weights)
"""See `load_backbone`; read once in a process, for those who only run it."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors from a .safetensors or .pth file; of the latter, nothing that could run is read.

    Raises
    ------
    UsageError
        It is absent, or no such file.
    """
    path = expand(path)
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="Give --backbone-weights a .safetensors or .pth file.")
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} can't be read as weights.", cause, "Give a .safetensors file, or a .pth.") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UsageError(f"{path} holds no state dict.", "", "Save one with: torch.save(model.state_dict(), FILE)")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def classifier_rows(state: Mapping[str, Tensor], features: int) -> Tensor | None:
    """Rows (1000, E) of the linear ImageNet head among a network's tensors; None where there is none.

    Where it reads the first of E features only, it has zeros for the others.
    """
    found = [v for k, v in state.items() if k.startswith(HEADS) and k.endswith(".weight") and v.ndim == 2]
    if len(found) != 1 or len(found[0]) != IMAGENET_CLASSES or found[0].shape[1] > features:
        return None
    return F.pad(found[0].float(), (0, features - found[0].shape[1]))


def _packaged(card: ImageCard, trunk: nn.Module) -> tuple[str, dict[str, Tensor]]:
    """The weights that a pip package carries, as many as a trunk that may be cut short has, and the package's name."""
    package = PACKAGES[card.network]
    state, known = read_weights(package.path()), trunk.state_dict()
    return package.name, {k: v for k, v in state.items() if k in known or k.startswith(HEADS)}


def _from_hub(card: ImageCard) -> dict[str, Tensor]:
    """ImageNet weights by torchvision's own loader, from its cache or from the hub."""
    from torchvision.models import get_model_weights

    try:
        state: dict[str, Tensor] = get_model_weights(card.network).DEFAULT.get_state_dict(
            progress=False, check_hash=True
        )
    except (OSError, RuntimeError) as error:
        raise UnreachableError(
            f"The weights of the backbone {card.name!r} can't be loaded.",
            " ".join(str(error).split())[:300],
            f"Give --backbone-weights FILE, torchvision's {card.network}.",
        ) from error
    return state
