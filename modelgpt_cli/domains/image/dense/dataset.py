"""What images with masks become, wherever the masks come from: a `Dataset`. The end of `read`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset, name_of, tell
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.drawn import DrawnMasks
from modelgpt_cli.domains.image.dense.masks import Coding, MaskReader
from modelgpt_cli.domains.image.source import Files, shown_reasons

IMAGE, MASK = "image", "mask"
_SHOWN = 3


@dataclass(frozen=True)
class ReadScenes:
    """What a dataset's `source` is: opens its places, and knows how to read the masks.

    Attributes
    ----------
    files : Files
    coding : Coding
    size : (int, int)
        The commonest width and height of the images.
    labelled : int
        Pixels that have a class.
    drawn : DrawnMasks, optional
        Draws the masks, where they are no files; the places of masks are those of their images.
    """

    files: Files
    coding: Coding
    size: tuple[int, int]
    labelled: int
    drawn: DrawnMasks | None = None

    def masks(self) -> MaskReader | DrawnMasks:
        """What reads masks by their places."""
        return self.drawn or MaskReader(self.open, self.coding)

    def open(self, place: str) -> bytes:
        """The bytes of a file; raises `ImageError`."""
        return self.files.open(place)


def make_scenes(
    source: Source,
    frame: pd.DataFrame,
    classes: Sequence[str],
    counts: Mapping[str, int],
    warnings: list[str],
    fingerprint: str,
    read_scenes: ReadScenes,
) -> Dataset:
    """Make the dataset of images with masks, and tell the warnings.

    Parameters
    ----------
    frame : DataFrame
        The places of images and masks.
    counts : mapping
        Class → pixels.
    """
    table = source.table
    schema = Schema(
        (Column(IMAGE, "image", role=next(iter(DOMAIN.roles))),), MASK, DOMAIN.task, tuple(classes), DOMAIN.name
    )
    tell(schema, warnings, table)
    return Dataset(
        name=name_of(table),
        path=table.path,
        schema=schema,
        n_rows=len(frame),
        class_counts=dict(counts),
        sample=_drawn(frame, source.sample_rows, source.seed),
        warnings=warnings,
        fingerprint=fingerprint,
        description=table.description,
        test_path=table.test_path,
        source=read_scenes,
    )


def check_two_classes(name: str, counts: Mapping[str, int]) -> None:
    """Make sure that masks tell classes apart.

    Raises
    ------
    ModelGPTError
        All labelled pixels are of one.
    """
    present = [label for label, n in counts.items() if n]
    if len(present) < 2:
        what = f"only {present[0]!r} is in them" if present else "no pixel of them has a class"
        raise ModelGPTError(
            f"{name}: its masks tell no two classes apart: {what}.", "", "Label a second class, or background."
        )


def common_warnings(n_images: int, reasons: Mapping[str, str], counts: Mapping[str, int]) -> list[str]:
    """What there is to tell wherever masks come from: files that can't be read, classes without a pixel."""
    found = []
    if reasons:
        n = len(reasons)
        found.append(f"Skipped {n:,} images whose file or mask can't be read: {shown_reasons(list(reasons), reasons)}.")
    absent = [label for label, n in counts.items() if not n]
    if absent:
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        few = ", ".join(absent[:_SHOWN])
        found.append(f"No pixel of {few}{more}: the model never says so, unless the network knows it by name.")
    if n_images == 1:
        found.append("There is a single image with a mask: nothing can be held out to measure the model on.")
    return found


def commonest(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size that most images have."""
    return Counter(sizes).most_common(1)[0][0]


def shares_told(all_sizes: Sequence[tuple[int, int]], counts: Mapping[str, int]) -> str:
    """Say how many images there are, how large, and what of them each class is."""
    sizes = Counter(all_sizes)
    width, height = sizes.most_common(1)[0][0]
    size = f"{width} x {height} pixels" + ("" if len(sizes) == 1 else f" and {len(sizes) - 1:,} other sizes")
    total = max(1, sum(counts.values()))
    shares = sorted(counts.items(), key=lambda pair: -pair[1])
    told = ", ".join(f"{label} {100 * k / total:.3g} %" for label, k in shares[:30])
    more = f", and {len(shares) - 30} more" if len(shares) > 30 else ""
    return f"{len(all_sizes):,} images with masks, {size}. Pixels: {told}{more}."


def _drawn(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    rows = np.sort(np.random.default_rng([seed, 17]).permutation(len(frame))[:most])
    drawn: pd.DataFrame = frame.iloc[rows].reset_index(drop=True)
    return drawn
