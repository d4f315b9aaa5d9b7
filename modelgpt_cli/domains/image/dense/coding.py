"""What the values of a folder's masks stand for: found from the values, and from the list of classes beside them.

Between `scenes` and `read`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image.dense.masks import (
    BINARY,
    COLOUR,
    COLOUR_FILES,
    IGNORE,
    INDEX,
    MOST_CLASSES,
    MOST_COLOURS,
    NAME_FILES,
    UNLABELLED,
    Coding,
    colours_of,
    find_list,
    names_of,
    shown,
)
from modelgpt_cli.domains.image.dense.scenes import Scenes

BACKGROUND = "background"


@dataclass
class Values:
    """What a mask holds.

    Attributes
    ----------
    place : str
    counts : Counter of int
        Value → pixels.
    colours : bool
    """

    place: str
    counts: Counter[int]
    colours: bool


@dataclass(frozen=True)
class Classes:
    """The classes of masks, in the order of `coding.values`.

    Attributes
    ----------
    named : bool
        Whether a list beside the masks names them.
    """

    names: tuple[str, ...]
    coding: Coding
    named: bool = False
    notes: tuple[str, ...] = field(default=())

    def renamed(self, asked: Sequence[str] | None, name: str) -> Classes:
        """Return these with the names, or in the order, that a requirement fixes.

        Raises
        ------
        UsageError
            The requirement names others.
        """
        if asked is None or tuple(asked) == self.names:
            return self
        if set(asked) == set(self.names):
            values = dict(zip(self.names, self.coding.values, strict=True))
            coding = Coding(self.coding.kind, tuple(values[label] for label in asked), self.coding.ignored)
            return Classes(tuple(asked), coding, self.named, self.notes)
        if not self.named and len(asked) == len(self.names):
            return Classes(tuple(asked), self.coding, True, self.notes)
        raise UsageError(
            f"{name} has the classes {_listed(self.names)}, and the requirement names {_listed(asked)}.",
            "",
            "Give data that fit the requirement, or run modelgpt describe on these.",
        )


def find_classes(scenes: Scenes, masks: Sequence[Values], thing: str) -> Classes:
    """Find what the values of masks stand for.

    Parameters
    ----------
    thing : str
        What masks of two values call what isn't background, where no list says.

    Raises
    ------
    ModelGPTError
        Values stand for no class, or there is one class only.
    """
    found = _of_colours(scenes, masks) if any(mask.colours for mask in masks) else _of_indices(scenes, masks, thing)
    if len(set(found.names)) < len(found.names):
        twice = next(label for label, n in Counter(found.names).items() if n > 1)
        raise ModelGPTError(f"{scenes.name}: its list of classes names {twice!r} twice.", "", "Name each once.")
    if len(found.names) > MOST_CLASSES:
        raise ModelGPTError(f"{scenes.name} has {len(found.names):,} classes; {MOST_CLASSES} can be told apart.")
    return found


def _of_colours(scenes: Scenes, masks: Sequence[Values]) -> Classes:
    counts: Counter[int] = Counter()
    for mask in masks:
        if not mask.colours:  # a grey one among colours
            mask.counts = Counter({value * 0x010101: n for value, n in mask.counts.items()})
        counts.update(mask.counts)
    place = find_list(scenes.places, COLOUR_FILES)
    known = colours_of(_text(scenes, place)) if place else {}
    if known:
        labels = {value: name for value, name in known.items() if name.lower() not in UNLABELLED}
        ignored = tuple(value for value in known if value not in labels)
        _check_values(masks, {*known}, COLOUR, f"{place} names {len(known):,} colours.")
        return Classes(tuple(labels.values()), Coding(COLOUR, tuple(labels), ignored), named=True)
    if len(counts) > MOST_COLOURS:
        worst = max(masks, key=lambda mask: len(mask.counts))
        raise ModelGPTError(
            f"The masks of {scenes.name} have {len(counts):,} colours, {worst.place} alone {len(worst.counts):,}.",
            "A class has one colour; blurred, resized or JPEG-compressed masks have many.",
            "Save them with one colour, or one index, a class.",
        )
    values = tuple(sorted(counts))
    return Classes(tuple(f"colour {shown(COLOUR, value)}" for value in values), Coding(COLOUR, values))


def _of_indices(scenes: Scenes, masks: Sequence[Values], thing: str) -> Classes:
    counts: Counter[int] = Counter()
    for mask in masks:
        counts.update(mask.counts)
    place = find_list(scenes.places, NAME_FILES)
    names = names_of(_text(scenes, place)) if place else []
    if not names and (place := find_list(scenes.places, COLOUR_FILES)):
        names = list(colours_of(_text(scenes, place)).values())
    if set(counts) == {0, IGNORE} and len(names) in (0, 2):
        return Classes(tuple(names) or (BACKGROUND, thing), Coding(BINARY, (0, IGNORE)), named=bool(names))
    if names:
        labels = {k: name for k, name in enumerate(names) if name and name.lower() not in UNLABELLED}
        ignored = {*range(len(names))} - set(labels) | ({IGNORE} if len(names) <= IGNORE else set())
        _check_values(
            masks, {*labels, *ignored}, INDEX, f"{place} names {len(names):,} classes, 0 to {len(names) - 1}."
        )
        return Classes(tuple(labels.values()), Coding(INDEX, tuple(labels), tuple(sorted(ignored))), named=True)
    values = tuple(sorted(value for value in counts if value != IGNORE))
    if values and values[-1] > IGNORE:
        mask = next(mask for mask in masks if max(mask.counts) > IGNORE)
        raise ModelGPTError(
            f"The mask {mask.place} has the value {max(mask.counts):,}, and class indices go from 0 to {MOST_CLASSES}.",
            "Masks of 16 bits are read as indices too.",
            "Save the index of each pixel's class.",
        )
    if len(values) > MOST_COLOURS:
        raise ModelGPTError(
            f"The masks of {scenes.name} have {len(values):,} different grey values, and nothing names the classes.",
            "Blurred, resized or JPEG-compressed masks have many.",
            "Save one value a class, or put a classes.txt with a name a line beside them.",
        )
    if values == (0, 1):
        return Classes((BACKGROUND, thing), Coding(INDEX, values, (IGNORE,)))
    return Classes(tuple(f"class {value}" for value in values), Coding(INDEX, values, (IGNORE,)))


def _check_values(masks: Sequence[Values], known: set[int], kind: str, about: str) -> None:
    for mask in masks:
        odd = sorted(set(mask.counts) - known)
        if odd:
            raise ModelGPTError(
                f"The mask {mask.place} has the {'colour' if kind == COLOUR else 'value'} {shown(kind, odd[0])}, which "
                "stands for no class.",
                about,
                "Mend the mask or the list.",
            )


def _text(scenes: Scenes, place: str) -> str:
    return scenes.files.open(place).decode("utf-8-sig", errors="replace")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")


def thing_name(name: str) -> str:
    """What a folder's name calls the things in its images; "foreground" where it says nothing.

    Examples
    --------
    >>> thing_name("cells.zip"), thing_name("train")
    ('cells', 'foreground')
    """
    stem = re.sub(r"[_\W]+", " ", name.removesuffix(".zip")).strip()
    vague = ("train", "training", "test", "data", "dataset", "images", "masks", "tmp", BACKGROUND, "")
    return "foreground" if stem.lower() in vague or not re.search(r"[^\W\d]", stem) else stem
