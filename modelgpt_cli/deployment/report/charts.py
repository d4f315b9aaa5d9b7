"""Curves as inline SVG, in the page's own colours, light or dark. Numpy alone.

Shapes: N rows, K points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelgpt_cli.core.metrics import calibration_bins

_SIDE, _LEFT, _BOTTOM = 260, 44, 36
_MOST_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """A line, or points where `dots`.

    Attributes
    ----------
    x, y : ndarray (K,)
    """

    x: np.ndarray
    y: np.ndarray
    dots: bool = False
    faint: bool = False


def chart(curves: Sequence[Curve], across: str, up: str, ends: tuple[float, float] = (0.0, 1.0)) -> str:
    """Draw curves in a square whose sides have the same ends."""
    low, high = ends
    width = high - low or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - low) / width * _SIDE, 8 + (1 - (y - low) / width) * _SIDE

    parts = []
    for curve in curves:
        points = [place(x, y) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
        kind = "faint" if curve.faint else "line"
        if curve.dots:
            parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
        else:
            parts.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
    for k in range(3):
        value = low + width * k / 2
        x, y = place(value, value)
        parts.append(f'<text x="{x:.0f}" y="{_SIDE + 24}" text-anchor="middle">{value:.3g}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{value:.3g}</text>')
    middle = _LEFT + _SIDE / 2
    parts.append(f'<text x="{middle:.0f}" y="{_SIDE + _BOTTOM + 4}" text-anchor="middle">{across}</text>')
    turned = f'transform="rotate(-90 10 {_SIDE / 2 + 8:.0f})"'
    parts.append(f'<text x="10" y="{_SIDE / 2 + 8:.0f}" text-anchor="middle" {turned}>{up}</text>')
    box = f'<rect class="frame" x="{_LEFT}" y="8" width="{_SIDE}" height="{_SIDE}"/>'
    whole = f"0 0 {_LEFT + _SIDE + 16} {_SIDE + _BOTTOM + 10}"
    return f'<svg viewBox="{whole}" role="img" aria-label="{up} by {across}">{box}{"".join(parts)}</svg>'


DIAGONAL = Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]), faint=True)


def reliability(right: np.ndarray, confidence: np.ndarray) -> str:
    """How often answers are right, by how sure the model is of them: bool (N,) and (N,)."""
    count, mean, accuracy = calibration_bins(right, confidence)
    full = count > 0
    found = Curve(mean[full], accuracy[full])
    return chart([DIAGONAL, found, Curve(found.x, found.y, dots=True)], "confidence", "right")


def roc(positive: np.ndarray, score: np.ndarray) -> str:
    """Of rows bool (N,) and their scores (N,): hits by false alarms."""
    hits, alarms = _rates(positive, score)
    return chart([DIAGONAL, Curve(_thin(alarms), _thin(hits))], "false alarms", "hits")


def precision_recall(positive: np.ndarray, score: np.ndarray) -> str:
    """Of rows bool (N,) and their scores (N,): precision by recall."""
    order = np.argsort(-score, kind="stable")
    right = np.cumsum(positive[order])
    last = np.append(np.diff(score[order]) != 0, True)
    precision, recall = (right / np.arange(1, len(right) + 1))[last], (right / max(1, right[-1]))[last]
    return chart([Curve(_thin(recall), _thin(precision))], "recall", "precision")


def scatter(true: np.ndarray, predicted: np.ndarray) -> str:
    """Predicted against true numbers, (N,) each; of many, an even sample."""
    some = np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(int)
    low, high = (float(end(both)) for end, both in ((np.min, [true, predicted]), (np.max, [true, predicted])))
    same = Curve(np.array([low, high]), np.array([low, high]), faint=True)
    return chart([same, Curve(true[some], predicted[some], dots=True)], "true", "predicted", (low, high))


def _rates(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the positive and of the negative rows that have a score of at least each value, from 0 to 1."""
    order = np.argsort(-score, kind="stable")
    hits, alarms = np.cumsum(positive[order]), np.cumsum(~positive[order])
    last = np.append(np.diff(score[order]) != 0, True)  # rows of one score come together
    both = (np.append(0, part[last]) / max(1, part[-1]) for part in (hits, alarms))
    first, second = both
    return first, second


def _thin(values: np.ndarray) -> np.ndarray:
    """At most some 400 points of a curve, its ends among them."""
    if len(values) <= _MOST_POINTS:
        return values
    found: np.ndarray = values[np.linspace(0, len(values) - 1, _MOST_POINTS).astype(int)]
    return found
