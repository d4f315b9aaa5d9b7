"""The column of a table that names images, and what opens them. Between `named` and `dataset`, and below `files`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.domain import role_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.folder_names import TRAIN_NAMES
from modelgpt_cli.data.readers import Table, no_such_column, stem_of
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains import image
from modelgpt_cli.domains.image.folder import IMAGE, ImageFolder, has_image_classes
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.layout import printable
from modelgpt_cli.domains.image.named import Naming, find_naming, names_of_files
from modelgpt_cli.domains.image.source import Files, FolderImages, ImageSource, ZipImages, image_places
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip, zip_members

log = logging.getLogger("modelgpt")

_PROBE, _NAMES, _LOOKED = 200, 20_000, 20
_PATH_SHARE = 0.9
"""So many of a column's cells have to end like an image's name: some rows may lack theirs."""


@dataclass(frozen=True)
class Images:
    """The images of a table: which column names them, and what opens them."""

    column: str
    source: ImageSource


def find_images(source: Source) -> Images | None:
    """Return where the images of a source are; None where it has none.

    Raises
    ------
    ModelGPTError, UsageError
        Images were asked for where there are none, a table where there are images, or it is not clear.
    """
    table, columns, asked = source.table, source.columns or (), source.domain == image.DOMAIN.name
    if isinstance(table.cells, ImageFolder):
        others = [column for column in columns if column.role != IMAGE]
        if others:
            of = role_domain(others[0].role)
            raise UsageError(
                f"{table.name} holds images, and {'a table is' if of is None else f'{of.title} are'} asked for.",
                "",
                "Give data that fit the requirement, or run modelgpt describe on these.",
            )
        return Images(IMAGE, table.cells.images)
    named = [c.name for c in columns if c.role == IMAGE] or [n for n, kind in source.kinds.items() if kind == IMAGE]
    if named:
        name = _only(named, table)
        return Images(name, _opener(table, name))
    if not asked and (columns or table.is_folder):
        return None
    return _path_column(table, source.target, source.kinds, asked)


def column_of_images(table: Table, target: str | None) -> Images:
    """Return the images that a table names.

    Parameters
    ----------
    target : str, optional
        A column that names none.

    Raises
    ------
    UsageError
        It has no column of images.
    """
    if isinstance(table.cells, ImageFolder):
        return Images(IMAGE, table.cells.images)
    found = _path_column(table, target, {}, asked=True)
    assert found is not None, "an error says that there is none"
    return found


def naming_of(table: Table, *, prefer: str = "") -> Naming | None:
    """Return the column of a table whose cells name images in or below its folder, though they are no paths to them.

    Parameters
    ----------
    prefer : str
        The folder that is meant where another one has images of the same names, with a slash at its end.
    """
    return _naming(table, _probed(table, table.columns), prefer)


def _naming(table: Table, cells: Mapping[str, Sequence[str]], prefer: str = "") -> Naming | None:
    if table.path is None or not cells:
        return None
    only = None
    if table.folder is not None and table.folder.resolve() != table.path.parent.resolve():
        only = f"{table.folder.resolve().name}/" if split_zip(table.folder) is None else None
    find = partial(
        find_naming,
        files=_files_beside(table),
        stem=stem_of(Path(table.name)),
        only=only,
        prefer=prefer,
        others=len(table.columns) - 1,
    )
    found = find(cells)
    # The first rows may all be of one folder: which folders there are, more of them tell.
    return found and (find(_probed(table, [found.column], _NAMES)) or found)


def _probed(table: Table, names: Sequence[str], rows: int = _PROBE) -> dict[str, list[str]]:
    """The first cells of some columns, as places."""
    probe = next(table.frames(rows, names), pd.DataFrame())
    return {str(name): places_of(probe[name]) for name in probe}


def _opener(table: Table, column: str) -> ImageSource:
    """What opens the images that a column names: by path, or by name alone."""
    files = _files_beside(table)
    cells = _probed(table, [column])
    if any(files.head(place) for place in cells.get(column, ()) if place):
        return files
    naming = _naming(table, cells)
    return files if naming is None else naming.images


def _files_beside(table: Table) -> Files:
    """What lies in and below a table's folder, which may be in an archive."""
    if table.path is None:
        return FolderImages(Path())
    if inside := split_zip(table.path.parent):
        opened = open_zip(inside[0])
        return ZipImages(opened, zip_members(opened, inside[0].name)).below(inside[1])
    return FolderImages(table.path.parent)


