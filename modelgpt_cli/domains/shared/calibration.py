"""Temperature scaling: one number that a head's logits are divided by, so that its probabilities hold. Beside `head`.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

SPREAD = 0.25
"""Standard deviation of the normal prior on the temperature's logarithm. In the benchmark of confidence, eight shared
sets of images and eight of texts, 4 to 30 rows a class, the calibration error of unseen rows falls from .084 to .069
(images) and from .094 to .087 (texts), their log loss by .016 and .006. With a spread of .5 the worst log loss of all
draws grows by .18 rather than .06; without a prior by more."""
_LARGEST = 2.0
"""Of the logarithm, either way."""


def fit_temperature(logits: np.ndarray, target: np.ndarray, *, multi_label: bool = False) -> float:
    """Return the temperature at which held-out rows are likeliest, under a prior that keeps it near 1.

    Parameters
    ----------
    logits : (N, C)
        Of rows that the head has not seen.
    target : (N, C)
        1 for a row's class, else 0.
    multi_label : bool
        Whether a row has any number of classes, so that each has a probability of its own.

    Returns
    -------
    float
        1 where no other temperature lowers the log loss.

    References
    ----------
    Guo et al., On calibration of modern neural networks (2017).
    """
    scores = logits.astype(np.float64)
    own = (scores * target).sum(1)

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        if multi_label:
            return float(np.logaddexp(0, scores * inverse).sum() - own.sum() * inverse)
        return float((logsumexp(scores * inverse, axis=1) - own * inverse).sum())

    found = minimize_scalar(lambda x: loss(x) + 0.5 * (x / SPREAD) ** 2, bounds=(-_LARGEST, _LARGEST), method="bounded")
    return math.exp(found.x) if loss(found.x) < loss(0.0) else 1.0
