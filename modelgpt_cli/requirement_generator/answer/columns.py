"""Does a sentence judge by the profile's columns, and predict its target? After `support`."""

from __future__ import annotations

import re
from collections.abc import Callable

from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.answer.labels import listed_labels
from modelgpt_cli.requirement_generator.answer.support import Support, is_supported, stem
from modelgpt_cli.requirement_generator.answer.words import PLAIN
from modelgpt_cli.requirement_generator.profile import profiler_of
from modelgpt_cli.requirement_generator.sentences import words

_INPUTS = re.compile(
    r"\b(?:from|based on|using|given|considering|according to|depending on|judging by|by means of|with the help of)\b"
    r"(?P<items>.*?)"
    r"(?=;|\.\s*$|$|\b(?:into|whether|whose|which|that|who|where|when|so|for|between|as either|as one|of each"
    r"|to (?:predict|classify|estimate|determine|decide|tell|assign)|is|are|was|were|as(?! well)|has|have"
    r"|recorded|collected|measured|taken|gathered|observed|known|predict|classify|estimate)\b)",
    re.IGNORECASE,
)
_BY = re.compile(
    r"(?<!ed )(?<!en )\bby\b(?P<items>[^;.]*?)(?=;|\.\s*$|$|\b(?:into|as|whether|from|is|are|that|which|based)\b)",
    re.IGNORECASE,
)
_ITEMS = re.compile(
    r"([,:()&/]|\b(?:and|or|as well as|such as|including|like|plus|of|in|on|at|its|their|with|by)\b)", re.IGNORECASE
)
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
_PLAIN_TARGETS = frozenset(("target", "class", "label", "labels", "classes", "y", "output", "outcome", "response"))

Near = Callable[[str, list[str]], bool]
"""Whether words mean about the same as one of several others."""


def check_columns(sentence: str, support: Support, near: Near, fits: Callable[[str], bool]) -> None:
    """Make sure that what the model is said to judge by is in the profile, and what is quoted or spelled as a name.

    Parameters
    ----------
    fits : callable
        Whether a word may be what is judged: "the length of a flower".
    """
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
    is_table = any(not column.is_text for column in support.used) and profiler_of(support.profile.domain).ROLES == {}
    for match in (*_INPUTS.finditer(sentence), *(_BY.finditer(sentence) if is_table else ())):
        before = ""
        for item in _ITEMS.split(match["items"]):
            if _ITEMS.fullmatch(item.strip().lower()):
                before = item.strip().lower()
                continue
            for word in (w for w in words(item) if len(w) > 2 and w not in PLAIN):
                if is_supported(word, support) or word.isdigit() or word.endswith("ly"):
                    continue
                if not near(word, columns) and not (before == "of" and fits(word)):
                    raise BadAnswerError(
                        f"{word!r} is none of the columns; name what the profile has, such as "
                        f"{listed_labels(columns[:3])}."
                    )


def check_target(sentence: str, support: Support, near: Near) -> None:
    """Make sure that what is predicted is the target, and no column."""
    p = support.profile
    target = {stem(word) for word in words(p.target)}
    match = next((found for pattern in _OBJECTS if (found := pattern.search(sentence))), None)
    if match is None:
        return
    spoken = [word for word in words(_OBJECT_END.split(match["object"], maxsplit=1)[0]) if word not in PLAIN]
    if not spoken or re.match(r"\s*(?:how|whether)\b", match["object"], re.IGNORECASE):
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
