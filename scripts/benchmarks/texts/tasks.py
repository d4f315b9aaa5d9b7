"""Tasks of texts: GLUE, those held out of meta-training, the examples drawn of them, and their metrics.

GLUE is scored by its own metric of each task; elsewhere it is accuracy and macro F1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from modelgpt_cli.domains.text.tasks import held_out

from ..harness import draw_rows
from ..metrics import fair_metrics

GLUE = ("wnli", "rte", "mrpc", "stsb", "cola", "sst2", "qqp", "mnli", "qnli")
"""Smallest first."""
HOLDOUT = 0.25
"""Share of the families that meta-training keeps out by hash; GLUE's are never kept out."""
POSITIVE = {"mrpc": "equivalent", "qqp": "duplicate"}
"""GLUE tasks scored with the F1 of one class as well."""
Metric = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""True labels (n,) and answers (class names, or numbers) (n,) -> named figures; ``score`` is the one that counts."""


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

    @property
    def joined(self) -> list[str]:
        """The texts, those of a pair with a blank between them."""
        return self.texts if self.pairs is None else [f"{a} {b}" for a, b in zip(self.texts, self.pairs, strict=True)]

    def take(self, index: np.ndarray) -> Rows:
        """Return some of the rows, in the order of `index`."""
        pairs = None if self.pairs is None else [self.pairs[i] for i in index]
        return Rows([self.texts[i] for i in index], pairs, self.labels[index])

    def head(self, n: int) -> Rows:
        """Return the first `n` rows."""
        return self.take(np.arange(min(n, len(self))))


@dataclass(frozen=True)
class TextTask:
    """A task with its files read.

    Attributes
    ----------
    part : str
        ``glue`` or ``few-shot``.
    requirement : str
        The card's description.
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

    @property
    def test(self) -> Rows:
        """The rows that count."""
        return next(iter(self.tests.values()))

    def codes(self, labels: np.ndarray) -> np.ndarray:
        """Return class names as numbers in the order of the classes, int64 (n,)."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.asarray([number[str(label)] for label in labels], dtype=np.int64)

    @property
    def metric(self) -> Metric:
        """What labels are compared by: GLUE's metric, else accuracy."""
        return glue_metric(self.name) if self.part == "glue" else accuracy

    def score(self, rows: Rows, answers: np.ndarray) -> dict[str, float]:
        """Return named figures of a method's answers: probabilities (n, C), or numbers (n,) for regression."""
        if self.part == "few-shot":
            return fair_metrics(self.codes(rows.labels), answers)
        said = np.asarray(self.classes)[answers.argmax(axis=1)] if self.classes else answers
        return self.metric(rows.labels, said)


def task_names(data: Path, part: str) -> list[str]:
    """Return the tasks of a part that are there.

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
    """Draw `size` training rows of each class, or as many as there are, in random order."""
    return task.train.take(draw_rows(task.train.labels, task.classes, size, seed))


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


def glue_metric(task: str) -> Metric:
    """Return the official metric of a GLUE task; where there are two figures, their mean is the score."""
    if task == "cola":
        return lambda true, said: {"score": float(matthews_corrcoef(true, said))}
    if task == "stsb":
        return correlations
    if task in POSITIVE:
        return lambda true, said: _with_f1(true, said, POSITIVE[task])
    return accuracy


def accuracy(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Return the share of right answers."""
    return {"score": float(accuracy_score(true, said))}


def correlations(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Return Pearson's and Spearman's correlation; 0 where all answers are one number."""
    if np.ptp(said) == 0 or np.ptp(true) == 0:
        return {"score": 0.0, "pearson": 0.0, "spearman": 0.0}
    pearson, spearman = float(pearsonr(true, said)[0]), float(spearmanr(true, said)[0])
    return {"score": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


def _with_f1(true: np.ndarray, said: np.ndarray, positive: str) -> dict[str, float]:
    share = float(accuracy_score(true, said))
    f1 = float(f1_score(true == positive, said == positive, zero_division=0))
    return {"score": (share + f1) / 2, "accuracy": share, "f1": f1}
