"""ModelGPT-F for marked images: the network is finetuned through heads that are solved, then these are solved anew.

Shared by segmentation, detection and key points, whose parts ``tune`` say what the loss is. Images are in folds. One
judges: it is held out of the finetuning, and of the heads that it is measured by, before and after. The others are
learned from. A head that was solved on an image hardly errs on it, and has nothing to teach the network by: so each
image speaks through heads that were solved without its fold, and without the one that judges. The heads of the model
that is kept are the domain's own build on the tuned network, by all images; what they choose by held-out images, those
choose that the network has not seen either.
Shapes: N images, H, W pixels, h, w places, c channels.
"""

from __future__ import annotations

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.progress import progress
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.dense.fit import runs
from modelgpt_cli.domains.image.dense.maps import COARSEST, MapTrunk, View, seen_pixels
from modelgpt_cli.domains.image.dense.seam import MapBuild
from modelgpt_cli.domains.image.trunks import folded, norms
from modelgpt_cli.training.tune import Tuned, TuneSettings

B = TypeVar("B", bound=MapBuild)
log = logging.getLogger("modelgpt")
LR = 1e-3
"""AdamW's highest rate. On 92 street scenes at 320 pixels three epochs in batches of four brought the mIoU of the
images that judge from .451 to .458 at 2e-4 and to .469 at 1e-3, and in batches of two to .475."""
WEIGHT_DECAY = 0.01
BATCH = 2
WARM_UP = 0.2
"""Share of the steps over which the rate rises; then it falls as a cosine to zero."""
FROZEN = 5
"""Blocks that stay as they are, up to where the first map is read: a third of the operations, and of the time more."""
MOST_IMAGES = 3000
RUNS, FOLDS, JUDGE = 8, 4, 2
"""Images are cut into so many runs of neighbours, which are dealt out to the folds, and the fold that judges."""
SIZES = (0.7, 1.1)
"""Shares of a view's size, at which images are seen while the network is tuned."""
VALIDATED = "by runs of images"
LEAST = 1e-4
"""Of what roots are taken of, whose slope at zero has no bound."""


class MapModel(Protocol):
    """A model that is made of a network's maps.

    Attributes
    ----------
    blueprint : Blueprint
    view : View
    trunk : MapTrunk
    """

    blueprint: Blueprint
    view: View
    trunk: MapTrunk


@dataclass(frozen=True)
class Example:
    """An image to learn from, changed or not.

    Attributes
    ----------
    image : uint8 (H, W, 3)
    truth : object
        What is marked in it, as the domain has it.
    """

    image: np.ndarray
    truth: Any


@dataclass
class Solved:
    """Heads that a build has solved on a network.

    Attributes
    ----------
    fit : object
        As the domain's build gives it.
    metrics : dict
        Of the images that judge; empty where there is nothing to measure.
    heads : callable
        Gives of each other fold what is solved without both.
    """

    fit: Any
    metrics: dict[str, float]
    heads: Callable[[], Mapping[int, Any]]


