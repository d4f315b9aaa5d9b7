"""Outlines to masks: polygons, by pycocotools, and run-length encoded masks as COCO and CVAT have them.

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
        Its runs are not those of a mask of its size. pycocotools would leave what they don't fill to chance.
    """
    height, width = rle.size
    counts = np.array(unpack_runs(rle.counts) if isinstance(rle.counts, bytes) else rle.counts, dtype=np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise ModelGPTError(
            f"A run-length encoded mask doesn't fill its {width} x {height} pixels.",
            "It has been cut short, or is of another size.",
            "Export the annotations anew.",
        )
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    columns: np.ndarray = inside.reshape(width, height)
    found: np.ndarray = columns.T
    return found


def unpack_runs(packed: bytes) -> list[int]:
    """Return the runs in COCO's string; none where it is damaged.

    Five bits a character; from the third run on as the difference to the one before last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


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
            "For outlines of objects the library pycocotools is needed.",
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


def packed_mask(mask: np.ndarray) -> dict[str, Any]:
    """Pack a mask, bool (H, W), as COCO's JSON has it: compressed runs.

    Raises
    ------
    ModelGPTError
        pycocotools is not installed.
    """
    packed = _masks().encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode()}
