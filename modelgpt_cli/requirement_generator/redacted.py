"""`describe --redact`: the profile as an LLM may see it, placeholders in it. Between `profile` and the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.profile import Profile
from modelgpt_cli.domains.image.profile import ImageProfile
from modelgpt_cli.llm.redact import redact

V = TypeVar("V")


def redacted(profile: Profile) -> Profile:
    """Redact every word of a profile that comes from the data or the user: names, levels, labels, cells, description.

    Cells should have been cleaned before they were cut, by ``profile(dataset, clean=redact)``: of what is cut in half
    nobody can tell what it was. The sheet of images stays as it is.
    """
    known = [*(column.name for column in profile.columns), profile.target]
    names = dict(zip(known, apart(map(redact, known)), strict=True))
    return replace(
        profile,
        name=redact(profile.name),
        target=names[profile.target],
        columns=tuple(_column(column, names[column.name]) for column in profile.columns),
        class_counts=_keyed(profile.class_counts),
        sample=tuple(
            {names[name]: redact(cell) for name, cell in row.items() if name in names} for row in profile.sample
        ),
        description=redact(profile.description),
        images=_images(profile.images) if profile.images is not None else None,
    )


def _column(column: Column, name: str) -> Column:
    levels = tuple(redact(level) for level in column.levels)
    return replace(column, name=name, description=redact(column.description), levels=levels)


def _images(images: ImageProfile) -> ImageProfile:
    return replace(images, domains=_keyed(images.domains), shown=tuple(redact(name) for name in images.shown))


def _keyed(values: Mapping[str, V]) -> dict[str, V]:
    return dict(zip(apart(map(redact, values)), values.values(), strict=True))


def apart(names: Iterable[str]) -> Iterator[str]:
    """Number names that have become the same, so that each stays one of its own."""
    taken: Counter[str] = Counter()
    for name in names:
        taken[name] += 1
        yield name if taken[name] == 1 else f"{name} ({taken[name]})"
