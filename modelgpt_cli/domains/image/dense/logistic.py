"""A segmentation head by logistic regression, on principal components of its inputs.

Ridge, by which `fit` begins, wants a place's scores to be its shares, and is led by places that are far from doubt.
Logistic regression isn't; its steps go over the places again and again, so that some of each image are kept, on the
leading components. What comes out is one linear layer on the head's inputs, as ridge makes it.
Shapes: n places, P head inputs, Q components, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.image.dense.maps import GROUPS
from modelgpt_cli.parameter_generator.logistic import posterior_weights

DIRECTIONS = (96, 160, 160, 160)
"""Components of each group of head inputs."""
MOST_PLACES = 150_000
"""So many are kept of all images: 170 MB. The mIoU of 61 street scenes was .543 with 1,000 of each
of 123 others, .540 with 500."""
WHITENING = 0.25
"""Components are divided by their variance to this power: leading ones keep more of their weight."""
STEPS = 25
"""Of Newton's method with a bound on the curvature. Of 40 street scenes the mIoU of others was .519 with 12, .521 with
25."""
PRECISION = 0.005
"""Of the weights' prior, times the places. Of 40 street scenes the mIoU of others was .527 with .002, .528 with .005,
.521 with .02; of 10, .448, .453 and .447."""


@dataclass(frozen=True)
class Components:
    """Principal components of the groups of head inputs.

    Attributes
    ----------
    mean : Tensor (P,)
        Of the inputs.
    blocks : tuple of Tensor (c, d)
        What a group's inputs are multiplied by.
    """

    mean: Tensor
    blocks: tuple[Tensor, ...]

    @classmethod
    def of(cls, products: Tensor, scale: Tensor, mean: Tensor) -> Components:
        """From mean products of standardised inputs, (P, P), and the inputs' scale and mean, (P,)."""
        blocks = []
        starts = np.cumsum((0, *GROUPS)).tolist()
        for start, end, most in zip(starts, starts[1:], DIRECTIONS, strict=False):
            values, vectors = torch.linalg.eigh(products[start:end, start:end].double())
            values, vectors = values.flip(0)[:most].clamp(min=1e-6), vectors.flip(1)[:, :most]
            spread = (values * values[0]) ** WHITENING  # the first has the variance 1
            blocks.append((vectors / spread).float() / scale[start:end, None])
        return cls(mean, tuple(blocks))

    def read(self, inputs: Tensor) -> Tensor:
        """Components (n, Q) of head inputs (n, P)."""
        parts = (inputs - self.mean).split(GROUPS, 1)
        return torch.cat([part @ block for part, block in zip(parts, self.blocks, strict=True)], 1)

    def head(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """A layer on components and a one, (Q + 1, C), as weight (P, C) and bias (C,) for head inputs."""
        parts = weight[:-1].split([block.shape[1] for block in self.blocks])
        full = torch.cat([block @ part for block, part in zip(self.blocks, parts, strict=True)])
        return full, weight[-1] - self.mean @ full


class KeptPlaces:
    """Some places of each image, for logistic regression.

    Parameters
    ----------
    views : int
        How many images there will be.
    folds : int
    """

    def __init__(self, views: int, folds: int, seed: int) -> None:
        self._each = max(1, MOST_PLACES // max(1, views))
        self._rng = np.random.default_rng([seed, 44])
        self._inputs: list[list[Tensor]] = [[] for _ in range(folds)]
        self._answers: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(folds)]
        self._grams: dict[int, Tensor] = {}
        self._components: Components | None = None

    @property
    def reduced(self) -> bool:
        """Whether places are kept as their components."""
        return self._components is not None

    def add(self, inputs: np.ndarray, shares: np.ndarray, counts: np.ndarray, fold: int) -> None:
        """Add an image's places: head inputs (n, P), shares (n, C), and how much each counts, (n,)."""
        n = len(inputs)
        rows = np.sort(self._rng.choice(n, self._each, replace=False)) if n > self._each else np.arange(n)
        kept = torch.from_numpy(inputs[rows])
        self._inputs[fold].append((kept if self._components is None else self._components.read(kept)).half())
        counted = torch.from_numpy(counts[rows].astype(np.float32))
        self._answers[fold].append((torch.from_numpy(shares[rows]), counted))

    def reduce(self, components: Components) -> None:
        """From now on keep components; those of what is kept already, too."""
        self._components = components
        self._inputs = [[components.read(one.float()).half() for one in parts] for parts in self._inputs]

    def solve(self, *without: int) -> tuple[Tensor, Tensor] | None:
        """Weight (P, C) and bias (C,) by the places of all folds, or all but some; None where there are none."""
        folds = [k for k, parts in enumerate(self._inputs) if parts and k not in without]
        if not folds:
            return None
        assert self._components is not None
        phi = torch.cat([self._phi(k) for k in folds])
        shares, counts = (torch.cat([one[i] for k in folds for one in self._answers[k]]) for i in range(2))
        penalty = torch.full((phi.shape[1],), PRECISION * float(counts.sum()))
        penalty[-1] *= 1e-3  # of the bias
        weight = posterior_weights(
            phi,
            shares,
            torch.zeros(phi.shape[1], shares.shape[1]),
            penalty,
            regression=False,
            gram=torch.stack([self._gram(k) for k in folds]).sum(0),
            steps=STEPS,
            counts=counts,
        )
        return self._components.head(weight)

    def _phi(self, fold: int) -> Tensor:
        return F.pad(torch.cat(self._inputs[fold]).float(), (0, 1), value=1.0)

    def _gram(self, fold: int) -> Tensor:
        """Products of a fold's components, (Q + 1, Q + 1), each place as often as it counts."""
        if fold not in self._grams:
            counts = torch.cat([one for _, one in self._answers[fold]])
            rooted = self._phi(fold) * counts.sqrt()[:, None]
            self._grams[fold] = rooted.T @ rooted
        return self._grams[fold]
