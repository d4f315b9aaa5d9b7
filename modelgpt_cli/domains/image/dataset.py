"""The dataset of images: from a folder, an archive or a table of paths. Behind `read`, where there are images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.domain import role_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Column, Schema, TaskType
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.dataset import Dataset, name_of
from modelgpt_cli.data.folder_names import TRAIN_NAMES
from modelgpt_cli.data.readers import Table, no_such_column, stem_of
from modelgpt_cli.data.scan import Scan
from modelgpt_cli.data.source import Source
from modelgpt_cli.data.target import Target, check_lacking, check_repeats, choose_target, plan_target
from modelgpt_cli.domains import image
from modelgpt_cli.domains.image.copies import contradictions, equal_files
from modelgpt_cli.domains.image.folder import DOMAIN, IMAGE, ImageFolder, has_image_classes
from modelgpt_cli.domains.image.formats import advice, is_image_name
from modelgpt_cli.domains.image.layout import printable
from modelgpt_cli.domains.image.named import NamedImages, Naming, find_naming, names_of_files
from modelgpt_cli.domains.image.source import (
    Files,
    FolderImages,
    ImageSource,
    ZipImages,
    check_images,
    image_places,
    shown_reasons,
    without_unreadable,
)
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip, zip_members
from modelgpt_cli.domains.shared.split import keys_of, with_split_column

log = logging.getLogger("modelgpt")

MOST_ROWS = 1_000_000
"""A path takes some 100 bytes, so that all of so many are held."""
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


def read_images_of(source: Source, images: Images) -> Dataset:
    """Read all rows, look at every image's header, and find the classes.

    Returns
    -------
    Dataset
        Its sample holds the places and classes of all images that can be read, up to a million, and a column "domain"
        where they have domains; its `source` opens the places.

    Raises
    ------
    ModelGPTError
        There are no classes, or one of them has no image that can be read.
    UsageError
        The data contradict what was asked for.
    """
    table, task, classes = source.table, source.task, source.classes
    is_folder = isinstance(table.cells, ImageFolder)
    if table.columns == [IMAGE]:
        raise ModelGPTError(
            f"{table.name} holds images, but no classes.",
            "Each class needs a sub-folder of its name, with the images of that class in it.",
            "Sort the images into sub-folders, or give a table with a column of paths and a column of labels.",
        )
    target = choose_target(table, source.target, [images.column, *([DOMAIN] if is_folder else [])])
    if target == images.column:
        raise UsageError(f"The column {target!r} can't be both the target and the images.", "", "Name another.")
    if not is_folder:
        _tell_columns(table, images, target)
    domain = next((name for name in table.columns if name.lower() == DOMAIN and name != target), None)
    read = with_split_column({images.column: Column(images.column, IMAGE)}, source)
    scan = _scan(table, list(dict.fromkeys([*read, *([domain] if domain else [])])), target, source)
    if is_folder:
        task = task or "classification"  # folders called 1 to 50 are classes all the same
    plan = _plan(scan, target, table, task, classes, source.merge_labels)
    raw = scan.sampler.result(stratified=True)
    if not is_folder:
        raw[images.column] = places_of(raw[images.column])
        _tell_unnamed(images, raw, scan, table)
    readable, fingerprint, warnings = _readable(raw, images, target, plan, table)
    told = [*_skipped(scan), *warnings, *_too_many(scan, raw)]
    if len(readable) < scan.n_rows:
        scan = Scan(MOST_ROWS, source.seed, {target: source.target_rule})
        scan.add(readable, target)
        plan = _plan(scan, target, table, task, classes, source.merge_labels)
    if not is_folder:
        check_repeats(plan, classes, by_name=True)
    warnings = [*told, *plan.warnings, *check_lacking(plan, by_name=True)]
    sample = pd.DataFrame({images.column: readable[images.column], target: plan.read(readable[target])})
    sample = sample.assign(**keys_of(source, readable))
    if domain:
        sample[DOMAIN] = [cell or "" for cell in texts(to_arrow(readable[domain])).to_pylist()]
        log.info("Domains: %s.", ", ".join(sorted(set(sample[DOMAIN]))[:30]))
    for warning in warnings:
        log.warning("%s", warning)
    columns = _columns(table, images, target, domain, source.columns, read)
    return Dataset(
        name=name_of(table),
        path=table.path,
        schema=Schema(columns, target, plan.task, plan.classes, image.DOMAIN.name, plan.reading),
        n_rows=plan.n_rows,
        class_counts=plan.counts,
        sample=sample,
        warnings=warnings,
        fingerprint=fingerprint,
        description=table.description,
        test_path=table.test_path,
        source=images.source,
    )


def _tell_columns(table: Table, images: Images, target: str) -> None:
    """Say what the columns are taken for, and how to have a model of the others instead."""
    where = f" in {printable(images.source.where())}" if isinstance(images.source, NamedImages) else ""
    others = ""
    if len(table.columns) > 3:
        others = f" For a table of the other columns: a line '{images.column}: identifier' in a --types FILE."
    log.info("%s: column %s names the images%s, %s their classes.%s", table.name, images.column, where, target, others)


def _tell_unnamed(images: Images, raw: pd.DataFrame, scan: Scan, table: Table) -> None:
    """Say how many images beside the table's it doesn't name."""
    if isinstance(images.source, NamedImages) and len(raw) == scan.n_rows:
        n, where = images.source.unnamed(raw[images.column]), printable(images.source.where())
        if n:
            log.info("%s: %s more images in %s are not in it with a label, and not used.", table.name, f"{n:,}", where)


def _scan(table: Table, names: Sequence[str], target: str, source: Source) -> Scan:
    scan = Scan(MOST_ROWS, source.seed, {target: source.target_rule})
    for frame in table.frames(columns=[*names, target]):
        scan.add(frame, target)
    return scan


def _plan(
    scan: Scan, target: str, table: Table, task: TaskType | None, classes: Sequence[str] | None, merge_labels: bool
) -> Target:
    """The classes; numbers can't be predicted from images."""
    plan = None if task == "regression" else plan_target(scan, target, table.name, task, classes, merge_labels, "image")
    if plan is None or plan.task == "regression":
        raise UsageError(
            f"The target {target!r} is to be predicted as a number, and models of images tell classes apart.",
            "",
            "Choose another column with --target, or write the classes into the table in words.",
        )
    return plan


