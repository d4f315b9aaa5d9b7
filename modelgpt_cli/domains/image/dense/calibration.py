"""A segmentation's scores made logits, each of all: a logistic regression on held-out places, which the head takes in.

Ridge gives each class its share of a place, whatever the others have, and less of it the rarer the class is.
Shapes: n places, C classes.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

SHARPNESS = 8.0
"""What scores, which are shares of a place, are multiplied by to be logits, where there is nothing to learn it from."""
LEAST_IMAGES = 20
"""From so many held-out images on it is tried. Street scenes at 320 pixels: from 45 images the mIoU of 46 others was
.470 before and .489 after; from ten, in two draws, that of 23 others rose by .014 and fell by .006."""
PENALTY = 0.1
"""By the number of images: what the squared distance from `SHARPNESS` times the score itself counts in the loss."""
STEPS = 60
LEAST_DEVIATION = 0.01

Calibration = tuple[np.ndarray, np.ndarray]
"""Weight float32 (C, C) and bias float32 (C,): scores times the one, plus the other, are logits."""


def calibrate(scores: np.ndarray, shares: np.ndarray, counts: np.ndarray, n_images: int) -> Calibration:
    """Find the logits of places by their scores, (n, C), and shares of the classes, (n, C); they count (n,) each."""
    deviation = np.maximum(scores.std(0), LEAST_DEVIATION)
    inputs, each = (scores / deviation).astype(np.float64), counts / counts.sum()
    classes, start = scores.shape[1], SHARPNESS * np.diag(deviation)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = values[:-classes].reshape(classes, classes), values[-classes:]
        likely = log_softmax(inputs @ weight + bias, axis=1)
        slope = (np.exp(likely) - shares) * each[:, None]
        moved = weight - start
        total = -(shares * likely).sum(1) @ each + PENALTY / n_images * np.square(moved).sum()
        by_weight = inputs.T @ slope + 2 * PENALTY / n_images * moved
        return float(total), np.concatenate([by_weight.reshape(-1), slope.sum(0)])

    first = np.concatenate([start.reshape(-1), np.zeros(classes)])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    weight = found[:-classes].reshape(classes, classes) / deviation[:, None]
    return weight.astype(np.float32), found[-classes:].astype(np.float32)
