"""The target model of images: pixels in, probabilities out. This is what is tuned and exported.

Shapes: N images, H, W pixels, S pixels a side of what the trunk sees, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.image.preprocess import View, normalise, pixels
from modelgpt_cli.domains.image.trunks import freeze_norms, load_trunk, make_trunk, trunk_tensors
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.novelty import Novelty

IMAGE_COLUMN = Column("image", "image", role="image")
"""The one column of a blueprint of this domain."""
_IMAGES = 32


class ImageModel(nn.Module):
    """A convolutional trunk, adapted, with a head.

    Parameters
    ----------
    blueprint : Blueprint
        Its one column is `IMAGE_COLUMN`; `architecture.encoder` is what `ImageCard.encoder_config` gives.
    state : mapping of str to Tensor
        * ``backbone.*``: the trunk's parameters and BatchNorm's buffers, the LoRA factors merged into them
        * ``head.weight`` (E, C), ``head.bias`` (C,): in logits
        * ``constants.novelty.*``, where the blueprint has a novelty; see `Novelty`
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        encoder = blueprint.architecture.encoder
        self.view = View.of(encoder)
        self.trunk = make_trunk(encoder["network"])
        try:
            load_trunk(self.trunk, {k[len(BACKBONE) :]: v for k, v in state.items() if k.startswith(BACKBONE)})
        except ValueError as error:
            raise ModelGPTError("The model's network can't be rebuilt.", str(error)) from error
        self.head_weight = nn.Parameter(state[HEAD_WEIGHT].float().clone())
        self.head_bias = nn.Parameter(state[HEAD_BIAS].float().clone())
        self.novelty = Novelty.of_state(state)
        self.train(False)

    def train(self, mode: bool = True) -> ImageModel:
        """As `nn.Module.train`, but BatchNorm stays in eval mode and its parameters without gradient."""
        super().train(mode)
        freeze_norms(self.trunk)
        return self

    def state(self) -> dict[str, Tensor]:
        """Parameters and BatchNorm's buffers, as `__init__` takes them."""
        weights = trunk_tensors(self.trunk)
        weights |= {} if self.novelty is None else self.novelty.state()
        return weights | {HEAD_WEIGHT: self.head_weight.detach(), HEAD_BIAS: self.head_bias.detach()}

    def extras(self) -> dict[str, str]:
        """Return nothing: tensors and blueprint are all there is."""
        return {}

    def empty_rows(self) -> np.ndarray:
        """Return one black image, uint8 (1, 1, 1, 3)."""
        return np.zeros((1, 1, 1, 3), dtype=np.uint8)

    @property
    def target_std(self) -> float:
        """1: the target is classes."""
        return 1.0

    def features(self, values: Tensor) -> Tensor:
        """What the head sees, (N, E), from float (N, 3, S, S), as `preprocess.normalise` gives them."""
        found: Tensor = self.trunk(values)
        return found

    def forward(self, values: Tensor) -> Tensor:
        """Logits (N, C), from float (N, 3, S, S)."""
        return self.features(values) @ self.head_weight + self.head_bias

    def answers(self, values: Tensor) -> Tensor:
        """Probabilities (N, C), from float (N, 3, S, S)."""
        scores = self.forward(values)
        return scores.sigmoid() if self.blueprint.multi_label else scores.softmax(1)

    def predict(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Probabilities (N, C) float32 of images: uint8 (H, W, 3) each, or (N, H, W, 3)."""
        parts = [np.zeros((0, self.blueprint.n_outputs), dtype=np.float32)]
        for start in range(0, len(images), _IMAGES):
            parts.append(self.predict_seen(pixels(images[start : start + _IMAGES], self.view)))
        return np.concatenate(parts)

    def inputs(self, values: Tensor) -> Tensor:
        """Features of images as the view has cut them, uint8 (N, 3, S, S), on the CPU: (N, E)."""
        return self._in_parts(self.features, values)

    def predict_seen(self, values: Tensor) -> np.ndarray:
        """As `predict`, of images as the view has cut them, uint8 (N, 3, S, S)."""
        found: np.ndarray = self._in_parts(self.answers, values).numpy()
        return found

    @torch.inference_mode()
    def _in_parts(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """A function of images, some at a time, as the finished model has it."""
        device, training = self.head_weight.device, self.training
        self.eval()
        parts = [function(normalise(part.to(device), self.view)) for part in values.split(_IMAGES)]
        self.train(training)
        return torch.cat(parts).cpu()


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> ImageModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        The trunk can't be rebuilt.
    """
    return ImageModel(blueprint, state)
