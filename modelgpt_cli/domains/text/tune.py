"""ModelGPT-F for texts: finetuning encoder and head of a generated model; the rest is `tune_backbone`.

Shapes: N rows, n rows of a batch, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.shared.alike import tell
from modelgpt_cli.domains.shared.folds import Split, split_words
from modelgpt_cli.domains.shared.split import read_split, tuning_column, tuning_options
from modelgpt_cli.domains.shared.tasks import class_indices
from modelgpt_cli.domains.shared.tune_backbone import BackboneTuning
from modelgpt_cli.domains.text.backbone import in_halves
from modelgpt_cli.domains.text.likeness import alike_split
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.requirement import texts_of
from modelgpt_cli.domains.text.tokens import Encoded
from modelgpt_cli.parameter_generator.logistic_sparse import SparseInputs
from modelgpt_cli.training.tune import Tuned, TuneSettings, check_labels, cross_validated, load_rows

log = logging.getLogger("modelgpt")
SAMPLE_ROWS = 50_000
"""Rows that tuning uses; more are sampled, which is said."""


class TextTuning(BackboneTuning[Encoded]):
    """The tuning of a text model."""

    lr, head_rate, batch_size = 5e-5, 20.0, 32
    model: TextModel

    def __init__(self, model: TextModel) -> None:
        mean, std = model.constants["target"].tolist() if model.blueprint.task == "regression" else (0.0, 1.0)
        super().__init__(model, model.encoder, (mean, std))

    def outputs(self, rows: Encoded) -> Tensor:
        """Logits (n, C), or numbers (n, 1) in the target's own unit."""
        batch = rows.padded(range(len(rows))).to(str(self.model.head_weight.device))
        out: Tensor = self.model(batch.ids, batch.mask, batch.segments)
        return out

    def head_inputs(self, rows: Encoded) -> Tensor:
        """What the head sees, (N, P) on the CPU."""
        return self.model.inputs(rows)

    def sparse_inputs(self, rows: Encoded) -> SparseInputs | None:
        """What the words say, where the model counts them."""
        lexical = self.model.lexical
        return None if lexical is None else SparseInputs.of(lexical.lexicon.inputs(rows))

    def sparse_weights(self) -> list[nn.Parameter]:
        """The words' weights."""
        return [] if self.model.lexical is None else [self.model.lexical.weight]

    def settle(self) -> None:
        """Round the encoder as a build does."""
        in_halves(self.model.encoder)

    def answers(self, rows: Encoded) -> np.ndarray:
        """Probabilities (N, C), or numbers (N, 1)."""
        return self.model.predict_encoded(rows)


def tune(model: TextModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a text model; see `training.tune.Tuner`."""
    texts, y, known, split = read_texts(model, data, settings)
    return TextTuning(model).run(texts, y, settings, known=known, split=split)


def read_texts(
    model: TextModel, data: Data, settings: TuneSettings
) -> tuple[Encoded, np.ndarray, Mapping[str, float] | None, Split | None]:
    """The labelled rows, tokenised, and their class indices or numbers (N,): real ones alone, where there are any.

    With the model's metrics, where they were cross-validated on these data, and what ties the rows together.
    """
    b = model.blueprint
    opened = open_table(data)
    asked = tuning_column(b, opened, settings.split)
    options = tuning_options(b, asked)
    dataset = load_rows(b, opened, sample_rows=SAMPLE_ROWS, seed=settings.seed, domain="text", **options)
    if dataset.n_synthetic:
        log.warning("%d rows are marked as generated; it is tuned on real ones, if there are any.", dataset.n_synthetic)
    rows = dataset.real_rows
    split = read_split(rows, asked)
    cells = rows[b.target]
    if split is None:
        columns = [rows[column.name].fillna("").tolist() for column in texts_of(b.columns)]
        split, told = alike_split(columns, None if b.task == "regression" else cells.tolist())
        tell(told)
    known = cross_validated(b, dataset.fingerprint, split_words(split))
    if b.task == "regression":
        return model.encode(rows), cells.to_numpy(dtype=np.float64), known, split
    check_labels(b, dataset.schema.classes)
    return model.encode(rows), class_indices(cells, b.labels), known, split