class MapTuning(ABC):
    """The finetuning of one model, in place.

    Parameters
    ----------
    model : MapModel
    dataset : Dataset
        Labelled images, with the model's classes.
    """

    figure: str
    """The metric that says which of two models is better."""
    falls: bool = False
    """Whether less of it is better."""

    def __init__(self, model: MapModel, dataset: Dataset, settings: TuneSettings) -> None:
        self.model, self.dataset, self.settings = model, dataset, settings
        self.view = model.view
        self.rng = np.random.default_rng([settings.seed, 61])
        self._fewer()

    @abstractmethod
    def example(self, k: int, rng: np.random.Generator) -> Example:
        """The k-th image, changed at random; raises `ImageError`."""

    @abstractmethod
    def loss(self, maps: Sequence[Tensor], example: Example, heads: Any) -> Tensor:
        """The loss () of an image by its rooted maps, (1, c, h, w) each, and heads as `solve` gives them."""

    @abstractmethod
    def solve(self, trunk: MapTrunk, folds: np.ndarray) -> Solved:
        """Solve the heads on a network by all images, whose folds are int64 (N,); `JUDGE` measures."""

    @abstractmethod
    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """Measure the model as it is on some images, int64 (n,)."""

    @abstractmethod
    def install(self, fit: Any) -> None:
        """Put heads into the model and its blueprint."""

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once heads have been solved."""
        return None

    def run(self) -> Tuned:
        """Finetune; keep the better of before and after, by the images held out.

        Raises
        ------
        ModelGPTError
            There are too few images to hold some out.
        """
        n = len(self.dataset.sample)
        folds = tuning_folds(n)
        judged = np.flatnonzero(folds == JUDGE)
        if not len(judged):
            raise ModelGPTError("Too few images to tune on.", f"{n} labelled images can't be split in three.")
        tuning = Finetuning(self, self.model.trunk)
        self._say(tuning, folds)
        untuned = self.solve(self.model.trunk, folds)
        if not (heads := untuned.heads()):
            raise ModelGPTError("Too few images to tune on.", "What the others show makes no model without them.")
        learned = self._is_of_the_build()
        before = untuned.metrics if learned else self.judge(judged)
        trunk = tuning.run(folds, heads)
        after = self.solve(trunk, folds)
        if not learned and self._better(untuned.metrics, after.metrics):
            trunk, after = self.model.trunk, untuned
        kept: Literal["before", "after"] = "before"
        if self._better(after.metrics, before):
            kept = "after"
            self.model.trunk.load_state_dict(trunk.state_dict())
            self.install(after.fit)
            self.model.blueprint.metrics = {**after.fit.metrics}
            self.model.blueprint.validated = VALIDATED
        return Tuned(before, after.metrics, kept, n, shown=self.shown, validated=VALIDATED)

    def _fewer(self) -> None:
        """Take no more images than are tuned on, evenly drawn."""
        n = len(self.dataset.sample)
        if n <= MOST_IMAGES:
            return
        sample = self.dataset.sample.iloc[list(runs(n, MOST_IMAGES))].reset_index(drop=True)
        log.warning("Tuning on %s of %s images, drawn evenly.", f"{len(sample):,}", f"{n:,}")
        self.dataset = replace(self.dataset, sample=sample)

    def _is_of_the_build(self) -> bool:
        """Whether the model has learned from these images.

        Then before is what its build makes without those that judge; else it is the model as it is.
        """
        made = (self.model.blueprint.provenance.get("data") or {}).get("fingerprint")
        return bool(made == self.dataset.fingerprint)

    def _better(self, after: dict[str, float], before: dict[str, float]) -> bool:
        if self.figure not in after or self.figure not in before:
            return False
        gain = after[self.figure] - before[self.figure]
        return gain < 0 if self.falls else gain > 0

    def _say(self, tuning: Finetuning, folds: np.ndarray) -> None:
        """Say what is done with how many images, and about how long it takes."""
        used, judged = np.flatnonzero(folds != JUDGE), np.flatnonzero(folds == JUDGE)
        seconds = tuning.seconds(used) * len(used) * self.settings.epochs
        about = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        log.info(
            "Finetuning on %s images, %s held out: about %s, and about as long as two builds.",
            f"{len(used):,}", f"{len(judged):,}", about,
        )  # fmt: skip


class _Rest(nn.Module):
    """The blocks of a network that are tuned, each BatchNorm folded into its convolution."""

    def __init__(self, trunk: MapTrunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.trunk.maps_of(x, FROZEN)


class Finetuning:
    """Finetunes a copy of a network by a loss on its maps.

    BatchNorm stays as it is, so that it can be folded into the convolutions in each step: what is tuned are the
    convolutions' own weights.
    """

    def __init__(self, task: MapTuning, trunk: MapTrunk) -> None:
        self.task, self.settings = task, task.settings
        device = task.settings.device
        self.trunk: MapTrunk = copy.deepcopy(trunk)
        self._folded = folded(self.trunk).to(device)
        assert isinstance(self._folded, MapTrunk)
        self._rest = _Rest(self._folded)
        self._scales = {f"{name}.weight": scale.to(device) for name, scale in conv_scales(self.trunk)}
        frozen = {id(p) for module in self.trunk.first_modules(FROZEN) for p in module.parameters()}
        self._weights = {
            name: nn.Parameter(p.detach().to(device, memory_format=torch.channels_last))
            for name, p in self.trunk.named_parameters()
            if name in self._scales and id(p) not in frozen
        }

    def maps(self, images: Sequence[np.ndarray], view: View) -> list[list[Tensor]]:
        """Of each image the rooted maps, (1, c, h, w), on the CPU; the slope of the root is bounded."""
        found: dict[int, list[Tensor]] = {}
        seen = [seen_pixels(image[None], view) for image in images]
        scaled = {f"trunk.{name}": p * self._scales[name] for name, p in self._weights.items()}
        for shape in {one.shape for one in seen}:  # those of one size together take less time
            alike = [k for k, one in enumerate(seen) if one.shape == shape]
            x = torch.cat([seen[k] for k in alike]).to(self.settings.device, memory_format=torch.channels_last)
            with torch.no_grad():
                x = self._folded.first(x, FROZEN)
            maps = [one.cpu().clamp(min=LEAST).sqrt() for one in functional_call(self._rest, scaled, (x,))]
            found |= {k: [one[i : i + 1] for one in maps] for i, k in enumerate(alike)}
        return [found[k] for k in range(len(seen))]

    def _example(self, k: int) -> Example | None:
        try:
            return self.task.example(k, self.task.rng)
        except ImageError:
            return None

    def seconds(self, used: np.ndarray) -> float:
        """How long an image takes, as the first that can be read does."""
        for k in used.tolist():
            if (example := self._example(k)) is None:
                continue
            for _ in range(2):  # the first time takes longer
                start = monotonic()
                torch.stack([one.mean() for one in self.maps([example.image], self.task.view)[0]]).sum().backward()
            for parameter in self._weights.values():
                parameter.grad = None
            return monotonic() - start
        raise ModelGPTError(f"None of the images of {self.task.dataset.name} can be read.", "", "Look at the files.")

    def run(self, folds: np.ndarray, heads: Mapping[int, Any]) -> MapTrunk:
        """Finetune on the images whose folds, int64 (N,), have heads; return the network."""
        task, epochs = self.task, self.settings.epochs
        used = np.flatnonzero(np.isin(folds, list(heads)))
        lr, size = self.settings.lr or LR, self.settings.batch_size or BATCH
        optimizer = torch.optim.AdamW(self._weights.values(), lr=lr, weight_decay=self.settings.decay(WEIGHT_DECAY))
        parts, step = -(-len(used) // size), 0
        with progress("tune", epochs * len(used), "images") as advance:
            for _ in range(epochs):
                for batch in np.array_split(task.rng.permutation(used), parts):
                    optimizer.param_groups[0]["lr"] = lr * _rate((step + 0.5) / (epochs * parts))
                    step += 1
                    examples = [(k, one) for k in batch.tolist() if (one := self._example(k)) is not None]
                    view = resized_view(task.view, task.rng)
                    maps = self.maps([one.image for _, one in examples], view)
                    pairs = zip(maps, examples, strict=True)
                    losses = [task.loss(its, one, heads[int(folds[k])]) for its, (k, one) in pairs]
                    if losses:
                        torch.stack(losses).mean().backward()
                    advance(len(batch))
                    nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, parameter in self._weights.items():
                self.trunk.get_parameter(name).copy_(parameter.cpu())
        return self.trunk


def conv_scales(trunk: nn.Module) -> list[tuple[str, Tensor]]:
    """Of each convolution before a BatchNorm the name, and what that multiplies its weights by, (outputs, 1, 1, 1)."""
    found, conv = [], ""
    batch_norms = dict(norms(trunk))
    for name, module in trunk.named_modules():  # in which a BatchNorm comes right after its convolution
        if isinstance(module, nn.Conv2d):
            conv = name
        elif name in batch_norms:
            norm = batch_norms[name]
            assert norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            found.append((conv, scale.detach()[:, None, None, None]))
    return found


def _rate(share: float) -> float:
    """The learning rate as a share of the highest, when so much of the steps is done."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))


