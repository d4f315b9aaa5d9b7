"""Images as rows: what episodes, builds and tuning hand to the backbone, and how the last two read them.

Shapes: N images, H, W pixels, S pixels a side, V views of each, E features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.core.progress import progress
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.decode import SHARP, ImageError
from modelgpt_cli.domains.image.preprocess import View, pixels
from modelgpt_cli.domains.image.source import read_images, without_unreadable

log = logging.getLogger("modelgpt")
SHOWN = 64


@dataclass
class Images:
    """Images as the trunk's view has cut them.

    Attributes
    ----------
    values : uint8 (N, 3, S, S)
    kept : float16 (N, V, E) or (N, V, c, s, s), optional
        What a trunk that is left as it is makes of each image and of changed views of it, where that is kept: features,
        or the maps of its first blocks.
    """

    values: Tensor
    kept: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """All images cost the same, (N,)."""
        return np.ones(len(self.values), dtype=np.int64)

    def take(self, rows: Sequence[int] | np.ndarray) -> Images:
        """Some images, in the order asked for."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Images(self.values[index], None if self.kept is None else self.kept[index])

    def followed_by(self, other: Images) -> Images:
        """These images, then others; of what is kept as many views as both have."""
        kept = None
        if self.kept is not None and other.kept is not None:
            views = min(self.kept.shape[1], other.kept.shape[1])
            kept = torch.cat([self.kept[:, :views], other.kept[:, :views]])
        return Images(torch.cat([self.values, other.values]), kept)


@dataclass(frozen=True)
class LabelledImages:
    """Some rows of a dataset, read.

    Attributes
    ----------
    rows : Images (N,)
    cells : ndarray (N,)
        The classes, as the dataset has them.
    shown : list of uint8 (H, W, 3)
        Up to about `SHOWN` of the images as they are, evenly drawn: what an exported graph is verified, timed and
        calibrated on.
    shown_cells : ndarray
        Their classes.
    notes : list of str
        About the images that can't be decoded; each has been logged.
    frame : DataFrame
        The rows of the dataset's sample, N.
    """

    rows: Images
    cells: np.ndarray
    shown: list[np.ndarray]
    shown_cells: np.ndarray
    notes: list[str]
    frame: pd.DataFrame


def read_labelled(dataset: Dataset, frame: pd.DataFrame, view: View) -> LabelledImages:
    """Read the images of some rows of a dataset's sample; those that can't be decoded are left out, with a word.

    Raises
    ------
    ModelGPTError
        A class has no image left.
    """
    column, target = dataset.schema.used[0].name, dataset.schema.target
    # Filled in place: joining them afterwards would take the memory twice.
    values = torch.empty((len(frame), 3, view.size, view.size), dtype=torch.uint8)
    shown: list[np.ndarray] = []
    reasons: dict[str, str] = {}
    every = -(-len(frame) // SHOWN)
    n = 0
    with progress("read images", len(frame), "images") as advance:
        for place, image in read_images(dataset, frame[column], least=SHARP * view.resize):
            advance(1)
            if isinstance(image, ImageError):
                reasons[place] = image.reason
                continue
            if n % every == 0:
                shown.append(image)
            values[n] = pixels([image], view)[0]
            n += 1
    kept, notes = without_unreadable(frame, column, frame[target], reasons, dataset.schema.multi_label)
    for note in notes:
        log.warning(note)
    cells = kept[target].to_numpy()
    return LabelledImages(Images(values[:n]), cells, shown, cells[::every], notes, kept)
