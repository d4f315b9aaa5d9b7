"""How unlike anything in the training data a row is: the cosine distance of its features to the nearest prototype.

A prototype is the mean direction of a class's rows, or of the rows of several classes where there are many. In the
benchmark of confidence, eight shared sets of images, 8 and 30 a class, unseen images of a set against those of the
others (mean ROC AUC): cosine .99 and .99, Mahalanobis distance with a shared diagonal covariance .97 and .98, energy of
the logits .88 and .92, likeliest class .86 and .88. A Mahalanobis distance in 32 dimensions is behind the diagonal one.
Shapes: N rows, P features, C classes or labels, K prototypes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.outputs import NOVELTY
from modelgpt_cli.domains.shared.folds import Folds
from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.shared.scaling import Scaling

PROTOTYPES = 12
"""At most: with an image network's 2,864 features they take 160 kB. With more, up to one a class, the area under the
curve grows by .002."""
QUANTILE = 0.99
"""The threshold is this quantile of held-out training rows: in the same benchmark, from 8 images a class on, 2 % of
unseen images of the same set are above it, and 87 % or more of images of the others."""
_ROUNDS = 10
_PREFIX = CONSTANTS + NOVELTY + "."
_TINY = 1e-6


@dataclass(frozen=True)
class Novelty:
    """What the score is computed from.

    Attributes
    ----------
    prototypes : float32 (P, K)
        Of length 1 each.
    mean, scale : float32 (P,), optional
        What usual features have in common, and the inverse of how much they vary, where that is known.
    """

    prototypes: Tensor
    mean: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Novelty | None:
        """Read back what `state` gives; None where there is none."""
        found = {key: state.get(_PREFIX + key) for key in ("prototypes", "mean", "scale")}
        prototypes = found.pop("prototypes")
        return None if prototypes is None else cls(prototypes, **found)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors under the names that a model file has for them."""
        found = {"prototypes": self.prototypes, "mean": self.mean, "scale": self.scale}
        return {_PREFIX + key: value for key, value in found.items() if value is not None}

    def __call__(self, features: Tensor) -> Tensor:
        """Return the score (N,) of features (N, P): 0 for a prototype's direction, 1 for one that has none of it."""
        if self.mean is not None and self.scale is not None:
            features = (features - self.mean) * self.scale
        length = features.square().sum(1).sqrt().clamp(min=_TINY)
        nearest: Tensor = (features @ self.prototypes).amax(1)
        return 1 - nearest / length

    def refitted(self, features: Tensor, target: Tensor, classes: bool) -> Novelty:
        """Return the same for other features (N, P), with `target` (N, C) as for `fit_novelty`."""
        if self.mean is not None and self.scale is not None:
            features = (features - self.mean) * self.scale
        return Novelty(_prototypes(features, target if classes else None), self.mean, self.scale)


def novelty_names(names: Mapping[str, Any]) -> list[str]:
    """Return those of a graph's tensors that are `Novelty.state`."""
    return [name for name in names if name.startswith(_PREFIX)]


def fit_novelty(
    inputs: Tensor, target: Tensor, folds: Folds, *, classes: bool, scaling: Scaling | None = None
) -> tuple[Novelty, dict[str, Any]]:
    """Find the prototypes of labelled rows, and the score that next to no held-out row exceeds.

    Parameters
    ----------
    inputs : (N, P)
        Features; as `scaling` gives them, where there is one.
    target : (N, C)
        Above 0 where a row has a class or label; or a number.
    folds : Folds
    classes : bool
        Whether `target` is classes or labels.
    scaling : Scaling, optional
        Of usual features, not of these rows: relative to their own mean, nothing tells them from others.

    Returns
    -------
    Novelty
    dict
        For the blueprint: ``threshold``, ``quantile``, ``rows``.
    """
    given = target if classes else None
    scores = np.full(len(inputs), np.nan)
    for used, held_out in folds.parts():
        rows = torch.from_numpy(used)
        found = Novelty(_prototypes(inputs[rows], None if given is None else given[rows]))
        scores[held_out] = found(inputs[torch.from_numpy(held_out)]).numpy()
    frame = () if scaling is None else (scaling.mean, 1 / scaling.std)
    return Novelty(_prototypes(inputs, given), *frame), threshold_of(scores[folds.fold >= 0])


def threshold_of(scores: np.ndarray) -> dict[str, Any]:
    """Return what the blueprint says of the score, from that of rows that the prototypes have not seen."""
    return {"threshold": float(np.quantile(scores, QUANTILE)), "quantile": QUANTILE, "rows": len(scores)}


def write_novelty(g: GraphWriter, features: str) -> None:
    """Write the nodes from a backbone's features (N, P) to the output ``novelty`` (N,)."""
    if _PREFIX + "mean" in g.state:
        features = g.op("Mul", g.op("Sub", features, g.tensor(_PREFIX + "mean")), g.tensor(_PREFIX + "scale"))
    square = g.reduce("ReduceSum", g.op("Mul", features, features), 1, keep=False)  # (N,)
    length = g.op("Max", g.op("Sqrt", square), g.const(_TINY))
    cosines = g.op("MatMul", features, g.tensor(_PREFIX + "prototypes"))  # (N, K)
    nearest = g.reduce("ReduceMax", cosines, 1, keep=False)
    g.op("Sub", g.const(1.0), g.op("Div", nearest, length), output=NOVELTY)


def _prototypes(rows: Tensor, target: Tensor | None) -> Tensor:
    """Directions (P, K): of classes' means, at most `PROTOTYPES`; of the rows themselves where there are no classes."""
    units = F.normalize(rows, dim=1)
    if target is not None:
        given = target[:, target.sum(0) > 0]
        units = F.normalize(given.T @ units, dim=1)
    found = units if len(units) <= PROTOTYPES else _clustered(units)
    return found.T.contiguous()


def _clustered(units: Tensor) -> Tensor:
    """Spherical k-means, begun with directions far from each other: (PROTOTYPES, P)."""
    chosen = [0]
    nearest = units @ units[0]
    while len(chosen) < PROTOTYPES:
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, units @ units[chosen[-1]])
    centres = units[chosen]
    for _ in range(_ROUNDS):
        own = F.one_hot((units @ centres.T).argmax(1), PROTOTYPES).to(units)
        sums = own.T @ units
        centres = torch.where(own.sum(0)[:, None] > 0, F.normalize(sums, dim=1), centres)
    return centres
