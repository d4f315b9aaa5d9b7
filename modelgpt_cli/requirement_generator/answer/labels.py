"""Are the labels that a sentence names those of the profile, all of them, and none else? After `support`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.answer.support import Support, stem
from modelgpt_cli.requirement_generator.answer.words import PLAIN
from modelgpt_cli.requirement_generator.sentences import MAX_WORDS, words

MAX_LABELS = 10
"""So many labels a sentence names, all of them; of more it says what they stand for."""
_SEPARATOR = r"(?:\s*(?:,|/|;|\bor\b|\band\b|\bversus\b|\bvs\b)\s*)+"
_NO_ITEM_TEXT = """
as at based by for from given in into its it of on over per so than that the their there these this to under using
which while who whose with within where whether when depending according considering rather
"""
_NO_ITEM = frozenset(_NO_ITEM_TEXT.split())
"""Words that go on with a sentence, rather than with a list of labels."""


def find_labels(sentence: str, labels: Iterable[str]) -> list[tuple[int, int, str]]:
    """Return where labels stand: start, end and label, in order. A longer label goes before one that is part of it."""
    taken = [False] * len(sentence)
    found = []
    for label in sorted(labels, key=len, reverse=True):
        for match in _label_pattern(label).finditer(sentence):
            if not any(taken[match.start() : match.end()]):
                taken[match.start() : match.end()] = [True] * (match.end() - match.start())
                found.append((match.start(), match.end(), label))
    return sorted(found)


def _label_pattern(label: str) -> re.Pattern[str]:
    parts = words(label)
    plain = parts and not re.search(r"[<>=+\-*/%&]\s*\d|^\s*[<>=+\-]|[+\-]\s*$", label)
    if not plain:
        return re.compile(rf"(?<![\w<>=+\-]){re.escape(label.strip())}(?![\w=])", re.IGNORECASE)
    body = r"[\W_]*".join(map(re.escape, parts))
    plural = r"(?:e?s)?" if parts[-1].isalpha() and len(parts[-1]) > 3 else ""
    return re.compile(rf"(?<![\w.]){body}{plural}(?!\w)(?!\.\d)", re.IGNORECASE)


def check_labels(sentence: str, support: Support) -> None:
    """Make sure that every label is named where there are few, none is made up, swapped or explained from nowhere."""
    labels = support.labels
    if (
        not labels
        or len(support.profile.class_counts) > MAX_LABELS
        or sum(map(len, map(words, labels))) > MAX_WORDS // 2
    ):
        return
    places = find_labels(sentence, labels)
    named = {label for _, _, label in places} | _in_range(sentence, labels)
    missing = [label for label in labels if label not in named]
    if missing:
        raise BadAnswerError(f"the sentence does not name every label: {listed_labels(missing)} is missing.")
    _check_list(sentence, places, support)
    for (_, end, first), (start, _, second) in pairwise(places):
        if first != second and re.fullmatch(
            r"[^\w,]*(?:(?!or\b|and\b)\w+\s+){0,2}(?:as|into)\s+(?:\w+\s+)?", sentence[end:start]
        ):
            raise BadAnswerError(f"the sentence classifies {first!r} as {second!r}: labels are swapped.")
    _check_glosses(sentence, places, support)


def _in_range(sentence: str, labels: list[str]) -> set[str]:
    """The labels that "from 1 to 5" names."""
    if not all(re.fullmatch(r"-?\d{1,4}", label) for label in labels):
        return set()
    values = sorted(map(int, labels))
    span = rf"(?<![\w.])0*{values[0]}\s*(?:to|through|up to|-|–|and)\s*0*{values[-1]}(?![\w])(?!\.\d)"
    return set(labels) if values == [*range(values[0], values[-1] + 1)] and re.search(span, sentence) else set()


_ITEM = r"(?P<item>[^\s,;/.]+(?:\s+[^\s,;/.]+){0,2}?)"
_ITEM_AFTER = re.compile(
    rf"{_SEPARATOR}{_ITEM}(?={_SEPARATOR}|\s*[.]?\s*$|\s+(?:from|by|based|using|given|according|depending)\b)"
)
_ITEM_BEFORE = re.compile(rf"(?:{_SEPARATOR}|\b(?:into|as|either|among|of|between|is)\s+){_ITEM}{_SEPARATOR}\Z")


def _check_list(sentence: str, places: list[tuple[int, int, str]], support: Support) -> None:
    """Refuse an item in the list of labels that is none."""
    numbers = all(label.strip().isdigit() for label in support.labels)
    for start, end, _ in places:
        for match in (_ITEM_AFTER.match(sentence[end:]), _ITEM_BEFORE.search(sentence[:start])):
            item = match["item"] if match else ""
            spoken = words(item)
            if not spoken or find_labels(item, support.labels) or _NO_ITEM & set(spoken):
                continue
            if re.search(r"(?:ed|ing)$", spoken[0]) or spoken[0] in ("not", "otherwise", "else"):
                continue
            if not (numbers and item.isdigit()) and all(stem(w) in support.stems or w in PLAIN for w in spoken):
                continue
            raise BadAnswerError(f"{item!r} is no label; the labels are {listed_labels(support.labels)}.")


def _check_glosses(sentence: str, places: list[tuple[int, int, str]], support: Support) -> None:
    """Refuse an explanation of a label that the profile doesn't give, or gives for another one."""
    others = {stem(word) for label in support.labels for word in words(label)}
    for _, end, label in places:
        match = re.match(
            r"\s*,?\s*(?:\(|=|\bmeans?\b|\bmeaning\b|\bstands? for\b|\bfor\b)\s*"
            r"([^,;().]+?)(?=[,;().]|\bor\b|\band\b|$)",
            sentence[end:],
        )
        if not match:
            continue
        gloss = [stem(word) for word in words(match[1]) if word not in PLAIN and len(word) > 2]
        if not gloss or all(word in {stem(w) for w in words(label)} for word in gloss):
            continue
        for word in gloss:
            if word in others:
                raise BadAnswerError(f"the label {label!r} is explained by another label.")
            owner = _owner(word, support)
            bracket = match[0].lstrip()[:1] in "(=" or "mean" in match[0] or "stand" in match[0]
            if owner is None and word not in support.stems and bracket:
                raise BadAnswerError(f"what the label {label!r} means, {match[1].strip()!r}, is not in the profile.")
            if owner is not None and owner != label:
                raise BadAnswerError(
                    f"{match[1].strip()!r} explains the label {owner!r} in the profile, not {label!r}."
                )


def _owner(word: str, support: Support) -> str | None:
    """The label that stands nearest before or after a word in the description; None where the word isn't there."""
    for text in (support.profile.description, *(column.description for column in support.profile.columns)):
        at = next((m.start() for m in re.finditer(r"[^\W_]+", text) if stem(m[0].lower()) == word), None)
        places = find_labels(text, support.labels)
        if at is not None and places:
            return min(places, key=lambda place: abs(place[0] - at))[2]
    return None


def listed_labels(labels: list[str]) -> str:
    """Return names in quotes: "'a', 'b' and 'c'"."""
    shown = [repr(label) for label in labels[:MAX_LABELS]]
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)
