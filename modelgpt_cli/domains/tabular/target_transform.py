"""Monotone transforms of a regression's target, learned in and undone in the graph, and the range of its answers.

A skewed target (prices, counts, shares) is nearer to a smooth function of the columns, with errors of one size, on the
scale of its logarithm, root or logit. Which one, `choose_transform` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

LIMIT = 1e37
"""Stands for no limit: a graph's constants are finite."""


@dataclass(frozen=True)
class TargetTransform:
    """t = f((y - offset) / scale), and back.

    Attributes
    ----------
    kind : {"none", "log", "sqrt", "asinh", "logit"}
        f.
    offset, scale : float
        A negative scale mirrors the target.
    shift : float
        Added to a predicted t before it is turned back: the value in the middle becomes the mean (as smearing does,
        Duan 1983).
    least, most : float
        Between which t is held.
    lower, upper : float
        Between which answers are held, in the target's own unit; -`LIMIT` and `LIMIT` for none.
    """

    kind: str = "none"
    offset: float = 0.0
    scale: float = 1.0
    shift: float = 0.0
    least: float = -LIMIT
    most: float = LIMIT
    lower: float = -LIMIT
    upper: float = LIMIT

    @property
    def is_plain(self) -> bool:
        """Whether answers are left as they are."""
        return self.kind == "none" and self.lower == -LIMIT and self.upper == LIMIT

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return t of targets in their own unit, float64."""
        u = (np.asarray(y, dtype=np.float64) - self.offset) / self.scale
        if self.kind == "log":
            found: np.ndarray = np.log(np.maximum(u, 1e-30))
        elif self.kind == "sqrt":
            found = np.sign(u) * np.sqrt(np.abs(u))
        elif self.kind == "asinh":
            found = np.arcsinh(u)
        elif self.kind == "logit":
            u = np.clip(u, 1e-6, 1 - 1e-6)
            found = np.log(u) - np.log1p(-u)
        else:
            found = u
        return found

    def log_slope(self, y: np.ndarray) -> np.ndarray:
        """Return log |dt/dy| of each target, float64."""
        u = (np.asarray(y, dtype=np.float64) - self.offset) / self.scale
        if self.kind == "log":
            slope = 1 / np.maximum(u, 1e-30)
        elif self.kind == "sqrt":
            slope = 0.5 / np.sqrt(np.maximum(np.abs(u), 1e-12))
        elif self.kind == "asinh":
            slope = 1 / np.sqrt(1 + u**2)
        elif self.kind == "logit":
            u = np.clip(u, 1e-6, 1 - 1e-6)
            slope = 1 / (u * (1 - u))
        else:
            slope = np.ones_like(u)
        found: np.ndarray = np.log(slope / abs(self.scale))
        return found

    def backward(self, t: Tensor) -> Tensor:
        """Return answers in the target's own unit and range, of t's dtype."""
        t = t.clamp(self.least, self.most)
        if self.kind == "log":
            t = t.exp()
        elif self.kind == "sqrt":
            t = t * t.abs()
        elif self.kind == "asinh":
            t = (t.exp() - (-t).exp()) * 0.5
        elif self.kind == "logit":
            t = t.sigmoid()
        if self.kind != "none":
            t = t * self.scale + self.offset
        return t.clamp(self.lower, self.upper)

    def numbers(self) -> np.ndarray:
        """Return all but the kind as the constants of a graph, float64 (7,)."""
        return np.array([self.offset, self.scale, self.shift, self.least, self.most, self.lower, self.upper])

    @classmethod
    def of(cls, kind: str, numbers: Any) -> TargetTransform:
        """Read back what `numbers` gives."""
        return cls(kind, *(float(v) for v in numbers))

    def describe(self, target: str) -> dict[str, Any]:
        """Describe it for a model card, as JSON values; nothing where it is plain."""
        if self.is_plain:
            return {}
        found: dict[str, Any] = {"kind": self.kind}
        found |= {"words": self.words(target)} if self.kind != "none" else {}
        limits = {"lower": self.lower, "upper": self.upper}
        return found | {name: value for name, value in limits.items() if abs(value) != LIMIT}

    def words(self, target: str = "y") -> str:
        """Return f as a formula."""
        inner = target if not self.offset else f"{target} {'-' if self.offset > 0 else '+'} {abs(self.offset):.4g}"
        if self.scale < 0:
            inner = f"{self.offset:.4g} - {target}"
        scaled = abs(self.scale) != 1 and self.kind != "log"
        if scaled:
            inner = f"({inner}) / {abs(self.scale):.4g}" if " " in inner else f"{inner} / {abs(self.scale):.4g}"
        return f"{self.kind}({inner})"
