"""Images with boxes: a folder or zip archive of them, with annotations in any format. Behind `load_dataset`."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset, name_of, tell
from modelgpt_cli.data.readers import RawCells, Table
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image.annotations.objects import Annotations, MarkedImage
from modelgpt_cli.domains.image.annotations.table import (
    ObjectCells,
    digest_image,
    objects_for,
    open_objects,
    open_objects_file,
    refuse_other_task,
)
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.detection import DOMAIN
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.places import Truth
from modelgpt_cli.domains.image.source import Files, shown_reasons

log = logging.getLogger("modelgpt")
FILES = ""
OPTIONS: dict[str, bool] = {}
BOXES = "boxes"
_SHOWN = 3


@dataclass(frozen=True)
class ReadBoxes:
    """What a dataset's `source` is: opens its places, and knows what is marked there.

    Attributes
    ----------
    files : Files
    marked : dict of str to MarkedImage
        By place; labels are those of the schema.
    size : (int, int)
        The commonest width and height of the images.
    """

    files: Files
    marked: dict[str, MarkedImage]
    size: tuple[int, int]

    def open(self, place: str) -> bytes:
        """The bytes of a file; raises `ImageError`."""
        return self.files.open(place)

    def truth(self, place: str) -> Truth:
        """The things of an image, in pixels."""
        return Truth.of(self.marked[place].objects)


def open_path(path: Path) -> Table | None:
    """Open a folder or archive of images with annotations; None where it holds none.

    Raises
    ------
    ModelGPTError
        Its annotations can't be used.
    """
    return open_objects(path)


def open_file(path: Path, name: str) -> RawCells | None:
    """Open a file of annotations, for the images that it names; None where it is none."""
    return open_objects_file(path)


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return None: an image by itself the domain of images tells of."""
    return None


def detect(source: Source) -> bool:
    """Whether the data are images with annotations that are for boxes, or shall be."""
    return objects_for(source, DOMAIN.task) is not None


def read(source: Source) -> Dataset:
    """Read images with boxes: every file once.

    Raises
    ------
    ModelGPTError
        There are none, no image can be read, or no thing is marked.
    UsageError
        The requirement names other classes, or another kind of task.
    """
    table = source.table
    known = objects_for(source, DOMAIN.task)
    if known is None:
        if isinstance(table.cells, ObjectCells):
            raise refuse_other_task(table.cells.annotations, source.task or DOMAIN.task, "boxes")
        raise ModelGPTError(
            f"{table.name} holds no images with boxes.",
            "Looked for images with annotations beside them.",
            "Give a folder of images with annotations, as labelling tools export it.",
        )
    need_pillow()
    if not any(one.box is not None for image in known.images for one in image.objects) and any(
        image.objects for image in known.images
    ):
        raise refuse_other_task(known, DOMAIN.task, "boxes")
    part = known.part("train")
    scan = _scan(known, part)
    if not scan.images:
        raise ModelGPTError(
            f"None of the {len(part):,} images of {table.name} can be read.",
            f"{shown_reasons(list(scan.reasons), scan.reasons)}.",
            "Look at the files.",
        )
    images, classes = _with_classes(scan.images, known, source.classes, table.name)
    truths = [Truth.of(image.objects) for image in images]
    counted = Counter(label for truth in truths for label in truth.labels.tolist())
    counts = {name: counted[k] for k, name in enumerate(classes)}
    if not counted:
        raise ModelGPTError(
            f"No thing is marked with a box in the {len(images):,} images of {table.name}.", "", "Mark some."
        )
    warnings = _warnings(known, part, scan, counts, truths)
    frame = pd.DataFrame(
        {IMAGE: [one.place for one in images], BOXES: [str(len(one.labels)) for one in truths]}, dtype=object
    )
    schema = Schema((Column(IMAGE, "image", role=next(iter(DOMAIN.roles))),), BOXES, DOMAIN.task, classes, DOMAIN.name)
    size = Counter(one.size for one in images).most_common(1)[0][0]
    _tell_boxes(table, known, images, truths, counts)
    tell(schema, warnings, table)
    return Dataset(
        name=name_of(table),
        path=table.path,
        schema=schema,
        n_rows=len(frame),
        class_counts=counts,
        sample=_drawn(frame, source.sample_rows, source.seed),
        warnings=warnings,
        fingerprint=scan.fingerprint,
        description=table.description,
        test_path=table.test_path,
        source=ReadBoxes(known.files, {one.place: one for one in images}, size),
    )


