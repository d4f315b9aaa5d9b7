"""Ridge regression from sums over places, of which none has to be kept. For `fit`, and for boxes.

Shapes: n places, P head inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LEAST_VARIANCE = 1e-4
"""An input that varies by a smaller share of the inputs' mean variance, or of its own square, is left out: the digits
that sums lose would be scaled up with it, and the matrix be no longer positive definite."""


@dataclass
class Sums:
    """Sums over places, each as often as it counts: of products of head inputs, of these with the classes' shares, and
    of both.

    Attributes
    ----------
    gram : float32 (P, P)
    cross : float32 (P, C)
    inputs : float64 (P,)
    shares : float64 (C,)
    places : float
    """

    gram: np.ndarray
    cross: np.ndarray
    inputs: np.ndarray
    shares: np.ndarray
    places: float = 0.0

    @classmethod
    def empty(cls, n_inputs: int, classes: int) -> Sums:
        """Return sums over nothing."""
        return cls(
            np.zeros((n_inputs, n_inputs), np.float32),
            np.zeros((n_inputs, classes), np.float32),
            np.zeros(n_inputs),
            np.zeros(classes),
        )

    def add(self, inputs: np.ndarray, shares: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Add places: head inputs (n, P), shares (n, C), and how much each counts (n,), 1 where not given."""
        each = np.ones((len(inputs), 1), np.float32) if counts is None else counts[:, None].astype(np.float32)
        rooted_inputs, counted = inputs * np.sqrt(each), shares * each
        self.gram += rooted_inputs.T @ rooted_inputs
        self.cross += inputs.T @ counted
        self.inputs += (inputs * each).sum(0, dtype=np.float64)
        self.shares += counted.sum(0, dtype=np.float64)
        self.places += float(each.sum(dtype=np.float64))

    def plus(self, others: Sequence[Sums]) -> Sums:
        """Return these sums with others."""
        found = Sums(self.gram.copy(), self.cross.copy(), self.inputs.copy(), self.shares.copy(), self.places)
        for other in others:
            found.gram += other.gram
            found.cross += other.cross
            found.inputs += other.inputs
            found.shares += other.shares
            found.places += other.places
        return found


class Standardised:
    """Sums with inputs of mean 0 and scale 1, ready to be solved with several precisions.

    Parameters
    ----------
    sums : Sums
    shift : float32 (P,)
        What was subtracted from the inputs before they were summed.
    scaled : bool
        Whether each input gets a scale of its own; else they are taken as they are.
    """

    def __init__(self, sums: Sums, shift: np.ndarray, *, scaled: bool = True) -> None:
        n = sums.places
        mean = sums.inputs / n
        gram = torch.from_numpy(sums.gram) - torch.from_numpy(np.outer(mean, sums.inputs).astype(np.float32))
        variance, square = gram.diagonal() / n, torch.from_numpy(sums.gram).diagonal() / n
        told = variance > LEAST_VARIANCE * square.clamp(min=float(variance.mean()))
        self.scale = torch.where(told, variance.clamp(min=0).sqrt(), torch.inf)
        if not scaled:
            self.scale = torch.where(told, 1.0, torch.inf)
        self.gram = gram / (self.scale[:, None] * self.scale[None, :])
        cross = sums.cross - np.outer(mean, sums.shares).astype(np.float32)
        self.cross = torch.from_numpy(cross) / self.scale[:, None]
        self.mean = torch.from_numpy((mean + shift).astype(np.float32))
        self.shares = torch.from_numpy((sums.shares / n).astype(np.float32))
        self.n = n

    def solve(self, precision: float) -> tuple[Tensor, Tensor]:
        """Ridge: weight (P, C) and bias (C,) for plain inputs. The jitter is in the precision, which is never 0."""
        system = self.gram.clone()
        system.diagonal().add_(precision * self.n)
        weight = torch.cholesky_solve(self.cross, torch.linalg.cholesky(system)) / self.scale[:, None]
        return weight, self.shares - self.mean @ weight
