"""Images with masks: a folder or zip archive of them. Behind `load_dataset`."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.core.domain import task_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.data.dataset import Dataset, name_of
from modelgpt_cli.data.readers import RawCells, Table, readme
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image.annotations import TASKS
from modelgpt_cli.domains.image.annotations.find import task_of
from modelgpt_cli.domains.image.annotations.table import (
    ObjectCells,
    domains_of_objects,
    objects_for,
    open_objects,
    open_objects_file,
    refuse_other_task,
)
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.coding import Classes, Values, find_classes, thing_name
from modelgpt_cli.domains.image.dense.dataset import (
    IMAGE,
    MASK,
    ReadScenes,
    check_two_classes,
    common_warnings,
    commonest,
    make_scenes,
    shares_told,
)
from modelgpt_cli.domains.image.dense.layout import Pair
from modelgpt_cli.domains.image.dense.masks import check_size, read_mask, upright_size
from modelgpt_cli.domains.image.dense.read_objects import read_objects
from modelgpt_cli.domains.image.dense.scenes import Scenes, find_scenes
from modelgpt_cli.domains.image.source import shown_reasons

log = logging.getLogger("modelgpt")
FILES = ""
OPTIONS: dict[str, bool] = {}


class SceneCells:
    """Images and masks as frames of places. Follows `readers.RawCells`."""

    domain = DOMAIN.name

    def __init__(self, scenes: Scenes) -> None:
        self.scenes, self.domains = scenes, domains_of_objects()
        self.columns = [IMAGE, MASK]
        self.expected_rows = len(scenes.pairs.pairs)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The places, at most `rows` at a time."""
        pairs = self.scenes.pairs.pairs
        for start in range(0, len(pairs), rows):
            part = pairs[start : start + rows]
            cells = {IMAGE: [pair.image for pair in part], MASK: [pair.mask for pair in part]}
            yield pd.DataFrame({name: pd.Series(cells[name], dtype=object) for name in columns})

    def fingerprint(self) -> str:
        """The SHA-256 of all images and masks."""
        return _scan(self.scenes, [pair for pair in self.scenes.pairs.pairs if pair.mask]).fingerprint


def open_path(path: Path) -> Table | None:
    """Open a folder or archive of images with masks or annotations; None where it holds none.

    Raises
    ------
    ModelGPTError
        Its masks are JPEG; or its annotations can't be used.
    """
    scenes = find_scenes(path)
    if scenes is None:
        return open_objects(path)
    test = scenes.pairs.part("test")
    tops = {pair.image.split("/")[0] for pair in test.pairs}
    top = next(iter(tops)) if len(tops) == 1 else ""
    return Table(
        SceneCells(scenes), scenes.name, path, path, readme(path) if path.is_dir() else "",
        path / top if top and len(test.pairs) < len(scenes.pairs.pairs) and "/" in test.pairs[0].image[len(top) + 1 :]
        else None, None, DOMAIN.name,
    )  # fmt: skip


