"""The generator of marked texts: kinds of spans that it knows, and what it writes for classes that are called so.

A person, a date or an amount of money looks alike whatever it is asked for. The checkpoint holds, of each such kind,
the columns of the head that find it, learned from texts of many sorts; a class of the user's takes the columns of the
kind that is called most like it. They are the whole head where there are no marked texts, and else the prior mean that
it is solved around. All other kinds stay beside it: what is rather one of them is none of the user's classes.
Shapes: P head inputs, L = 1 + 2K tags of the K kinds, M names of kinds, E size of the encoder's states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.far_names import far_names
from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.tasks import label_text
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.domains.text.spans.model import MEAN, SCALE
from modelgpt_cli.parameter_generator.checkpoint import generator_file, read_checkpoint
from modelgpt_cli.parameter_generator.shared import read_once, shared_encoder

NAMES = "names"
"""Tensor of a checkpoint: the names of its kinds, embedded by the sentence encoder and of length 1, (M, E)."""
LEAST = 0.8
"""Likeness of a class's name and the nearest of a kind's from which on it is taken for that. Of 83 names that mean a
kind 75 are taken from here on, and two of 62 that don't: "error" (an error code, .82) and "destination" (a destination
city, .81)."""
ALIKE, CALLED = 0.3, 0.2
"""Of marked words and those that are found to be of a kind so much has to be both, for a class to begin from it; and
what its being called so adds."""
STRANGE = -3.0
"""Added to the bias of the tags of a class that is no kind, beside that of words in no span."""
MOST_SHOWN = 12


@dataclass(frozen=True)
class SpanGenerator:
    """A checkpoint.

    Attributes
    ----------
    kinds : tuple of str
    names : tuple of (str, int)
        What kinds are called, in small letters, and which is meant.
    vectors : Tensor (M, E)
        The names embedded; see `NAMES`.
    weight, bias : Tensor (P, L), (L,)
        The head: column 0 is of words in no span, 1 + 2k and 2 + 2k of a span's first word and of its others.
    mean, scale : Tensor
        Of the states that it was trained on; see `model.MEAN`.
    header : mapping
        Of the file, with its sha256.
    """

    kinds: tuple[str, ...]
    names: tuple[tuple[str, int], ...]
    vectors: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    header: Mapping[str, Any]

    def nearest(self, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the kind that each class is called most like: ``concept``, the kind's ``name``, and ``likeness``."""
        known = dict(self.names)
        found: dict[str, dict[str, Any]] = {}
        for label in classes:
            name = next((form for form in _forms(label) if form in known), None)
            if name is not None:
                found[label] = {"concept": self.kinds[known[name]], "name": name, "likeness": 1.0}
        if strange := [label for label in classes if label not in found]:
            embedded = torch.from_numpy(shared_encoder(None)([_forms(label)[0] for label in strange]))
            likeness = torch.nn.functional.normalize(embedded, dim=1) @ self.vectors.T
            for label, (near, which) in zip(strange, zip(*likeness.max(1), strict=True), strict=True):
                name, kind = self.names[int(which)]
                found[label] = {"concept": self.kinds[kind], "name": name, "likeness": round(float(near), 4)}
        return {label: found[label] for label in classes}

    def head(self, kinds: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        """Return the head for classes that are these kinds, and of what else there is.

        Parameters
        ----------
        kinds : sequence of str or None
            Of each class; None where it is no kind, whose columns are those of words in no span.

        Returns
        -------
        Tensor (P, 1 + 2 C + H), (1 + 2 C + H,)
            Columns of words in no span and of the C classes; last those of the H tags of the other kinds.
        """
        own = [self.kinds.index(kind) if kind is not None else None for kind in kinds]
        tags = [0] + [0 if k is None else 1 + 2 * k + part for k in own for part in (0, 1)]
        tags += [1 + 2 * k + part for k in range(len(self.kinds)) if k not in own for part in (0, 1)]
        return self.weight[:, tags].clone(), self.bias[tags].clone()


def load_span_generator(path: str | Path) -> SpanGenerator:
    """Read a checkpoint.

    Raises
    ------
    UsageError, ModelGPTError
        As `read_checkpoint`.
    """
    header, state = read_checkpoint(path, DOMAIN.name)
    config = header["generator"]
    tensors = {name: value.float() for name, value in state.items()}
    return SpanGenerator(
        tuple(config["kinds"]),
        tuple((str(name), int(kind)) for name, kind in config["names"]),
        tensors[NAMES],
        tensors[HEAD_WEIGHT],
        tensors[HEAD_BIAS],
        tensors[MEAN],
        tensors[SCALE],
        header,
    )


shared_span_generator = read_once(load_span_generator, lambda path: path)
"""See `load_span_generator`; read once in a process."""


def shipped_generator() -> SpanGenerator:
    """Return the shipped checkpoint."""
    return shared_span_generator(generator_file(None, DOMAIN.name))


def named_kinds(classes: Sequence[str], needed: str) -> tuple[SpanGenerator, dict[str, dict[str, Any]]]:
    """Find the classes among the kinds that the shipped generator knows; see `SpanGenerator.nearest`.

    Parameters
    ----------
    needed : str
        What to give instead, where it doesn't know them.

    Raises
    ------
    UsageError
        It doesn't know one, or two are the same to it.
    """
    generator = shipped_generator()
    nearest = generator.nearest(classes)
    if far := far_names(nearest, LEAST, "name"):
        known = ", ".join(kind.replace("_", " ") for kind in generator.kinds[:MOST_SHOWN])
        raise UsageError(
            "Spans of these classes can't be found from words alone.",
            f"Not known by name: {far}. Known are {known} and {len(generator.kinds) - MOST_SHOWN} more kinds.",
            needed,
        )
    taken: dict[str, str] = {}
    for label, near in nearest.items():
        if (other := taken.setdefault(near["concept"], label)) != label:
            kind = near["concept"].replace("_", " ")
            raise UsageError(
                f"From words alone, {label!r} can't be told from {other!r}.", f"Both are taken for: {kind}.", needed
            )
    return generator, nearest


def matched_kinds(
    generator: SpanGenerator, inputs: Sequence[Tensor], tags: Sequence[np.ndarray], classes: Sequence[str]
) -> list[str | None]:
    """Find the kind of each class by the words that it marks, and by its name; None where there is none.

    Of the words that are of a class or found to be of a kind, twice as many have to be both as half of the others
    (Dice's coefficient of `ALIKE`). What the class is called decides where no text shows it, and counts beside that.

    Parameters
    ----------
    inputs : sequence of Tensor (W, P)
        Of the words of each text.
    tags : sequence of int64 (W,)
    """
    scores = torch.cat(list(inputs)) @ generator.weight + generator.bias
    found = (scores.argmax(1).numpy() + 1) // 2  # 0: no kind, 1 + k
    marked = (np.concatenate(list(tags)) + 1) // 2
    kinds: list[str | None] = []
    for number, near in enumerate(generator.nearest(classes).values(), start=1):
        own = marked == number
        called = near["concept"] if near["likeness"] >= LEAST else None
        if not own.any():
            kinds.append(called)
            continue
        alike = [_dice(own, found == 1 + k) for k in range(len(generator.kinds))]
        alike = [a + CALLED * (a > 0 and kind == called) for a, kind in zip(alike, generator.kinds, strict=True)]
        best = int(np.argmax(alike))
        kinds.append(generator.kinds[best] if alike[best] >= ALIKE else None)
    return kinds


def prior_of(generator: SpanGenerator, kinds: Sequence[str | None]) -> Tensor | None:
    """Return what a head is solved around for classes of these kinds, (P + 1, L + H) with the biases last.

    The last H columns are of the tags of all other kinds; see `SpanGenerator.head`. None where no class is known. A
    class that is no kind begins as words in no span do, and is rarer.
    """
    if not any(kinds):
        return None
    weight, bias = generator.head(kinds)
    for k, kind in enumerate(kinds):
        if kind is None:
            bias[1 + 2 * k : 3 + 2 * k] += STRANGE
    return torch.cat([weight, bias[None]])


def _dice(some: np.ndarray, others: np.ndarray) -> float:
    return float(2 * (some & others).sum() / max(1, some.sum() + others.sum()))


def known_words(classes: Sequence[str], kinds: Sequence[str | None]) -> str:
    """Say from what a head was solved that learns from marked texts, too."""
    known = [f"{label} ({kind.replace('_', ' ')})" for label, kind in zip(classes, kinds, strict=True) if kind]
    return f"Known beforehand, and learned further: {', '.join(known)}."


def taken_for(nearest: Mapping[str, Mapping[str, Any]]) -> str:
    """Say which classes are taken for a kind that is called otherwise; "" where none is."""
    others = [
        f"{label!r} for {near['concept'].replace('_', ' ')}"
        for label, near in nearest.items()
        if not set(near["concept"].split("_")) <= set(" ".join(_forms(label)).split())
    ]
    return f"Taken by their names: {', '.join(others)}. If that is something else, give marked texts." if others else ""


def _forms(label: str) -> tuple[str, ...]:
    """A class's name in small letters, and as one of it would be called."""
    name = " ".join(label_text(label).replace("-", " ").casefold().split())
    singular = {"ies": "y", "sses": "ss", "xes": "x", "ches": "ch", "ses": "s"}
    for end, one in singular.items():
        if name.endswith(end):
            return name, name[: -len(end)] + one, name[:-1]
    return (name, name[:-1]) if name.endswith("s") else (name,)
