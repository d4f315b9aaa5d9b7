"""ModelGPT on images: what `modelgpt build` does, less reading files and writing ONNX.

Timed is all of it: loading backbone and generator, embedding the words, adapting, the images' features, solving the
head, cross-validation and baselines. The features of a task's images under the same words are computed once and
charged by the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.build import ImageBuild
from modelgpt_cli.domains.image.fit import Adapted, ImageHead
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.options import BuildOptions
from modelgpt_cli.domains.image.rows import Images, LabelledImages
from modelgpt_cli.domains.image.tasks import ImageSet, set_of
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator

from .networks import Memory, Weights, outputs
from .tasks import domain_of

IMAGE, LABEL = "image", "label"


@dataclass(frozen=True)
class Generators:
    """Which generator serves a task.

    Attributes
    ----------
    pattern : str, optional
        A checkpoint's file; ``{set}`` and ``{domain}`` stand for those of the task. None for the shipped one, if any.
    """

    pattern: str | None = None

    def file(self, task: str) -> str | None:
        """Return the checkpoint for a task, or None where only a shipped one can be."""
        if self.pattern is None:
            return None
        return self.pattern.replace("{set}", set_of(task)).replace("{domain}", domain_of(task))

    def missing(self, tasks: list[str]) -> list[str]:
        """Return the files that are not there."""
        files = dict.fromkeys(file for task in tasks if (file := self.file(task)) is not None)
        return [file for file in files if not Path(file).exists()]

    def serve(self, card: str) -> bool:
        """Return whether there is a generator for a card at all."""
        return self.pattern is not None or card in ImageBuild.generator_cards


def writes_factors(generator: AdapterGenerator) -> bool:
    """Return whether a generator changes the trunk at all; one whose LoRA is a no-op leaves it as it is."""
    second = [value for name, value in generator.factors.base.items() if "lora_B" in name]
    decoders = [p for layer in generator.factors.out.values() for p in layer.parameters()]
    return any(bool(tensor.any()) for tensor in (*second, *decoders))


@dataclass(kw_only=True)
class _Remembering(Adapted):
    """An adapted trunk that takes its training images' features from memory."""

    memory: Memory
    key: tuple[str, ...]
    all_rows: Images
    index: np.ndarray

    def features(self, rows: Images) -> Tensor:
        """Return those of the images that the build was given, (N, E)."""
        return self.memory.features(self.key, self.all_rows, self.index, super().features)


class _Build(ImageBuild):
    """A build of images that are in memory, decoded and cut."""

    def __init__(self, task: ImageSet, options: BuildOptions, memory: Memory) -> None:
        self.task, self.memory, self.index = task, memory, np.arange(0)
        self.source: Adapted | None = None
        wanted = Requirement(
            sentence=task.sentences[0], task="classification", target=LABEL, classes=task.classes, domain="image"
        )
        super().__init__(wanted, options)

    @property
    def words_key(self) -> tuple[str, ...]:
        """What the trunk is adapted by: nothing, or a generator and words."""
        if self.generator is None or self.header is None or not writes_factors(self.generator):
            return ("pretrained",)
        return (str(self.header["sha256"]), self.requirement.sentence, *self.task.classes)

    def _read(self, dataset: Dataset, frame: pd.DataFrame) -> LabelledImages:
        self.index = frame[IMAGE].to_numpy(dtype=np.int64)
        rows, cells = self.task.parts["train"].rows.take(self.index), frame[LABEL].to_numpy()
        return LabelledImages(rows, cells, [], cells[:0], [], frame)

    def _adapt(self, classes: tuple[str, ...], multi_label: bool) -> Adapted:
        rows, key = self.task.parts["train"].rows, (*self.words_key, self.task.name, "train")
        self.source = super()._adapt(classes, multi_label)
        return _Remembering(**vars(self.source), memory=self.memory, key=key, all_rows=rows, index=self.index)


@dataclass
class Built:
    """A built model, and what its head was solved around."""

    model: ImageModel
    source: ImageHead | None
    key: tuple[str, ...]
    memory: Memory
    facts: dict[str, Any] = field(default_factory=dict)

    def features(self, task: ImageSet, part: str, index: np.ndarray) -> Tensor:
        """Return features of some images of a task, (N, E)."""
        key, rows = (*self.key, task.name, part), task.parts[part].rows
        return self.memory.features(key, rows, index, lambda some: outputs(self.model.trunk, some, self.model.view))

    @torch.inference_mode()
    def predict_proba(self, task: ImageSet) -> np.ndarray:
        """Return probabilities (n, C) of its test images."""
        features = self.features(task, "test", np.arange(len(task.parts["test"].y)))
        return (features @ self.model.head_weight + self.model.head_bias).softmax(1).numpy()


def build(
    task: ImageSet, index: np.ndarray | None, weights: Weights, generators: Generators, memory: Memory, seed: int
) -> Built:
    """Build a model of some of a task's training images; None for one of the requirement alone."""
    options = BuildOptions(
        seed=seed, generator=generators.file(task.name), backbone=weights.card.name, backbone_weights=weights.path
    )
    work = _Build(task, options, memory)
    dataset = None if index is None else _dataset(task, index)
    model = (work.from_words() if dataset is None else work.from_data(dataset, check_fingerprint=False))[0]
    made = model.blueprint.provenance
    used = made["generator"]["sha256"][:12] if made["generator"] else None
    return Built(
        model, work.source, work.words_key, memory, {"dtype": "fp32", "generator": used, **made.get("head", {})}
    )


def _dataset(task: ImageSet, index: np.ndarray) -> Dataset:
    """Return some training images as a data set; an image's path is its number."""
    labels = [task.classes[k] for k in task.parts["train"].y[index]]
    frame = pd.DataFrame({IMAGE: index.astype(str), LABEL: labels}, dtype=object)
    schema = Schema((Column(IMAGE, "image", role="image"),), LABEL, "classification", task.classes, domain="image")
    return Dataset(
        name="benchmark", path=None, schema=schema, n_rows=len(frame), class_counts={}, sample=frame, warnings=[],
        fingerprint="",
    )  # fmt: skip
