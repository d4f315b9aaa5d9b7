"""A folder or zip archive of pictures as frames of raw cells. First step of the way, beside `text_folder`."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from modelgpt_cli.data.csv_file import damaged
from modelgpt_cli.data.picture_layout import (
    Placed,
    arrange,
    find_split,
    holds_pictures,
    is_hidden,
    is_picture_name,
    list_folder,
)
from modelgpt_cli.data.picture_source import FolderPictures, PictureSource, ZipPictures, check_pictures
from modelgpt_cli.data.text_folder import ABOUT
from modelgpt_cli.errors import ModelGPTError

log = logging.getLogger("modelgpt")

IMAGE, LABEL, DOMAIN = "image", "label", "domain"
"""The columns of such a folder."""
_MOST_ABOUT = 1_000_000
_SHOWN = 3


class PictureFolder:
    """The pictures of a folder or archive: their places, and as label and domain the names of their folders.

    Hidden files are passed over, files of other kinds with a word.

    Parameters
    ----------
    places : sequence of str
        Its files.
    pictures : PictureSource
        Opens them.
    name : str
        What messages call it.
    """

    def __init__(self, places: Sequence[str], pictures: PictureSource, name: str) -> None:
        self.pictures = pictures
        self._placed = arrange(places, name)
        labelled, in_domains = (any(getattr(p, key) for p in self._placed) for key in (LABEL, DOMAIN))
        self.columns = [IMAGE, *([LABEL] if labelled else []), *([DOMAIN] if in_domains else [])]
        taken = {picture.place for picture in self._placed}
        others = [p for p in places if p not in taken and not p.rsplit("/", 1)[-1].lower().startswith(ABOUT)]
        if others:
            more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
            log.info("%s: passed over %s%s: no picture of a class.", name, ", ".join(others[:_SHOWN]), more)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The pictures by place, in frames of at most `rows` rows."""
        for start in range(0, len(self._placed), rows):
            part = self._placed[start : start + rows]
            yield pd.DataFrame({name: pd.Series([_cell(p, name) for p in part], dtype=object) for name in columns})

    def fingerprint(self) -> str:
        """The SHA-256 over the pictures' places and bytes as "sha256:<64 hex digits>"."""
        return check_pictures(self.pictures, [picture.place for picture in self._placed])[0]


def _cell(picture: Placed, column: str) -> str:
    return picture.place if column == IMAGE else str(getattr(picture, column))


def find_picture_folder(folder: Path) -> tuple[Path, Path | None] | None:
    """The folder of the pictures to learn from, and the one to test on; None where there are no pictures.

    Raises
    ------
    ModelGPTError
        It holds many texts as well.
    """
    places = list_folder(folder)
    if not holds_pictures(places, f"The folder {folder}"):
        return None
    train, test = find_split(places)
    return folder / train, None if test is None else folder / test


def open_picture_folder(folder: Path, name: str) -> PictureFolder | None:
    """The pictures of a folder; None where there are none."""
    places = list_folder(folder)
    return PictureFolder(places, FolderPictures(folder), name) if holds_pictures(places, name) else None


def has_picture_classes(folder: Path) -> bool:
    """Whether at least two sub-folders of a folder have pictures in them."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    return sum(any(is_picture_name(path.name) for path in sub.iterdir()) for sub in inside) > 1


def split_zip(path: Path) -> tuple[Path, str] | None:
    """A zip archive, and the folder inside it ("" or ending in a slash) that a path such as pets.zip/train means."""
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file() and zipfile.is_zipfile(archive):
            inside = path.relative_to(archive).as_posix()
            return archive, "" if inside == "." else f"{inside}/"
    return None


def find_picture_zip(archive: Path) -> tuple[Path, Path | None] | None:
    """As `find_picture_folder`, of an archive: paths such as pets.zip/train; None where it holds no pictures."""
    with _open_zip(archive) as opened:
        places = list(_members(opened, archive.name))
    if not holds_pictures(places, archive.name):
        return None
    train, test = find_split(places)
    return archive / train, None if test is None else archive / test


def open_picture_zip(archive: Path, inside: str, name: str) -> PictureFolder:
    """The pictures of an archive, or of a folder inside it."""
    opened = _open_zip(archive)
    members = {p[len(inside) :]: m for p, m in _members(opened, name).items() if p.startswith(inside)}
    return PictureFolder(sorted(members), ZipPictures(opened, members), name)


def about_zip(archive: Path) -> str:
    """The text of README* or description.txt in an archive, in its top folder or the one around all, else ""."""
    with _open_zip(archive) as opened:
        members = _members(opened, archive.name)
        top = min((place.count("/") for place in members), default=0)
        for place, member in sorted(members.items()):
            about = place.rsplit("/", 1)[-1].lower().startswith(ABOUT) and place.count("/") == top
            if about and member.file_size < _MOST_ABOUT:
                return ZipPictures(opened, members).open(place).decode("utf-8", errors="replace").strip()
    return ""


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise damaged(archive.name, error) from error


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive that are not hidden, by place.

    Raises
    ------
    ModelGPTError
        One has a path that leads out of the archive, so that nothing in it can be trusted.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        place = member.filename.replace("\\", "/")
        parts = PurePosixPath(place).parts
        if place.startswith("/") or ".." in parts or ":" in (parts[0] if parts else "")[1:2]:
            raise ModelGPTError(
                f"The archive {name} holds a file whose path leads out of it: {member.filename[:80]!r}.",
                "Paths in an archive of pictures are relative and have no '..' in them.",
                "Make the archive anew from the folder of the pictures.",
            )
        if not member.is_dir() and not any(map(is_hidden, parts)):
            members["/".join(parts)] = member
    return members
