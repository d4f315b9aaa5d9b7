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
_GIVEN = 3


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
        The largest difference of a point, in shares of the image's longer side.

    Raises
    ------
    VerificationError
        The graph is refused, or a difference is too large.
    """
    session, worst = graph_session(raw), 0.0
    batches = [image[None] for image in (rows or ())[:_GIVEN]] + _edge_batches(model.view.size)
    with progress("verify", len(batches), "batches") as advance:
        for images in batches:
            (points,) = session.run(None, {_IMAGE: images})
            worst = max(worst, _difference(model, images, points, quantize))
            advance(1)
    return worst


@torch.inference_mode()
def _difference(model: PointModel, images: np.ndarray, points: np.ndarray, quantize: str) -> float:
    """The largest difference of a point, once it and the scores have passed."""
    height, width = images.shape[1:3]
    expected = model.forward(images).numpy()
    if points.shape != expected.shape or not np.isfinite(points).all():
        raise failed("Its points are no numbers, or not one of each name.")
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
