"""Text tasks with cards, and the episodes that meta-training draws from them.

An episode is a task as a user would bring it: some of the classes, a wording of the requirement, names for the classes,
a few labelled rows (or none that matter), and rows to be judged by. Shapes: n rows, C classes, E embedding size,
V wordings of the class names.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from tokenizers import Tokenizer

from modelgpt_cli.domains.text.tokens import Encoded, encode
from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.adapter import Words
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

log = logging.getLogger("modelgpt")
GLUE = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli")
"""The paper's tasks: one generator is trained on them all, so none of them is ever kept for validation."""
FAMILIES = {
    "trec_fine": "trec",
    "mr": "sst2",
    "sst5": "sst2",
    "amazon_books": "amazon_reviews_by_department",
    "amazon_dvd": "amazon_reviews_by_department",
    "amazon_electronics": "amazon_reviews_by_department",
}
"""Tasks that share their texts or their source; they stay on one side of a split."""
SUPPORT = (1, 2, 4, 8, 16, 32, 64)
"""Rows per class of an episode's support."""


def held_out(name: str, share: float) -> bool:
    """Whether a task is kept for validation: by hash of its family's name, as tables are."""
    family = FAMILIES.get(name, name)
    digest = hashlib.sha256(family.encode()).digest()
    return family not in GLUE and int.from_bytes(digest[:4], "big") / 2**32 < share


@dataclass
class Part:
    """Tokenised rows with their answers: class indices, or numbers. (n,)"""

    rows: Encoded
    y: np.ndarray


@dataclass
class TextTask:
    """A task, tokenised, with all its words embedded.

    Attributes
    ----------
    classes : tuple of str
        Empty for regression.
    requirements : float32 (W, E)
        Wordings of the requirement.
    names : float32 (V, C, E)
        Wordings of the class names; the first is the card's. (1, 1, E) of zeros for regression.
    name_rows : list of Encoded
        The same names as texts for the backbone, (C,) each.
    parts : dict of str to Part
        ``train`` and ``test``.
    """

    name: str
    pair: bool
    classes: tuple[str, ...]
    requirements: np.ndarray
    names: np.ndarray
    name_rows: list[Encoded]
    parts: dict[str, Part]

    @property
    def regression(self) -> bool:
        """Whether numbers are predicted."""
        return not self.classes

    @property
    def scale(self) -> tuple[float, float]:
        """Regression: mean and standard deviation of the training targets."""
        y = self.parts["train"].y
        return float(y.mean()), float(y.std()) or 1.0


@dataclass
class Episode:
    """A task as the generator meets it. Shapes: s support rows, q query rows.

    Attributes
    ----------
    names : Encoded, optional
        Class names as texts (C,); None where they are withheld.
    support, query : Encoded
    target : float32 (s, C)
        One-hot, or standardised numbers.
    answer : int64 or float32 (q,)
    misled : bool
        Whether the class names are each another class's, so that words say nothing.
    """

    task: str
    words: Words
    names: Encoded | None
    support: Encoded
    target: torch.Tensor
    query: Encoded
    answer: torch.Tensor
    misled: bool = False


@dataclass(frozen=True)
class Draw:
    """How episodes are drawn; see `AdapterTrainConfig` for each."""

    query: int = 32
    query_tokens: int = 1024
    max_support: int = 96
    max_classes: int = 24
    subset: float = 0.4
    balanced: float = 0.5
    requirement_dropout: float = 0.15
    name_dropout: float = 0.1
    other_names: float = 0.4
    misled: float = 0.0


