"""Images with key points: annotations of whatever format. Behind `load_dataset`."""

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
from modelgpt_cli.domains.image.annotations.objects import Annotations, PointNames
from modelgpt_cli.domains.image.annotations.table import (
    ObjectCells,
    digest_image,
    objects_for,
    open_objects,
    open_objects_file,
    refuse_other_task,
)
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.keypoints import DOMAIN
from modelgpt_cli.domains.image.keypoints.poses import Pose, Poses, take_poses
from modelgpt_cli.domains.image.source import Files, shown_reasons

log = logging.getLogger("modelgpt")
FILES = ""
OPTIONS: dict[str, bool] = {}
IMAGE, POINTS = "image", "points"
MOST_POINTS = 200
_SHOWN = 3


@dataclass(frozen=True)
class ReadPoses:
    """What a dataset's `source` is: opens its images, and knows the points.

    Attributes
    ----------
    files : Files
    names : PointNames
    poses : dict
        Place of an image → the points of its object.
    size : (int, int)
        The commonest width and height of the images.
    """

    files: Files
    names: PointNames
    poses: dict[str, Pose]
    size: tuple[int, int]


def open_path(path: Path) -> Table | None:
    """Open a folder or archive of annotated images; None where it holds none.

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
    """Whether the data are images whose annotations are for key points, or shall be."""
    return objects_for(source, DOMAIN.task) is not None


def read(source: Source) -> Dataset:
    """Read images with key points, every file once.

    Raises
    ------
    ModelGPTError
        There are none, or no image can be read.
    UsageError
        The requirement names other points, or another kind of task.
    """
    table = source.table
    annotations = objects_for(source, DOMAIN.task)
    if annotations is None and isinstance(table.cells, ObjectCells):
        raise refuse_other_task(table.cells.annotations, source.task or DOMAIN.task, "key points")
    if annotations is None:
        raise ModelGPTError(
            f"{table.name} holds no images with key points.",
            "Looked for annotations beside images, such as COCO JSON.",
            "Give a folder of images with a COCO JSON whose objects have keypoints.",
        )
    need_pillow()
    images = annotations.part("train")
    if annotations.points is None or not any(one.points is not None for image in images for one in image.objects):
        raise refuse_other_task(annotations, DOMAIN.task, "key points")
    names = _renamed(annotations.points, source.classes, table.name)
    n_points = len(names.names)
    if n_points > MOST_POINTS:
        raise ModelGPTError(f"{table.name} has {n_points:,} key points; {MOST_POINTS} can be learned at once.")
    found = take_poses(images, n_points)
    kept, reasons, fingerprint = _scan(annotations, found)
    if not kept:
        raise ModelGPTError(
            f"None of the {len(images):,} images of {table.name} can be read with its key points.",
            f"{shown_reasons(list(reasons), reasons)}." if reasons else "No point is labelled in them.",
            "Look at the files.",
        )
    labelled = np.sum([pose.labelled for pose in kept], axis=0)
    counts = dict(zip(names.names, map(int, labelled), strict=True))
    warnings = [*annotations.notes, *_warnings(found, len(images), kept, reasons, counts)]
    columns = (Column(IMAGE, "image", role=next(iter(DOMAIN.roles))),)
    schema = Schema(columns, POINTS, DOMAIN.task, names.names, DOMAIN.name)
    size = Counter(pose.size for pose in kept).most_common(1)[0][0]
    _tell_counts(table, annotations, kept, counts)
    tell(schema, warnings, table)
    cells = {IMAGE: [pose.place for pose in kept], POINTS: [str(int(pose.labelled.sum())) for pose in kept]}
    frame = pd.DataFrame(cells, dtype=object)
    return Dataset(
        name=name_of(table),
        path=table.path,
        schema=schema,
        n_rows=len(frame),
        class_counts=counts,
        sample=_drawn(frame, source.sample_rows, source.seed),
        warnings=warnings,
        fingerprint=fingerprint,
        description=table.description,
        test_path=table.test_path,
        source=ReadPoses(annotations.files, names, {pose.place: pose for pose in kept}, size),
    )


def _renamed(names: PointNames, asked: Sequence[str] | None, name: str) -> PointNames:
    """The points with the names that a requirement fixes.

    Raises
    ------
    UsageError
        The requirement names others, or in another order.
    """
    if asked is None or tuple(asked) == names.names:
        return names
    if len(asked) == len(names.names) and all(one.startswith("point ") for one in names.names):
        return replace(names, names=tuple(asked))  # the annotations have no names for them
    raise UsageError(
        f"{name} has the key points {_listed(names.names)}, and the requirement names {_listed(asked)}.",
        "",
        "Give data that fit the requirement, or run modelgpt describe on these.",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")


def _scan(annotations: Annotations, found: Poses) -> tuple[list[Pose], dict[str, str], str]:
    """The objects whose images can be opened, why others can't, and the fingerprint of all."""
    digest = hashlib.sha256()
    images = {image.place: image for image in annotations.images}
    kept, reasons = [], {}
    with progress("read images", len(found.kept), "images") as advance:
        for pose in found.kept:
            advance(1)
            try:
                content = annotations.files.open(pose.place)
            except ImageError as error:
                reasons[pose.place] = error.reason
                continue
            digest_image(digest, images[pose.place], content)
            kept.append(pose)
    return kept, reasons, f"sha256:{digest.hexdigest()}"


def _warnings(
    found: Poses, n_images: int, kept: Sequence[Pose], reasons: dict[str, str], counts: dict[str, int]
) -> list[str]:
    """What there is to tell of images and points."""
    told = []
    if found.bare:
        told.append(
            f"{len(found.bare):,} of {n_images:,} images have no labelled point, such as {found.bare[0]}: left out."
        )
    if found.crowded:
        told.append(
            f"{len(found.crowded):,} of {n_images:,} images have several objects with points, such as "
            f"{found.crowded[0]}: of each the largest is learned. Crop the images to have them all learned."
        )
    if reasons:
        told.append(f"Skipped {len(reasons):,} images that can't be read: {shown_reasons(list(reasons), reasons)}.")
    absent = [name for name, n in counts.items() if not n]
    if absent:
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        told.append(f"No image has {', '.join(absent[:_SHOWN])}{more} labelled: where it is can't be learned.")
    if len(kept) == 1:
        told.append("There is a single image with key points: nothing can be held out to measure the model on.")
    return told


def _tell_counts(table: Table, annotations: Annotations, kept: Sequence[Pose], counts: dict[str, int]) -> None:
    """Say how many images there are, how large, and of how many each point is labelled."""
    sizes = Counter(pose.size for pose in kept)
    width, height = sizes.most_common(1)[0][0]
    size = f"{width} x {height} pixels" + ("" if len(sizes) == 1 else f" and {len(sizes) - 1:,} other sizes")
    rare = {name: n for name, n in counts.items() if n < len(kept)}
    told = ", ".join(f"{name} in {n:,}" for name, n in sorted(rare.items(), key=lambda pair: pair[1])[:20])
    log.info(
        "%s (%s): %s images with %s key points, %s. Labelled: %s.",
        table.name, annotations.format, f"{len(kept):,}", f"{len(counts):,}", size,
        f"all in each image but {told}" if rare else "all in each image",
    )  # fmt: skip


def _drawn(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    rows = np.sort(np.random.default_rng([seed, 17]).permutation(len(frame))[:most])
    drawn: pd.DataFrame = frame.iloc[rows].reset_index(drop=True)
    return drawn
