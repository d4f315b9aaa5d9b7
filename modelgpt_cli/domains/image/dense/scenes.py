"""A folder or zip archive of images with masks: which there are, and what opens them. Between `layout` and `read`.

Used by the runtime too, so that a model is measured on what it would be built from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.dense.layout import MASK_ENDINGS, MASK_FOLDERS, Pairs, find_pairs
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.layout import is_hidden
from modelgpt_cli.domains.image.listing import Listing
from modelgpt_cli.domains.image.source import Files
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip

_DEEPEST = 4
"""Folders of masks are looked for so far down."""


@dataclass(frozen=True)
class Scenes:
    """Images with masks, as they lie.

    Attributes
    ----------
    name : str
        What messages call them.
    pairs : Pairs
    files : Files
        Opens images, masks and lists of classes by their places.
    places : sequence of str
        Of all files.
    """

    name: str
    pairs: Pairs
    files: Files
    places: Sequence[str]


def find_scenes(path: Path) -> Scenes | None:
    """Return the images with masks of a folder or archive, or of a folder inside one; None where it holds none.

    Raises
    ------
    ModelGPTError
        Its masks are JPEG; or the archive can't be read.
    """
    if not _may_hold(path):
        return None
    listing = Listing.of(path)
    pairs = find_pairs(listing.images) if listing is not None else None
    if listing is None or pairs is None:
        return None
    name = os.path.basename(os.path.abspath(path))
    if pairs.lossy:
        mask = next(pair.mask for pair in pairs.pairs if pair.mask)
        raise ModelGPTError(
            f"The masks of {name} are JPEG, such as {mask}.",
            "JPEG changes values, so that they no longer say which class a pixel has.",
            "Save them as PNG from where they come.",
        )
    return Scenes(name, pairs, listing.source, listing.places)


def _may_hold(path: Path) -> bool:
    """Whether a name below a path is that of a folder of masks, or of a mask beside its image."""
    inside = split_zip(path)
    if inside is not None:
        with open_zip(inside[0]) as opened:
            return any(_is_telling(name) for name in opened.namelist() if name.startswith(inside[1]))
    return path.is_dir() and any(_is_telling(name) for name in _names(path, 0))


def _names(folder: Path, depth: int, prefix: str = "") -> Iterator[str]:
    """Places of the files of a folder."""
    try:
        entries = [entry for entry in os.scandir(folder) if not is_hidden(entry.name)]
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_file():
                yield prefix + entry.name
        except OSError:  # a link to itself
            continue
    for entry in entries if depth < _DEEPEST else ():
        if entry.is_dir(follow_symlinks=False):
            yield from _names(Path(entry.path), depth + 1, f"{prefix}{entry.name}/")


def _is_telling(place: str) -> bool:
    parts = PurePosixPath(place).parts
    if not is_image_name(place):
        return False
    return any(part.lower() in MASK_FOLDERS for part in parts[:-1]) or PurePosixPath(place).stem.lower().endswith(
        MASK_ENDINGS
    )
