"""The writer that needs no LLM: a requirement sentence from the profile alone, the same one every time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelgpt_cli.core.units import plain_number
from modelgpt_cli.requirement_generator.profile import Profile, profiler_of
from modelgpt_cli.requirement_generator.sentences import MAX_WORDS, is_markup, sentences, words

MAX_LABELS = 10
_PLAIN_TARGETS = frozenset({"target", "class", "label", "labels", "classes", "y", "output", "outcome", "response"})


def write_offline(profile: Profile) -> str:
    """Write one sentence about some data: what to predict, from what, against what background.

    Parameters
    ----------
    profile : Profile
        The data; its description, if any, gives the background.

    Returns
    -------
    str
        One sentence of at most 80 words.
    """
    sentence = ""
    # From full detail down to little, until it is short enough.
    for n_names, n_labels, n_background in ((6, 10, 30), (4, 10, 16), (3, 4, 8), (2, 2, 0), (1, 1, 0), (0, 0, 0)):
        sentence = _sentence(profile, n_names, n_labels, n_background)
        if len(sentence.split()) <= MAX_WORDS:
            break
    return sentence


def _sentence(profile: Profile, n_names: int, n_labels: int, n_background: int) -> str:
    row, details = profiler_of(profile.domain).phrases(profile, n_names)
    target = plain_name(profile.target)
    request = getattr(profiler_of(profile.domain), "REQUEST", "")
    if request:
        text = request.format(labels=_labels(list(profile.class_counts), n_labels, "and"), row=row)
    elif profile.task == "classification":
        by = "" if target.lower() in _PLAIN_TARGETS or not target else f" by {target}"
        labels = list(profile.class_counts)
        into = f"any number of {_labels(labels, n_labels, 'and')}" if profile.multi_label else _labels(labels, n_labels)
        text = f"Classify each {row}{by} into {into}"
    else:
        wanted = "the target" if target.lower() in _PLAIN_TARGETS else target
        text = f"Predict the numeric value of {wanted} for each {row}, a regression"
        if profile.target_range:
            low, middle, high = map(plain_number, profile.target_range)
            text += f" between {low} and {high} with a median of {middle}"
    text += details
    background = _background(profile, n_background)
    return text + (f"; background: {background}" if background else "") + "."


def _labels(labels: Sequence[str], n: int, word: str = "or") -> str:
    if all(re.fullmatch(r"-?\d+(\.\d+)?", label) for label in labels):
        labels = sorted(labels, key=float)
    names = [plain_name(label) for label in labels]
    if len(names) <= min(n, MAX_LABELS):
        return listed(names, word)
    some = f" such as {listed(names[: min(n, 3)], 'and')}" if n else ""
    return f"{'one of ' if word == 'or' else ''}{len(names)} classes{some}"


def _background(profile: Profile, n: int) -> str:
    """Give the first sentence of the description that says something, cut to `n` words."""
    lines = [line.strip().lstrip("#").strip() for line in profile.description.splitlines()]
    text = " ".join(plain_name(" ".join(lines), 1000).split())
    for sentence in sentences(text):
        if is_markup(sentence) or len(words(sentence)) < 3:
            continue
        kept = sentence.split()
        short = " ".join(kept[:n]).rstrip(" .!?。！？,;:-—(")
        return short + (" and so on" if len(kept) > n and n else "")
    return ""


def of_name(profile: Profile) -> str:
    """Return " of 'name'", or "" where the data have no name."""
    return f" of {plain_name(profile.name)!r}" if profile.name else ""


def plain_name(text: str, length: int = 60) -> str:
    """Fold a name into printable text on one line."""
    text = "".join(char if char.isprintable() else " " for char in re.sub(r"\s+", " ", text)).strip()
    return text if len(text) <= length else text[:length].rsplit(" ", 1)[0] + "…"


def listed(items: Sequence[str], word: str) -> str:
    """Join items: "a, b and c"."""
    return f" {word} ".join(part for part in (", ".join(items[:-1]), items[-1] if items else "") if part)


def counted(number: int, what: str) -> str:
    """Return a number with its noun: "1 row", "1,200 rows"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
