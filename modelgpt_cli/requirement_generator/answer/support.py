"""What a profile says, for sentences to be held against. Before `labels`, `figures`, `columns` and `nearness`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from modelgpt_cli.llm.redact import PLACEHOLDERS
from modelgpt_cli.requirement_generator.answer.words import PLAIN
from modelgpt_cli.requirement_generator.numbers import find_numbers
from modelgpt_cli.requirement_generator.profile import Profile, profiler_of
from modelgpt_cli.requirement_generator.sentences import words

_VOWELS = re.compile("[aeiouy]")


class Support:
    """What a profile says, for sentences to be held against.

    Parameters
    ----------
    profile : Profile
        As the LLM saw it.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.labels = [label for label in profile.class_counts if not any(mark in label for mark in PLACEHOLDERS)]
        self.used = [column for column in profile.columns if column.used or column.is_text]

    @cached_property
    def texts(self) -> list[str]:
        """Every text of the profile but its rows."""
        columns = [text for c in self.profile.columns for text in (c.name, c.description, *c.levels)]
        vocabulary = profiler_of(self.profile.domain).vocabulary(self.profile)
        shown = profiler_of(self.profile.domain).shown(self.profile)
        told = [value for key, value in leaves(shown) if isinstance(value, str) and not key.startswith("sample")]
        p = self.profile
        return [p.name, p.target, p.description, *p.class_counts, *columns, *vocabulary.topics, *told]

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of the words of these texts."""
        return frozenset(stem(word) for text in self.texts for word in words(text) if word not in PLAIN)

    @cached_property
    def own_words(self) -> frozenset[str]:
        """Words of names, labels and description that say something."""
        p = self.profile
        texts = [p.name, p.target, p.description, *p.class_counts, *(column.name for column in self.used)]
        found = (word for text in texts for word in words(text) if len(word) > 2 and word.isalpha())
        return frozenset(word for word in found if word not in PLAIN and word not in ("yes", "true", "false"))

    @cached_property
    def numbers(self) -> set[float]:
        """Figures of the profile but those of its rows, and how many columns and labels there are."""
        shown = profiler_of(self.profile.domain).shown(self.profile)
        found: set[float] = set()
        for key, value in leaves(shown):
            if key.startswith("sample"):
                continue
            if isinstance(value, str):
                found |= {number.value for number in find_numbers(value)}
            elif isinstance(value, (int, float)):
                found |= {float(value), 100.0 * float(value)} if 0 < value < 1 else {float(value)}
        texts = [self.profile.description, *(column.description for column in self.profile.columns)]
        found |= {number.value for text in texts for number in find_numbers(text)}
        return found | self.counts["columns"] | self.counts["classes"] | self.counts["rows"]

    @cached_property
    def counts(self) -> Mapping[str, set[float]]:
        """How many there are of what can be counted."""
        kinds = [column.type for column in self.used]
        by_type = {float(kinds.count(kind)) for kind in kinds}
        return {
            "classes": {float(len(self.profile.class_counts))},
            "columns": {float(len(self.used)), float(len(self.profile.columns)), *by_type},
            "rows": {float(self.profile.n_rows), *map(float, self.profile.class_counts.values())},
        }


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested mappings and lists, each under the outermost key; keys that are names as well."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if key:
                yield key, name
            yield from leaves(inner, key or str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def stem(word: str) -> str:
    """Cut the commonest English endings, so that "flowers" finds "flower"."""
    for ending in ("ies", "ing", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def is_supported(word: str, support: Support) -> bool:
    """Whether a word is the profile's, or one that a name there abbreviates: "temp", "hr", "windspeed"."""
    if stem(word) in support.stems:
        return True
    for known in support.stems:
        if len(known) >= 3 and known.isalpha() and word.startswith(known):
            return True
        if len(word) >= 4 and word in known:
            return True
        if len(known) >= 6 and word[:6] == known[:6]:
            return True
        if len(known) >= 2 and not _VOWELS.search(known) and _VOWELS.sub("", word) == known:
            return True
    return False