def _only(names: Sequence[str], table: Table) -> str:
    """The one column of images."""
    if len(names) > 1:
        raise UsageError(
            f"{table.name} has {len(names)} columns of images: {', '.join(names[:10])}.",
            "A model reads one.",
            f"Take the others out of the table, or describe it with --types FILE (lines like: {names[1]}: identifier).",
        )
    if names[0] not in table.columns:
        raise no_such_column(names[0], table, "column of images")
    return names[0]


def _path_column(table: Table, target: str | None, kinds: Mapping[str, str], asked: bool) -> Images | None:
    """The column of paths to images, found from the first rows; None where it is a table like any other."""
    cells = _probed(table, [name for name in table.columns if name != target and name not in kinds])
    files = _files_beside(table)
    named = {name: places for name, places in cells.items() if _are_paths(places)}
    there = [name for name, places in named.items() if any(files.head(place) for place in places if place)]
    there = there or [name for name, places in cells.items() if _lead_to_images(places, files)]
    if there:
        return Images(_only(there, table), files)
    if naming := _naming(table, cells):
        _check_once(naming, table)
        return Images(naming.column, naming.images)
    if named and (asked or len(table.columns) - len(named) <= 1):
        # Nothing else to learn from: why they can't be read is told of each.
        return Images(_only(list(named), table), files)
    web = next((name for name, places in cells.items() if _are_paths([p.replace("://", "/") for p in places])), None)
    if asked:
        shown = ", ".join(table.columns[:30])
        addresses = f" Those in {web!r} are addresses on the web, and nothing is fetched." if web else ""
        raise UsageError(
            f"{table.name} has no column of images.",
            f"Its columns: {shown}.{addresses}",
            "Give a folder of images, or a table with a column of their paths (.jpg, .png, …).",
        )
    if named:
        log.warning("The images that column %s names are not there; read as a table.", next(iter(named)))
    elif web:
        log.warning("Column %s holds addresses of images, which are not fetched; read as a table.", web)
    _check_beside(table)
    return None


def _check_once(naming: Naming, table: Table) -> None:
    """Most names are of one image, not of one in each of two folders."""
    if 2 * naming.twice > naming.hits:
        where = printable(naming.images.where())
        raise UsageError(
            f"The names in column {naming.column!r} of {table.name} are those of images in {where}.",
            "It is not clear which of them are meant.",
            f"Give the folder itself, for example {(table.path or Path()).parent / naming.images.folders[0]}.",
        )


def _check_beside(table: Table) -> None:
    """A table that has nothing to do with the images around it may not be what is meant."""
    if table.path is None or table.folder is None or stem_of(Path(table.name)) in TRAIN_NAMES:
        return
    if has_image_classes(table.folder):
        raise ModelGPTError(
            f"The folder {table.folder} holds a table, {table.name}, and images sorted into classes.",
            "The table names none of the images, so it is not clear which of the two is meant.",
            f"Give the table itself, {table.path}, or take it out of the folder to have the images.",
        )


def _are_paths(places: Sequence[str]) -> bool:
    present = [place for place in places if place]
    fitting = sum(is_image_name(place) and "://" not in place for place in present)
    return bool(present) and fitting >= _PATH_SHARE * len(present)


def _lead_to_images(places: Sequence[str], files: Files) -> bool:
    """Whether a column's first cells are paths to images, whatever these are called."""
    some = names_of_files(places)[:_LOOKED]
    return bool(some) and len(image_places([p for p in some if files.head(p)], files)) >= _PATH_SHARE * len(some)


def places_of(cells: pd.Series) -> list[str]:
    """Cells of a table as places; "" where one is missing. Paths written on Windows get slashes."""
    found = [(cell or "").strip() for cell in texts(to_arrow(cells)).to_pylist()]
    return [place if "/" in place else place.replace("\\", "/") for place in found]
