"""Images of an evaluation. Needs matplotlib, the optional extra ``plot``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.core.metrics import calibration_bins

if TYPE_CHECKING:
    from modelgpt_cli.runtime.evaluate import Evaluation

_FORMATS = ("png", "svg", "pdf")
_ENDINGS = ".png, .svg or .pdf"
_MAX_POINTS = 20_000
_MAX_NAMED = 30


def check_plot(path: str | Path, force: bool) -> None:
    """Make sure, before any long work, that a plot can be drawn and written.

    Raises
    ------
    UsageError
        The name ends in no known format, or as `check_destination` has it.
    ModelGPTError
        matplotlib is not installed.
    """
    if Path(path).suffix[1:].lower() not in _FORMATS:
        raise UsageError(f"Can't tell what to draw into {path}.", hint=f"End the name in {_ENDINGS}.")
    check_destination(path, force)
    if find_spec("matplotlib") is None:
        raise ModelGPTError(
            "--plot needs matplotlib, which is not installed.", "", 'Install it: pip install "modelgpt-cli[plot]"'
        )


def plot_classification(
    done: Evaluation, correct: np.ndarray, confidence: np.ndarray, path: Path, *, force: bool
) -> None:
    """Draw the confusion matrix, each row as shares of its true class, beside the reliability diagram."""
    figure, (left, right) = _figure(2)
    counts = np.array(done.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(done.true_labels) <= _MAX_NAMED:
        left.set_xticks(range(len(done.predicted_labels)), [_short(x) for x in done.predicted_labels], rotation=90)
        left.set_yticks(range(len(done.true_labels)), [_short(x) for x in done.true_labels])
    if counts.size <= 225:
        for (i, j), n in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.5 else "black"
            left.text(j, i, f"{n:.0f}", ha="center", va="center", color=colour, fontsize=8)
    left.set(
        xlabel="predicted", ylabel=_short(done.target), title=f"{done['accuracy']:.1%} right of {done.rows:,} rows"
    )
    count, mean, accuracy = calibration_bins(correct, confidence)
    full = count > 0
    right.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    right.plot(mean[full], accuracy[full], marker="o")
    right.bar(mean[full], count[full] / count.sum(), width=0.02, color="lightgrey", zorder=0)
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy (bars: share of rows)")
    right.set_title(f"calibration error {done['calibration_error']:.3f}")
    _save(figure, path, force)


def plot_regression(done: Evaluation, true: np.ndarray, predicted: np.ndarray, path: Path, *, force: bool) -> None:
    """Draw predicted against true values; of many rows, an even sample."""
    figure, (axes,) = _figure(1)
    some = np.linspace(0, len(true) - 1, min(len(true), _MAX_POINTS)).astype(int)
    axes.scatter(true[some], predicted[some], s=8, alpha=0.5, linewidths=0)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color="grey", linewidth=1, linestyle="--")
    axes.set(
        xlabel=f"true {_short(done.target)}", ylabel="predicted", title=f"RMSE {done['rmse']:.4g}, {done.rows:,} rows"
    )
    _save(figure, path, force)


def _figure(n_axes: int) -> tuple[Any, list[Any]]:
    # The Figure class itself, not pyplot: no display and no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * n_axes, 5), layout="constrained")
    return figure, list(figure.subplots(1, n_axes, squeeze=False)[0])


def _save(figure: Any, path: Path, force: bool) -> None:
    with atomic_write(path, force=force) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=144)


def _short(label: str) -> str:
    """Shorten a label, and keep matplotlib from reading ``$`` in it as mathematics."""
    return (label if len(label) <= 24 else label[:23] + "…").replace("$", r"\$")
