"""Tasks with words and labelled rows, and the episodes that meta-training draws from them, where there is a backbone.

An episode is a task as a user would bring it: some of the classes, a wording of the requirement, names for the classes,
a few labelled rows (or none that matter), and rows to be judged by. What a row is, the domain says.
Shapes: n rows, C classes, E embedding size, V wordings of the class names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from modelgpt_cli.parameter_generator.adapter import Words


class Rows(Protocol):
    """Rows as a domain's backbone takes them."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> np.ndarray:
        """What each row costs, (n,): tokens of a text, 1 for an image."""
        ...

    def take(self: R, rows: Sequence[int] | np.ndarray) -> R:
        """Some rows, in the order asked for."""
        ...

    def followed_by(self: R, other: R) -> R:
        """These rows, then others."""
        ...


class WordsEncoder(Protocol):
    """What embeds requirements and names: `TextEncoder`, or one that a domain has of its own."""

    name: str
    size: int

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts, float32 (len(texts), E)."""
        ...


R = TypeVar("R", bound=Rows)

SUPPORT = (1, 2, 4, 8, 16, 32, 64)
"""Rows per class of an episode's support."""


def hashed(name: str) -> float:
    """A name's place between 0 and 1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


@dataclass
class Part(Generic[R]):
    """Rows with their answers: class indices, or numbers. (n,)"""

    rows: R
    y: np.ndarray


@dataclass
class Task(Generic[R]):
    """A task with all its words embedded.

    Attributes
    ----------
    classes : tuple of str
        Empty for regression.
    requirements : float32 (W, E)
        Wordings of the requirement.
    names : float32 (V, C, E)
        Wordings of the class names; the first is the card's. (1, 1, E) of zeros for regression.
    name_rows : list of rows
        The same names for the backbone, (C,) each; empty where it can't read them.
    parts : dict of str to Part
        ``train`` and ``test``.
    """

    name: str
    pair: bool
    classes: tuple[str, ...]
    requirements: np.ndarray
    names: np.ndarray
    parts: dict[str, Part[R]]
    name_rows: list[R] = field(default_factory=list)

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
class Episode(Generic[R]):
    """A task as the generator meets it. Shapes: s support rows, q query rows.

    Attributes
    ----------
    names : rows, optional
        Class names for the backbone (C,); None where they are withheld, or it can't read them.
    support, query : rows
    target : float32 (s, C)
        One-hot, or standardised numbers.
    answer : int64 or float32 (q,)
    misled : bool
        Whether the class names are each another class's, so that words say nothing.
    """

    task: str
    words: Words
    names: R | None
    support: R
    target: torch.Tensor
    query: R
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
    hidden_names: float = 0.0
    misled: float = 0.0


def draw_episode(task: Task[R], rng: np.random.Generator, draw: Draw) -> Episode[R]:
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
        hidden=draw.hidden_names > 0 and rng.random() < draw.hidden_names,
    )


def fixed_episode(
    task: Task[R], per_class: int, rng: np.random.Generator, query: int, support: int = 512
) -> Episode[R]:
    """An episode as a benchmark has it: all classes, the card's words, test rows to be judged by."""
    chosen = np.arange(max(len(task.classes), 1))
    rows = _support(_pools(task.parts["train"], chosen, task.regression), per_class, support, rng, task.regression)
    test = task.parts["test"]
    picked = rng.permutation(len(test.y))[:query]
    naming = None if task.regression else np.zeros(len(chosen), dtype=np.int64)
    return make_episode(task, chosen, rows, test.rows.take(picked), test.y[picked], requirement=0, naming=naming)


def make_episode(
    task: Task[R],
    chosen: np.ndarray,
    support_rows: np.ndarray,
    query: R,
    answer: np.ndarray,
    *,
    requirement: int | None,
    naming: np.ndarray | None,
    misled: np.ndarray | None = None,
    hidden: bool = False,
) -> Episode[R]:
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
    hidden : bool
        Whether only the generator's concepts are shown the names.
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
            if task.name_rows:
                texts = _joined([task.name_rows[v].take([c]) for v, c in zip(naming, called, strict=True)])
    words = Words(torch.from_numpy(sentence), torch.from_numpy(names), task.regression, task.pair, hidden)
    support = part.rows.take(support_rows)
    return Episode(task.name, words, texts, support, target, query, answers, misled is not None)


def _query_rows(part: Part[R], draw: Draw) -> int:
    """Queries of an episode: of short texts more, for the same work."""
    length = float(np.mean(part.rows.lengths[:200]))
    return int(min(max(draw.query_tokens // max(length, 1.0), draw.query), 4 * draw.query))


def _joined(parts: Sequence[R]) -> R:
    return reduce(lambda first, second: first.followed_by(second), parts)


def _pools(part: Part[R], chosen: np.ndarray, regression: bool) -> list[np.ndarray]:
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


def _naming(task: Task[R], chosen: np.ndarray, rng: np.random.Generator, draw: Draw) -> np.ndarray | None:
    """Which wording of its name each chosen class gets: the card's, mostly; or no names at all."""
    if task.regression or rng.random() < draw.name_dropout:
        return None
    if rng.random() >= draw.other_names:
        return np.zeros(len(chosen), dtype=np.int64)
    naming: np.ndarray = rng.integers(len(task.names), size=len(chosen))
    return naming


def class_indices(cells: Iterable[Any], classes: Sequence[str]) -> np.ndarray:
    """Labels (N,) as their places among the classes, int64 (N,)."""
    place = {label: k for k, label in enumerate(classes)}
    return np.array([place[cell] for cell in cells], dtype=np.int64)


def label_text(label: str) -> str:
    """A class name as a text: ``not_equivalent`` is two words."""
    return label.replace("_", " ").strip()


def make_words(encoder: WordsEncoder, sentence: str, names: Sequence[str], pair: bool) -> Words:
    """A task's words, embedded; no sentence and empty names are zeros, as in meta-training."""
    z0 = encoder([sentence])[0] if sentence else np.zeros(encoder.size, np.float32)
    embedded = encoder(list(names)) if any(names) else np.zeros((max(len(names), 1), encoder.size), np.float32)
    return Words(torch.from_numpy(z0), torch.from_numpy(embedded), regression=not names, pair=pair)


def wordings_of(classes: Sequence[str], others: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Wordings of all class names; the first is their own."""
    count = min((len(others.get(label, ())) for label in classes), default=0)
    return [list(classes), *([others[label][v] for label in classes] for v in range(count))]
