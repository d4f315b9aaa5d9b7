"""Images that a table names without saying where they are: ``id,breed`` in a table beside or above ``train/``.

Behind `path_column`, which looks here for cells that are no paths as they stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

from modelgpt_cli.data.folder_names import TEST_NAMES, VALIDATION_NAMES
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.layout import is_folder, is_hidden
from modelgpt_cli.domains.image.source import Files, FolderImages, ZipImages, image_places

_DEPTH = 2
"""Images lie in the table's folder, in one below it (train/), or one further (images/train/)."""
_MOST_FOLDERS, _MOST_FILES = 200, 500_000
"""A table may lie in anyone's home: so much is looked at, and no more."""
_PEEK = 8
_SHARE = 0.9
"""So many of a column's cells are names of images, if they have no suffix that says so: some may be missing."""
_FEW_SHARE, _FEW_COLUMNS = 0.2, 3
"""Where the table has few other columns, so many are enough: a part of the images may have been copied."""
_LEAST = 2
_DISTINCT = 0.9
_LONGEST = 200


@dataclass(frozen=True)
class NamedImages:
    """Images by a table's cells.

    Attributes
    ----------
    files : Files
        What lies in and below the table's folder.
    places : mapping of str to str
        Name of a file, or what stands before its suffix → its place; "" where two images are called so.
    folders : tuple of str
        Where they lie, each with a slash at its end, or "".
    """

    files: Files
    places: Mapping[str, str]
    folders: tuple[str, ...]

    def open(self, place: str) -> bytes:
        """The bytes of an image's file; raises `ImageError`."""
        found = self.find(place)
        if found == "":
            raise ImageError("several images are called so" if place else "no path")
        return self.files.open(place if found is None else found)

    def find(self, cell: str) -> str | None:
        """Return the place that a cell means; "" where there are several, None where none is known."""
        return next((self.places[name] for name in _tails(cell) if name in self.places), None)

    def unnamed(self, cells: Iterable[str]) -> int:
        """Return how many images in the folders none of the cells names."""
        return len({place for place in self.places.values() if place} - {self.find(cell) for cell in cells})

    def where(self) -> str:
        """Return the folders as a message names them."""
        return " and ".join(folder or "its folder" for folder in self.folders)


@dataclass(frozen=True)
class Naming:
    """A column that names images.

    Attributes
    ----------
    hits : int
        How many of the cells that were looked up name one.
    twice : int
        How many of them name several.
    """

    column: str
    images: NamedImages
    hits: int
    twice: int


@dataclass(frozen=True)
class _Folder:
    """A folder of images, as one column sees it."""

    place: str
    names: Mapping[str, str]
    rank: tuple[bool, bool]
    hits: int


def find_naming(
    cells: Mapping[str, Sequence[str]],
    files: Files,
    stem: str,
    *,
    only: str | None = None,
    prefer: str = "",
    others: int = 1,
) -> Naming | None:
    """Find the column whose cells name images in or below a table's folder.

    Parameters
    ----------
    cells : mapping of str to sequence of str
        Column → its first cells, as places.
    files : Files
        What lies in and below the folder.
    stem : str
        The table's name without endings: train.csv means the images in train/ where test/ has images of the same names.
    only : str, optional
        The one folder that is looked into, with a slash at its end; all by default.
    prefer : str
        The folder that is meant where another one has images of the same names.
    others : int
        How many columns the table has beside the one that may name images.

    Returns
    -------
    Naming or None
        None where there is none, or where it isn't sure.
    """
    usable = {column: names for column, some in cells.items() if (names := names_of_files(some))}
    found: dict[str, list[_Folder]] = {column: [] for column in usable}
    for folder, inside in _folders(files, only) if usable else ():
        known = _by_name(folder, inside)
        for column, some in usable.items():
            if hits := sum(any(name in known for name in _tails(cell)) for cell in some):
                found[column].append(_Folder(folder, known, _rank(folder, stem), hits))
    best: Naming | None = None
    for column, some in usable.items():
        naming = _merged(column, found[column], some, files, prefer)
        if naming.hits >= max(_LEAST, _enough(some, others) * len(some)) and (best is None or naming.hits > best.hits):
            best = naming
    return best


