"""Real tables with cards as meta-training tasks; every draw is a fresh sample of rows and columns."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from modelgpt_cli.data.schema import Column
from modelgpt_cli.domains.tabular.codec import make_codec
from modelgpt_cli.domains.tabular.prior import SyntheticTask
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

log = logging.getLogger("modelgpt")
MAX_ROWS = 20_000
"""Rows of a table that meta-training keeps in memory."""


@dataclass
class RealTask:
    """A whole real table as arrays, with its embedded words.

    Attributes
    ----------
    table : SyntheticTask
        The same arrays that the synthetic prior draws.
    texts : TaskTexts
    family : str
        Tables of one family share rows; they stay on one side of a split.
    """

    name: str
    family: str
    table: SyntheticTask
    texts: TaskTexts

    def draw(self, rng: np.random.Generator, n_rows: int, max_columns: int) -> tuple[SyntheticTask, TaskTexts]:
        """A random sample of rows and columns, and the words for them."""
        t = self.table
        rows = rng.permutation(len(t.y))[:n_rows]
        s, c = t.x.shape[1], t.codes.shape[1]
        columns = np.sort(rng.permutation(s + c)[: max(max_columns, 1)])
        numeric, categorical = columns[columns < s], columns[columns >= s] - s
        drawn = SyntheticTask(
            x=t.x[rows][:, numeric],
            codes=t.codes[rows][:, categorical],
            levels=tuple(t.levels[i] for i in categorical),
            y=t.y[rows],
            n_classes=t.n_classes,
            family=self.name,
        )
        texts = TaskTexts(
            self.texts.requirement,
            self.texts.columns[columns],
            [self.texts.levels[i] for i in categorical],
            self.texts.classes,
        )
        return drawn, texts


def load_real_tasks(folder: str | Path, encoder: TextEncoder) -> list[RealTask]:
    """All tables with cards (``<name>.yaml`` beside the CSV) of a folder, by name.

    Raises
    ------
    UsageError
        If the folder holds no card.
    """
    cards = sorted(Path(folder).glob("*.yaml"))
    if not cards:
        raise UsageError(f"No tables with cards in {folder}.", "Each table needs a card <name>.yaml beside it.")
    tasks = []
    for path in cards:
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        task = _load(path.parent / card["file"], card, encoder)
        if task is not None:
            tasks.append(task)
    return tasks


def held_out(task: RealTask, share: float) -> bool:
    """Whether a task is kept for validation: by hash of its family, so that related tables stay together."""
    digest = hashlib.sha256(task.family.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share


def _load(path: Path, card: dict[str, Any], encoder: TextEncoder) -> RealTask | None:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    frame = frame[frame["target"].notna()]
    if len(frame) > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, random_state=0)
    columns = [Column(c["name"], c["type"], c.get("description", "")) for c in card["columns"]]
    for column in columns:
        if column.is_float:
            frame[column.name] = pd.to_numeric(frame[column.name], errors="coerce")
    codec = make_codec(columns, frame)
    x, codes = codec.arrays(frame)
    classes: list[str] = []
    if card["task"] == "classification":
        counts = frame["target"].value_counts()
        classes = sorted(counts.index[counts >= 4])
        keep = frame["target"].isin(classes).to_numpy()
        x, codes, frame = x[keep], codes[keep], frame[keep]
        y = pd.Categorical(frame["target"], categories=classes).codes.astype(np.int64)
    else:
        y = pd.to_numeric(frame["target"]).to_numpy(np.float32)
    levels = tuple(len(names) for names in codec.levels)
    if len(y) < 40 or x.shape[1] + codes.shape[1] == 0:
        log.debug("%s is too small for meta-training", card["name"])
        return None
    table = SyntheticTask(x, codes, levels, y, len(classes), card["name"])
    texts = embed_words(encoder, codec, f"{card['title']}: {card['description']}", tuple(classes))
    return RealTask(card["name"], card.get("family") or card["name"], table, texts)
