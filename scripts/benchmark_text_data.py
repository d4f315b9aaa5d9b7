"""Tasks of the text benchmark: GLUE, the tasks held out of meta-training, and the examples drawn of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from benchmark_runs import draw_rows

from modelgpt_cli.domains.text.tasks import held_out

GLUE = ("wnli", "rte", "mrpc", "stsb", "cola", "sst2", "qqp", "mnli", "qnli")
"""Smallest first."""
HOLDOUT = 0.25
"""Share of the families that meta-training keeps out by hash; GLUE's are never kept out."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Rows:
    """Labelled texts.

    Attributes
    ----------
    texts : list of str (n)
    pairs : list of str (n), or None
        The second text of each row, where the task is about pairs.
    labels : ndarray (n,)
        Class names (str), or float64 for regression.
    """

    texts: list[str]
    pairs: list[str] | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: np.ndarray) -> Rows:
        """Some of the rows, in the order of `index`."""
        pairs = None if self.pairs is None else [self.pairs[i] for i in index]
        return Rows([self.texts[i] for i in index], pairs, self.labels[index])


@dataclass(frozen=True)
class TextTask:
    """A task with its files read.

    Attributes
    ----------
    part : str
        ``glue`` or ``few-shot``.
    requirement : str
        What the card says the task is.
    classes : tuple of str
        Label names in the card's order; empty for regression.
    tests : dict
        File name -> rows to evaluate on; the first one counts.
    """

    part: str
    name: str
    requirement: str
    classes: tuple[str, ...]
    train: Rows
    tests: dict[str, Rows]

    @property
    def paired(self) -> bool:
        """Whether rows are pairs of texts."""
        return self.train.pairs is not None


def default_data() -> Path:
    """The shared text tasks: ``text`` in ``MODELGPT_DATA``, else in ``../shared/data`` beside the checkout."""
    return Path(os.environ.get("MODELGPT_DATA") or ROOT.parent / "shared" / "data") / "text"


def task_names(data: Path, part: str) -> list[str]:
    """The tasks of a part that are there.

    Raises
    ------
    SystemExit
        Where there are none.
    """
    folder = data / _folder(part)
    found = {path.parent.name for path in folder.glob("*/card.yaml")}
    names = [n for n in GLUE if n in found] if part == "glue" else sorted(n for n in found if held_out(n, HOLDOUT))
    if not names:
        raise SystemExit(f"No tasks in {folder}. Set MODELGPT_DATA to the folder that holds text/, or give --data.")
    return names


def read_task(data: Path, part: str, name: str, train_rows: int = 0, test_rows: int = 0) -> TextTask:
    """Read a task.

    Parameters
    ----------
    train_rows, test_rows : int
        At most so many rows of each file, drawn with seed 0, the same for every method; 0 for all.
    """
    folder = data / _folder(part) / name
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    classes = tuple(str(label) for label in card.get("labels") or ())
    files = sorted(folder.glob("dev*.csv.gz" if part == "glue" else "test.csv.gz"))
    tests = {path.name.split(".")[0]: _limit(_read(path, bool(classes)), test_rows) for path in files}
    train = _limit(_read(folder / "train.csv.gz", bool(classes)), train_rows)
    return TextTask(part, name, str(card["description"]), classes, train, tests)


def draw_support(task: TextTask, size: int, seed: int) -> Rows:
    """`size` training rows of each class, or as many as there are, in random order."""
    return task.train.take(draw_rows(task.train.labels, task.classes, size, seed))


def codes(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Class names as numbers in the order of `classes`, int64 (n,)."""
    number = {name: i for i, name in enumerate(classes)}
    return np.asarray([number[str(label)] for label in labels], dtype=np.int64)


def _folder(part: str) -> str:
    return "glue" if part == "glue" else "train"


def _read(path: Path, classes: bool) -> Rows:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    pairs = frame["sentence2"].tolist() if "sentence2" in frame else None
    labels = frame["label"].to_numpy(dtype=object)
    return Rows(frame["sentence1"].tolist(), pairs, labels.astype(str) if classes else labels.astype(np.float64))


def _limit(rows: Rows, most: int) -> Rows:
    if not most or len(rows) <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:most]))
