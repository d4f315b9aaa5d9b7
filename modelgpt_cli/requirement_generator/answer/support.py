"""Does a profile bear out what a sentence says of labels, figures, units, columns and target? Words and numbers alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from modelgpt_cli.core.units import plain_number
from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.llm.redact import PLACEHOLDERS
from modelgpt_cli.requirement_generator.answer.words import ALWAYS, COUNTED, PLAIN, UNITS
from modelgpt_cli.requirement_generator.numbers import Number, find_numbers
from modelgpt_cli.requirement_generator.profile import Profile, profiler_of
from modelgpt_cli.requirement_generator.rules.bounds import read_bounds
from modelgpt_cli.requirement_generator.sentences import MAX_WORDS, words

MAX_LABELS = 10
"""So many labels a sentence names, all of them; of more it says what they stand for."""
_ROUNDED = 0.01
_ABOUT = re.compile(r"(?:about|around|roughly|approximately|nearly|almost|some|over)\s*$", re.IGNORECASE)
_SEPARATOR = r"(?:\s*(?:,|/|;|\bor\b|\band\b|\bversus\b|\bvs\b)\s*)+"
_NO_ITEM_TEXT = """
as at based by for from given in into its it of on over per so than that the their there these this to under using
which while who whose with within where whether when depending according considering rather
"""
_NO_ITEM = frozenset(_NO_ITEM_TEXT.split())
"""Words that go on with a sentence, rather than with a list of labels."""
_INPUTS = re.compile(
    r"\b(?:from|based on|using|given|considering|according to|depending on|judging by|by means of|with the help of)\b"
    r"(?P<items>.*?)"
    r"(?=;|\.\s*$|$|\b(?:into|whether|whose|which|that|who|where|when|so|for|between|as either|as one|to (?:predict|"
    r"classify|estimate|determine|decide|tell|assign)|is|are|was|were|as(?! well)|has|have|recorded|collected|measured|taken|gathered|observed|known|of each|"
    r"predict|classify|estimate)\b)",
    re.IGNORECASE,
)
_ITEMS = re.compile(r"[,:()&/]|\b(?:and|or|as well as|such as|including|like|plus|of|in|on|at|its|their|with|by)\b")
_OBJECTS = tuple(
    re.compile(rf"\b(?:{words})\s+(?P<object>.+)", re.IGNORECASE)
    for words in (
        r"(?:numeric|numerical|exact|continuous) value of",
        r"(?:predict|estimate|forecast|approximate|determine)\w*",
    )
)
_OBJECT_END = re.compile(
    r"\b(?:for|from|of (?:each|every|an?|one)|based|using|given|in|as|between|with|by|per|on|into|at)\b|[,;.(]",
    re.IGNORECASE,
)
_PLAIN_TARGETS = frozenset(["target", "class", "label", "labels", "classes", "y", "output", "outcome", "response", "value", "result"])


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


# Labels ---------------------------------------------------------------------------------------------------------------


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
        raise BadAnswerError(f"the sentence does not name every label: {_listed(missing)} is missing.")
    _check_list(sentence, places, support)
    for (_, end, first), (start, _, second) in zip(places, places[1:], strict=False):
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


def _check_list(sentence: str, places: list[tuple[int, int, str]], support: Support) -> None:
    """Refuse an item in the list of labels that is none."""
    for start, end, _ in places:
        after = re.match(
            rf"{_SEPARATOR}(?P<item>[^\s,;/.]+(?:\s+[^\s,;/.]+){{0,2}}?)(?={_SEPARATOR}|\s*[.]?\s*$)", sentence[end:]
        )
        before = re.search(
            rf"(?:{_SEPARATOR}|\b(?:into|as|either|among|of|between|is)\s+)(?P<item>[^\s,;/.]+(?:\s+[^\s,;/.]+){{0,1}}){_SEPARATOR}\Z",
            sentence[:start],
        )
        for match in (after, before):
            item = match["item"] if match else ""
            spoken = words(item)
            if not spoken or find_labels(item, support.labels) or _NO_ITEM & set(spoken):
                continue
            if re.search(r"(?:ed|ing)$", spoken[0]) or spoken[0] in ("not", "otherwise", "else"):
                continue
            if all(stem(word) in support.stems or word in PLAIN for word in spoken):
                continue
            raise BadAnswerError(f"{item!r} is no label; the labels are {_listed(support.labels)}.")


def _check_glosses(sentence: str, places: list[tuple[int, int, str]], support: Support) -> None:
    """Refuse an explanation of a label that the profile doesn't give, or gives for another one."""
    others = {stem(word) for label in support.labels for word in words(label)}
    for _, end, label in places:
        match = re.match(
            r"\s*,?\s*(?:\(|=|\bmeans?\b|\bmeaning\b|\bstands? for\b|\bfor\b)\s*([^,;().]+?)(?=[,;().]|\bor\b|\band\b|$)",
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


def _listed(labels: list[str]) -> str:
    shown = [repr(label) for label in labels[:MAX_LABELS]]
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)


# Figures and units ----------------------------------------------------------------------------------------------------


def check_figures(sentence: str, support: Support) -> None:
    """Make sure that every figure and unit is the profile's, and that none is a limit for the model."""
    text = _without_names(sentence, support)
    facts, _ = read_bounds(text)
    if facts or re.search(
        r"\b(?:int8|fp16|float16|onnx\w*|quanti[sz]\w+|safetensors|latency|megabytes?)\b", text, re.I
    ):
        raise BadAnswerError("the sentence sets a limit for the model; it must say what the model does, and no more.")
    for number in find_numbers(text):
        if number.value == 1 and not text[number.start : number.end].strip().isdigit():
            continue
        _check_number(text, number, support)
    _check_units(text, support)


