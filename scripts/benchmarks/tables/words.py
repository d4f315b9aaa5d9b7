"""The words of a task, true and otherwise, for the ablations of the requirement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

VARIANTS = {
    "true": "the task's own sentence and names",
    "sentence of another": "another task's sentence, its own names",
    "shuffled": "another task's sentence and names",
    "random": "strings of random letters for the sentence and every name",
    "none": "no words at all (zeros)",
    "sentence only": "its own sentence, no names",
    "names only": "its own names, no sentence",
}
"""Variant -> in words."""
DRAWN = ("sentence of another", "shuffled", "random")
"""Variants that chance has a part in."""
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def other_words(variant: str, own: TaskTexts, other: TaskTexts, encoder: TextEncoder, seed: int) -> TaskTexts:
    """Return a variant of a task's words.

    Parameters
    ----------
    own, other : TaskTexts
        The task's words, and those of another one, whose names are repeated until there are enough.
    """
    if variant == "true":
        return own
    if variant == "sentence of another":
        return replace(own, requirement=other.requirement)
    if variant == "shuffled":
        return _in_shape(own, other.requirement, np.concatenate([other.columns, *other.levels]), other.classes)
    if variant == "random":
        rng = np.random.default_rng(seed)
        n_names = len(own.columns) + sum(map(len, own.levels))
        names = encoder([_letters(rng, 2) for _ in range(n_names)])
        classes = encoder([_letters(rng, 1) for _ in range(len(own.classes))])
        return _in_shape(own, encoder([_letters(rng, 15)])[0], names, classes)
    nameless = _in_shape(own, own.requirement, np.zeros_like(own.columns), np.zeros_like(own.classes))
    if variant == "sentence only":
        return nameless
    silent = replace(own, requirement=np.zeros_like(own.requirement))
    if variant == "names only":
        return silent
    if variant == "none":
        return replace(nameless, requirement=silent.requirement)
    raise ValueError(f"no variant {variant!r}")


def _in_shape(own: TaskTexts, sentence: np.ndarray, names: np.ndarray, classes: np.ndarray) -> TaskTexts:
    """Foreign words in the numbers that a task needs, each list repeated from its start where it is too short."""
    ends = np.cumsum([len(own.columns), *map(len, own.levels)])
    parts = np.split(names[np.arange(ends[-1]) % len(names)], ends[:-1])
    return TaskTexts(sentence, parts[0], parts[1:], classes[np.arange(len(own.classes)) % len(classes)])


def _letters(rng: np.random.Generator, words: int) -> str:
    """Words of 3 to 9 random letters."""
    return " ".join("".join(rng.choice(LETTERS, rng.integers(3, 10))) for _ in range(words))
