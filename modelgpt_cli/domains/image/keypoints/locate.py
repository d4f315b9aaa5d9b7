"""Where in an image the object is: a place is scored by what is seen there, so that objects may lie anywhere.

Places are those of the map at a stride of 16 pixels. Their scores are solved by ridge regression on how near a place is
to the middle of the box around the points, and read as log odds.
Shapes: R rows (images and copies of them), K points, h, w places, L = h w, P inputs of a place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.image.dense.maps import resized_maps
from modelgpt_cli.domains.image.keypoints.architectures import WINDOW
from modelgpt_cli.domains.image.keypoints.cascade import Linear, Locator, nearby, place_units

WIDTH = 0.2
"""How far a place counts as near, in the longer side of the box around the points: the standard deviation of a bell."""
PRECISION = 1e-2
"""Of the prior, as a share of the inputs' mean variance."""
SHARPNESS = (8.0, 16.0, 32.0, 64.0)
"""What scores are multiplied by to be log odds: held-out images choose."""
GAIN = 0.8
"""Of the distance of the mean place, that of held-out images has to be below to be used."""
LEAST_BOX = 0.02
"""Of an image's longer side."""
EXTENT = 1.5
"""A side of what the first guess sees around the middle, in the median longer side of boxes."""


def place_inputs(seen: Sequence[Tensor]) -> Tensor:
    """What is seen at each place, (P, L), of projected maps (1, d, h, w)."""
    fine, middle, coarse = seen
    return torch.cat(
        [
            F.avg_pool2d(fine, 2),
            middle,
            nearby(middle),
            resized_maps(coarse, middle.shape[2:]),
        ],
        1,
    )[0].flatten(1)


class _Sums:
    """Sums over the places of a fold's images: of products of their inputs and a one, and of these with nearness."""

    def __init__(self, inputs: int) -> None:
        self.gram, self.cross = torch.zeros(inputs + 1, inputs + 1), torch.zeros(inputs + 1)

    def add(self, seen: Tensor, near: Tensor) -> None:
        """Add places: inputs (P, L) and nearness (L,)."""
        x = _with_one(seen)
        self.gram += x @ x.T
        self.cross += x @ near


def fit_locator(
    seen: Sequence[Sequence[Tensor]],
    sizes: Sequence[tuple[int, int]],
    points: np.ndarray,
    labelled: np.ndarray,
    folds: np.ndarray,
    judged: np.ndarray,
) -> tuple[Locator, np.ndarray] | None:
    """Learn where objects are.

    Parameters
    ----------
    seen : sequence of sequence of Tensor (1, d, h, w)
        Projected maps of each row.
    sizes : sequence of (int, int)
        Heights and widths.
    points : float32 (R, K, 2)
        In units.
    labelled : bool (R, K)
    folds : int64 (R,)
    judged : bool (R,)
        Rows that choose.

    Returns
    -------
    Locator, float32 (R, 2), or None
        What all rows teach, and the middle of each row by what the other folds do. None where that is no nearer than
        the mean of middles.
    """
    there = np.asarray(labelled.any(1))
    boxes = [(one[kept].min(0), one[kept].max(0)) for one, kept in zip(points[there], labelled[there], strict=True)]
    middles, longest = np.zeros((len(points), 2), np.float32), np.ones(len(points), np.float32)
    middles[there] = [(low + high) / 2 for low, high in boxes]
    longest[there] = [max(float((high - low).max()), LEAST_BOX) for low, high in boxes]
    n_inputs = len(_inputs(seen[0]))
    sums = {fold: _Sums(n_inputs) for fold in np.unique(folds).tolist()}
    units = [place_units(one[1].shape[2], one[1].shape[3], *size) for one, size in zip(seen, sizes, strict=True)]
    for k in np.flatnonzero(there).tolist():
        away = (units[k] - torch.from_numpy(middles[k])).square().sum(1)
        sums[int(folds[k])].add(_inputs(seen[k]), (-away / (2 * (WIDTH * longest[k]) ** 2)).exp())
    weights = {fold: _solved([one for other, one in sums.items() if other != fold]) for fold in sums}
    scores = [weights[int(fold)] @ _with_one(_inputs(maps)) for fold, maps in zip(folds, seen, strict=True)]
    kept = there & judged
    means = {fold: _mean_without(middles, there, folds, fold) for fold in sums}
    known = np.array([means[fold] for fold in folds.tolist()], np.float32)
    best, found = GAIN * _distance(known, middles, longest, kept), None
    for sharpness in SHARPNESS:
        told = torch.stack([(sharpness * s).softmax(0) @ u for s, u in zip(scores, units, strict=True)]).numpy()
        if (distance := _distance(told, middles, longest, kept)) < best:
            best, found = distance, (sharpness, told)
    if found is None:
        return None
    weight = found[0] * _solved(list(sums.values()))
    line = torch.from_numpy(((np.arange(WINDOW) + 0.5) / WINDOW - 0.5).astype(np.float32))
    line = line * EXTENT * float(np.median(longest[there]))
    window = torch.cartesian_prod(line, line).flip(1)
    return Locator(Linear(weight[:-1, None], weight[-1:]), window.contiguous()), found[1]


def _inputs(maps: Sequence[Tensor]) -> Tensor:
    """`place_inputs` of maps as they are kept: those of all rows together would fill the memory."""
    return place_inputs([one.float() for one in maps])


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(1, x.shape[1])])


def _solved(parts: Sequence[_Sums]) -> Tensor:
    """Weights of the inputs and the constant, (P + 1,)."""
    gram, cross = (torch.stack([getattr(one, name) for one in parts]).sum(0) for name in ("gram", "cross"))
    variance = (gram.diagonal()[:-1].mean()).clamp(min=1e-6)
    gram.diagonal()[:-1] += PRECISION * variance
    found: Tensor = torch.linalg.solve(gram, cross)
    return found


def _mean_without(middles: np.ndarray, there: np.ndarray, folds: np.ndarray, fold: int) -> np.ndarray:
    """The mean middle of the rows of other folds, (2,)."""
    others = there & (folds != fold)
    mean: np.ndarray = middles[others].mean(0) if others.any() else np.zeros(2)
    return mean


def _distance(found: np.ndarray, middles: np.ndarray, longest: np.ndarray, kept: np.ndarray) -> float:
    """The mean distance of middles in longer sides of their boxes."""
    if not kept.any():
        return 0.0
    return float((np.linalg.norm(found - middles, axis=1) / longest)[kept].mean())
