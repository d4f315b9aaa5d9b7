"""Pictures from files, folders, globs, zips or tables of paths, decoded ahead of the graph.

Between the user's files and `runtime.session`.
Shapes: N pictures, H, W pixels.
"""

from __future__ import annotations

import glob
import logging
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from modelgpt_cli.data.pictures import MOST_BYTES, PICTURE_SUFFIXES, PictureError, decode_picture
from modelgpt_cli.errors import ModelGPTError, UsageError

logger = logging.getLogger("modelgpt")
TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".xlsx"})
PATH_NAMES = ("image", "path", "file", "filename", "image_path", "file_name", "filepath", "picture", "img")
"""What the column of paths is called in a table, in the order in which they are looked for."""
_LABEL_NAMES = ("label", "class", "target")
_AHEAD = 6
_THREADS = 2
_MOST_TOGETHER = 32
_BYTES_TOGETHER = 64 << 20
_SHOWN = 3


@dataclass(frozen=True)
class PictureFile:
    """A picture that is to be read.

    Attributes
    ----------
    name : str
        As the user would find it: a path, or of a zip the path inside.
    label : str or None
        The name of the folder that it lies in; of a table, its cell.
    read : callable
        Gives the file's bytes.
    """

    name: str
    label: str | None
    read: Callable[[], bytes]


@dataclass
class Decoded:
    """Some pictures in the order of their files: uint8 (H, W, 3) each, or why there is none."""

    files: list[PictureFile]
    pictures: list[np.ndarray | PictureError]


def find_pictures(sources: Sequence[str | Path], *, target: str | None = None) -> list[PictureFile]:
    """The pictures of some files, folders, globs, zips and tables, in their order.

    Parameters
    ----------
    target : str, optional
        Of a table, the column of labels; ``label``, ``class`` or ``target`` by default.

    Raises
    ------
    UsageError
        There is no such file, or no picture at all.
    """
    found: list[PictureFile] = []
    for source in sources:
        text = os.fspath(source)
        path = Path(text).expanduser()
        if not path.exists() and glob.has_magic(text):
            matches = sorted(glob.glob(os.path.expanduser(text), recursive=True))
            if not matches:
                raise UsageError(f"No file is named like {text}.", hint="Name pictures, or a folder of them.")
            for match in matches:
                found += _of(Path(match), target)
        else:
            found += _of(path, target)
    if not found:
        raise UsageError(
            f"There are no pictures in {', '.join(map(str, sources))}.",
            f"Pictures are files that end in {', '.join(sorted(PICTURE_SUFFIXES))}.",
            "Name the files themselves if they are called otherwise.",
        )
    return found


def decoded(files: Sequence[PictureFile], *, least: int = 0) -> Iterator[Decoded]:
    """Read pictures some ahead in threads of their own, and hand them on in portions that fit into memory."""
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        waiting: deque[Future[np.ndarray | PictureError]] = deque()
        upcoming = iter(files)
        portion, size = Decoded([], []), 0
        for file in files:
            while len(waiting) < _AHEAD and (following := next(upcoming, None)) is not None:
                waiting.append(pool.submit(_decode, following, least))
            picture = waiting.popleft().result()
            portion.files.append(file)
            portion.pictures.append(picture)
            size += 0 if isinstance(picture, PictureError) else picture.nbytes
            if len(portion.files) == _MOST_TOGETHER or size > _BYTES_TOGETHER:
                yield portion
                portion, size = Decoded([], []), 0
        if portion.files:
            yield portion


