"""The table that holds the labels of images in one folder: above the folder, or in the archive. Behind `read`, `files`.

A table in the folder itself, or beside it in the folder that is given, is what `data.readers` opens anyway.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.folder_names import TEST_NAMES
from modelgpt_cli.data.readers import Table, is_table_name, open_table, stem_of
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.layout import printable
from modelgpt_cli.domains.image.path_column import naming_of
from modelgpt_cli.domains.image.source import ZipImages
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip, zip_members

log = logging.getLogger("modelgpt")
_MOST_TABLES = 20
_MOST_BYTES = 256 << 20


def find_label_table(path: Path) -> Table | None:
    """Return the table that names most of the images of a folder or archive which have no classes otherwise.

    Raises
    ------
    UsageError
        There are several such tables.
    """
    inside = split_zip(path)
    found = [table for table in (_in_archive(*inside) if inside else _above(path)) if len(table.columns) > 1]
    fitting = [table for table in found if _names_those_in(table, None if inside else path)]
    named = [table for table in fitting if stem_of(Path(table.name)) in (path.name.lower(), "labels", "train")]
    best = named if len(named) == 1 else fitting
    if len(best) > 1:
        names = ", ".join(table.name for table in best[:10])
        raise UsageError(
            f"Several tables name the images of {printable(path.name)}: {names}.",
            "It is not clear which of them holds the classes.",
            f"Give one of them, for example {best[0].path}.",
        )
    if not best:
        return None
    best[0].folder = path
    log.info("The classes of the images in %s stand in %s.", printable(path.name), best[0].name)
    return best[0]


def _names_those_in(table: Table, folder: Path | None) -> bool:
    """Whether a table names images of a folder: not others of the same names, in train/ rather than in test/."""
    place = "" if folder is None else f"{folder.resolve().name}/"
    naming = naming_of(table, prefer=place)
    return naming is not None and (folder is None or place in naming.images.folders)


def open_label_table(path: Path) -> Table | None:
    """Return a table in an archive, pets.zip/labels.csv; None where the path is none."""
    inside = split_zip(path)
    return next(_in_archive(*inside, only=True), None) if inside and is_table_name(path.name) else None


def _above(folder: Path) -> Iterator[Table]:
    """Yield the tables beside a folder that can be opened."""
    parent = folder.resolve().parent
    files = sorted(file for file in parent.iterdir() if is_table_name(file.name) and file.is_file())
    for file in files[:_MOST_TABLES]:
        if stem_of(file) in TEST_NAMES or file.stat().st_size > _MOST_BYTES:
            continue
        try:
            yield open_table(file)
        except ModelGPTError as error:
            log.debug("%s", error)


def _in_archive(archive: Path, inside: str, *, only: bool = False) -> Iterator[Table]:
    """Yield the tables of an archive, or the one at `inside`, unpacked for as long as the process runs."""
    opened = open_zip(archive)
    members = zip_members(opened, archive.name)
    files = ZipImages(opened, members)
    places = [inside.rstrip("/")] if only else sorted(filter(is_table_name, members), key=lambda p: (p.count("/"), p))
    for place in places[:_MOST_TABLES]:
        if place not in members or members[place].file_size > _MOST_BYTES:
            continue
        name = PurePosixPath(place).name
        if not only and stem_of(Path(name)) in TEST_NAMES:
            continue
        try:
            content = files.open(place)
        except ImageError as error:
            raise ModelGPTError(f"{place} in {archive.name} can't be read.", error.reason) from error
        folder = Path(tempfile.mkdtemp(prefix="modelgpt-zip-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / name).write_bytes(content)
        try:
            table = open_table(folder / name)
        except ModelGPTError as error:
            log.debug("%s", error)
            continue
        table.path = archive / place
        yield table
