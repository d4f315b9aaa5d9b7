"""The proof before a file of dense vision appears: tiny, long, large and noisy images, and the user's own.

Shapes: N images, H, W pixels, C classes, h, w places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from modelgpt_cli.artifacts.verify import BATCHES, failed, graph_session, with_inner_values
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.dense.model import FINEST, SegmentationModel, fine_scores, mask_of
from modelgpt_cli.domains.image.dense.onnx import _IMAGE, SCORES

TOLERANCES = {"none": 1e-3, "fp16": 0.1}
"""The largest difference of a place's score, in shares of the spread of all scores of the image."""
MOVED = 0.2
"""In 8 bits, of the user's images alone, as ranges were measured on these: the largest share of their pixels that may
get another class."""
_GIVEN, _ROUNDED_GIVEN = 3, 8


def verify(
    model: SegmentationModel,
    raw: bytes,
    rows: Sequence[np.ndarray] | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported model against the original; see `artifacts.verify.Verifier`.

    Returns
    -------
    float
        The largest difference of a place's score, in shares of the spread of the image's scores; in 8 bits the share of
        the given images' pixels that get another class.

    Raises
    ------
    VerificationError
        The graph is refused, a difference is too large, or pixels have another class where scores aren't nearly equal.
    """
    classes = len(model.head_bias)
    session = graph_session(with_inner_values(raw, {SCORES: (TensorProto.FLOAT, ("N", classes, "h", "w"))}))
    exact = quantize != "int8"
    worst, moved = 0.0, []
    given = (rows or ())[: _GIVEN if exact else _ROUNDED_GIVEN]
    batches = [image[None] for image in given] + _edge_batches(model.view.size)
    with progress("verify", len(batches), "batches") as advance:
        for k, images in enumerate(batches):
            mask, scores = session.run(None, {_IMAGE: images})
            expected = _expected(model, images)
            spread = _checked(model, images, mask, scores, expected)
            if exact:
                worst = max(worst, _difference(images, scores, expected, spread, TOLERANCES[quantize]))
            elif k < len(given):
                moved.append(float((mask != mask_of(torch.from_numpy(expected), *images.shape[1:3])).mean()))
            advance(1)
    if not moved:
        return worst
    share = float(np.mean(moved))
    if share > MOVED:
        raise failed(f"{share:.0%} of the pixels get another class; {MOVED:.0%} are allowed.")
    return share


@torch.inference_mode()
def _expected(model: SegmentationModel, images: np.ndarray) -> np.ndarray:
    found: np.ndarray = model.forward(images).numpy()
    return found


def _difference(images: np.ndarray, scores: np.ndarray, expected: np.ndarray, spread: float, tolerance: float) -> float:
    """The largest difference of a score, once it has passed."""
    difference = float(np.abs(scores - expected).max()) / spread
    if difference > tolerance:
        height, width = images.shape[1:3]
        raise failed(f"A score differs by {difference:.2g} of their spread, of images of {width} x {height} pixels.")
    return difference


def _checked(
    model: SegmentationModel, images: np.ndarray, mask: np.ndarray, scores: np.ndarray, expected: np.ndarray
) -> float:
    """The spread of the scores, once shapes are right and the mask is that of the graph's own scores."""
    height, width = images.shape[1:3]
    seen = expected[:, (model.head_bias > -50).numpy()]  # what no pixel has stays out of the spread
    spread = max(float(seen.std(ddof=1)) if seen.size > 1 else 0.0, 1e-3)
    if scores.shape != expected.shape or not np.isfinite(scores).all():
        raise failed("Its scores are no numbers, or not one for each class and place.")
    if mask.shape != (len(images), height, width):
        raise failed(f"Its mask has the shape {mask.shape}, of images of {width} x {height} pixels.")
    if len(model.head_bias) > 1 and max(height, width) <= FINEST:
        fine = fine_scores(torch.from_numpy(scores), height, width)
        top = fine.topk(2, dim=1).values
        sure = ((top[:, 0] - top[:, 1]) > 1e-4 * spread).numpy()
        if (mask != mask_of(torch.from_numpy(scores), height, width))[sure].any():
            raise failed("Its mask is not that of its scores.")
    elif (mask != mask_of(torch.from_numpy(scores), height, width)).mean() > 0.01:
        raise failed("Its mask of a large image is not that of its scores.")
    return spread


def _edge_batches(size: int) -> list[np.ndarray]:
    """Odd images, uint8 (N, H, W, 3): tiny, long, smaller and larger than the network sees, several at once."""
    rng = np.random.default_rng(0)

    def noise(n: int, height: int, width: int) -> np.ndarray:
        coarse = rng.integers(0, 256, (n, -(-height // 7), -(-width // 7), 3), dtype=np.uint8)
        return coarse.repeat(7, 1).repeat(7, 2)[:, :height, :width]

    shapes = [(1, 1, 1), (1, 3, 200), (1, size + 9, size // 2 + 5), (1, FINEST + 30, 64)]
    return [noise(*shape) for shape in shapes] + [noise(n, 41, 60) for n in BATCHES[1:2]]
