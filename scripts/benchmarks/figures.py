"""Figures of the results of tables: critical differences of ranks, and quality against fit time and shipped bytes.

    python -m scripts.benchmarks figures docs/results/tabular-metavalidation.csv --out docs/figures

Draws NAME-ranks.svg, NAME-fit-time.svg and NAME-bytes.svg, where NAME is that of the first file; those of regression
tables have ``-regression`` after NAME. Majority / mean, which would only stretch the axes, is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from .common import make_parser
from .labels import OURS, in_order, label
from .results import load_tables
from .statistics import SCORES, Comparison, compare, critical_difference, friedman, groups
from .summary import SCORE_NAMES

INK, MUTED, ACCENT = "#222222", "#6b7280", "#c2410c"
CLOCKS = {"wall": ("fit_seconds", "seconds"), "processor": ("fit_cpu_seconds", "processor seconds")}
DISTANCES = (6, 12, 20, 30, 42)
"""Of a name from its point, in points (1/72 inch)."""
SIDEWAYS = ((1, "left"), (-1, "right"), (0, "center"))
UPWARDS = ((0, "center"), (1, "bottom"), (-1, "top"))
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.hashsalt": "modelgpt",  # the same results give the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def rank_diagram(compared: Comparison, alpha: float = 0.05) -> Figure:
    """Mean ranks on a line, best to the left; a bar joins methods that Nemenyi's test does not tell apart.

    References
    ----------
    Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), figure 1.
    """
    ranks = compared.ranks.mean().sort_values()
    k, n = len(ranks), len(compared.tables)
    difference = critical_difference(k, n, alpha)
    _, _, p = friedman(ranks.to_numpy(), n)
    bars = groups(ranks.to_numpy(), difference)
    half = (k + 1) // 2
    bottom = -0.55 - 0.22 * len(bars) - 0.42 * half
    figure = Figure(figsize=(9, 0.62 * (1.7 - bottom)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    margin = 0.78 * (k - 1)  # room for the names on either side
    axes.set_xlim(1 - margin, k + margin)
    axes.set_ylim(bottom - 0.2, 1.75)
    axes.plot([1, k], [0, 0], color=INK, lw=1)
    for tick in range(1, k + 1):
        axes.plot([tick, tick], [0, 0.1], color=INK, lw=1)
        axes.text(tick, 0.16, str(tick), ha="center", va="bottom", color=INK)
    for row, (first, last) in enumerate(bars):
        y = -0.2 - 0.22 * row
        axes.plot([ranks.iloc[first] - 0.04, ranks.iloc[last] + 0.04], [y, y], color=INK, lw=3, solid_capstyle="butt")
    for i, (method, rank) in enumerate(ranks.items()):
        left = i < half
        y = -0.55 - 0.22 * len(bars) - 0.42 * (i if left else k - 1 - i)
        x = 1 - 0.12 if left else k + 0.12
        axes.plot([rank, rank, x], [0, y, y], color=ACCENT if method in OURS else MUTED, lw=0.9)
        gap = -0.1 if left else 0.1
        name = label(str(method), compared.task)
        words = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        axes.text(x + gap, y, words, ha="right" if left else "left", va="center", **_emphasis(str(method)))
    axes.plot([1, 1 + difference], [0.75, 0.75], color=INK, lw=1)
    for end in (1, 1 + difference):
        axes.plot([end, end], [0.67, 0.83], color=INK, lw=1)
    axes.text(1 + difference / 2, 0.85, f"CD = {difference:.2f}", ha="center", va="bottom", color=INK)
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    title = f"Mean rank by {SCORE_NAMES[compared.task]}, {n} tables (Friedman {chance}, Nemenyi α = {alpha:g})"
    axes.text((1 + k) / 2, 1.6, title, ha="center", va="top", color=INK, weight="bold")
    return figure


def scatter(compared: Comparison, column: str, words: str, scale: float = 1) -> Figure:
    """Mean quality of each method against a cost, on a logarithmic axis."""
    costs, scores = compared.average(column) * scale, compared.scores.mean()
    figure = Figure(figsize=(8, 4.8))
    axes = figure.add_axes((0.09, 0.11, 0.89, 0.81))
    for method in compared.methods:
        ours = method in OURS
        axes.scatter(costs[method], scores[method], s=44 if ours else 30, color=ACCENT if ours else MUTED, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlim(costs.min() / 3, costs.max() * 12)  # names mostly stand to the right
    axes.margins(y=0.14)
    axes.grid(True, color="#e5e7eb", lw=0.6, zorder=0)
    axes.set_xlabel(words)
    axes.set_ylabel(f"mean {SCORE_NAMES[compared.task]}")
    axes.set_title(f"{SCORE_NAMES[compared.task]}, mean over {len(compared.tables)} tables", weight="bold")
    _name_points(axes, [(float(costs[m]), float(scores[m]), m) for m in compared.methods], compared.task)
    return figure


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]], task: str) -> None:
    """Put each point's name where it covers neither a point nor another name, as near as that goes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    taken = [
        Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in axes.transData.transform([p[:2] for p in points])
    ]
    for x, y, method in points:
        best: tuple[int, Annotation, Bbox] | None = None
        for distance, (dx, horizontal), (dy, vertical) in product(DISTANCES, SIDEWAYS, UPWARDS):
            if not dx and not dy:
                continue
            arrow = {"arrowstyle": "-", "color": "#9ca3af", "lw": 0.6} if distance > 8 else None
            text = axes.annotate(
                label(method, task), (x, y), xytext=(dx * distance, dy * distance), textcoords="offset points",
                ha=horizontal, va=vertical, arrowprops=arrow, **_emphasis(method),
            )  # fmt: skip
            text.get_window_extent()  # moves the text to its place
            box = Text.get_window_extent(text).padded(1.5)  # of the words alone, without the line
            outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
            covered = sum(box.overlaps(other) for other in taken) + 3 * outside
            if best is None or covered < best[0]:
                if best is not None:
                    best[1].remove()
                best = (covered, text, box)
            else:
                text.remove()
            if best[0] == 0:
                break
        assert best is not None
        taken.append(best[2])