def _without_names(sentence: str, support: Support) -> str:
    """The sentence without labels, and without names that have digits or signs of their own."""
    p = support.profile
    names = [p.name, p.target, *(column.name for column in p.columns), *(v for c in p.columns for v in c.levels)]
    text = sentence
    for start, end, _ in find_labels(sentence, [*support.labels, *(n for n in names if re.search(r"\d", n))]):
        text = text[:start] + "_" * (end - start) + text[end:]
    return text


def _check_number(text: str, number: Number, support: Support) -> None:
    said = text[number.start : number.end].strip()
    counted = _counted(text[number.end :])
    if counted:
        known = support.counts[counted] | {n.value for n in find_numbers(support.profile.description)}
        if number.value not in known and not (_is_about(text, number) and _near(number.value, known, 0.05)):
            counts = " or ".join(plain_number(n) for n in sorted(known))
            raise BadAnswerError(f"the sentence speaks of {said} {counted}; there are {counts}.")
        return
    if said.isalpha() and number.value <= 2:  # "two texts", "half of them"
        return
    close = 0.05 if _is_about(text, number) else _ROUNDED if number.value != int(number.value) else 1e-9
    if not _near(number.value, support.numbers, close):
        raise BadAnswerError(f"the figure {said} is not in the profile; leave it out.")


def _counted(rest: str) -> str:
    """What a number counts: the first of the next three words that is counted anywhere; "" of none."""
    if rest.lstrip().startswith((",", ")")):
        return ""
    for word in words(rest)[:3]:
        for what, stems in COUNTED.items():
            if word.startswith(stems):
                return what
    return ""


def _is_about(text: str, number: Number) -> bool:
    return _ABOUT.search(text[: number.start]) is not None


def _near(value: float, known: Iterable[float], share: float) -> bool:
    return any(abs(value - other) <= share * abs(other) for other in known)


def _check_units(text: str, support: Support) -> None:
    known = " ".join(support.texts).lower()
    spoken = set(re.findall(r"[€£$₹¥%]|°\w|[^\W_]+", known))
    for unit, names in UNITS.items():
        if any(name in spoken or f"{name}s" in spoken for name in names):
            continue
        for name in names:
            body = re.escape(name) + (r"(?:e?s)?" if name.isalpha() else "")
            edge = r"(?!\w)" if name[-1].isalnum() else ""
            anywhere = name in ALWAYS or (unit in ALWAYS and name == unit)
            lead = (r"(?<!\w)" if name[0].isalnum() else "") if anywhere else r"(?:\d\s*|\b(?:in|per)\s+|\(\s*)"
            match = re.search(lead + body + edge, text, re.IGNORECASE)
            if match and not (
                name in ("second", "foot") and not anywhere and "second" in match[0].lower().split()[-1:]
            ):
                raise BadAnswerError(f"the unit {name!r} is not in the profile; leave it out.")


# Columns and target ---------------------------------------------------------------------------------------------------

Near = Callable[[str, list[str]], bool]
"""Whether words mean about the same as one of several others."""


def check_columns(sentence: str, support: Support, near: Near) -> None:
    """Make sure that what the model is said to judge by is in the profile, and what is quoted or spelled as a name."""
    names = {name.casefold() for name in support.texts}
    for name in re.findall(r"\b\w+_\w+\b|\b[a-z]+[A-Z]\w*\b|[\"“”`‘]([^\"“”`’]+)[\"“”`’]", sentence):
        if name and name.casefold() not in names and not all(stem(w) in support.stems for w in words(name)):
            raise BadAnswerError(f"{name!r} is not in the profile.")
    for token in re.findall(r"\b\w+_\w+\b|\b[a-z]+[A-Z]\w*\b", sentence):
        if token.casefold() not in names and not all(stem(w) in support.stems or w in PLAIN for w in words(token)):
            raise BadAnswerError(f"{token!r} is not in the profile.")
    columns = [" ".join(words(c.name)) for c in support.used]
    columns += sorted({word for column in columns for word in column.split() if word not in PLAIN and len(word) > 2})
    columns += [" ".join(words(c.description)) for c in support.used if c.description]
    for match in _INPUTS.finditer(sentence):
        for item in _ITEMS.split(match["items"]):
            for word in (w for w in words(item or "") if len(w) > 2 and w not in PLAIN):
                if stem(word) in support.stems or word.isdigit() or re.search(r"(?:ly)$", word):
                    continue
                if not near(word, columns) and not near(" ".join(words(item)), columns):
                    raise BadAnswerError(
                        f"{word!r} is none of the columns; name what the profile has, such as {_listed(columns[:3])}."
                    )


def check_target(sentence: str, support: Support, near: Near) -> None:
    """Make sure that what is predicted is the target, and no column."""
    p = support.profile
    target = {stem(word) for word in words(p.target)}
    match = next((found for pattern in _OBJECTS if (found := pattern.search(sentence))), None)
    if match is None:
        return
    spoken = [word for word in words(_OBJECT_END.split(match["object"], maxsplit=1)[0]) if word not in PLAIN]
    if not spoken or spoken[0] in ("how", "whether"):
        return
    if target & {stem(word) for word in spoken} or p.target.lower() in _PLAIN_TARGETS:
        described = True
    else:
        described = p.task == "classification" or near(" ".join(spoken), [" ".join(words(p.target))])
        about = {stem(word) for word in words(p.description)}
        described = described or all(stem(word) in about for word in spoken)
    columns = {frozenset(map(stem, words(column.name))): column.name for column in p.columns if column.name != p.target}
    of = frozenset(map(stem, (w for w in words(" ".join(spoken)))))
    is_column = of in columns and not target & of
    if not described or is_column:
        raise BadAnswerError(f"the sentence predicts {' '.join(spoken)!r}; the target is {p.target!r}.")
