"""Where the images lie: a folder, a zip archive, or wherever a table says. Between `image_folder` and `images`,
and below `runtime.image_rows`.

An image is known by its *place*: its path inside the source, with slashes.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.decode import MOST_BYTES, ImageError, decode_image, image_size
from modelgpt_cli.domains.image.formats import HEAD, advice, images_among
from modelgpt_cli.domains.image.layout import printable

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.data.dataset import Dataset

_SHOWN = 5
_CLASSES_SHOWN = 10
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


class Files(ImageSource, Protocol):
    """Files of any kind, images among them."""

    def head(self, place: str) -> bytes:
        """Return a file's first `HEAD` bytes; b"" where it can't be read."""

    def below(self, folder: str) -> Files:
        """Return what opens the files of a folder, which ends in a slash, by their places in it."""


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

    def head(self, place: str) -> bytes:
        """Return a file's first bytes."""
        path = self.root / place
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return b""
            with path.open("rb") as file:
                return file.read(HEAD)
        except (OSError, ValueError):
            return b""

    def below(self, folder: str) -> FolderImages:
        """Return what opens the files of a folder in it."""
        return FolderImages(self.root / folder)


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

    def head(self, place: str) -> bytes:
        """Return a file's first bytes."""
        try:
            with self._archive.open(self._members[place]) as file:
                return file.read(HEAD)
        except (KeyError, RuntimeError, OSError, zipfile.BadZipFile, zlib.error, EOFError):
            return b""

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        """Yield folders, each with a slash at its end or "", and the names of their files."""
        names: dict[str, list[str]] = {}
        for place in sorted(self._members, key=lambda place: (place.count("/"), place)):
            folder, slash, name = place.rpartition("/")
            names.setdefault(folder + slash, []).append(name)
        yield from names.items()

    def below(self, folder: str) -> ZipImages:
        """Return what opens the files of a folder in it."""
        start = len(folder)
        return ZipImages(self._archive, {p[start:]: m for p, m in self._members.items() if p.startswith(folder)})


def image_places(places: Sequence[str], source: Files) -> list[str]:
    """Return the places among some that are images, by their names or else by what the files hold."""

    def opens(place: str) -> bool:
        try:
            return bool(image_size(source.open(place)))
        except ImageError:
            return False

    return images_among(places, source.head, opens)


def _too_long(size: int) -> str:
    return f"{size:,} bytes, more than the {MOST_BYTES:,} allowed"


@dataclass(frozen=True)
class Checked:
    """What reading each file once has shown.

    Attributes
    ----------
    fingerprint : str
        "sha256:" and 64 hex digits, over places, sizes and bytes.
    reasons : dict of str to str
        The images that can't be read, with the reason.
    digests : dict of str to bytes
        Of the others, a digest of the file: equal files have equal ones.
    """

    fingerprint: str
    reasons: dict[str, str]
    digests: dict[str, bytes]


def check_images(source: ImageSource, places: Sequence[str], fingerprint: str = "") -> Checked:
    """Look at the header of every image, and take the fingerprint of all on the way: each file is read once.

    Parameters
    ----------
    fingerprint : str
        Of the table that names them, to be part of it.
    """
    digest = hashlib.sha256(fingerprint.encode())
    reasons: dict[str, str] = {}
    digests: dict[str, bytes] = {}
    with progress("check images", len(places), "images") as advance:
        for place in places:
            advance(1)
            try:
                content = source.open(place)
                digest.update(f"{place}\0{len(content)}\0".encode(errors="replace"))
                digest.update(content)
                image_size(content)
                digests[place] = hashlib.blake2b(content, digest_size=16).digest()
            except ImageError as error:
                reasons[place] = error.reason
    return Checked(f"sha256:{digest.hexdigest()}", reasons, digests)


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
    frame: pd.DataFrame, column: str, labels: pd.Series, reasons: Mapping[str, str], multi_label: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose image can be read, and the words about the others, how many of each class among them.

    Parameters
    ----------
    frame : DataFrame
        Its column `column` holds places.
    labels : Series
        The class of each row, or a JSON list of them where it is `multi_label`.
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
    unread = Unread.of(
        labels.tolist(),
        [place if is_bad else None for place, is_bad in zip(frame[column], bad, strict=True)],
        multi_label,
    )
    unread.check_classes(reasons)
    return frame[~bad].reset_index(drop=True), [f"Skipped {unread.describe(reasons)}"]


@dataclass(frozen=True)
class Unread:
    """Which images of some can't be read.

    Attributes
    ----------
    total : int
        How many images there are.
    places : sequence of str
        Those that can't be read.
    per_class : mapping of str to (int, int)
        Class → how many of its images can't be read, and how many it has; classes that lose none are left out.
    """

    total: int
    places: Sequence[str]
    per_class: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, labels: Sequence[str | None], places: Sequence[str | None], multi_label: bool = False) -> Unread:
        """Count images by class, or by each of theirs; `places` has None for those that can be read."""
        classes = [_classes(label, multi_label) for label in labels]
        all_of = Counter(label for own in classes for label in own)
        lost = Counter(label for own, place in zip(classes, places, strict=True) if place is not None for label in own)
        bad = [place for place in places if place is not None]
        return cls(len(labels), bad, {label: (lost[label], all_of[label]) for label in sorted(lost, key=str)})

    def check_classes(self, reasons: Mapping[str, str]) -> None:
        """Make sure that each class keeps an image.

        Raises
        ------
        ModelGPTError
            One doesn't.
        """
        lost = [label for label, (bad, n) in self.per_class.items() if bad == n]
        if not lost:
            return
        names = ", ".join(repr(name) for name in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise ModelGPTError(
            f"No image of the class{'es' if len(lost) > 1 else ''} {names}{more} can be read.",
            f"In all, {len(self.places):,} of {self.total:,} can't: {shown_reasons(self.places, reasons)}.",
            advice(reasons[place] for place in self.places)
            or "Mend or replace these files, or take the class out of the data.",
        )

    def describe(self, reasons: Mapping[str, str], consequence: str = "") -> str:
        """Return the words about them: how many of each class, the first by name with reasons, and what helps.

        Parameters
        ----------
        consequence : str
            What becomes of them, as in "are left out"; else the words follow "Skipped".
        """
        counts = [f"{label}: {bad:,} of {n:,}" for label, (bad, n) in self.per_class.items()]
        more = f", and {len(counts) - _CLASSES_SHOWN:,} classes more" if len(counts) > _CLASSES_SHOWN else ""
        of = f" ({', '.join(counts[:_CLASSES_SHOWN])}{more})" if counts else ""
        what = f" can't be read and {consequence}" if consequence else ", which can't be read"
        told = f"{len(self.places):,} of {self.total:,} images{what}{of}: {shown_reasons(self.places, reasons)}."
        return " ".join(filter(None, (told, advice(reasons[place] for place in self.places))))


def _classes(label: str | None, multi_label: bool) -> tuple[str, ...]:
    """The classes of one image."""
    if label is None or not multi_label:
        return () if label is None else (label,)
    from modelgpt_cli.data.label_cells import parse_labels  # loads pandas, which images at work do without

    return parse_labels(label)


def shown_reasons(places: Collection[str], reasons: Mapping[str, str]) -> str:
    """The first images that can't be read, each with its reason, and how many more there are."""
    shown = "; ".join(f"{printable(place) or 'a row'} ({reasons[place]})" for place in list(places)[:_SHOWN])
    return shown + (f"; and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else "")
