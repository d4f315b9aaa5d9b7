"""What there is to say of marked texts: how long they are, and of which classes their spans. Behind `profile`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.schema import TaskType
from modelgpt_cli.core.scripts import count_words
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.text import profile as of_texts
from modelgpt_cli.domains.text.profile import TextProfile
from modelgpt_cli.domains.text.spans.marks import read_cell
from modelgpt_cli.requirement_generator.offline import of_name
from modelgpt_cli.requirement_generator.profile import ROWS, Clean, Profile, Vocabulary, common_profile, show_cell
from modelgpt_cli.requirement_generator.prompt import profile_json, short_number

PROMPT = "marked-text"
ROLES = {"marked": "text in which spans are marked"}
HAS_SHEET = False
REQUEST = "Find the {labels} in each {row}, as spans"
"""How an offline sentence begins; see `Profiler`."""
_VERBS: Mapping[TaskType, tuple[str, ...]] = {
    "spans": ("find", "extract", "mark", "identif", "recogni", "locat", "detect", "tag", "label")
}
_OBJECTS: Mapping[TaskType, tuple[str, ...]] = {
    "spans": ("span", "part", "entit", "mention", "name", "phrase", "slot", "word", "each", "every", "all", "the")
}


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> TextProfile:
    """Summarise marked texts: the beginnings of `rows` of them are shown, with what is marked in them."""
    column, target = dataset.schema.used[0].name, dataset.schema.target
    found = common_profile(
        dataset, description=description, rows=rows, chars=of_texts.TEXT_CHARS, seed=seed, clean=clean
    )
    cells = dict(zip(dataset.sample[column], dataset.sample[target], strict=True))
    shown = []
    for text, cell in list(cells.items())[:rows]:
        parts = (f"{span.label}: {text[span.start : span.end]}" for span in read_cell(cell))
        shown.append({name: show_cell(value, False, of_texts.TEXT_CHARS, clean) for name, value in
                      ((column, text), (target, "; ".join(parts)))})  # fmt: skip
    mean = sum(map(count_words, dataset.sample[column])) / max(1, len(dataset.sample))
    values = {name: getattr(found, name) for name in found.__dataclass_fields__}
    return TextProfile(**(values | {"sample": tuple(shown)}), mean_words=mean)


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown."""
    assert isinstance(profile, TextProfile)
    return profile_json(profile, free_text=True, words_per_text=short_number(profile.mean_words or 0))


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each row is, a text or what its column's name calls it."""
    assert isinstance(profile, TextProfile)
    size = round(profile.mean_words or 0)
    length = f", on average {size:,} words" if size > 1 else ""
    return f"text{of_name(profile)} ({profile.n_rows:,} texts{length})", ""


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about marked texts are told."""
    told = of_texts.vocabulary(profile)
    return Vocabulary(told.subject, _VERBS, _OBJECTS, told.topics)
