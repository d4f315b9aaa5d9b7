"""Labelled texts in fifteen languages, put together from ``languages.yaml``: praise and complaint, and four topics.

Examples and test texts share no words but those of the frames: a test text has another thing (or frame) and another
saying (or word) than any example.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

PARTS = Path(__file__).with_name("languages.yaml")
EXAMPLES = 8
"""Of each class."""
KINDS = ("sentiment", "topics")


@dataclass(frozen=True)
class LanguageSet:
    """A task in one language.

    Attributes
    ----------
    classes : tuple of str
        In the same order in all languages.
    examples, tests : tuple of (str, str)
        Texts with their classes.
    """

    language: str
    classes: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]


def read_sets(kind: str, seed: int) -> dict[str, LanguageSet]:
    """Return the sets of a kind by language; the seed says which sayings are examples, the same in all languages."""
    found = yaml.safe_load(PARTS.read_text(encoding="utf-8"))
    return {language: _make(language, parts, kind, seed) for language, parts in found.items()}


def _make(language: str, parts: dict[str, Any], kind: str, seed: int) -> LanguageSet:
    if kind == "sentiment":
        classes = parts["classes"]
        words = {name: parts[key] for name, key in zip(classes, ("positive", "negative"), strict=True)}
        frames = [parts["join"].replace("{thing}", thing).replace("{said}", "{word}") for thing in parts["things"]]
    else:
        words, frames = parts["topics"], parts["frames"]
        classes = list(words)
    rng = np.random.default_rng(seed)
    frame_order = rng.permutation(len(frames))
    learned, tested = np.array_split(frame_order, 2)
    examples, tests = [], []
    for name in classes:
        order = np.random.default_rng([seed, 1]).permutation(len(words[name]))
        first, second = np.array_split(order, 2)
        examples += [(text, name) for text in _texts(words[name], frames, first, learned)[:EXAMPLES]]
        tests += [(text, name) for text in _texts(words[name], frames, second, tested)]
    return LanguageSet(language, tuple(classes), tuple(examples), tuple(tests))


def _texts(words: list[str], frames: list[str], which: np.ndarray, of: np.ndarray) -> list[str]:
    """Each word in each frame; neighbours in the list differ in both."""
    return [
        frames[of[(i + turn) % len(of)]].replace("{word}", words[which[i]])
        for turn in range(len(of))
        for i in range(len(which))
    ]