def _merged(column: str, folders: Sequence[_Folder], cells: Sequence[str], files: Files, prefer: str) -> Naming:
    """The images of all folders that add some to those before: of the same rank, a name that two have means neither."""
    images, hits = NamedImages(files, {}, ()), 0
    ordered = sorted(folders, key=lambda folder: (folder.rank, folder.place != prefer, -folder.hits))
    for rank, group in groupby(ordered, key=lambda folder: folder.rank):
        del rank
        places: dict[str, str] = {}
        taken: list[str] = []
        for folder in group:
            twice = set() if prefer in taken else places.keys() & folder.names.keys()
            places = {**folder.names, **places, **dict.fromkeys(twice, "")}
            taken.append(folder.place)
        more = NamedImages(files, {**places, **images.places}, (*images.folders, *taken))
        now = sum(more.find(cell) is not None for cell in cells)
        if now > hits:
            images, hits = more, now
    return Naming(column, images, hits, sum(images.find(cell) == "" for cell in cells))


def _enough(cells: Sequence[str], others: int) -> float:
    """Which share of a column's cells have to be names of images: numbers may be those of other things."""
    if any(map(is_image_name, cells)):
        return _FEW_SHARE
    return _SHARE if others > _FEW_COLUMNS or all(cell.isdigit() for cell in cells) else _FEW_SHARE


def names_of_files(cells: Sequence[str]) -> list[str]:
    """Return those cells of a column that may be names of files; nothing where it is no such column."""
    present = [cell for cell in cells if cell]
    if len(present) < _LEAST or any(len(cell) > _LONGEST or "\n" in cell or "://" in cell for cell in present):
        return []
    return present if len(set(present)) >= _DISTINCT * len(present) or all(map(is_image_name, present)) else []


def _by_name(folder: str, names: Sequence[str]) -> dict[str, str]:
    """Return the places of a folder's images, by name, with the folder's before it, and by what precedes the suffix."""
    found = {name: folder + name for name in names}
    stems: dict[str, str] = {}
    for name in names:
        stem = name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix else name
        stems[stem] = "" if stem in stems else folder + name
    found = stems | found
    last = folder[:-1].rsplit("/", 1)[-1]
    found |= {f"{last}/{name}": place for name, place in found.items()} if last else {}
    return {name.lower(): place for name, place in found.items()} | found  # tables of other systems say .jpg for .JPG


def _tails(cell: str) -> tuple[str, ...]:
    """Return what of a cell may name a file: all, folder and name, or the name alone, in any case."""
    parts = cell.rsplit("/", 2)
    tails = (cell, "/".join(parts[-2:]), parts[-1]) if len(parts) > 1 else (cell,)
    return (*tails, *(tail.lower() for tail in tails))


def _rank(folder: str, stem: str) -> tuple[bool, bool]:
    """Return what orders folders: those called like the table, then those of no test part."""
    name = _first_word(folder.rstrip("/").rsplit("/", 1)[-1])
    return name != _first_word(stem), name in (*TEST_NAMES, *VALIDATION_NAMES)


def _first_word(name: str) -> str:
    return next(iter(re.findall(r"[^\W\d_]+", name.lower())), "")


def _folders(files: Files, only: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders that hold images, with a slash at the end, and the names of these."""
    seen = 0
    for folder, names in _listed(files) if only is None else [(only, _names_in(files, only))]:
        seen += len(names)
        images = [name for name in names if is_image_name(name)]
        if not images:
            peeked = image_places([folder + name for name in names[:_PEEK]], files)
            images = image_places([folder + name for name in names], files) if peeked else []
            images = [place[len(folder) :] for place in images]
        if images:
            yield folder, images
        if seen > _MOST_FILES:
            return


def _listed(files: Files) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with the names of their files, the outer ones first."""
    if isinstance(files, ZipImages):
        yield from files.folders()
        return
    assert isinstance(files, FolderImages)
    waiting = [""]
    for done, folder in enumerate(waiting):
        names: list[str] = []
        try:
            entries = sorted(os.scandir(files.root / folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if not is_folder(entry):
                names.append(entry.name)
            elif folder.count("/") < _DEPTH:
                waiting.append(f"{folder}{entry.name}/")
        yield folder, names
        if done >= _MOST_FOLDERS:
            return


def _names_in(files: Files, folder: str) -> list[str]:
    return next((names for found, names in _listed(files) if found == folder), [])
