"""The proof before a file of detection appears: tiny, long, large and noisy images, and the user's own.

Shapes: H, W pixels, C classes, h, w places, K candidates, M boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from modelgpt_cli.artifacts.verify import failed, graph_session, with_inner_values
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.dense.onnx import SCORES as PLACE_SCORES
from modelgpt_cli.domains.image.detection.boxes import matched
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.model import DetectionModel, first_look, kept, peak_line
from modelgpt_cli.domains.image.detection.onnx import CANDIDATES, CERTAIN, CHOSEN

TOLERANCES = {"none": 2e-3, "fp16": 0.1}
"""The largest difference of a place's score, in shares of the spread of all of its kind in the image, and of what is
told of a candidate, which is at most 1."""
_SIDES = 20.0
"""A side of a box may differ by so many tolerances of the longer side of the box."""
SAME = 0.6
"""In 8 bits, of the user's images alone, as ranges were measured on these: the least share of the boxes shown, before
and after, that are the same thing (of one class, by an IoU of .5)."""
_GIVEN, _ROUNDED_GIVEN = 3, 8
_LEAST_SPREAD = 0.5
"""Of an image of a few places; scores go from 0 to 1, and logarithms of distances about as far."""


def verify(
    model: DetectionModel,
    raw: bytes,
    rows: Sequence[np.ndarray] | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported model against the original; see `artifacts.verify.Verifier`.

    Each step is compared with what the original makes of the graph's own choice before it, so that places or boxes
    that are nearly as good as others may change ranks.

    Returns
    -------
    float
        The largest difference of a place's score, in shares of their spread, or of what a candidate is told to be; in 8
        bits the share of the given images' boxes that are not the same.

    Raises
    ------
    VerificationError
        The graph is refused, or a difference is too large.
    """
    inner = {
        PLACE_SCORES: (TensorProto.FLOAT, (1, model.classes + 4, "h", "w")),
        CHOSEN: (TensorProto.INT64, ("K",)),
        CANDIDATES: (TensorProto.FLOAT, ("K", 4)),
        CERTAIN: (TensorProto.FLOAT, ("K", model.classes)),
    }
    session = graph_session(with_inner_values(raw, inner))
    worst, same, shown = 0.0, 0, 0
    exact = quantize != "int8"
    given = (rows or ())[: _GIVEN if exact else _ROUNDED_GIVEN]
    images = [*given, *_edge_images(model.view.size)]
    with progress("verify", len(images), "images") as advance:
        for k, image in enumerate(images):
            found = session.run(None, {IMAGE: image[None]})
            if exact:
                worst = max(worst, _difference(model, image, found, TOLERANCES[quantize]))
            else:
                _check_own(model, image, found)
                both = _same_boxes(model, image, found[:3]) if k < len(given) else (0, 0)
                same, shown = same + both[0], shown + both[1]
            advance(1)
    if not shown:
        return worst
    if same < SAME * shown:
        raise failed(f"{same / shown:.0%} of the boxes are as they were; {SAME:.0%} have to be.")
    return 1 - same / shown


def _same_boxes(model: DetectionModel, image: np.ndarray, found: Sequence[np.ndarray]) -> tuple[int, int]:
    """How many boxes that are shown, before and after, are the same thing, and how many there are."""
    before, after = (
        (boxes[scores >= model.decoding.shown], labels[scores >= model.decoding.shown])
        for boxes, scores, labels in (model.forward(image), found)
    )
    same = sum(
        2 * int(matched(after[0][after[1] == label], before[0][before[1] == label]).sum())
        for label in range(model.classes)
    )
    return same, len(before[1]) + len(after[1])


def _check_own(model: DetectionModel, image: np.ndarray, found: Sequence[np.ndarray]) -> None:
    """Make sure that all are numbers, and the outputs the graph's own candidates."""
    boxes, scores, labels, place_scores, _, candidates, certain = found
    size = f"of an image of {image.shape[1]} x {image.shape[0]} pixels"
    if not all(np.isfinite(values).all() for values in (place_scores, candidates, certain)):
        raise failed(f"Its boxes are no numbers, {size}.")
    _check_kept(model, candidates, certain, (boxes, scores, labels), size)


