"""Texts with marked spans: the sets of `spans`.

There is no small public set to be had, so six are drawn: a template and its fillers. Test texts have templates and
fillers of their own. What comes of it is easier than texts from the field, and says more of methods' order than of
their heights. The seventh is real: news of ag_news, marked by hand (``span_news.yaml``).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ..common import data_folder

Span = tuple[int, int, str]
Marked = tuple[str, list[Span]]
"""A text and its spans: start, end (characters, the end not in it) and class."""
NEWS = "ag_news"
NEWS_TRAIN = 32
"""Of the texts that are marked by hand, so many are learned from; the other 62 are test texts."""
_SLOT = re.compile(r"\{(\w+)\}")


@cache
def templates() -> dict[str, Any]:
    """Return the sets' templates by name."""
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("span_templates.yaml").read_text(encoding="utf-8"))
    return found


def span_set(name: str, part: str, n: int, seed: int) -> list[Marked]:
    """Draw texts of a set.

    Parameters
    ----------
    part : {"train", "test"}
    n : int
        Different texts; fewer where there are no more.
    """
    if name == NEWS:
        return _news(part)[:n]
    known = templates()[name]
    rng = np.random.default_rng([seed, *name.encode(), part == "test"])
    found: dict[str, Marked] = {}
    order: list[str] = []
    for _ in range(20 * n):
        if not order:  # each template once before any comes again
            order = list(rng.permutation(known[part]))
        text, spans = _filled(str(order.pop()), known["fillers"], part, rng)
        found.setdefault(text, (text, spans))
        if len(found) == n:
            break
    return list(found.values())


def _filled(template: str, fillers: dict[str, Any], part: str, rng: np.random.Generator) -> Marked:
    text, spans, place = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[place : slot.start()]
        known = fillers[slot[1]]
        choice = str(rng.choice(fillers[known["same"]][part] if "same" in known else known[part]))
        choice = re.sub("#", lambda _: str(rng.integers(1, 10)), choice)
        spans.append((len(text), len(text) + len(choice), slot[1]))
        text += choice
        place = slot.end()
    return text + template[place:], spans


@cache
def _news(part: str) -> list[Marked]:
    marks = yaml.safe_load(Path(__file__).with_name("span_news.yaml").read_text(encoding="utf-8"))
    texts = pd.read_csv(data_folder("text") / "train" / NEWS / "test.csv.gz")["sentence1"]
    found = [(str(texts[row]), [(int(a), int(b), str(c)) for a, b, c in spans]) for row, spans in marks.items()]
    return found[:NEWS_TRAIN] if part == "train" else found[NEWS_TRAIN:]