@dataclass(frozen=True)
class _Scan:
    """What reading each file has shown.

    Attributes
    ----------
    images : list of MarkedImage
        Those that can be read.
    reasons : dict of str to str
        Files that can't be read.
    """

    images: list[MarkedImage]
    reasons: dict[str, str]
    fingerprint: str


def _scan(known: Annotations, images: Sequence[MarkedImage]) -> _Scan:
    digest = hashlib.sha256()
    found = _Scan([], {}, "")
    with progress("check images", len(images), "images") as advance:
        for image in images:
            advance(1)
            try:
                content = known.files.open(image.place)
            except ImageError as error:
                found.reasons[image.place] = error.reason
                continue
            digest_image(digest, image, content)
            found.images.append(image)
    return _Scan(found.images, found.reasons, f"sha256:{digest.hexdigest()}")


def _with_classes(
    images: Sequence[MarkedImage], known: Annotations, asked: Sequence[str] | None, name: str
) -> tuple[list[MarkedImage], tuple[str, ...]]:
    """Images whose things have classes in the order that a requirement fixes, and those.

    Raises
    ------
    UsageError
        The requirement names others.
    """
    there = {one.label for image in images for one in image.objects if one.box is not None}
    if asked is None:
        order = [k for k in range(len(known.classes)) if k in there]
        classes = tuple(known.classes[k] for k in order)
    else:
        classes = tuple(asked)
        foreign = [known.classes[k] for k in sorted(there) if known.classes[k] not in classes]
        if foreign:
            raise UsageError(
                f"{name} has boxes of {_listed(foreign)}, and the requirement names {_listed(classes)}.",
                "",
                "Give data that fit the requirement, or run modelgpt describe on these.",
            )
    places = {label: k for k, label in enumerate(classes)}
    found = [
        replace(
            image,
            objects=tuple(
                replace(one, label=places[known.classes[one.label]]) for one in image.objects if one.label in there
            ),
        )
        for image in images
    ]
    return found, classes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")


def _warnings(
    known: Annotations, part: Sequence[MarkedImage], scan: _Scan, counts: dict[str, int], truths: Sequence[Truth]
) -> list[str]:
    """What there is to tell of images and boxes."""
    found = list(known.notes)
    if scan.reasons:
        n = len(scan.reasons)
        found.append(f"Skipped {n:,} images that can't be read: {shown_reasons(list(scan.reasons), scan.reasons)}.")
    absent = [name for name in counts if not counts[name]]
    if absent:
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        found.append(f"No box of {', '.join(absent[:_SHOWN])}{more}: the model will never find one.")
    if len(scan.images) == 1:
        found.append("There is a single image with boxes: nothing can be held out to measure the model on.")
    crowds = sum(len(truth.crowds) for truth in truths)
    if crowds:
        found.append(f"{crowds:,} boxes stand for crowds: what lies in them is neither learned nor counted as wrong.")
    return found


def _tell_boxes(
    table: Table, known: Annotations, images: Sequence[MarkedImage], truths: Sequence[Truth], counts: dict[str, int]
) -> None:
    """Say how many images and boxes there are, and how large these are."""
    sides = np.concatenate([truth.boxes[:, 2:] - truth.boxes[:, :2] for truth in truths])
    least, usual, most = (round(float(q)) for q in np.quantile(np.sqrt(sides.prod(1)), (0.05, 0.5, 0.95)))
    empty = sum(not len(truth.labels) for truth in truths)
    bare = f", {empty:,} of them without any" if empty else ""
    told = ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda pair: -pair[1])[:30])
    more = f", and {len(counts) - 30} more classes" if len(counts) > 30 else ""
    log.info(
        "%s (%s): %s images%s. Boxes: %s%s; %s to %s pixels a side, %s usually.",
        table.name, known.format, f"{len(images):,}", bare, told, more, f"{least:,}", f"{most:,}", f"{usual:,}",
    )  # fmt: skip


def _drawn(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    rows = np.sort(np.random.default_rng([seed, 17]).permutation(len(frame))[:most])
    drawn: pd.DataFrame = frame.iloc[rows].reset_index(drop=True)
    return drawn
