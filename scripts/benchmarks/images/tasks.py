"""Sets of images for the benchmark: those that meta-training never sees, domains, and Office-31's own tree.

Each set, and each of its domains, is split as meta-training splits it (`domains.image.tasks.split_rows`: 60 % of each
class to learn from, 40 % to be judged by, seeded by the set's name), so that a generator that learns from a set's other
domains and this benchmark agree on which images are for judging.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.tasks import ImageSet, held_out, read_set, set_cards, set_of, split_set
from modelgpt_cli.domains.shared.tasks import Part

HOLDOUT = 0.25
"""Share of the sets that meta-training keeps out by hash."""
DOMAIN_SETS = ("pacs", "objects15")
"""The sets of the shared data whose images come from several domains."""
OFFICE31 = "office31"
OFFICE31_CARD: dict[str, Any] = {
    "title": "Office-31: things found in offices",
    "description": "Say which of 31 things that are found in an office is shown.",
    "domains": {
        "amazon": {"description": "product images from an online shop, each on a plain background"},
        "dslr": {"description": "sharp high-resolution images taken in offices with a reflex camera"},
        "webcam": {"description": "low-resolution webcam images with noise and lighting artefacts"},
    },
}


def read_office31(folder: Path, view: View) -> list[ImageSet]:
    """Read Office-31 as published: ``<domain>/images/<class>/frame_0001.jpg``, also without the folders ``images``.

    Raises
    ------
    SystemExit
        The three domains are not there.
    """
    try:
        dataset = load_dataset(folder, domain="image")
    except ModelGPTError as error:
        raise SystemExit(f"Office-31 can't be read: {error}") from error
    domains = set(dataset.sample["domain"]) if "domain" in dataset.sample else set()
    if domains != set(OFFICE31_CARD["domains"]):
        shown = ", ".join(sorted(domains)) or "none"
        wanted = ", ".join(OFFICE31_CARD["domains"])
        raise SystemExit(f"{folder} is not Office-31: its domains are {wanted}; here: {shown}.")
    return split_set(OFFICE31, OFFICE31_CARD, dataset, view)


class Sets:
    """The sets that are there, read on demand.

    Parameters
    ----------
    folder : Path
        Sets with cards.
    view : View
        How the backbone sees an image.
    office31 : Path, optional
        Office-31's tree.
    """

    def __init__(self, folder: Path, view: View, office31: Path | None = None) -> None:
        self.folder, self.view, self.office31 = folder, view, office31
        self.read = lru_cache(maxsize=None)(self._read)

    def names(self, part: str) -> list[str]:
        """Return the sets of a part.

        Raises
        ------
        SystemExit
            Where there are none.
        """
        try:
            there = [path.stem for path in set_cards(self.folder)]
        except ModelGPTError:
            there = []
        if part == "domains":
            found = [name for name in DOMAIN_SETS if name in there] + ([OFFICE31] if self.office31 else [])
        else:
            found = [name for name in there if held_out(name, HOLDOUT)]
        if not found:
            raise SystemExit(
                f"No sets for {part} in {self.folder}. "
                "Set MODELGPT_DATA to the folder that holds image/, or give --data."
            )
        return found

    def _read(self, name: str) -> dict[str, ImageSet]:
        if name == OFFICE31:
            assert self.office31 is not None
            found = read_office31(self.office31, self.view)
        else:
            found = read_set(self.folder / f"{name}.yaml", self.view)
        return {one.name: one for one in found}

    def tasks(self, part: str, wanted: list[str] | None = None) -> list[str]:
        """Return the tasks of a part, ``<set>`` or ``<set>/<domain>``; or those that are wanted, by set or by task.

        Raises
        ------
        SystemExit
            One that is wanted is not there.
        """
        sets = self.names(part)
        if wanted is not None:
            if absent := {set_of(name) for name in wanted} - set(sets):
                raise SystemExit(f"No such set: {', '.join(sorted(absent))}. There are: {', '.join(sets)}.")
            sets = [name for name in sets if name in {set_of(w) for w in wanted}]
        found = [task for name in sets for task in self.read(name)]
        if wanted is None:
            return found
        if absent := {w for w in wanted if w not in sets and w not in found}:
            raise SystemExit(f"No such task: {', '.join(sorted(absent))}. There are: {', '.join(found)}.")
        return [task for task in found if task in wanted or set_of(task) in wanted]

    def task(self, name: str) -> ImageSet:
        """Return a task, read with all of its set."""
        return self.read(set_of(name))[name]

    def others(self, name: str) -> list[ImageSet]:
        """Return the other domains of its set."""
        return [one for other, one in self.read(set_of(name)).items() if other != name]


def domain_of(name: str) -> str:
    """Return the domain of a task; "" where its set has none."""
    return name.partition("/")[2]


def few(task: ImageSet, per_class: int) -> ImageSet:
    """Return a task with a few images of each class alone."""
    parts = {}
    for name, part in task.parts.items():
        rows = np.concatenate([np.flatnonzero(part.y == k)[:per_class] for k in range(len(task.classes))])
        parts[name] = Part(part.rows.take(rows), part.y[rows])
    return replace(task, parts=parts)


def silence() -> None:
    """Leave out the messages of builds and readers."""
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
