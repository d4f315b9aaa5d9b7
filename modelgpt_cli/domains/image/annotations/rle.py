"""Outlines to masks: polygons, and run-length encoded masks as COCO and CVAT have them. By pycocotools.

Shapes: H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.objects import Rle


def decode_rle(rle: Rle) -> np.ndarray:
    """Unpack a mask: bool (H, W).

    Raises
    ------
    ModelGPTError
        Its runs are not those of a mask of its size; or it is compressed, and pycocotools is not installed.
    """
    height, width = rle.size
    if not isinstance(rle.counts, bytes):
        counts = np.array(rle.counts, dtype=np.int64)
        if (counts < 0).any() or counts.sum() != height * width:
            raise _no_mask(rle)
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        columns: np.ndarray = inside.reshape(width, height)
        return columns.T
    try:
        found: np.ndarray = _masks().decode({"size": [height, width], "counts": rle.counts}) > 0
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise _no_mask(rle) from error
    return found


def outline_mask(outline: Sequence[np.ndarray] | Rle, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels inside an outline, bool (H, W): of several polygons those in any.

    By pycocotools, whose pixels have the area that the polygon has; Pillow's polygons are half a pixel wider.

    Parameters
    ----------
    size : (int, int)
        Width and height.

    Raises
    ------
    ModelGPTError
        As `decode_rle`.
    """
    if isinstance(outline, Rle):
        return decode_rle(outline)
    masks, far = _masks(), np.array(size, dtype=np.float64)
    # What lies far outside is drawn from nearer: every pixel of an edge takes memory.
    parts = [np.clip(part, -far, 2 * far).reshape(-1).tolist() for part in outline]
    found: np.ndarray = masks.decode(masks.merge(masks.frPyObjects(parts, size[1], size[0]))) > 0
    return found


def _masks() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ModelGPTError(
            "To read outlines and masks of objects, the library pycocotools is needed.",
            "It is not installed.",
            "Install it: pip install pycocotools",
        ) from error
    return mask


def encode_mask(mask: np.ndarray) -> Rle:
    """Pack a mask, bool (H, W), as runs."""
    flat = np.asarray(mask, dtype=bool).T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges, [len(flat)]])
    runs = np.diff(starts).tolist()
    return Rle(tuple([0, *runs] if len(flat) and flat[0] else runs), (mask.shape[0], mask.shape[1]))


def _no_mask(rle: Rle) -> ModelGPTError:
    return ModelGPTError(
        f"A run-length encoded mask doesn't fill its {rle.size[1]} x {rle.size[0]} pixels.",
        "It has been cut short, or is of another size.",
        "Export the annotations anew.",
    )
