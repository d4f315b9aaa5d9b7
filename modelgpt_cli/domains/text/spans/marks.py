"""Spans as tools for annotating write them, made into one form and checked. First step on the way of marked texts.

A span is a start, an end (characters of the text, as Python counts them; the end is not in it) and a class.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modelgpt_cli.core.errors import ModelGPTError

STARTS, ENDS = ("start", "start_offset"), ("end", "end_offset")
LABELS = ("label", "labels", "entity", "tag", "entity_group", "type")
MOST_BAD = 0.2
"""Share of spans outside of their texts, or across words, above which the offsets are taken to be wrong."""


class Span(NamedTuple):
    """A part of a text that has a class."""

    start: int
    end: int
    label: str


@dataclass
class Faults:
    """What was wrong with spans, counted; a sentence for each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    spans: int = 0
    """All that were read."""
    told: list[str] = field(default_factory=list)
    """What else there is to say of the file, a line each."""

    def copy(self) -> Faults:
        """Return the same, to be counted on."""
        return Faults(Counter(self.counts), self.spans, list(self.told))

    def lines(self) -> list[str]:
        """Return a line for each kind."""
        words = {
            "outside": "{n} {spans} outside of {their} text or without a character: left out",
            "overlap": "{n} {spans} within or across a longer one: left out, as a word has one class",
            "trimmed": "{n} {spans} with blanks at the ends: cut to the words",
            "unlabelled": "{n} {spans} without a class: left out",
            "widened": "{n} {spans} that cut a word in two: widened to whole words",
            "no words": "{n} {spans} without a word: left out",
            "begun": "{n} {spans} begun by an I- tag rather than B-: taken as begun there",
        }
        return self.told + [
            form.format(n=f"{n:,}", spans="span" if n == 1 else "spans", their="its" if n == 1 else "their") + "."
            for kind, form in words.items()
            if (n := self.counts[kind])
        ]

    def check(self, name: str) -> None:
        """Refuse data whose offsets are not those of characters.

        Raises
        ------
        ModelGPTError
            Too many spans lie outside of their texts.
        """
        bad = self.counts["outside"]
        if bad > MOST_BAD * max(self.spans, 1):
            raise ModelGPTError(
                f"{name}: {bad:,} of {self.spans:,} spans lie outside of their texts.",
                "Their start and end aren't places of characters in the text.",
                "Give start and end in characters, the first being 0, and the end not in the span.",
            )


def is_span(value: Any) -> bool:
    """Whether a value, as `json` reads it, is a span as some tool writes it."""
    if isinstance(value, Mapping):
        if not any(key in value for key in STARTS) or not any(key in value for key in ENDS):
            return False
        return any(key in value for key in LABELS)
    if not isinstance(value, (list, tuple)) or not 3 <= len(value) <= 4:
        return False
    return all(type(place) is int for place in value[:2]) and isinstance(value[2], str)


def parse_spans(cell: Any) -> list[dict[str, Any]] | None:
    """Read a cell that holds a list of spans, or JSON of one: ``start``, ``end``, ``label`` and, where known, ``text``
    of each. None where it holds something else."""
    if isinstance(cell, str):
        if cell[:1] != "[":
            return None
        try:
            cell = json.loads(cell)
        except ValueError:
            return None
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if not isinstance(cell, (list, tuple)) or not all(map(is_span, cell)):
        return None
    return [_plain(value) for value in cell]


def _plain(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"start": value[0], "end": value[1], "label": value[2]}
    found = {
        "start": next(value[key] for key in STARTS if key in value),
        "end": next(value[key] for key in ENDS if key in value),
        "label": next(value[key] for key in LABELS if key in value),
    }
    if isinstance(found["label"], (list, tuple)):  # Label Studio's
        found["label"] = found["label"][0] if found["label"] else ""
    return found | ({"text": value["text"]} if isinstance(value.get("text"), str) else {})


def spans_cell(spans: Iterable[Span]) -> str:
    """Write spans as the JSON of one cell, as `predict` does."""
    return json.dumps([span._asdict() for span in spans], ensure_ascii=False)


def read_cell(cell: Any) -> list[Span]:
    """Read back what `spans_cell` writes."""
    return [Span(one["start"], one["end"], one["label"]) for one in json.loads(cell)]


def clean_spans(text: str, raw: Sequence[Mapping[str, Any]], faults: Faults) -> list[Span]:
    """Check a text's spans; what is wrong with them is counted.

    Parameters
    ----------
    raw : sequence of mapping
        From `parse_spans`.

    Returns
    -------
    list of Span
        In their order; none overlap.
    """
    kept: list[Span] = []
    faults.spans += len(raw)
    for one in raw:
        start, end, label = one["start"], one["end"], one["label"]
        if not isinstance(label, str) or not label.strip():
            faults.counts["unlabelled"] += 1
        elif type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            faults.counts["outside"] += 1
        elif not text[start:end].strip():
            faults.counts["no words"] += 1
        else:
            inner = text[start:end]
            first, last = start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
            faults.counts["trimmed"] += (first, last) != (start, end)
            kept.append(Span(first, last, label.strip()))
    return without_overlaps(kept, faults)


def without_overlaps(spans: Sequence[Span], faults: Faults) -> list[Span]:
    """Of spans that overlap keep the longest, of equally long ones the first; the others are counted."""
    kept: list[Span] = []
    for span in sorted(dict.fromkeys(spans), key=lambda one: (one.start - one.end, one.start)):
        if any(span.start < other.end and other.start < span.end for other in kept):
            faults.counts["overlap"] += 1
        else:
            kept.append(span)
    return sorted(kept)


def in_code_points(text: str, raw: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn spans counted in UTF-16 units, as JavaScript counts them, into ones counted in characters."""
    place, units = {}, 0
    for i, char in enumerate(text):
        place[units] = i
        units += 1 + (ord(char) > 0xFFFF)
    place[units] = len(text)
    return [one | {"start": place.get(one["start"], -1), "end": place.get(one["end"], -1)} for one in raw]


def fits(text: str, raw: Sequence[Mapping[str, Any]]) -> int:
    """Count the ends of spans that lie where words do; of a span whose own text is known, whether it is that."""
    right = 0
    for one in raw:
        start, end = one["start"], one["end"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            continue
        if "text" in one:
            right += 2 * (text[start:end] == one["text"])
            continue
        right += not (start and text[start - 1].isalnum() and text[start].isalnum())
        right += not (end < len(text) and text[end - 1].isalnum() and text[end].isalnum())
        right -= text[start].isspace() + text[end - 1].isspace()
    return right


def is_astral(text: str) -> bool:
    """Whether UTF-16 counts a text's characters otherwise than Python does."""
    return any(ord(char) > 0xFFFF for char in text)