def open_file(path: Path, name: str) -> RawCells | None:
    """Open a file of annotations, for the images that it names; None where it is none."""
    return open_objects_file(path)


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return None: an image by itself the domain of images tells of."""
    return None


def detect(source: Source) -> bool:
    """Whether the data are images with masks, or with annotations that are for masks, or shall be."""
    cells = source.table.cells
    if isinstance(cells, SceneCells):  # unless annotations beside the masks serve the task that is asked for
        others = source.task in TASKS and source.task != DOMAIN.task and task_domain(source.task) is not None
        return not (others and source.task and objects_for(source, source.task) is not None)
    if isinstance(cells, ObjectCells):  # to be read, or refused where no domain has the task
        wanted = source.task or task_of(cells.annotations)
        owner = task_domain(wanted) if wanted in TASKS else None
        return owner is None or owner.name == DOMAIN.name
    return objects_for(source, DOMAIN.task) is not None


def read(source: Source) -> Dataset:
    """Read images with masks: every file once.

    Raises
    ------
    ModelGPTError
        There are no masks and no outlines, a mask is of another size than its image or has values that stand for no
        class, or there is one class only.
    UsageError
        The requirement names other classes, or another kind of task.
    """
    table = source.table
    if not isinstance(table.cells, SceneCells):
        if (annotations := objects_for(source, DOMAIN.task)) is not None:
            return read_objects(source, annotations)
        if isinstance(table.cells, ObjectCells):
            raise refuse_other_task(table.cells.annotations, source.task or DOMAIN.task, "masks")
        raise ModelGPTError(
            f"{table.name} holds no images with masks or outlines.",
            "Looked for images/ and masks/ with files of the same names, and for x.jpg beside x_mask.png.",
            "Put the masks into a folder called masks, beside images.",
        )
    if source.task not in (None, DOMAIN.task):
        raise UsageError(f"{table.name} holds images with masks, and the task is to be {source.task}.")
    need_pillow()
    scenes = table.cells.scenes
    part = scenes.pairs.part("train")
    labelled = [pair for pair in part.pairs if pair.mask]
    if not labelled:
        raise ModelGPTError(f"{table.name}: none of its {len(part.pairs):,} images has a mask.", "", "Label some.")
    scan = _scan(scenes, labelled)
    if not scan.pairs:
        raise ModelGPTError(
            f"None of the {len(labelled):,} images of {table.name} can be read with its mask.",
            f"{shown_reasons(list(scan.reasons), scan.reasons)}.",
            "Look at the files.",
        )
    classes = find_classes(scenes, scan.values, thing_name(name_of(table))).renamed(source.classes, table.name)
    counts = _class_counts(scan, classes)
    check_two_classes(table.name, counts)
    warnings = _warnings(table, part.pairs, part.strays, scan, counts)
    read_scenes = ReadScenes(scenes.files, classes.coding, commonest(scan.sizes), sum(counts.values()))
    frame = pd.DataFrame(
        {IMAGE: [pair.image for pair in scan.pairs], MASK: [pair.mask for pair in scan.pairs]}, dtype=object
    )
    log.info("%s: %s", table.name, shares_told(scan.sizes, counts))
    return make_scenes(source, frame, classes.names, counts, warnings, scan.fingerprint, read_scenes)


@dataclass(frozen=True)
class _Scan:
    """What reading each image's header and each mask has shown.

    Attributes
    ----------
    pairs : list of Pair
        Those that can be read.
    values : list of Values
        Of their masks.
    sizes : list of (int, int)
        Width and height.
    reasons : dict of str to str
        Files that can't be read.
    """

    pairs: list[Pair]
    values: list[Values]
    sizes: list[tuple[int, int]]
    reasons: dict[str, str]
    fingerprint: str


def _scan(scenes: Scenes, pairs: Sequence[Pair]) -> _Scan:
    digest = hashlib.sha256()
    found = _Scan([], [], [], {}, "")
    with progress("read masks", len(pairs), "masks") as advance:
        for pair in pairs:
            advance(1)
            place = pair.image
            try:
                content = scenes.files.open(place)
                size = upright_size(content)
                place = pair.mask
                mask = scenes.files.open(place)
                values, colours = read_mask(mask)
            except ImageError as error:
                found.reasons[place] = error.reason
                continue
            check_size(pair.mask, (values.shape[1], values.shape[0]), size)
            for name, raw in ((pair.image, content), (pair.mask, mask)):
                digest.update(f"{name}\0{len(raw)}\0".encode(errors="replace"))
                digest.update(raw)
            found.pairs.append(pair)
            found.values.append(Values(pair.mask, _counted(values, colours), colours))
            found.sizes.append(size)
    return _Scan(found.pairs, found.values, found.sizes, found.reasons, f"sha256:{digest.hexdigest()}")


def _counted(values: np.ndarray, colours: bool) -> Counter[int]:
    if not colours and values.min() >= 0 and values.max() < 1 << 16:
        counts = np.bincount(values.reshape(-1))
        return Counter({int(v): int(counts[v]) for v in np.flatnonzero(counts)})
    found, n = np.unique(values, return_counts=True)
    return Counter(dict(zip(found.tolist(), n.tolist(), strict=True)))


def _class_counts(scan: _Scan, classes: Classes) -> dict[str, int]:
    """Pixels of each class."""
    total: Counter[int] = Counter()
    for mask in scan.values:
        total.update(mask.counts)
    return {label: total[value] for label, value in zip(classes.names, classes.coding.values, strict=True)}


def _warnings(
    table: Table, pairs: Sequence[Pair], strays: Sequence[str], scan: _Scan, counts: dict[str, int]
) -> list[str]:
    """What there is to tell of images and masks."""
    found = []
    bare = [pair.image for pair in pairs if not pair.mask]
    if bare:
        found.append(
            f"{len(bare):,} of {len(pairs):,} images have no mask, such as {bare[0]}: left out, as nothing says what "
            "is in them."
        )
    if strays:
        found.append(f"{_counted_masks(len(strays))} no image, such as {strays[0]}: left out.")
    return found + common_warnings(len(scan.pairs), scan.reasons, counts)


def _counted_masks(n: int) -> str:
    return "1 mask has" if n == 1 else f"{n:,} masks have"
