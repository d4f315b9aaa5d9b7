"""Models on a network's maps in 8 bits: what `to_onnx` of segmentation, detection and key points has alike for it.

The network is quantised as that of whole images (`image.onnx_integers`). Its heads stay as they were solved, and are
stored in halves or in 8 bits: on images that were held out nothing was lost (mIoU of street scenes .513 before and
after; mAP at .5 of blood cells .883 and .884; NME of faces .074 and .074). Fitting what the maps become to what they
were, channel by channel, gained as little (.515, .884, .074), at a third more time.
Shapes: H, W pixels, P inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import SHARP, ImageError
from modelgpt_cli.domains.image.files import ImageFile, decoded
from modelgpt_cli.domains.shared.onnx_weights import kept, matrix

CALIBRATION = 16
"""Ranges are measured on so many images of the user's."""


def stored(state: Mapping[str, np.ndarray], layers: Iterable[str], storage: str) -> dict[str, np.ndarray]:
    """Return weights of layers as a file in 8 bits keeps them, to write a graph with; see `onnx_weights.kept`."""
    found: dict[str, np.ndarray] = {}
    for name in layers:
        found |= kept(name, state[name].T, storage)
    return found


def weight_of(g: GraphWriter, name: str) -> str:
    """Return a layer's weight (P, O), float32, however it is stored."""
    return g.tensor(name) if g.state[name].dtype == np.float32 else matrix(g, name)


def need_images(rows: Any) -> Sequence[np.ndarray]:
    """Return the images that ranges are measured on.

    Raises
    ------
    UsageError
        There are none.
    """
    if rows is None or not len(rows):
        raise UsageError(
            "int8 needs images like those that the model is for, to measure the ranges of its numbers on.",
            hint="Give them with --data DIR.",
        )
    found: Sequence[np.ndarray] = rows
    return found


def drawn_images(find: Callable[[Sequence[Any]], list[ImageFile]], data: Data, size: int) -> list[np.ndarray]:
    """Read images, drawn evenly, to measure ranges on: uint8 (H, W, 3) each.

    Parameters
    ----------
    find : callable
        Finds the images of sources.
    size : int
        Pixels of the longer side, as the network sees them.
    """
    with quiet("modelgpt"):  # what there is to say of them is said where they are measured
        files = find([data])
        places = np.unique(np.linspace(0, len(files) - 1, CALIBRATION).astype(int))
        found = [image for part in decoded([files[k] for k in places], least=SHARP * size) for image in part.images]
    return [image for image in found if not isinstance(image, ImageError)]