def draw_episode(task: TextTask, rng: np.random.Generator, draw: Draw) -> Episode:
    """A random episode of a task's training rows."""
    part = task.parts["train"]
    chosen = np.arange(max(len(task.classes), 1))
    if len(task.classes) > 2 and (len(task.classes) > draw.max_classes or rng.random() < draw.subset):
        count = int(rng.integers(2, min(len(task.classes), draw.max_classes) + 1))
        chosen = rng.permutation(len(task.classes))[:count]
    pools = _pools(part, chosen, task.regression)
    per_class = SUPPORT[rng.integers(len(SUPPORT))]
    support_rows = _support(pools, per_class, draw.max_support, rng, task.regression)
    rest = [np.setdiff1d(pool, support_rows) for pool in pools]
    query = _query_rows(part, draw)
    if rng.random() < draw.balanced:
        each = -(-query // len(rest))
        query_rows = np.concatenate([rng.permutation(pool)[:each] for pool in rest])
    else:
        query_rows = np.concatenate(rest)
    query_rows = rng.permutation(query_rows)[:query]
    misled = not task.regression and rng.random() < draw.misled
    return make_episode(
        task,
        chosen,
        support_rows,
        part.rows.take(query_rows),
        part.y[query_rows],
        requirement=None if rng.random() < draw.requirement_dropout else int(rng.integers(len(task.requirements))),
        naming=_naming(task, chosen, rng, draw),
        misled=np.roll(np.arange(len(chosen)), 1) if misled else None,
    )


def fixed_episode(task: TextTask, per_class: int, rng: np.random.Generator, query: int, support: int = 512) -> Episode:
    """An episode as a benchmark has it: all classes, the card's words, test rows to be judged by."""
    chosen = np.arange(max(len(task.classes), 1))
    rows = _support(_pools(task.parts["train"], chosen, task.regression), per_class, support, rng, task.regression)
    test = task.parts["test"]
    picked = rng.permutation(len(test.y))[:query]
    naming = None if task.regression else np.zeros(len(chosen), dtype=np.int64)
    return make_episode(task, chosen, rows, test.rows.take(picked), test.y[picked], requirement=0, naming=naming)


def make_episode(
    task: TextTask,
    chosen: np.ndarray,
    support_rows: np.ndarray,
    query: Encoded,
    answer: np.ndarray,
    *,
    requirement: int | None,
    naming: np.ndarray | None,
    misled: np.ndarray | None = None,
) -> Episode:
    """Put an episode together.

    Parameters
    ----------
    chosen : int64 (C,)
        Classes, in the order they get.
    support_rows : int64 (s,)
        Rows of the training part.
    requirement : int, optional
        Which wording; None withholds it.
    naming : int64 (C,), optional
        Which wording of each class's name; None withholds them.
    misled : int64 (C,), optional
        Whose name each class gets instead of its own.
    """
    part = task.parts["train"]
    y = part.y[support_rows]
    sentence = np.zeros_like(task.requirements[0]) if requirement is None else task.requirements[requirement]
    if task.regression:
        mean, std = task.scale
        target = torch.from_numpy(((y - mean) / std).astype(np.float32))[:, None]
        answers = torch.from_numpy(((answer - mean) / std).astype(np.float32))
        names, texts = np.zeros_like(task.names[0]), None
    else:
        place = np.full(len(task.classes), -1)
        place[chosen] = np.arange(len(chosen))
        target = torch.nn.functional.one_hot(torch.from_numpy(place[y]), len(chosen)).float()
        answers = torch.from_numpy(place[answer])
        names, texts = np.zeros_like(task.names[0][chosen]), None
        if naming is not None:
            called = chosen if misled is None else chosen[misled]
            names = task.names[naming, called]
            texts = _joined([task.name_rows[v].take([c]) for v, c in zip(naming, called, strict=True)])
    words = Words(torch.from_numpy(sentence), torch.from_numpy(names), task.regression, task.pair)
    support = part.rows.take(support_rows)
    return Episode(task.name, words, texts, support, target, query, answers, misled is not None)


def _query_rows(part: Part, draw: Draw) -> int:
    """Queries of an episode: of short texts more, for the same work."""
    length = float(np.mean(part.rows.lengths[:200]))
    return int(min(max(draw.query_tokens // max(length, 1.0), draw.query), 4 * draw.query))


def _joined(parts: Sequence[Encoded]) -> Encoded:
    return Encoded([row for part in parts for row in part.ids], np.concatenate([part.second for part in parts]))


def _pools(part: Part, chosen: np.ndarray, regression: bool) -> list[np.ndarray]:
    """Row numbers of each chosen class; all rows for regression."""
    return [np.arange(len(part.y))] if regression else [np.flatnonzero(part.y == c) for c in chosen]


def _support(
    pools: list[np.ndarray], per_class: int, most: int, rng: np.random.Generator, regression: bool
) -> np.ndarray:
    """Rows for the support: at most `per_class` of each class and `most` in all, but one of each class."""
    per_class = max(1, min(per_class, most // len(pools)))
    if regression:
        per_class = max(4, per_class)
    # At most half of a class: the other half is there to judge by.
    return np.concatenate([rng.permutation(pool)[: max(1, min(per_class, len(pool) // 2))] for pool in pools])


def _naming(task: TextTask, chosen: np.ndarray, rng: np.random.Generator, draw: Draw) -> np.ndarray | None:
    """Which wording of its name each chosen class gets: the card's, mostly; or no names at all."""
    if task.regression or rng.random() < draw.name_dropout:
        return None
    if rng.random() >= draw.other_names:
        return np.zeros(len(chosen), dtype=np.int64)
    naming: np.ndarray = rng.integers(len(task.names), size=len(chosen))
    return naming


def read_tasks(
    folder: str | Path, encoder: TextEncoder, tokenizer: Tokenizer, wordings: Mapping[str, Any] | None = None
) -> list[TextTask]:
    """All tasks with a card (``card.yaml`` beside ``train.csv.gz`` and ``test.csv.gz`` or ``dev.csv.gz``), by name.

    Parameters
    ----------
    wordings : mapping, optional
        By task: more ``requirements``, and other ``labels`` by class.

    Raises
    ------
    UsageError
        If the folder holds none.
    """
    cards = sorted(Path(folder).rglob("card.yaml"), key=lambda path: path.parent.name)
    if not cards:
        raise UsageError(f"No text tasks with cards in {folder}.", "Each is a folder with a card.yaml and its rows.")
    found = []
    for path in cards:
        try:
            found.append(_read(path.parent, encoder, tokenizer, (wordings or {}).get(path.parent.name, {})))
        except (OSError, KeyError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            hint = "It needs card.yaml (title, description, labels), train.csv.gz, and dev.csv.gz or test.csv.gz."
            raise UsageError(f"The text task {path.parent} can't be read.", cause, hint) from error
    return found


def _read(folder: Path, encoder: TextEncoder, tokenizer: Tokenizer, wordings: Mapping[str, Any]) -> TextTask:
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    dev = folder / "dev.csv.gz"
    test = dev if dev.is_file() else folder / "test.csv.gz"
    frames = {"train": pd.read_csv(folder / "train.csv.gz", dtype=str, keep_default_na=False)}
    frames["test"] = pd.read_csv(test, dtype=str, keep_default_na=False)
    pair = "sentence2" in frames["train"]
    classes = tuple(str(label) for label in card.get("labels") or ())
    parts = {}
    for name, frame in frames.items():
        rows = encode(tokenizer, frame["sentence1"].tolist(), frame["sentence2"].tolist() if pair else None)
        if classes and (len(classes) < 2 or not frame["label"].isin(classes).all()):
            raise ValueError(f"{name} has the labels {sorted(set(frame['label']))[:10]}, the card {list(classes)[:10]}")
        y = pd.Categorical(frame["label"], categories=list(classes)).codes.astype(np.int64) if classes else None
        parts[name] = Part(rows, frame["label"].astype(float).to_numpy() if y is None else y)
    sentences = [card["description"], f"{card['title']}.", *templates(classes, pair), *wordings.get("requirements", ())]
    variants = _variants(classes, wordings.get("labels") or {})
    texts = [label_text(label) for names in variants for label in names]
    names = encoder(texts).reshape(len(variants), len(classes), -1) if classes else np.zeros((1, 1, encoder.size))
    return TextTask(
        name=folder.name,
        pair=pair,
        classes=classes,
        requirements=encoder(sentences),
        names=names.astype(np.float32),
        name_rows=[encode(tokenizer, [label_text(label) for label in names]) for names in variants],
        parts=parts,
    )


def label_text(label: str) -> str:
    """A class name as a text: ``not_equivalent`` is two words."""
    return label.replace("_", " ").strip()


def make_words(encoder: TextEncoder, sentence: str, names: Sequence[str], pair: bool) -> Words:
    """A task's words, embedded; no sentence and empty names are zeros, as in meta-training."""
    z0 = encoder([sentence])[0] if sentence else np.zeros(encoder.size, np.float32)
    embedded = encoder(list(names)) if any(names) else np.zeros((max(len(names), 1), encoder.size), np.float32)
    return Words(torch.from_numpy(z0), torch.from_numpy(embedded), regression=not names, pair=pair)


def templates(classes: Sequence[str], pair: bool) -> list[str]:
    """The requirement as the offline writer would put it, where it knows nothing but the classes."""
    what = "pair of texts" if pair else "text"
    if not classes:
        return [f"Predict a numeric value for each {what}, a regression."]
    if len(classes) > 10:
        return [f"Classify each {what} into one of {len(classes)} classes such as {', '.join(classes[:3])}."]
    return [f"Classify each {what} into {', '.join(classes[:-1])} or {classes[-1]}."]


def _variants(classes: Sequence[str], others: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Wordings of all class names; the first is their own."""
    count = min((len(others.get(label, ())) for label in classes), default=0)
    return [list(classes), *([others[label][v] for label in classes] for v in range(count))]
