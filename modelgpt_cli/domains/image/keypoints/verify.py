"""The proof before a file of key points appears: tiny, long, large and noisy images, and the user's own.

Shapes: N images, H, W pixels, K points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from modelgpt_cli.artifacts.verify import BATCHES, failed, graph_session
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.keypoints.model import PointModel
from modelgpt_cli.domains.image.keypoints.onnx import _IMAGE

TOLERANCES = {"none": 1e-3, "fp16": 0.03}
"""The largest difference of a point, in shares of the image's longer side; of noise, where steps lead far, `_FAR` of
its own distance from the centre more."""
SCORE_TOLERANCES = {"none": 5e-3, "fp16": 0.2}
_FAR = 0.02
MOVED = 0.05
"""In 8 bits, of the user's images alone, as ranges were measured on these: the largest mean distance of a point from
where it was, in shares of the image's longer side."""
_GIVEN, _ROUNDED_GIVEN = 3, 8


def verify(
    model: PointModel,
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
        The largest difference of a point, in shares of the image's longer side; in 8 bits the mean distance of a point
        of the given images.

    Raises
    ------
    VerificationError
        The graph is refused, or a difference is too large.
    """
    session, worst, moved = graph_session(raw), 0.0, []
    exact = quantize != "int8"
    given = (rows or ())[: _GIVEN if exact else _ROUNDED_GIVEN]
    batches = [image[None] for image in given] + _edge_batches(model.view.size)
    with progress("verify", len(batches), "batches") as advance:
        for k, images in enumerate(batches):
            (points,) = session.run(None, {_IMAGE: images})
            expected = _expected(model, images)
            if points.shape != expected.shape or not np.isfinite(points).all():
                raise failed("Its points are no numbers, or not one of each name.")
            if exact:
                worst = max(worst, _difference(images, points, expected, quantize))
            elif k < len(given):
                away = np.linalg.norm((points - expected)[:, :, :2], axis=2)
                moved.append(float(away.mean()) / max(images.shape[1:3]))
            advance(1)
    if not moved:
        return worst
    distance = float(np.mean(moved))
    if distance > MOVED:
        raise failed(f"Points move by {distance:.2g} of an image's longer side; {MOVED:g} is allowed.")
    return distance


@torch.inference_mode()
def _expected(model: PointModel, images: np.ndarray) -> np.ndarray:
    found: np.ndarray = model.forward(images).numpy()
    return found


def _difference(images: np.ndarray, points: np.ndarray, expected: np.ndarray, quantize: str) -> float:
    """The largest difference of a point, once it and the scores have passed."""
    height, width = images.shape[1:3]
    longer = max(height, width)
    gaps = np.abs(points - expected)[:, :, :2] / longer
    far = np.abs(expected[:, :, :2] - (width / 2, height / 2)) / longer
    if (gaps > TOLERANCES[quantize] + _FAR * np.maximum(far - 0.5, 0)).any():
        raise failed(f"A point differs by {gaps.max():.2g} of the side of an image of {width} x {height} pixels.")
    difference = float(np.abs(points - expected)[:, :, 2].max())
    if difference > SCORE_TOLERANCES[quantize]:
        raise failed(f"A score differs by {difference:.2g}, of an image of {width} x {height} pixels.")
    return float(gaps.max())


def _edge_batches(size: int) -> list[np.ndarray]:
    """Odd images, uint8 (N, H, W, 3): tiny, long, smaller and larger than the network sees, several at once."""
    rng = np.random.default_rng(0)

    def noise(n: int, height: int, width: int) -> np.ndarray:
        coarse = rng.integers(0, 256, (n, -(-height // 7), -(-width // 7), 3), dtype=np.uint8)
        return coarse.repeat(7, 1).repeat(7, 2)[:, :height, :width]

    shapes = [(1, 1, 1), (1, 3, 200), (1, size + 9, size // 2 + 5), (1, 700, 64)]
    return [noise(*shape) for shape in shapes] + [noise(n, 41, 60) for n in BATCHES[1:2]]
