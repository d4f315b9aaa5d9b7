"""ModelGPT-F for images: reading them, and what a model's head is solved around; see `finetune`.

Shapes: N images, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.data.sampling import RowSampler
from modelgpt_cli.domains.image.architectures import GENERATOR_CARDS
from modelgpt_cli.domains.image.finetune import Finetuning
from modelgpt_cli.domains.image.fit import ImageHead
from modelgpt_cli.domains.image.likeness import alike_split
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.rows import Images, LabelledImages, read_labelled
from modelgpt_cli.domains.image.target import scaling_of, shared_image_generator
from modelgpt_cli.domains.shared.alike import tell
from modelgpt_cli.domains.shared.folds import Split, split_words
from modelgpt_cli.domains.shared.split import read_split, tuning_column, tuning_options
from modelgpt_cli.domains.shared.tasks import class_indices, label_text, make_words
from modelgpt_cli.parameter_generator.adapter import Words
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.parameter_generator.shared import shared_encoder
from modelgpt_cli.training.tune import Tuned, TuneSettings, check_labels, cross_validated

log = logging.getLogger("modelgpt")
SAMPLE_ROWS = 10_000
"""Images that tuning uses; more are sampled, which is said. At 128 pixels a side they take 0.5 GB, at 224 1.5 GB."""


class ImageTuning:
    """The tuning of an image model.

    Parameters
    ----------
    model : ImageModel
        Tuned in place.
    source : ImageHead, optional
        What the head of a model is solved around that was built from the images it is tuned on; by default what the
        shipped generator says, where it made the model.
    """

    def __init__(self, model: ImageModel, source: ImageHead | None = None) -> None:
        self.model, self.source = model, source

    def run(
        self,
        rows: Images,
        y: np.ndarray,
        settings: TuneSettings,
        *,
        known: Mapping[str, float] | None = None,
        split: Split | None = None,
    ) -> Tuned:
        """Finetune; the parameters end up as the best of before, after and half of the way, by images held out.

        Parameters
        ----------
        rows : Images (N,)
        y : int64 (N,)
            Class indices.
        settings : TuneSettings
            Its learning rate is AdamW's: it rises, and falls linearly to zero.
        known : mapping, optional
            There where the model was built from these images: before is then a model without those that are held out.
        split : Split, optional
            What ties images together, so that they must not be held out at random.

        Raises
        ------
        ModelGPTError
            There are too few images to hold some out.
        """
        self.model.to(settings.device)
        learned = known is not None
        source = self.source or head_source(self.model, learned=learned)
        done = Finetuning(self.model, source, rows, y, settings, split).run(learned=learned)
        self.model.to("cpu")
        return done


def head_source(model: ImageModel, *, learned: bool) -> ImageHead:
    """What the head of a model is solved around when it is tuned.

    Of a model from words alone, or from the images that it is tuned on (`learned`), that is what the generator makes of
    its words, where it is the shipped one; else nothing. Any other model's own head is gone on from.
    """
    b = model.blueprint
    made = b.provenance.get("generator") or {}
    generator, header = shared_image_generator(generator_file(None, "image"))
    shipped = made.get("sha256") == header["sha256"] and b.architecture.card in GENERATOR_CARDS
    scaling = scaling_of(generator) if shipped else None
    nothing = Words(torch.zeros(0), torch.zeros(len(b.labels), 0), regression=False, pair=False)
    if not learned and (b.provenance.get("data") is not None or not shipped):
        start = model.head_weight.detach().cpu(), model.head_bias.detach().cpu()
        return ImageHead(words=nothing, scaling=scaling, start=start)
    encoder = shared_encoder(None)
    if not shipped or (b.provenance.get("encoder") or {}).get("name") != Path(encoder.name).name:
        if made:
            log.warning("The model's generator isn't the shipped one: its head is solved without what that says.")
        return ImageHead(words=nothing, scaling=scaling)
    words = make_words(encoder, b.requirement, [label_text(label) for label in b.labels], False)
    with torch.inference_mode():
        _, tokens = generator.adapt(words)
    return ImageHead(words=words, generator=generator, tokens=tokens, scaling=scaling)


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
