"""A kernel machine as plain tensors: what a model holds beside its network where the target is smooth.

It reads what the linear part of the head reads, so the graph has it already.
Shapes: N rows, d linear inputs, P points, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PREFIX = "kernel."
"""So begin the names of its tensors in a model's state."""
NAMES = ("scale", "points", "weight", "bias")
CHUNK_FLOATS = 4_000_000
"""Rows times points that are answered at once."""


@dataclass(frozen=True)
class Kernel:
    """Sums of Gaussians around points: exp(-|x - point|² / 2), x being a row's linear inputs times the scale.

    Where the Gaussians are wide, large weights of either sign all but cancel out, so they are added up in float64.

    Attributes
    ----------
    scale : float32 (d,)
        How fast the answer changes with each input: its relevance, in units of the kernel's width.
    points : float32 (P, d)
        In the scaled inputs. Each is the mean of some rows of the build, never a row of it.
    weight : float32 (P, C)
    bias : float32 (C,)
    """

    scale: Tensor
    points: Tensor
    weight: Tensor
    bias: Tensor

    def __len__(self) -> int:
        """P, how many points there are."""
        return len(self.points)

    def __call__(self, linear: Tensor) -> Tensor:
        """What it adds to a network's outputs, float32 (N, C), from linear inputs (N, d)."""
        chunks = linear.split(max(1, CHUNK_FLOATS // max(len(self), 1)))
        return torch.cat([torch.zeros(0, len(self.bias)), *(self._answers(rows) for rows in chunks)])

    def _answers(self, linear: Tensor) -> Tensor:
        near = gaussians((linear * self.scale).double(), self.points.double())
        return (near @ self.weight.double()).float() + self.bias

    def times(self, factor: float) -> Kernel:
        """The same with its answers multiplied."""
        return replace(self, weight=self.weight * factor, bias=self.bias * factor)

    def numel(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numel() for tensor in self.state().values())

    def state(self) -> dict[str, Tensor]:
        """The tensors, named as in the artifact."""
        return {PREFIX + name: getattr(self, name) for name in NAMES}


def gaussians(x: Tensor, points: Tensor) -> Tensor:
    """exp(-|x - point|² / 2) of rows (N, d) and points (P, d): (N, P)."""
    return nearness(x, points).exp_()


def nearness(x: Tensor, points: Tensor) -> Tensor:
    """-|x - point|² / 2 of rows (N, d) and points (P, d): (N, P)."""
    near = x @ points.mT - x.square().sum(1, keepdim=True) / 2 - points.square().sum(1) / 2
    return near.clamp_(max=0)


def tensor_names() -> list[str]:
    """Return the names of the tensors of a kernel."""
    return [PREFIX + name for name in NAMES]


def read_kernel(state: Mapping[str, Tensor]) -> Kernel:
    """Read `Kernel.state` back.

    Raises
    ------
    KeyError
        A tensor is missing.
    ValueError
        They contradict each other.
    """
    kernel = Kernel(*(state[name].float() for name in tensor_names()))
    P, d = kernel.points.shape
    if kernel.scale.shape != (d,) or kernel.weight.shape != (P, *kernel.bias.shape):
        raise ValueError("The kernel's tensors contradict each other.")
    return kernel
