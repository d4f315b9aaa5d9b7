"""Where the images lie: a folder, a zip archive, or wherever a table says. Between `image_folder` and `images`,
and below `runtime.image_rows`.

An image is known by its *place*: its path inside the source, with slashes.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.decode import MOST_BYTES, ImageError, decode_image, image_size
from modelgpt_cli.domains.image.layout import printable

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.data.dataset import Dataset

_SHOWN = 5
_BOMB_BYTES = 32 << 20
_BOMB_RATIO = 200
"""What is long and unpacks to so many times its size is there to keep a machine busy."""


class ImageSource(Protocol):
    """What holds the images."""

    def open(self, place: str) -> bytes:
        """The bytes of an image's file.

        Raises
        ------
        ImageError
            There is no such file, or it can't be read.
        """


class FolderImages:
    """Images in a folder, or at paths relative to it.

    Parameters
    ----------
    root : Path
        The folder of the classes, or the one that a table with paths lies in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, place: str) -> bytes:
        """The bytes of an image's file; raises `ImageError`."""
        if not place:
            raise ImageError("no path")
        path = self.root / place
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # reading a pipe would never end
                raise ImageError("no ordinary file")
            if found.st_size > MOST_BYTES:
                raise ImageError(_too_long(found.st_size))
            return path.read_bytes()
        except FileNotFoundError:
            raise ImageError("no such file") from None
        except (OSError, ValueError) as error:  # a name with a zero byte in it
            raise ImageError(getattr(error, "strerror", "") or "no name of a file") from error


class ZipImages:
    """Images in a zip archive, read where they lie.

    Parameters
    ----------
    archive : ZipFile
        Open for reading.
    members : mapping
        The archive's members by place.
    """

    def __init__(self, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> None:
        self._archive = archive
        self._members = members

    def open(self, place: str) -> bytes:
        """The bytes of an image's file; raises `ImageError`."""
        member = self._members.get(place)
        if member is None:
            raise ImageError("no such file")
        if member.file_size > MOST_BYTES:
            raise ImageError(_too_long(member.file_size))
        if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
            raise ImageError(f"{member.compress_size:,} bytes that unpack to {member.file_size:,}: no image does so")
        try:
            return self._archive.read(member)
        except RuntimeError as error:
            raise ImageError("encrypted") from error
        except NotImplementedError as error:
            raise ImageError("packed in an unknown way") from error
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ImageError("damaged in the archive") from error


def _too_long(size: int) -> str:
    return f"{size:,} bytes, more than the {MOST_BYTES:,} allowed"


def check_images(source: ImageSource, places: Sequence[str], fingerprint: str = "") -> tuple[str, dict[str, str]]:
    """Look at the header of every image, and take the fingerprint of all on the way: each file is read once.

    Parameters
    ----------
    fingerprint : str
        Of the table that names them, to be part of it.

    Returns
    -------
    tuple
        "sha256:" and 64 hex digits, over places, sizes and bytes; and the images that can't be read, with the reason.
    """
    digest = hashlib.sha256(fingerprint.encode())
    reasons: dict[str, str] = {}
    with progress("check images", len(places), "images") as advance:
        for place in places:
            advance(1)
            try:
                content = source.open(place)
                digest.update(f"{place}\0{len(content)}\0".encode(errors="replace"))
                digest.update(content)
                image_size(content)
            except ImageError as error:
                reasons[place] = error.reason
    return f"sha256:{digest.hexdigest()}", reasons


def source_of(dataset: Dataset) -> ImageSource:
    """Return what opens the images of a dataset."""
    return cast(ImageSource, dataset.source)


def read_images(
    dataset: Dataset, places: Iterable[str], *, least: int = 0
) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """Decode images of a dataset, one after the other.

    Parameters
    ----------
    dataset : Dataset
        One of the image domain.
    places : iterable of str
        As its sample has them.
    least : int
        As in `decode_image`: how small large JPEGs may be decoded.

    Yields
    ------
    tuple
        The place, and uint8 [H, W, 3], or the `ImageError` that says why there is none. `without_unreadable` takes
        the rows of these out.
    """
    source = source_of(dataset)
    for place in places:
        try:
            yield place, decode_image(source.open(place), least=least)
        except ImageError as error:
            yield place, error


def without_unreadable(
    frame: pd.DataFrame, column: str, labels: pd.Series, reasons: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose image can be read, and the words about the others.

    Parameters
    ----------
    frame : DataFrame
        Its column `column` holds places.
    labels : Series
        The class of each row.
    reasons : mapping
        The images that can't be read, with the reason.

    Raises
    ------
    ModelGPTError
        A class has no image left.
    """
    bad = frame[column].isin(list(reasons))
    if not bad.any():
        return frame, []
    shown = shown_reasons(frame.loc[bad, column], reasons)
    lost = sorted(set(labels.dropna()) - set(labels[~bad].dropna()), key=str)
    if lost:
        names = ", ".join(repr(name) for name in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise ModelGPTError(
            f"No image of the class{'es' if len(lost) > 1 else ''} {names}{more} can be read.",
            f"In all, {bad.sum():,} of {len(frame):,} can't: {shown}.",
            "Mend or replace these files, or take the class out of the data.",
        )
    warning = f"Skipped {bad.sum():,} of {len(frame):,} images, which can't be read: {shown}."
    return frame[~bad].reset_index(drop=True), [warning]


def shown_reasons(places: Collection[str], reasons: Mapping[str, str]) -> str:
    """The first images that can't be read, each with its reason, and how many more there are."""
    shown = "; ".join(f"{printable(place) or 'a row'} ({reasons[place]})" for place in list(places)[:_SHOWN])
    return shown + (f"; and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else "")
