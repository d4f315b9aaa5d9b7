"""What there is to say of texts: how long they are, and what they begin with. Behind `profile` and `offline`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from modelgpt_cli.core.schema import TaskType
from modelgpt_cli.core.scripts import count_words
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.text.requirement import texts_of
from modelgpt_cli.domains.text.roles import PLAIN_TEXT_NAMES, TEXT_NOUNS, name_words, text_nouns
from modelgpt_cli.requirement_generator.offline import counted, of_name, plain_name
from modelgpt_cli.requirement_generator.profile import ROWS, Clean, Profile, Vocabulary, common_profile
from modelgpt_cli.requirement_generator.prompt import profile_json, short_number

PROMPT = "text"
ROLES = {"text": "text", "pair": "second text"}
HAS_SHEET = False
TEXT_CHARS = 200
"""So much of a text is shown: the texts are what there is to see."""
_PLURALS = {"hypothesis": "hypotheses", "query": "queries", "sms": "sms", "summary": "summaries"}
_LONG_SENTENCE = 40
# What is said besides of texts, which are judged where a table's target is measured.
_VERBS: Mapping[TaskType, tuple[str, ...]] = {"classification": ("judge",), "regression": ("judge", "rate", "grade")}
_OBJECTS: Mapping[TaskType, tuple[str, ...]] = {"regression": ("degree", "similarity", "strength", "intensity")}
# What a sentence may call the texts that a model judges.
_MORE_KINDS = (
    *("conversation", "essay", "excerpt", "feedback", "news", "opinion", "paper", "speech", "story", "transcript"),
)


@dataclass(frozen=True)
class TextProfile(Profile):
    """A profile of texts."""

    mean_words: float | None = None
    """Words per text of the sample, as `count_words` has them."""


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> TextProfile:
    """Summarise texts: the beginnings of `rows` of them are shown, a pair counting as two."""
    texts = texts_of(dataset.schema.columns)
    rows = max(1, rows // len(texts))
    common = common_profile(dataset, description=description, rows=rows, chars=TEXT_CHARS, seed=seed, clean=clean)
    cells = pd.concat([dataset.sample[column.name] for column in texts]).dropna()
    mean_words = sum(map(count_words, cells)) / max(1, len(cells))
    values = {f.name: getattr(common, f.name) for f in fields(common)}
    return TextProfile(**values, mean_words=mean_words)


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown; the texts are what the sentence is about."""
    assert isinstance(profile, TextProfile)
    used = [column for column in profile.columns if column.used]
    return profile_json(
        profile,
        rows=ROWS // max(1, len(used)),
        free_text=True,
        words_per_text=short_number(profile.mean_words or 0),
    )


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each row is, a text or a pair, in the columns' words where these say something."""
    assert isinstance(profile, TextProfile)
    names = [column.name for column in texts_of(profile.columns)]
    kinds = [_kind(name) for name in names]
    size = round(profile.mean_words or 0)
    alike = len(set(kinds)) == 1 and not (kinds[0] == "sentence" and size > _LONG_SENTENCE)
    kind = kinds[0] if alike else "text"
    length = f", on average {size:,} words{' each' if len(names) > 1 else ''}" if size > 1 else ""
    of = of_name(profile)
    if len(names) < 2:
        return f"{kind}{of} ({profile.n_rows:,} {_plural(kind)}{length})", ""
    telling = n_names and kind == "text" and all(map(_is_telling, names))
    which = f" ({plain_name(names[0])} and {plain_name(names[1])})" if telling else ""
    return f"pair of {_plural(kind)}{which}{of} ({counted(profile.n_rows, 'pair')}{length})", ""


def _kind(name: str) -> str:
    """What a header says that its texts are: "review" for reviewText, "text" where it says nothing."""
    return next(reversed(text_nouns(name)), "text")


def _is_telling(name: str) -> bool:
    """Whether a header has a word that is more than "text" or a letter."""
    return any(len(word) > 2 and word not in PLAIN_TEXT_NAMES for word in name_words(name))


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind}s")


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about texts are told."""
    return Vocabulary("say what the texts are", _VERBS, _OBJECTS, (*TEXT_NOUNS, *PLAIN_TEXT_NAMES, *_MORE_KINDS))
