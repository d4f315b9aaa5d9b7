"""ModelGPT-F for marked images: what all have alike, and the finetuning of a network through heads that are solved.

Shared by segmentation, detection and key points. Images are in folds. One judges: it is held out of the finetuning,
and of the heads that it is measured by, before and after. The others are learned from. Segmentation trains its head
with the network; see `joint`. Heads of detection and key points, whose parts ``tune`` say what the loss is, are solved.
One that was solved on an image hardly errs on it, and has nothing to teach the network by, so each image speaks through
heads that were solved without its fold, and without the one that judges. The heads of the model that is kept are the
domain's own build on the tuned network, by all images; what they choose by held-out images, those choose that the
network has not seen either.
Shapes: N images, H, W pixels, h, w places, c channels.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.dense.fit import runs
from modelgpt_cli.domains.image.dense.loop import Group, TunedTrunk, descend
from modelgpt_cli.domains.image.dense.maps import COARSEST, MapTrunk, View, seen_pixels
from modelgpt_cli.domains.image.dense.seam import MapBuild
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
MOST_IMAGES = 3000
RUNS, FOLDS, JUDGE = 8, 4, 2
"""Images are cut into so many runs of neighbours, which are dealt out to the folds, and the fold that judges."""
SIZES = (0.7, 1.1)
"""Shares of a view's size, at which images are seen while the network is tuned."""
VALIDATED = "by runs of images"


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
    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """Measure the model as it is on some images, int64 (n,)."""

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once heads have been solved."""
        return None

    @abstractmethod
    def run(self) -> Tuned:
        """Finetune; keep the better of before and after, by the images held out.

        Raises
        ------
        ModelGPTError
            There are too few images to hold some out.
        """

    def folds(self) -> np.ndarray:
        """The fold of each image, int64 (N,), of which `JUDGE` measures.

        Raises
        ------
        ModelGPTError
            There are too few images.
        """
        n = len(self.dataset.sample)
        folds = tuning_folds(n)
        if not (folds == JUDGE).any():
            raise ModelGPTError("Too few images to tune on.", f"{n} labelled images can't be split in three.")
        return folds

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

    def _say(self, folds: np.ndarray, seconds: float, beside: str) -> None:
        """Say what is done with how many images, about how long it takes, and how long what is done beside it."""
        judged = int((folds == JUDGE).sum())
        about = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        log.info(
            "Finetuning on %s images, %s held out: about %s, and about as long as %s.",
            f"{len(folds) - judged:,}", f"{judged:,}", about, beside,
        )  # fmt: skip


class SolvedTuning(MapTuning):
    """The finetuning of a network through heads that are solved, and then solved anew."""

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
    def install(self, fit: Any) -> None:
        """Put heads into the model and its blueprint."""

    def run(self) -> Tuned:
        """Finetune; keep the better of before and after; see `MapTuning.run`."""
        folds = self.folds()
        judged, used = np.flatnonzero(folds == JUDGE), np.flatnonzero(folds != JUDGE)
        tuning = Finetuning(self, self.model.trunk)
        self._say(folds, tuning.seconds(used) * len(used) * self.settings.epochs, "two builds")
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
        return Tuned(before, after.metrics, kept, len(folds), shown=self.shown, validated=VALIDATED)


class Finetuning:
    """Finetunes a copy of a network by a loss on its maps, through heads that stay as they are."""

    def __init__(self, task: SolvedTuning, trunk: MapTrunk) -> None:
        self.task, self.settings = task, task.settings
        self.network = TunedTrunk(trunk, task.settings.device)

    def maps(self, images: Sequence[np.ndarray], view: View) -> list[list[Tensor]]:
        """Of each image the rooted maps, (1, c, h, w), on the CPU."""
        found: dict[int, list[Tensor]] = {}
        seen = [seen_pixels(image[None], view) for image in images]
        for shape in {one.shape for one in seen}:  # those of one size together take less time
            alike = [k for k, one in enumerate(seen) if one.shape == shape]
            maps = [one.cpu() for one in self.network.maps(torch.cat([seen[k] for k in alike]))]
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
            for parameter in self.network.parameters:
                parameter.grad = None
            return monotonic() - start
        raise unreadable(self.task.dataset)

    def run(self, folds: np.ndarray, heads: Mapping[int, Any]) -> MapTrunk:
        """Finetune on the images whose folds, int64 (N,), have heads; return the network."""
        epochs = self.settings.epochs
        used = np.flatnonzero(np.isin(folds, list(heads)))
        parts = -(-len(used) // (self.settings.batch_size or BATCH))
        descend(
            [Group(self.network.parameters, self.settings.lr or LR)],
            self._losses(used, parts, folds, heads),
            steps=epochs * parts,
            images=epochs * len(used),
            decay=self.settings.decay(WEIGHT_DECAY),
            warm_up=WARM_UP,
        )
        return self.network.trunk()

    def _losses(
        self, used: np.ndarray, parts: int, folds: np.ndarray, heads: Mapping[int, Any]
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Of each step the number of images, and their loss."""
        task = self.task
        for _ in range(self.settings.epochs):
            for batch in np.array_split(task.rng.permutation(used), parts):
                examples = [(k, one) for k in batch.tolist() if (one := self._example(k)) is not None]
                view = resized_view(task.view, task.rng)
                maps = self.maps([one.image for _, one in examples], view)
                pairs = zip(maps, examples, strict=True)
                losses = [task.loss(its, one, heads[int(folds[k])]) for its, (k, one) in pairs]
                yield len(batch), torch.stack(losses).mean() if losses else None


def unreadable(dataset: Dataset) -> ModelGPTError:
    """Return the error of images none of which can be read."""
    return ModelGPTError(f"None of the images of {dataset.name} can be read.", "", "Look at the files.")


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
