"""Curves as inline SVG, in the page's own colours, light or dark. Numpy alone.

Shapes: N rows, K points of a curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def chart(
    curves: Sequence[Curve],
    across: str,
    up: str,
    ends: tuple[float, float] = (0.0, 1.0),
    ends_up: tuple[float, float] | None = None,
    marks: Mapping[float, str] | None = None,
) -> str:
    """Draw curves in a square.

    Parameters
    ----------
    across, up : str
        What the sides are called.
    ends : (float, float)
        Of both sides, or of the lower one where there are `ends_up`.
    marks : mapping of float to str, optional
        What stands below the lower side; its ends and its middle by default.
    """
    low, high = ends
    below, above = ends_up or ends
    width, height = high - low or 1.0, above - below or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - low) / width * _SIDE, 8 + (1 - (y - below) / height) * _SIDE

    parts = []
    for curve in curves:
        points = [place(x, y) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
        kind = "faint" if curve.faint else "line"
        if curve.dots:
            parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
        else:
            parts.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
    halves = (0.0, 0.5, 1.0)
    for value, words in (marks or {low + width * k: f"{low + width * k:.3g}" for k in halves}).items():
        parts.append(f'<text x="{place(value, below)[0]:.0f}" y="{_SIDE + 24}" text-anchor="middle">{words}</text>')
    for value in (below + height * k for k in halves):
        parts.append(f'<text x="{_LEFT - 6}" y="{place(low, value)[1] + 4:.0f}" text-anchor="end">{value:.3g}</text>')
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


def learning(
    rows: Sequence[int], values: Sequence[float], intervals: Sequence[tuple[float, float] | None], unit: str, up: str
) -> str:
    """A measure by the number of rows, K each, which stand evenly where each is twice the one before."""
    x, y = np.log2(rows), np.array(values)
    bars = [Curve(np.full(2, at), np.array(ends), faint=True) for at, ends in zip(x, intervals, strict=True) if ends]
    every = np.concatenate([y, *(bar.y for bar in bars)])
    space = 0.05 * float(np.ptp(every)) or 0.05
    ends_up = (float(every.min()) - space, float(every.max()) + space)
    marks = {float(at): f"{n:,}" for at, n in zip(x, rows, strict=True)}
    return chart([*bars, Curve(x, y), Curve(x, y, dots=True)], unit, up, (x[0] - 0.25, x[-1] + 0.25), ends_up, marks)


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
