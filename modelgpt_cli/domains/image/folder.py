"""A folder or zip archive of images as frames of raw cells. First step of the way, beside `text_folder`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from modelgpt_cli.data.folder_names import ABOUT
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.label_names import find_labels, label_of
from modelgpt_cli.domains.image.layout import (
    Placed,
    arrange,
    is_hidden,
    printable,
)
from modelgpt_cli.domains.image.listing import Listing
from modelgpt_cli.domains.image.source import ZipImages, check_images
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip, zip_members

log = logging.getLogger("modelgpt")

IMAGE, LABEL, DOMAIN = "image", "label", "domain"
"""The columns of such a folder."""
_MOST_ABOUT = 1_000_000
_SHOWN = 3
_STRAYS = 0.2
"""So large a share of names that say no class is in the way; more is another order."""


class ImageFolder:
    """The images of a folder or archive: their places, and as label and domain the names of their folders.

    Hidden files are passed over, files of other kinds with a word.

    Parameters
    ----------
    files : Listing
        Its files.
    name : str
        What messages call it.
    """

    def __init__(self, files: Listing, name: str) -> None:
        self.images = files.source
        self._placed = arrange(files.images, name)
        labelled, in_domains = (any(getattr(p, key) for p in self._placed) for key in (LABEL, DOMAIN))
        self.columns = [IMAGE, *([LABEL] if labelled else []), *([DOMAIN] if in_domains else [])]
        self._tell_others(files.places, name)

    def _tell_others(self, places: Sequence[str], name: str) -> None:
        """Say which files are no images of a class, and which folders beside the classes hold none at all."""
        taken = {image.place for image in self._placed}
        others = [p for p in places if p not in taken and not p.rsplit("/", 1)[-1].lower().startswith(ABOUT)]
        if not others:
            return
        more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
        log.info("%s: passed over %s%s: no image of a class.", name, printable(", ".join(others[:_SHOWN])), more)
        folders = {place.rpartition("/")[0] for place in taken}
        depths = {folder.count("/") for folder in folders if folder}
        empty = Counter(folder for place in others if (folder := place.rpartition("/")[0]) and folder not in folders)
        beside = [
            f"{folder} ({n:,} file{'s' if n > 1 else ''})" for folder, n in empty.items() if folder.count("/") in depths
        ]
        if beside and LABEL in self.columns:
            more = f" and {len(beside) - _SHOWN:,} more" if len(beside) > _SHOWN else ""
            shown = printable(", ".join(beside[:_SHOWN]))
            log.warning("%s: no class, as no file in it is an image: %s%s.", name, shown, more)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The images by place, in frames of at most `rows` rows."""
        for start in range(0, len(self._placed), rows):
            part = self._placed[start : start + rows]
            yield pd.DataFrame({name: pd.Series([_cell(p, name) for p in part], dtype=object) for name in columns})

    def why_unlabelled(self) -> str:
        """Return why there are no classes: no folders, and names that are none, some of which may be in the way."""
        names = [image.place.rsplit("/", 1)[-1] for image in self._placed]
        odd = [name for name in names if not label_of(name)]
        if odd and len(odd) <= _STRAYS * len(names) and find_labels([name for name in names if label_of(name)]):
            shown = printable(", ".join(odd[:_SHOWN]))
            return f"All names would say classes (label and number), but for {len(odd):,} of {len(names):,}: {shown}."
        return "Neither folders nor the files' names (cat.1.jpg, dog.1.jpg) say any, and no table beside them."

    def fingerprint(self) -> str:
        """The SHA-256 over the images' places and bytes as "sha256:<64 hex digits>"."""
        return check_images(self.images, [image.place for image in self._placed]).fingerprint


def _cell(image: Placed, column: str) -> str:
    return image.place if column == IMAGE else str(getattr(image, column))


def has_image_classes(folder: Path) -> bool:
    """Whether at least two sub-folders of a folder have images in them, or the names of its own images say classes."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    if sum(any(is_image_name(path.name) for path in sub.iterdir()) for sub in inside) > 1:
        return True
    return bool(find_labels([path.name for path in folder.iterdir() if is_image_name(path.name)]))


def about_zip(path: Path) -> str:
    """The text of README* or description.txt in an archive, in its top folder or the one around all, else ""."""
    inside = split_zip(path)
    assert inside is not None
    with open_zip(inside[0]) as opened:
        members = zip_members(opened, inside[0].name)
        top = min((place.count("/") for place in members), default=0)
        for place, member in sorted(members.items()):
            about = place.rsplit("/", 1)[-1].lower().startswith(ABOUT) and place.count("/") == top
            if about and member.file_size < _MOST_ABOUT:
                return ZipImages(opened, members).open(place).decode("utf-8", errors="replace").strip()
    return ""
