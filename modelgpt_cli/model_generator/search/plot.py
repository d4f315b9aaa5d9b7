"""The trials of a search as an image. Needs matplotlib, the optional extra ``plot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.model_generator.search.study import Trial
from modelgpt_cli.runtime.plot import check_plot

__all__ = ["check_plot", "plot_trials"]


def plot_trials(trials: Sequence[Trial], metric: str, is_error: bool, path: Path, *, force: bool) -> None:
    """Draw the score of each trial that is done, and the best up to each."""
    from matplotlib.figure import Figure

    done = [(trial.number, trial.score) for trial in trials if trial.state == "done" and trial.score is not None]
    best: list[float] = []
    for _, score in done:
        best.append(score if not best else min(best[-1], score) if is_error else max(best[-1], score))
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    numbers = [number for number, _ in done]
    axes.step(numbers, best, where="post", color="tab:blue", label="best so far")
    axes.scatter(numbers, [score for _, score in done], s=18, color="grey", label="trial")
    axes.axhline(done[0][1], color="lightgrey", linewidth=1, linestyle="--", zorder=0, label="default")
    stopped = sum(trial.state == "stopped" for trial in trials)
    axes.set(xlabel="trial", ylabel=metric.replace("_", " "), title=f"{len(trials)} trials, {stopped} stopped early")
    axes.legend()
    with atomic_write(path, force=force) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=144)
