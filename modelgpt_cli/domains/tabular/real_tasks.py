"""Real tables with cards as meta-training tasks; every draw is a fresh sample of rows and columns."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.domains.shared.tasks import hashed
from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
from modelgpt_cli.domains.tabular.synthetic.draw import SyntheticTask
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

log = logging.getLogger("modelgpt")
MAX_ROWS = 20_000
"""Rows of a table that meta-training keeps in memory."""
MIN_RETARGETED = 60
"""Fewest rows of a task made from another column."""


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
    texts: TaskTexts | None

    def retarget(self, rng: np.random.Generator, max_classes: int) -> RealTask | None:
        """The same table with another column as the target, without words; None where that column makes no task.

        A real table holds as many tasks as columns: their distributions and dependencies are real ones.
        """
        t = self.table
        s, c = t.x.shape[1], t.codes.shape[1]
        if s + c < 3:
            return None
        j = int(rng.integers(s + c))
        n_classes = 0
        if j < s:
            keep = np.isfinite(t.x[:, j])
            y, n_classes = _number_target(rng, t.x[keep, j], max_classes)
        else:
            y = t.codes[:, j - s].copy()
            counts = np.bincount(y[y >= 0], minlength=t.levels[j - s])
            names = np.argsort(-counts, kind="stable")[:max_classes]
            names = names[counts[names] >= max(8, len(y) // 100)]
            place = np.full(len(counts) + 1, -1)
            place[names] = np.arange(len(names))
            y, n_classes = place[y], len(names)
            keep = y >= 0
            y = y[keep]
        if len(y) < MIN_RETARGETED or n_classes == 1 or (not n_classes and np.ptp(y) == 0):
            return None
        x, codes, levels = t.x[keep], t.codes[keep], t.levels
        if j < s:
            x = np.delete(x, j, axis=1)
        else:
            codes, levels = np.delete(codes, j - s, axis=1), levels[: j - s] + levels[j - s + 1 :]
        if rng.random() < 0.5:  # the table's own target is a column like others
            own = t.y[keep]
            if t.n_classes > 1:
                codes, levels = np.concatenate([codes, own[:, None]], axis=1), (*levels, t.n_classes)
            else:
                x = np.concatenate([x, own[:, None].astype(np.float32)], axis=1)
        return replace(self, table=SyntheticTask(x, codes, levels, y, n_classes, t.family), texts=None)

    def draw(self, rng: np.random.Generator, n_rows: int, max_columns: int) -> tuple[SyntheticTask, TaskTexts | None]:
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
        if self.texts is None:
            return drawn, None
        texts = TaskTexts(
            self.texts.requirement,
            self.texts.columns[columns],
            [self.texts.levels[i] for i in categorical],
            self.texts.classes,
        )
        return drawn, texts


def _number_target(rng: np.random.Generator, y: np.ndarray, max_classes: int) -> tuple[np.ndarray, int]:
    """A numeric column as a target: its few values or quantile bins as classes, or the (log-)number. (n,), classes."""
    values = np.unique(y)
    if len(values) < 2:
        return y, 1
    if len(values) <= min(max_classes, 8):
        return np.searchsorted(values, y).astype(np.int64), len(values)
    if rng.random() < 0.4:
        return y.astype(np.float32), 0
    n = 2 if rng.random() < 0.7 else int(rng.integers(3, min(max_classes, 6) + 1))
    low, high = (0.3, 0.7) if rng.random() < 0.6 else (0.05, 0.95)
    cuts = np.quantile(y, np.sort(rng.uniform(low, high, n - 1)))
    bins = np.searchsorted(np.unique(cuts), y)
    present = np.unique(bins)
    return np.searchsorted(present, bins).astype(np.int64), len(present)


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
        card = parse_yaml(path.read_text(encoding="utf-8"))
        task = _load(path.parent / card["file"], card, encoder)
        if task is not None:
            tasks.append(task)
    return tasks


def held_out(task: RealTask, share: float) -> bool:
    """Whether a task is kept for validation: by hash of its family, so that related tables stay together."""
    return family_held_out(task.family, share)


def family_held_out(family: str, share: float) -> bool:
    """As `held_out`, for tables that are not loaded."""
    return hashed(family) < share


def _load(path: Path, card: dict[str, Any], encoder: TextEncoder) -> RealTask | None:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    frame = frame[frame["target"].notna()]
    if len(frame) > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, random_state=0)
    columns = [Column(c["name"], c["type"], c.get("description", "")) for c in card["columns"]]
    for column in columns:
        if column.is_float:
            frame[column.name] = pd.to_numeric(frame[column.name], errors="coerce")
    preprocessor = make_preprocessor(columns, frame)
    x, codes = preprocessor.arrays(frame)
    classes: list[str] = []
    if card["task"] == "classification":
        counts = frame["target"].value_counts()
        classes = sorted(counts.index[counts >= 4])
        keep = frame["target"].isin(classes).to_numpy()
        x, codes, frame = x[keep], codes[keep], frame[keep]
        y = pd.Categorical(frame["target"], categories=classes).codes.astype(np.int64)
    else:
        y = pd.to_numeric(frame["target"]).to_numpy(np.float32)
    levels = tuple(len(names) for names in preprocessor.levels)
    if len(y) < 40 or x.shape[1] + codes.shape[1] == 0:
        log.debug("%s is too small for meta-training", card["name"])
        return None
    table = SyntheticTask(x, codes, levels, y, len(classes), card["name"])
    texts = embed_words(encoder, preprocessor, f"{card['title']}: {card['description']}", tuple(classes))
    return RealTask(card["name"], card.get("family") or card["name"], table, texts)