def by_size(pictures: Sequence[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Pictures of one size together: their places, and uint8 (N, H, W, 3)."""
    places: dict[tuple[int, ...], list[int]] = {}
    for i, picture in enumerate(pictures):
        places.setdefault(picture.shape, []).append(i)
    for rows in places.values():
        yield rows, np.stack([pictures[i] for i in rows])


def report_unreadable(broken: Sequence[tuple[str, str]], total: int, consequence: str) -> None:
    """Warn of pictures that could not be read: names with reasons.

    Raises
    ------
    ModelGPTError
        None could be.
    """
    if not broken:
        return
    shown = "; ".join(f"{name}: {reason}" for name, reason in broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    if len(broken) == total:
        problem = "The picture can't be read." if total == 1 else f"None of the {total:,} pictures can be read."
        raise ModelGPTError(problem, shown + more, "Check the files.")
    logger.warning("%d of %s pictures can't be read and %s: %s%s.", len(broken), f"{total:,}", consequence, shown, more)


def _decode(file: PictureFile, least: int) -> np.ndarray | PictureError:
    """One picture; an unreadable one must not stop the others."""
    try:
        return decode_picture(file.read(), least=least)
    except PictureError as error:
        return error
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        return PictureError(getattr(error, "strerror", None) or str(error))


def _of(path: Path, target: str | None) -> list[PictureFile]:
    """The pictures of one file or folder."""
    if path.is_dir():
        return list(_in_folder(path))
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.", hint="Name pictures, or a folder of them.")
    if path.suffix.lower() == ".zip":
        return _in_zip(path)
    if path.suffix.lower() in TABLES:
        return _in_table(path, target)
    return [PictureFile(str(path), path.absolute().parent.name, partial(_read, path))]


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise PictureError(f"its file is larger than {MOST_BYTES >> 20} MB")
    return path.read_bytes()


def _in_folder(folder: Path) -> Iterator[PictureFile]:
    """The pictures below a folder by their paths; hidden files and folders are passed over."""
    seen: set[str] = set()
    others = 0

    def walk(place: Path) -> Iterator[Path]:
        nonlocal others
        real = os.path.realpath(place)
        if real in seen:  # a link back
            return
        seen.add(real)
        for path in sorted(place.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                yield from walk(path)
            elif path.suffix.lower() in PICTURE_SUFFIXES:
                yield path
            else:
                others += 1

    for path in walk(folder):
        yield PictureFile(str(path), path.absolute().parent.name, partial(_read, path))
    if others:
        logger.info("%s: passed over %s %s.", folder, f"{others:,}", "files of other kinds" if others > 1 else "file")


def _in_zip(path: Path) -> list[PictureFile]:
    """The pictures in a zip, in its order."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelGPTError(f"{path} can't be read.", f"It is no zip file, or damaged: {error}.") from error
    found = []
    for info in archive.infolist():
        place = PurePosixPath(info.filename)
        hidden = any(part.startswith((".", "__MACOSX")) for part in place.parts)
        if info.is_dir() or hidden or place.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        found.append(PictureFile(info.filename, place.parent.name or None, partial(_member, archive, info)))
    return sorted(found, key=lambda file: file.name)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MOST_BYTES:
        raise PictureError(f"its file is larger than {MOST_BYTES >> 20} MB")
    return archive.read(info)


def _in_table(path: Path, target: str | None) -> list[PictureFile]:
    """The pictures that a table names, in paths of their own or relative to the table's folder."""
    from modelgpt_cli.data.readers import open_table

    table = open_table(path)
    by_name = {str(name).lower(): str(name) for name in reversed(table.columns)}
    paths = next((by_name[name] for name in PATH_NAMES if name in by_name), None)
    if paths is None:
        raise UsageError(
            f"{path} has no column of paths to pictures.",
            f"It has: {', '.join(map(str, table.columns[:20]))}.",
            "Call the column 'image' or 'path'.",
        )
    names = [target.lower()] if target else list(_LABEL_NAMES)
    label = next((by_name[name] for name in names if name in by_name and by_name[name] != paths), None)
    found = []
    for frame in table.frames(16_384, [paths, *([label] if label else [])]):
        labels = frame[label].tolist() if label else [None] * len(frame)
        for cell, true in zip(frame[paths].tolist(), labels, strict=True):
            given = "" if cell is None or cell != cell else str(cell)
            file = path.parent / Path(given).expanduser()
            found.append(PictureFile(given, None if true is None or true != true else str(true), partial(_read, file)))
    return found
