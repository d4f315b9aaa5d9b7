"""Tables that a generator shall serve from words alone: their requirements, their rows in three parts, their batches.

The paper's own setting: the generator is trained on the training rows of the very tasks that it later builds from the
requirement, the column names and the class names. What it is shown of a task here is what a build is shown.
Shapes: m rows, s numeric sources, c categorical columns, d features, C classes, P sentences, E embedding size.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.domains.tabular.encoder import TableEncoder
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor
from modelgpt_cli.domains.tabular.requirement_only import encoder_from_statistics
from modelgpt_cli.domains.tabular.tasks import EncodedTask, TaskBatch, TaskTexts, class_codes, collate
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.profile import Profile

SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}
"""The paper's random split."""


@dataclass
class FixedTable:
    """A classification table with its requirement; what the requirement says of the columns is from training rows.

    Attributes
    ----------
    requirement : Requirement
        As a requirement file has it: sentence, classes, and columns with levels or mean and standard deviation.
    frame : DataFrame (n,)
        Typed, see `Column`.
    y : int64 (n,)
        Indices of `requirement.classes`.
    rows : dict of int64 arrays
        Row numbers of the parts named in `SHARES`.
    """

    name: str
    requirement: Requirement
    frame: pd.DataFrame
    y: np.ndarray
    rows: dict[str, np.ndarray]

    def part(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Typed rows and class indices of one part."""
        rows = self.rows[name]
        return self.frame.iloc[rows].reset_index(drop=True), self.y[rows]


def read_tables(folder: str | Path, seed: int = 0) -> list[FixedTable]:
    """All classification tables with cards (``<name>.yaml`` beside the CSV) of a folder, by name, each split by `seed`.

    Raises
    ------
    UsageError
        If the folder holds no card of a classification table.
    """
    tables = []
    for path in sorted(Path(folder).glob("*.yaml")):
        card = parse_yaml(path.read_text(encoding="utf-8"))
        if card["task"] == "classification":
            tables.append(_read(path.parent / card["file"], card, seed))
    if not tables:
        raise UsageError(f"No classification tables with cards in {folder}.", "Each needs a card <name>.yaml.")
    return tables


def split_rows(n: int, name: str, seed: int) -> dict[str, np.ndarray]:
    """Random row numbers of the three parts, a function of the table's name and the seed."""
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(n)
    ends = np.round(np.cumsum(list(SHARES.values())) * n).astype(int)
    return dict(zip(SHARES, np.split(order, ends[:-1]), strict=True))


def _read(path: Path, card: Mapping[str, Any], seed: int) -> FixedTable:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    frame = frame[frame["target"].notna()].reset_index(drop=True)
    classes = tuple(sorted(frame["target"].unique()))
    y = pd.Categorical(frame["target"], categories=list(classes)).codes.astype(np.int64)
    rows = split_rows(len(frame), card["name"], seed)
    columns = []
    for c in card["columns"]:
        column = Column(str(c["name"]), c["type"], str(c.get("description", "")))
        if column.is_float:
            frame[column.name] = pd.to_numeric(frame[column.name], errors="coerce").astype(float)
        columns.append(_described(column, frame[column.name].iloc[rows["train"]]))
    requirement = Requirement(
        sentence=" ".join(f"{card['description']}".split()), target="target", classes=classes, columns=tuple(columns)
    )
    return FixedTable(card["name"], requirement, frame[[c.name for c in columns]], y, rows)


def _described(column: Column, cells: pd.Series) -> Column:
    """The column with what `describe` would write about these cells."""
    missing = round(float(cells.isna().mean()), 6)
    if column.is_float:
        present = cells.dropna().to_numpy(dtype=float)
        return replace(column, mean=float(present.mean()), std=float(present.std()), missing=missing)
    counts = cells.value_counts()
    names = sorted(counts.index, key=lambda v: (-counts[v], v))
    return replace(column, levels=tuple(names[:MAX_LEVELS]), n_levels=len(names), missing=missing)


@dataclass
class FixedTask:
    """A fixed table, encoded as a build without data would encode it, with all its words embedded.

    Attributes
    ----------
    parts : dict
        For each part of `SHARES`: channels' inputs z, u, flat and labels y of its rows.
    sentences : float32 (P, E)
        Phrasings of the requirement; the first is the table's own.
    bare, described : TaskTexts
        Column names alone, and with their descriptions.
    """

    name: str
    n_classes: int
    preprocessor: TablePreprocessor
    encoder: TableEncoder
    parts: dict[str, tuple[Tensor, Tensor, Tensor, np.ndarray]]
    sentences: np.ndarray
    bare: TaskTexts
    described: TaskTexts

    def batch(self, part: str, rows: np.ndarray | None, texts: TaskTexts, codes: Tensor) -> TaskBatch:
        """Some rows (None: all) of a part as query rows; there are no support rows."""
        z, u, flat, y = self.parts[part]
        pick = slice(None) if rows is None else rows
        task = EncodedTask(z[pick], u[pick], flat[pick], y[pick], self.n_classes, self.encoder, texts)
        return collate([task], 0, codes, embedding=self.sentences.shape[1])

    def draw(
        self,
        rng: np.random.Generator,
        n_rows: int,
        *,
        word_noise: float = 0.0,
        sentence_dropout: float = 0.0,
        cell_dropout: float = 0.0,
        mixup: float = 0.0,
        smoothing: float = 0.0,
    ) -> TaskBatch:
        """A batch of this one task: random training rows, a random phrasing.

        Parameters
        ----------
        n_rows : int
            Query rows; fewer where the table has fewer.
        word_noise : float
            Standard deviation of what is added to the sentence's embedding (whose root mean square is 1), so that
            sentences near the phrasings mean the same.
        sentence_dropout : float
            Probability of a batch without the sentence.
        cell_dropout : float
            Probability of a cell to be blanked (every channel 0, as for a missing one): against learning single rows
            of small tables by heart.
        mixup : float
            α of the Beta distribution by which rows are mixed in pairs, with their labels (0: not at all).
        smoothing : float
            Share of each label that is spread over all classes.
        """
        n = len(self.parts["train"][3])
        rows = rng.permutation(n)[:n_rows] if n_rows < n else np.arange(n)
        codes = class_codes(1, self.n_classes, torch.Generator().manual_seed(int(rng.integers(2**62))))
        batch = self.batch("train", rows, self._phrase(rng, word_noise, sentence_dropout), codes)
        if cell_dropout:
            columns = np.array([o.column for o in self.encoder.origins])
            kept = rng.random((len(rows), columns.max() + 1)) >= cell_dropout
            batch.query_channels *= torch.from_numpy(kept[:, columns])[None, :, :, None]
        if mixup or smoothing:
            share = np.maximum(rng.beta(mixup, mixup, len(rows)) if mixup else np.ones(len(rows)), 0.5)
            _soften(batch, share, rng.permutation(len(rows)), smoothing)
        return batch

    def _phrase(self, rng: np.random.Generator, noise: float, dropout: float) -> TaskTexts:
        """One phrasing of the sentence, and each column with its description or without."""
        sentence = self.sentences[rng.integers(len(self.sentences))]
        sentence = sentence + noise * rng.standard_normal(len(sentence))
        if rng.random() < dropout:
            sentence = np.zeros_like(sentence)
        told = rng.random((len(self.bare.columns), 1)) < rng.random()
        return TaskTexts(
            sentence.astype(np.float32),
            np.where(told, self.described.columns, self.bare.columns),
            self.bare.levels,
            self.bare.classes,
        )


def encode_table(table: FixedTable, encoder: TextEncoder, sentences: Sequence[str] = ()) -> FixedTask:
    """Encode the rows by the requirement's statistics alone, and embed the words.

    Parameters
    ----------
    sentences : sequence of str
        More phrasings of the requirement, beside the table's own sentence and the one that the offline writer gives.
    """
    requirement = table.requirement
    preprocessor = make_preprocessor(requirement.columns)
    from_statistics = encoder_from_statistics(preprocessor)
    parts = {}
    for part in SHARES:
        frame, y = table.part(part)
        parts[part] = (*from_statistics.apply(*preprocessor.arrays(frame)), y)
    nameless = replace(preprocessor, columns=tuple(replace(c, description="") for c in preprocessor.columns))
    described = embed_words(encoder, preprocessor, requirement.sentence, requirement.classes)
    phrasings = [requirement.sentence, _offline(table), *sentences]
    return FixedTask(
        name=table.name,
        n_classes=len(requirement.classes),
        preprocessor=preprocessor,
        encoder=from_statistics,
        parts=parts,
        sentences=encoder(phrasings),
        bare=embed_words(encoder, nameless, requirement.sentence, requirement.classes),
        described=described,
    )


def _soften(batch: TaskBatch, share: np.ndarray, partner: np.ndarray, smoothing: float) -> None:
    """Mix each row (m,) with its partner, `share` of it remaining; the labels become probabilities (1, C, m)."""
    kept = torch.from_numpy(share.astype(np.float32))[:, None]  # (m, 1)
    channels = batch.query_channels[0]
    label = torch.nn.functional.one_hot(batch.query_target[0], batch.inputs.codes.shape[1]).float()  # (m, C)
    if (share < 1).any():
        channels = kept[..., None] * channels + (1 - kept[..., None]) * channels[partner]
        label = kept * label + (1 - kept) * label[partner]
    batch.query_channels = channels[None]
    batch.query_target = ((1 - smoothing) * label + smoothing / label.shape[1]).T[None]


def _offline(table: FixedTable) -> str:
    """What `describe --offline` would say of the training rows."""
    frame, y = table.part("train")
    classes, counts = np.unique(y, return_counts=True)
    names = table.requirement.classes
    order = np.argsort(-counts, kind="stable")
    return write_offline(
        Profile(
            name=table.name,
            n_rows=len(frame),
            task="classification",
            target="target",
            columns=table.requirement.columns,
            class_counts={names[classes[i]]: int(counts[i]) for i in order},
        )
    )