@torch.inference_mode()
def _difference(model: DetectionModel, image: np.ndarray, found: Sequence[np.ndarray], tolerance: float) -> float:
    """The largest difference, once all steps have passed."""
    boxes, scores, labels, place_scores, chosen, candidates, certain = found
    size = f"of an image of {image.shape[1]} x {image.shape[0]} pixels"
    maps = model.maps(image)
    expected = first_look(maps, model.heads)
    if place_scores.shape != expected.shape or not np.isfinite(place_scores).all():
        raise failed("Its scores are no numbers, or not one for each class and place.")
    spread = expected.std(dim=(0, 2, 3), correction=0).clamp(min=_LEAST_SPREAD)[None, :, None, None]
    difference = float(((torch.from_numpy(place_scores) - expected).abs() / spread).max())
    if difference > tolerance:
        raise failed(f"A place's score differs by {difference:.2g} of their spread, {size}.")
    line = peak_line(torch.from_numpy(place_scores), model.classes)
    best = line.topk(min(model.decoding.candidates, len(line))).values  # of equal places either may be taken
    if not torch.equal(line[torch.from_numpy(chosen)], best) or len(set(chosen.tolist())) < len(best):
        raise failed(f"Its candidates are not the best places, {size}.")
    same, told = model.candidates(maps, expected, torch.from_numpy(chosen), *image.shape[:2])
    if candidates.shape != same.shape or not np.isfinite(candidates).all() or not np.isfinite(certain).all():
        raise failed(f"Its boxes are no numbers, or not one for each candidate, {size}.")
    longest = np.maximum(same[:, 2:] - same[:, :2], 1.0).max(1)
    edges = float((np.abs(candidates - same).max(1) / longest).max())
    if edges > _SIDES * tolerance:
        raise failed(f"An edge differs by {edges:.2g} of its box's longer side, {size}.")
    certainty = float(np.abs(certain - told).max())
    if certainty > 5 * tolerance:
        raise failed(f"What a box is told to be differs by {certainty:.2g}, {size}.")
    _check_kept(model, candidates, certain, (boxes, scores, labels), size)
    return max(difference, certainty)


def _check_kept(
    model: DetectionModel, candidates: np.ndarray, certain: np.ndarray, found: Sequence[np.ndarray], size: str
) -> None:
    """Make sure that the outputs are the graph's own candidates, but for those that overlap better ones."""
    boxes, scores, labels = found
    wanted = kept(candidates, certain, model.decoding)
    if not (np.diff(scores) <= 0).all():
        raise failed(f"Its boxes are not in the order of their scores, {size}.")
    # Overlaps that nearly equal the limit may be rounded to either side of it.
    if abs(len(scores) - len(wanted[1])) > 1 + len(scores) // 50:
        raise failed(f"It gives {len(scores)} boxes rather than {len(wanted[1])}, {size}.")
    if len(scores) == len(wanted[1]) and not np.allclose(np.sort(scores), np.sort(wanted[1]), atol=1e-4):
        raise failed(f"Its scores are not those of its candidates, {size}.")
    if boxes.shape != (len(scores), 4) or labels.shape != scores.shape:
        raise failed(f"It doesn't give a box and a class for each score, {size}.")


def _edge_images(size: int) -> list[np.ndarray]:
    """Odd images, uint8 (H, W, 3): tiny, long, and larger than the network sees."""
    rng = np.random.default_rng(0)

    def noise(height: int, width: int) -> np.ndarray:
        coarse = rng.integers(0, 256, (-(-height // 7), -(-width // 7), 3), dtype=np.uint8)
        return coarse.repeat(7, 0).repeat(7, 1)[:height, :width]

    return [noise(*sides) for sides in ((1, 1), (3, 200), (size + 9, size // 2 + 5), (41, 60))]
