"""Marked texts of a few words, and the forms in which tools write them; for tests of spans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_texts import FILLERS, TOPICS

Marked = tuple[str, list[tuple[int, int, str]]]


def marked_texts(n: int = 40, seed: int = 0) -> list[Marked]:
    """Draw texts in which words of sport and food are marked, one or two together; every fifth has none."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        text, spans = "", []
        for k in range(5):
            topic = ("", "sport", "", "food", "")[k] if i % 5 else ""
            words = rng.choice(TOPICS[topic] if topic else FILLERS, int(rng.integers(1, 3)), replace=False)
            part = " ".join(words)
            start = len(text) + bool(text)
            text = f"{text} {part}" if text else part
            if topic:
                spans.append((start, start + len(part), topic))
        found.append((f"{text} {i}", spans))
    return found


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    """Write records as JSON lines."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return path


def spans_jsonl(path: Path, marked: Sequence[Marked]) -> Path:
    """Write texts as `predict` does."""
    return write_lines(
        path,
        [{"text": t, "spans": [{"start": a, "end": b, "label": c} for a, b, c in s]} for t, s in marked],
    )


def conll(path: Path, marked: Sequence[Marked]) -> Path:
    """Write texts as tokens and tags."""
    lines = []
    for text, spans in marked:
        place = 0
        for word in text.split():
            start = text.index(word, place)
            place = start + len(word)
            inside = [s for s in spans if s[0] <= start < s[1]]
            tag = "O" if not inside else f"{'B' if inside[0][0] == start else 'I'}-{inside[0][2]}"
            lines.append(f"{word} NN {tag}")
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def label_studio(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Return tasks as Label Studio exports them."""
    return [
        {
            "id": i,
            "data": {"text": text},
            "annotations": [
                {
                    "result": [
                        {"from_name": "label", "to_name": "text", "type": "labels",
                         "value": {"start": a, "end": b, "text": text[a:b], "labels": [c]}}
                        for a, b, c in spans
                    ]
                }
            ],
        }
        for i, (text, spans) in enumerate(marked)
    ]  # fmt: skip


def doccano(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Return records as doccano exports them."""
    return [{"id": i, "text": t, "label": [list(span) for span in s]} for i, (t, s) in enumerate(marked)]


def prodigy(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Return examples as Prodigy exports them."""
    return [
        {
            "text": t,
            "_task_hash": i,
            "tokens": [],
            "spans": [{"start": a, "end": b, "label": c, "token_start": 0, "token_end": 0} for a, b, c in s],
            "answer": "accept",
        }
        for i, (t, s) in enumerate(marked)
    ]


def spacy(marked: Sequence[Marked]) -> list[list[Any]]:
    """Return texts and annotations as spaCy's training data has them."""
    return [[t, {"entities": [list(span) for span in s]}] for t, s in marked]


def hub_tokens(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Return tokens and tags as data sets of the hub have them."""
    found = []
    for text, spans in marked:
        tokens, tags, place = text.split(), [], 0
        for token in tokens:
            start = text.index(token, place)
            place = start + len(token)
            inside = [s for s in spans if s[0] <= start < s[1]]
            tags.append("O" if not inside else f"{'B' if inside[0][0] == start else 'I'}-{inside[0][2]}")
        found.append({"tokens": tokens, "ner_tags": tags})
    return found
