"""The parameter spec: what the generator G has to write, told with symbolic axes instead of task names.

A target network states each of its parameters once; the generator picks a decoder by the axes alone, so one
checkpoint serves any number of features and classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Axis(Enum):
    """An axis whose length the task decides."""

    FEATURES = "features"
    CLASSES = "classes"


FEATURES, CLASSES = Axis.FEATURES, Axis.CLASSES


@dataclass(frozen=True)
class ParameterSpec:
    """One generated parameter of the target network.

    Attributes
    ----------
    name : str
        As in the target network's state, e.g. ``layers.0.weight``.
    axes : tuple of Axis or int
        Shape, with symbolic axes first.
    gain : float
        Scale of the decoder's initial output (0: the decoder starts as a no-op).
    stage : {1, 2}
        Whether it is written before or after the feedback of the support's residuals.
    rows : bool
        Whether the support rows' readout is added to it.
    """

    name: str
    axes: tuple[Axis | int, ...]
    gain: float = 1.0
    stage: int = 2
    rows: bool = False

    @property
    def symbols(self) -> tuple[Axis, ...]:
        """The symbolic axes, in order."""
        return tuple(a for a in self.axes if isinstance(a, Axis))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The fixed axes, in order."""
        return tuple(a for a in self.axes if isinstance(a, int))
