"""The writer that needs no LLM: a requirement sentence from the profile alone, the same one every time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from modelgpt_cli.data.picture_profile import PictureProfile
from modelgpt_cli.data.profile import Profile
from modelgpt_cli.data.schema import TEXT_ROLES
from modelgpt_cli.data.text_roles import PLAIN_TEXT_NAMES, name_words, text_nouns
from modelgpt_cli.requirement_generator.answer import MAX_WORDS
from modelgpt_cli.requirement_generator.sentences import is_markup, sentences, words

MAX_LABELS = 10
_PLAIN_TARGETS = frozenset({"target", "class", "label", "labels", "classes", "y", "output", "outcome", "response"})
_PLURALS = {"hypothesis": "hypotheses", "query": "queries", "sms": "sms", "summary": "summaries"}
_LONG_SENTENCE = 40
_NAMED_DOMAINS, _TOLD_DOMAINS = 2, 6
"""From so much detail on domains of pictures are named, and told apart."""
_TYPES = {"boolean": "yes-or-no", "datetime": "date"}


def write_offline(profile: Profile) -> str:
    """Write one sentence about a table, texts or pictures: what to predict, from what, against what background.

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
    if profile.pictures is not None:
        rows = f"picture{_of(profile)} ({profile.n_rows:,} {profile.pictures.looks.phrase()})"
    else:
        rows = _texts(profile, bool(n_names)) if profile.domain == "text" else _rows(profile)
    target = _plain(profile.target)
    if profile.task == "classification":
        by = "" if target.lower() in _PLAIN_TARGETS or not target else f" by {target}"
        text = f"Classify each {rows}{by} into {_labels(list(profile.class_counts), n_labels)}"
    else:
        wanted = "the target" if target.lower() in _PLAIN_TARGETS else target
        text = f"Predict the numeric value of {wanted} for each {rows}, a regression"
        if profile.target_range:
            low, middle, high = map(_number, profile.target_range)
            text += f" between {low} and {high} with a median of {middle}"
    if profile.pictures is not None:
        text += _domains(profile.pictures, n_names)
    elif profile.domain == "tabular":
        text += f", from {_columns(profile, n_names)}"
    background = _background(profile, n_background)
    return text + (f"; background: {background}" if background else "") + "."


def _number(value: float) -> str:
    """Four digits, never with an exponent; thousands are parted from 10,000 on, so that years stay years."""
    rounded = Decimal(f"{value:.4g}")
    return f"{rounded:,f}" if abs(rounded) >= 10_000 else f"{rounded:f}"


def _rows(profile: Profile) -> str:
    table = f"{_plain(profile.name)!r} ({_count(profile.n_rows, 'row')})" if profile.name else "the table"
    return f"row of {table}"


def _texts(profile: Profile, with_names: bool) -> str:
    """What each row of the text domain is: a text or a pair, in the columns' words where these say something."""
    names = [column.name for role in TEXT_ROLES for column in profile.columns if column.role == role]
    kinds = [_kind(name) for name in names]
    size = round(profile.mean_words or 0)
    alike = len(set(kinds)) == 1 and not (kinds[0] == "sentence" and size > _LONG_SENTENCE)
    kind = kinds[0] if alike else "text"
    length = f", on average {size:,} words{' each' if len(names) > 1 else ''}" if size > 1 else ""
    of = _of(profile)
    if len(names) < 2:
        return f"{kind}{of} ({profile.n_rows:,} {_plural(kind)}{length})"
    telling = with_names and kind == "text" and all(map(_is_telling, names))
    which = f" ({_plain(names[0])} and {_plain(names[1])})" if telling else ""
    return f"pair of {_plural(kind)}{which}{of} ({_count(profile.n_rows, 'pair')}{length})"


def _of(profile: Profile) -> str:
    return f" of {_plain(profile.name)!r}" if profile.name else ""


def _domains(pictures: PictureProfile, n: int) -> str:
    """The domains of pictures, and how each differs from the whole where there is room to say it."""
    kind = pictures.looks.words["kind"]
    told = {_plain(name): looks.phrase(pictures.looks) for name, looks in pictures.domains.items() if name}
    if not told:
        return ""
    if len(told) > n or n < _NAMED_DOMAINS:
        return f", in {len(told)} domains"
    if n < _TOLD_DOMAINS:
        return f", in the domains {_list(list(told), 'and')}"
    return f", in the domains {_list([d if words == kind else f'{d} ({words})' for d, words in told.items()], 'and')}"


def _kind(name: str) -> str:
    """What a header says that its texts are: "review" for reviewText, "text" where it says nothing."""
    return next(reversed(text_nouns(name)), "text")


def _is_telling(name: str) -> bool:
    """Whether a header has a word that is more than "text" or a letter."""
    return any(len(word) > 2 and word not in PLAIN_TEXT_NAMES for word in name_words(name))


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind}s")


def _labels(labels: Sequence[str], n: int) -> str:
    if all(re.fullmatch(r"-?\d+(\.\d+)?", label) for label in labels):
        labels = sorted(labels, key=float)
    names = [_plain(label) for label in labels]
    if len(names) <= min(n, MAX_LABELS):
        return _list(names, "or")
    some = f" such as {_list(names[: min(n, 3)], 'and')}" if n else ""
    return f"one of {len(names)} classes{some}"


def _columns(profile: Profile, n: int) -> str:
    """The columns by kind, with the names of `n` of them, each beside its own kind."""
    names: dict[str, list[str]] = {}
    for column in profile.columns:
        if column.used:
            names.setdefault(_TYPES.get(column.type, column.type), []).append(_plain(column.name))
    kinds = sorted(names, key=lambda kind: -len(names[kind]))
    shown = {kind: names[kind][: n // len(kinds) + (i < n % len(kinds))] for i, kind in enumerate(kinds)}
    said = []
    for kind in kinds:
        text = _count(len(names[kind]), f"{kind} column")
        listed = _list(shown[kind], "and")
        some = "" if len(shown[kind]) == len(names[kind]) else "such as "
        if listed and len(kinds) > 1:
            text += f" ({some}{listed})"
        elif listed:
            text += f" {some}{listed}" if some else f": {listed}"
        said.append(text)
    return _list(said, "and")


def _background(profile: Profile, n: int) -> str:
    """Give the first sentence of the description that says something, cut to `n` words."""
    lines = [line.strip().lstrip("#").strip() for line in profile.description.splitlines()]
    text = " ".join(_plain(" ".join(lines), 1000).split())
    for sentence in sentences(text):
        if is_markup(sentence) or len(words(sentence)) < 3:
            continue
        kept = sentence.split()
        short = " ".join(kept[:n]).rstrip(" .!?。！？,;:-—(")
        return short + (" and so on" if len(kept) > n and n else "")
    return ""


def _plain(text: str, length: int = 60) -> str:
    """Fold a name into printable text on one line."""
    text = "".join(char if char.isprintable() else " " for char in re.sub(r"\s+", " ", text)).strip()
    return text if len(text) <= length else text[:length].rsplit(" ", 1)[0] + "…"


def _list(items: Sequence[str], word: str) -> str:
    return f" {word} ".join(part for part in (", ".join(items[:-1]), items[-1] if items else "") if part)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