def _emphasis(method: str) -> dict[str, Any]:
    """Return how a method's name looks: ours stand out."""
    return {"color": ACCENT, "weight": "bold"} if method in OURS else {"color": INK}


def draw(compared: Comparison, name: str, folder: Path, *, kind: str = "svg", clock: str = "wall") -> list[Path]:
    """Draw all three; return their paths."""
    column, unit = CLOCKS[clock]
    figures = {
        "ranks": rank_diagram(compared),
        "fit-time": scatter(compared, column, f"{unit} to fit, preprocessing included (mean, log scale)"),
        "bytes": scatter(compared, "bytes", "kB to ship (mean, log scale)", 1e-3),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for what, figure in figures.items():
        paths.append(folder / f"{name}-{what}.{kind}")
        stamp = {"Date": None} if kind == "svg" else None  # the same file for the same results
        figure.savefig(paths[-1], dpi=130, metadata=stamp, facecolor="white", bbox_inches="tight", pad_inches=0.15)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figures, and print their paths."""
    parser = make_parser("figures", __doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CSV of results")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    parser.add_argument("--name", help="how the figures' names begin; default: the first file's name")
    parser.add_argument("--methods", metavar="A,B", help="default: all that are in the files but majority")
    parser.add_argument("--task", choices=list(SCORES), default="classification")
    parser.add_argument(
        "--time", choices=list(CLOCKS), default="wall", help="processor: where other work slowed the machine down"
    )
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    args = parser.parse_args(arguments)
    results = load_tables(args.files)
    measured = in_order(results.loc[results["task"] == args.task, "method"].unique())
    methods = [m for m in args.methods.split(",") if m in measured] if args.methods else measured
    compared = compare(results, args.task, [m for m in methods if args.methods or m != "majority"])
    if len(compared.tables) < 2 or len(compared.methods) < 2:
        sys.exit("Figures need at least two methods that share two tables in full: " + str(compared.incomplete))
    for name, why in compared.incomplete.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    name = (args.name or args.files[0].stem) + ("" if args.task == "classification" else f"-{args.task}")
    with mpl.rc_context(STYLE):
        for path in draw(compared, name, args.out, kind=args.format, clock=args.time):
            print(path)
    return 0
