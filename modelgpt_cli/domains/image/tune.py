"""ModelGPT-F for images: finetuning trunk and head of a generated model, BatchNorm left as it is.

The rest is `tune_backbone`. Shapes: N images, n images of a batch, H, W pixels, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.data.sampling import RowSampler
from modelgpt_cli.domains.image.embed import changed
from modelgpt_cli.domains.image.likeness import alike_split
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.preprocess import normalise
from modelgpt_cli.domains.image.rows import Images, LabelledImages, read_labelled
from modelgpt_cli.domains.shared.alike import tell
from modelgpt_cli.domains.shared.folds import Split, split_words
from modelgpt_cli.domains.shared.split import read_split, tuning_column, tuning_options
from modelgpt_cli.domains.shared.tasks import class_indices
from modelgpt_cli.domains.shared.tune_backbone import BackboneTuning
from modelgpt_cli.training.tune import Tuned, TuneSettings, check_labels, cross_validated

log = logging.getLogger("modelgpt")
SAMPLE_ROWS = 10_000
"""Images that tuning uses; more are sampled, which is said. At 128 pixels a side they take 0.5 GB, at 224 1.5 GB."""


class ImageTuning(BackboneTuning[Images]):
    """The tuning of an image model: each time an image comes up, it is mirrored, cropped and lit at random."""

    lr, head_rate, batch_size = 1e-4, 10.0, 16
    model: ImageModel

    def __init__(self, model: ImageModel) -> None:
        super().__init__(model, model.trunk)

    def outputs(self, rows: Images) -> Tensor:
        """Logits (n, C)."""
        seen = changed(rows.values).to(self.model.head_weight.device)
        out: Tensor = self.model(normalise(seen, self.model.view).contiguous(memory_format=torch.channels_last))
        return out

    def head_inputs(self, rows: Images) -> Tensor:
        """What the head sees, (N, E) on the CPU."""
        return self.model.inputs(rows.values)

    def answers(self, rows: Images) -> np.ndarray:
        """Probabilities (N, C)."""
        return self.model.predict_seen(rows.values)


def tune(model: ImageModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune an image model; see `training.tune.Tuner`."""
    read, y, known, split = read_images(model, data, settings)
    done = ImageTuning(model).run(read.rows, y, settings, known=known, split=split)
    return replace(done, shown=read.shown)


def read_images(
    model: ImageModel, data: Data, settings: TuneSettings
) -> tuple[LabelledImages, np.ndarray, Mapping[str, float] | None, Split | None]:
    """The labelled images, and their class indices (N,).

    With the model's metrics, where they were cross-validated on these data, and what ties the rows together.

    Of a folder or an archive the sub-folders are the classes, whatever the model's target is called; of a table, the
    target's column.

    Raises
    ------
    ModelGPTError
        The data can't be read, or a class has no image left.
    UsageError
        There is a class that the model doesn't know, or no column of the target's name.
    """
    b, seed = model.blueprint, settings.seed
    opened = open_table(data)
    asked = tuning_column(b, opened, settings.split)
    target = None if opened.domain else b.target
    options = tuning_options(b, asked)
    dataset = load_dataset(opened, target=target, task=b.task, domain="image", seed=seed, multi_label=False, **options)
    check_labels(b, dataset.schema.classes)
    read = read_labelled(dataset, _sampled(dataset, seed), model.view)
    split = read_split(read.frame, asked)
    if split is None:
        split, told = alike_split(read, dataset.schema.used[0].name)
        tell(told)
    known = cross_validated(b, dataset.fingerprint, split_words(split))
    return read, class_indices(read.cells, b.labels), known, split


def _sampled(dataset: Dataset, seed: int) -> pd.DataFrame:
    """The rows to tune on: all, or an even draw with some of each class."""
    frame = dataset.sample
    if len(frame) <= SAMPLE_ROWS:
        return frame
    sampler = RowSampler(SAMPLE_ROWS, seed)
    sampler.add(frame, pd.factorize(frame[dataset.schema.target])[0])
    drawn = sampler.result(stratified=True)
    log.warning("Tuning on a sample of %d of %d images.", len(drawn), dataset.n_rows)
    return drawn
