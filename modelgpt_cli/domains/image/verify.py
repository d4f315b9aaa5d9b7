"""The proof before an image model's file appears: tiny, long, flat and noisy images, and the user's own.

Shapes: N images, H, W pixels, S pixels a side, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from modelgpt_cli.artifacts.verify import (
    BATCHES,
    check_difference,
    check_gap,
    failed,
    graph_session,
    relative_gap,
    with_inner_values,
)
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.model import IMAGE_COLUMN, ImageModel
from modelgpt_cli.domains.image.onnx_pixels import PIXELS
from modelgpt_cli.domains.image.preprocess import LONGEST, normalise, pixels
from modelgpt_cli.domains.shared.names import HEAD_INPUTS
from modelgpt_cli.domains.shared.verify import worst_difference

TOLERANCES: dict[str, tuple[float, float]] = {"fp16": (0.02, 0.01), "int8": (1.0, 0.5)}
"""Of quantised models: how far, at most and in the mean of the images, features may be from the original's, in shares
of their length; for "int8" of the user's images alone, as ranges were measured on these. What that costs in accuracy
is for labelled images to say; here a broken graph is to be told from a rounded one."""
_GIVEN = 8


def verify(
    model: ImageModel,
    raw: bytes,
    rows: Sequence[np.ndarray] | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported image model against the original.

    Parameters
    ----------
    model : ImageModel
        The original.
    raw : bytes
        The export.
    rows : sequence of uint8 (H, W, 3), optional
        Images of the real data, to be compared as well; the first few are taken.
    quantize : {"none", "fp16", "int8"}
        What was done to the weights.
    options
        Not needed here.

    Returns
    -------
    float
        The largest difference of a probability, images resized by Pillow.

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses the graph, or a difference is above the tolerance.
    """
    size = model.view.size
    inner = {PIXELS: (TensorProto.FLOAT, ("N", 3, size, size)), HEAD_INPUTS: (TensorProto.FLOAT, ("N", "E"))}
    session = graph_session(with_inner_values(raw, inner))
    batches = _batches(model, () if rows is None else rows)
    seen: list[Tensor] = []
    graph: list[list[np.ndarray]] = []
    with progress("verify", len(batches), "batches") as advance:
        for image, _ in batches:
            *outputs, found, features = session.run(None, {IMAGE_COLUMN.name: image})
            expected = pixels(image, model.view)
            if not np.array_equal(found, expected.numpy()):
                raise failed(f"Its pixels are not Pillow's, of an image of {image.shape[2]} x {image.shape[1]}.")
            seen.append(expected)
            graph.append([*outputs, features])
            advance(1)
    worst = 0.0
    gaps: list[np.ndarray] = []
    originals = torch.from_numpy(_features(model, torch.cat(seen))).split([len(part) for part in seen])
    for (_, given), original, (*outputs, features) in zip(batches, (o.numpy() for o in originals), graph, strict=True):
        if quantize != "none" and (given or quantize != "int8"):
            gaps.append(relative_gap(original, features))
        check_difference(worst_difference(model, original if quantize == "none" else features, outputs))
        worst = max(worst, worst_difference(model, original, outputs))
    if gaps:
        check_gap(np.concatenate(gaps), *TOLERANCES[quantize])
    return worst


def edge_images(size: int) -> list[np.ndarray]:
    """Return images that try a model's edges, uint8 (H, W, 3) each: tiny, long, flat, noisy, large, with hard lines."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (size * 2 + 3, size + 5, 3), dtype=np.uint8)
    stripes = np.zeros((size + 1, size * 3, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    slope = np.linspace(0, 255, size * 5).astype(np.uint8)
    ramp = np.broadcast_to(slope[:, None, None], (size * 5, size * 4 + 2, 3)).copy()
    long = rng.integers(0, 256, (3, 3 * LONGEST * 2 + 1, 3), dtype=np.uint8)
    return [
        noise[:1, :1],
        noise[:2, :3],
        long,
        long.transpose(1, 0, 2).copy(),
        noise,
        stripes,
        ramp,
        noise[:size, :size],
    ]


def _batches(model: ImageModel, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, bool]]:
    """Images of one size each, uint8 (N, H, W, 3), and whether they are the user's: these and odd ones alone, then
    several at once."""
    found = [(image[None], True) for image in images[:_GIVEN]]
    edges = edge_images(model.view.size)
    found += [(image[None], False) for image in edges]
    rng = np.random.default_rng(1)
    for n in BATCHES[1:]:
        found.append((rng.integers(0, 256, (n, 9, 11, 3), dtype=np.uint8), False))
    return found


@torch.inference_mode()
def _features(model: ImageModel, seen: Tensor) -> np.ndarray:
    """What the original's head sees of some pixels, (N, E): of all at once, which costs less than one by one."""
    found: np.ndarray = model.features(normalise(seen, model.view)).numpy()
    return found
