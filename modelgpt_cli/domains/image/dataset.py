"""The dataset of images: from a folder, an archive or a table of paths. Behind `read`, where there are images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Column, Schema, TaskType
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.dataset import Dataset, name_of
from modelgpt_cli.data.label_cells import JOINED
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.scan import Scan
from modelgpt_cli.data.source import Source, plan_any_target
from modelgpt_cli.data.target import Target, check_lacking, check_repeats, choose_target
from modelgpt_cli.domains import image
from modelgpt_cli.domains.image.copies import contradictions, equal_files
from modelgpt_cli.domains.image.folder import DOMAIN, IMAGE, ImageFolder
from modelgpt_cli.domains.image.formats import advice
from modelgpt_cli.domains.image.layout import printable
from modelgpt_cli.domains.image.named import NamedImages
from modelgpt_cli.domains.image.path_column import Images, places_of
from modelgpt_cli.domains.image.source import check_images, shown_reasons, without_unreadable
from modelgpt_cli.domains.shared.split import keys_of, with_split_column

log = logging.getLogger("modelgpt")

MOST_ROWS = 1_000_000
"""A path takes some 100 bytes, so that all of so many are held."""


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
            table.cells.why_unlabelled() if isinstance(table.cells, ImageFolder) else "",
            "Sort the images into a sub-folder per class, or put a table beside them with their names and labels.",
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
    plan = _plan(source, scan, target, task)
    raw = scan.sampler.result(stratified=True)
    if not is_folder:
        raw[images.column] = places_of(raw[images.column])
        _tell_unnamed(images, raw, scan, table)
    readable, fingerprint, warnings = _readable(raw, images, target, plan, table)
    told = [*_skipped(scan), *warnings, *_too_many(scan, raw)]
    if len(readable) < scan.n_rows:
        scan = Scan(MOST_ROWS, source.seed, {target: source.target_rule})
        scan.add(readable, target)
        plan = _plan(source, scan, target, task)
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
        schema=Schema(columns, target, plan.task, plan.classes, image.DOMAIN.name, plan.reading, plan.multi_label),
        n_rows=plan.n_rows,
        class_counts=plan.counts,
        sample=sample,
        warnings=warnings,
        fingerprint=fingerprint,
        description=table.description,
        test_path=table.test_path,
        separator=source.label_sets.separator if source.label_sets is not None else JOINED,
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


def _plan(source: Source, scan: Scan, target: str, task: TaskType | None) -> Target:
    """The classes; numbers can't be predicted from images."""
    plan = None if task == "regression" else plan_any_target(source, scan, target, task, "image")
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
    readable, warnings = without_unreadable(raw, images.column, labels, reasons, plan.multi_label)
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
