"""The target network of the image benchmark, a convolutional trunk, its standardised features, a linear head.

Ours and the trained competitors share it, so that only the way the weights come about differs. BatchNorm is frozen,
whatever is trained. Shapes: N images, S pixels a side, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.domains.image.architectures import ImageCard
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.embed import changed
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.trunks import freeze_norms
from modelgpt_cli.domains.shared.scaling import Scaling

from ..harness import clock
from ..training import Learner

INFERENCE_BATCH = 64


@dataclass(frozen=True)
class Weights:
    """A card and the file of its weights; None for its own."""

    card: ImageCard
    path: str | None = None

    @property
    def view(self) -> View:
        """How the trunk sees an image."""
        return View.of(self.card.encoder_config())

    def adapted(self) -> Backbone:
        """Return a fresh backbone with places for LoRA factors."""
        return load_backbone(self.card, self.path)

    def trunk(self) -> nn.Module:
        """Return a fresh plain trunk."""
        return self.adapted().merge(None)


@torch.inference_mode()
def outputs(module: nn.Module, rows: Images, view: View) -> Tensor:
    """Return a module's outputs for all images, (N, ...)."""
    return torch.cat([module(normalise(part, view)) for part in rows.values.split(INFERENCE_BATCH)])


@dataclass
class Memory:
    """Features of a task's images, computed for all of them at once and kept.

    What they cost is kept by the image: `owed` are the wall-clock and processor seconds that are to be added to the
    clock, so that whoever asks for some images' features is charged for just these.
    """

    owed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    _known: dict[tuple[str, ...], tuple[Tensor, np.ndarray]] = field(default_factory=dict)

    def now(self) -> np.ndarray:
        """Return the clock, with what is owed."""
        times: np.ndarray = clock() + self.owed
        return times

    def features(
        self, key: tuple[str, ...], rows: Images, index: np.ndarray, embed: Callable[[Images], Tensor]
    ) -> Tensor:
        """Return features (len(index), E) of some of the images.

        Parameters
        ----------
        key : tuple of str
            Says which network this is, and which images.
        rows : Images
            All of them.
        """
        start = clock()
        if key not in self._known:
            found = embed(rows)
            self._known[key] = found, (clock() - start) / len(rows)
        found, each = self._known[key]
        taken = found[torch.from_numpy(index)]
        self.owed = self.owed + each * len(index) - (clock() - start)
        return taken

    def pause(self, start: np.ndarray) -> None:
        """Let the work since `start` cost nothing."""
        self.owed = self.owed - (clock() - start)


class Network(nn.Module):
    """Trunk and head; the head sees standardised features, and starts at zero.

    Parameters
    ----------
    trunk : nn.Module
        A plain one, or peft's with adapters.
    scaling : Scaling
        Of its features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, scaling: Scaling, n_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", scaling.mean.clone())
        self.register_buffer("std", scaling.std.clone())
        self.head = nn.Linear(len(scaling.mean), n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a head on features as they come, (E, C) and (C,)."""
        with torch.no_grad():
            self.head.weight.copy_((weight * self.std[:, None]).T)
            self.head.bias.copy_(bias + self.mean @ weight)

    def train(self, mode: bool = True) -> Network:
        """As `nn.Module.train`; BatchNorm stays as it is."""
        super().train(mode)
        freeze_norms(self.trunk)
        return self

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, C) from float (N, 3, S, S)."""
        return self.classified(self.trunk(values))

    def classified(self, features: Tensor) -> Tensor:
        """Return logits (N, C) from the trunk's features (N, E)."""
        out: Tensor = self.head((features.float() - self.mean) / self.std)
        return out


def make_trainable(trunk: nn.Module, lora: bool) -> nn.Module:
    """Let a trunk's weights, or its adapters alone, have gradients; BatchNorm has none."""
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(not lora or ".lora_" in name)
    freeze_norms(trunk)
    return trunk.to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class ImageLearner(Learner):
    """A network with its images; in training they are mirrored, cropped and lit at random."""

    network: Network
    rows: Images
    view: View
    bf16: bool

    @property
    def groups(self) -> tuple[Iterable[nn.Parameter], Iterable[nn.Parameter]]:
        return self.network.trunk.parameters(), self.network.head.parameters()

    def batches(self, rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        order = rng.permutation(rows)
        return (order[start : start + size] for start in range(0, len(order), size))

    def output(self, rows: np.ndarray) -> Tensor:
        values = normalise(changed(self.rows.take(rows).values), self.view)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            features = self.network.trunk(values.contiguous(memory_format=torch.channels_last))
        return self.network.classified(features)

    def answer(self, rows: np.ndarray) -> np.ndarray:
        self.network.eval()
        return outputs(self.network, self.rows.take(rows), self.view).numpy()