def _readable(
    raw: pd.DataFrame, images: Images, target: str, plan: Target, table: Table
) -> tuple[pd.DataFrame, str, list[str]]:
    """The rows whose image can be read, the fingerprint of all, and the words about the others."""
    places = list(dict.fromkeys(raw[images.column]))
    own = "" if isinstance(table.cells, ImageFolder) else table.fingerprint()
    checked = check_images(images.source, places, own)
    reasons = checked.reasons
    if len(reasons) == len(places):
        help_ = advice(reasons.values())
        raise ModelGPTError(
            f"None of the {len(places):,} images of {table.name} can be read.",
            f"{shown_reasons(list(reasons), reasons)}.",
            help_ or ("Paths in a table are relative to its folder." if own else "Look at the files."),
        )
    labels = plan.read(raw[target])
    readable, warnings = without_unreadable(raw, images.column, labels, reasons)
    rows = [(place, str(label)) for place, label in zip(raw[images.column], labels, strict=True) if label is not None]
    return readable, checked.fingerprint, [*warnings, *contradictions(equal_files(rows, checked.digests), "Identical")]


def _skipped(scan: Scan) -> list[str]:
    total = scan.n_rows + scan.skipped
    return [f"Skipped {scan.skipped:,} of {total:,} rows without a target."] if scan.skipped else []


def _too_many(scan: Scan, raw: pd.DataFrame) -> list[str]:
    if scan.n_rows <= len(raw):
        return []
    return [f"Of {scan.n_rows:,} images, {len(raw):,} are used, drawn evenly."]


def _columns(
    table: Table,
    images: Images,
    target: str,
    domain: str | None,
    fixed: Sequence[Column] | None,
    read: Mapping[str, Column],
) -> tuple[Column, ...]:
    """The column of images, and all others of the table, dropped; of those that were read it is known what they say."""
    told = {column.name: column.description for column in fixed or ()}
    found: list[Column] = []
    for name in table.columns:
        if name == images.column:
            found.append(Column(name, IMAGE, told.get(name, ""), role=IMAGE))
        elif name != target and not (name == domain and isinstance(table.cells, ImageFolder)):
            note = "the images' domain" if name == domain else "not used beside the image"
            found.append(read.get(name, Column(name, "identifier", note=note)))
    return tuple(found)
