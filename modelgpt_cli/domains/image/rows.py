"""Pictures as rows: what episodes, builds and tuning hand to the backbone, and how the last two read them.

Shapes: N pictures, H, W pixels, S pixels a side, V views of each, E features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.picture_source import read_pictures, without_unreadable
from modelgpt_cli.data.pictures import SHARP, PictureError
from modelgpt_cli.domains.image.preprocess import View, pixels

log = logging.getLogger("modelgpt")
SHOWN = 64


@dataclass
class Pictures:
    """Pictures as the trunk's view has cut them.

    Attributes
    ----------
    values : uint8 (N, 3, S, S)
    features : float16 (N, V, E), optional
        What a trunk that is left as it is makes of each picture and of changed views of it, where that is kept.
    """

    values: Tensor
    features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """All pictures cost the same, (N,)."""
        return np.ones(len(self.values), dtype=np.int64)

    def take(self, rows: Sequence[int] | np.ndarray) -> Pictures:
        """Some pictures, in the order asked for."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Pictures(self.values[index], None if self.features is None else self.features[index])

    def followed_by(self, other: Pictures) -> Pictures:
        """These pictures, then others; of kept features as many views as both have."""
        kept = None
        if self.features is not None and other.features is not None:
            views = min(self.features.shape[1], other.features.shape[1])
            kept = torch.cat([self.features[:, :views], other.features[:, :views]])
        return Pictures(torch.cat([self.values, other.values]), kept)


@dataclass(frozen=True)
class LabelledPictures:
    """Some rows of a dataset, read.

    Attributes
    ----------
    rows : Pictures (N,)
    cells : ndarray (N,)
        The classes, as the dataset has them.
    shown : list of uint8 (H, W, 3)
        Up to about `SHOWN` of the pictures as they are, evenly drawn: what an exported graph is verified, timed and
        calibrated on.
    shown_cells : ndarray
        Their classes.
    notes : list of str
        About the pictures that can't be decoded; each has been logged.
    """

    rows: Pictures
    cells: np.ndarray
    shown: list[np.ndarray]
    shown_cells: np.ndarray
    notes: list[str]


def read_labelled(dataset: Dataset, frame: pd.DataFrame, view: View) -> LabelledPictures:
    """Read the pictures of some rows of a dataset's sample; those that can't be decoded are left out, with a word.

    Raises
    ------
    ModelGPTError
        A class has no picture left.
    """
    column, target = dataset.schema.used[0].name, dataset.schema.target
    # Filled in place: joining them afterwards would take the memory twice.
    values = torch.empty((len(frame), 3, view.size, view.size), dtype=torch.uint8)
    shown: list[np.ndarray] = []
    reasons: dict[str, str] = {}
    every = -(-len(frame) // SHOWN)
    n = 0
    for place, picture in read_pictures(dataset, frame[column], least=SHARP * view.resize):
        if isinstance(picture, PictureError):
            reasons[place] = picture.reason
            continue
        if n % every == 0:
            shown.append(picture)
        values[n] = pixels([picture], view)[0]
        n += 1
    kept, notes = without_unreadable(frame, column, frame[target], reasons)
    for note in notes:
        log.warning(note)
    cells = kept[target].to_numpy()
    return LabelledPictures(Pictures(values[:n]), cells, shown, cells[::every], notes)