def tuning_folds(n_images: int) -> np.ndarray:
    """The fold of each image, in the order of their names, int64 (N,): of runs, as these may be frames of a film."""
    return np.arange(n_images) * min(RUNS, n_images) // max(1, n_images) % FOLDS


def resized_view(view: View, rng: np.random.Generator) -> View:
    """A view of another size."""
    size = max(COARSEST, round(view.size * rng.uniform(*SIZES) / COARSEST) * COARSEST)
    return replace(view, size=size)


def build_like(builder: type[B], blueprint: Blueprint, seed: int) -> B:
    """What builds a model of the same requirement, card and classes."""
    b = blueprint
    requirement = Requirement(b.requirement, task=b.task, classes=b.labels, domain=b.domain)
    return builder(requirement, BuildOptions(seed=seed), b.architecture.card, dict(b.architecture.encoder))


def load_marked(blueprint: Blueprint, data: Data, seed: int) -> Dataset:
    """Read labelled images with a model's classes.

    Raises
    ------
    ModelGPTError, UsageError
        As `load_dataset`; or the data have other classes than the model.
    """
    try:
        return load_dataset(data, task=blueprint.task, classes=blueprint.labels, domain=blueprint.domain, seed=seed)
    except UsageError as error:
        if "the requirement" not in f"{error.problem} {error.hint}":
            raise
        problem = error.problem.replace("the requirement names", "the model has")
        hint = "Give images that are marked as the model's were, or build a new model from these."
        raise UsageError(problem, error.cause, hint) from error
