"""A folder or zip archive of images as frames of raw cells. First step of the way, beside `text_folder`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from modelgpt_cli.data.folder_names import ABOUT
from modelgpt_cli.domains.image.layout import (
    Placed,
    arrange,
    find_split,
    holds_images,
    is_hidden,
    is_image_name,
    list_folder,
    printable,
)
from modelgpt_cli.domains.image.source import FolderImages, ImageSource, ZipImages, check_images
from modelgpt_cli.domains.image.zip_archive import open_zip, zip_members

log = logging.getLogger("modelgpt")

IMAGE, LABEL, DOMAIN = "image", "label", "domain"
"""The columns of such a folder."""
_MOST_ABOUT = 1_000_000
_SHOWN = 3


class ImageFolder:
    """The images of a folder or archive: their places, and as label and domain the names of their folders.

    Hidden files are passed over, files of other kinds with a word.

    Parameters
    ----------
    places : sequence of str
        Its files.
    images : ImageSource
        Opens them.
    name : str
        What messages call it.
    """

    def __init__(self, places: Sequence[str], images: ImageSource, name: str) -> None:
        self.images = images
        self._placed = arrange(places, name)
        labelled, in_domains = (any(getattr(p, key) for p in self._placed) for key in (LABEL, DOMAIN))
        self.columns = [IMAGE, *([LABEL] if labelled else []), *([DOMAIN] if in_domains else [])]
        taken = {image.place for image in self._placed}
        others = [p for p in places if p not in taken and not p.rsplit("/", 1)[-1].lower().startswith(ABOUT)]
        if others:
            more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
            log.info("%s: passed over %s%s: no image of a class.", name, printable(", ".join(others[:_SHOWN])), more)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The images by place, in frames of at most `rows` rows."""
        for start in range(0, len(self._placed), rows):
            part = self._placed[start : start + rows]
            yield pd.DataFrame({name: pd.Series([_cell(p, name) for p in part], dtype=object) for name in columns})

    def fingerprint(self) -> str:
        """The SHA-256 over the images' places and bytes as "sha256:<64 hex digits>"."""
        return check_images(self.images, [image.place for image in self._placed])[0]


def _cell(image: Placed, column: str) -> str:
    return image.place if column == IMAGE else str(getattr(image, column))


def open_image_folder(folder: Path, name: str) -> ImageFolder | None:
    """The images of a folder; None where there are none."""
    places = list_folder(folder)
    return ImageFolder(places, FolderImages(folder), name) if holds_images(places, name) else None


def has_image_classes(folder: Path) -> bool:
    """Whether at least two sub-folders of a folder have images in them."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    return sum(any(is_image_name(path.name) for path in sub.iterdir()) for sub in inside) > 1


def find_image_zip(archive: Path) -> tuple[Path, Path | None] | None:
    """The part of an archive to learn from, and the one to test on: pets.zip/train; None where it holds no images.

    Raises
    ------
    ModelGPTError
        It holds many texts as well.
    """
    with open_zip(archive) as opened:
        places = list(zip_members(opened, archive.name))
    if not holds_images(places, archive.name):
        return None
    train, test = find_split(places)
    return archive / train, None if test is None else archive / test


def open_image_zip(archive: Path, inside: str, name: str) -> ImageFolder:
    """The images of an archive, or of a folder inside it."""
    opened = open_zip(archive)
    members = {p[len(inside) :]: m for p, m in zip_members(opened, name).items() if p.startswith(inside)}
    return ImageFolder(sorted(members), ZipImages(opened, members), name)


def about_zip(archive: Path) -> str:
    """The text of README* or description.txt in an archive, in its top folder or the one around all, else ""."""
    with open_zip(archive) as opened:
        members = zip_members(opened, archive.name)
        top = min((place.count("/") for place in members), default=0)
        for place, member in sorted(members.items()):
            about = place.rsplit("/", 1)[-1].lower().startswith(ABOUT) and place.count("/") == top
            if about and member.file_size < _MOST_ABOUT:
                return ZipImages(opened, members).open(place).decode("utf-8", errors="replace").strip()
    return ""
