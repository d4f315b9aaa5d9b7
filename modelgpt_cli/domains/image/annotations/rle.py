"""Run-length encoded masks, as COCO and CVAT have them. What is compressed pycocotools unpacks.

Shapes: H, W pixels.
"""

from __future__ import annotations

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
        return inside.reshape(width, height).T
    try:
        from pycocotools.mask import decode
    except ImportError as error:
        raise ModelGPTError(
            "To read compressed masks, the library pycocotools is needed.",
            "It is not installed.",
            "Install it: pip install pycocotools",
        ) from error
    try:
        found: np.ndarray = decode({"size": [height, width], "counts": rle.counts}) > 0
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise _no_mask(rle) from error
    return found


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
