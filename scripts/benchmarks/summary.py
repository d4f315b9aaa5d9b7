"""The results of tables as Markdown for docs/benchmarks.md: means, ranks, wins, seconds and bytes.

    python -m scripts.benchmarks summary tables docs/results/tabular-metavalidation.csv --per-table

Every number is first averaged over the repeats of a table, then over the tables that all methods have in full; tables
that are left out are named. Classification and regression are shown apart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .common import make_parser, table, write_section
from .labels import OURS, in_order, label
from .results import Store, load_tables
from .statistics import SCORES, Comparison, compare

SCORE_NAMES = {"classification": "ROC AUC", "regression": "R²"}


def number(value: float | None, spec: str, scale: float = 1) -> str:
    """Format a figure; a dash where there is none."""
    return "–" if value is None or pd.isna(value) else format(value * scale, spec)


def provenance_of(stores: Sequence[Store], versions: Sequence[str], days: Sequence[str], more: str = "") -> str:
    """Say how results came to be.

    Parameters
    ----------
    stores : sequence of Store
        With the commands and machines.
    versions : sequence of str
        Of packages, in addition to those that the stores' runs name, ``torch 2.9.0, numpy 2.2.0``.
    days : sequence of str
        Of all cells.
    more : str
        Words at the end.
    """
    runs = [run for store in stores for run in store.runs()]
    lines = dict.fromkeys(f"    {run['command']}" for run in runs)
    machines = dict.fromkeys(run["machine"] for run in runs)
    named = [run.get("versions", "") for run in runs]
    packages = dict.fromkeys(v for text in (*named, *versions) for v in text.split(", ") if v)
    days = sorted(set(days))
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    said = "; ".join([span, *machines, ", ".join(packages)])
    return "\n".join([*lines, "", f"{said}{more}."]).lstrip("\n")


def summarise(results: pd.DataFrame, methods: Sequence[str], focus: Sequence[str], per_table: bool) -> str:
    """Lay out everything, for each task there is."""
    parts = []
    for task in SCORES:
        present = [m for m in methods if m in set(results.loc[results["task"] == task, "method"])]
        if not present:
            continue
        compared = compare(results, task, present)
        parts.append(f"### {task.capitalize()}\n\n{_notes(compared)}")
        if not compared.tables:
            continue
        parts += [_means(compared), _wins(compared, focus)]
        if per_table:
            parts.append(_each(compared, results))
    return "\n\n".join(part for part in parts if part)


def _notes(compared: Comparison) -> str:
    words = f"{len(compared.tables)} tables, {compared.repeats} repeats."
    if compared.incomplete:
        left_out = "; ".join(f"{name} ({why})" for name, why in sorted(compared.incomplete.items()))
        words += f" Left out, because a method has no full result there: {left_out}."
    return words


def _means(compared: Comparison) -> str:
    """A line per method."""
    if compared.task == "classification":
        quality = {"ROC AUC": "roc_auc", "accuracy": "accuracy", "log-loss": "log_loss", "ECE": "ece"}
    else:
        quality = {"R²": "r2", "RMSE ÷ σ": "rmse", "coverage": "coverage", "width ÷ σ": "width"}
        for column in ("rmse", "width"):
            compared.means[column] = compared.means[column] / compared.means["target_std"]
    averages = {name: compared.average(column) for name, column in quality.items()}
    speed = {c: compared.average(c) for c in ("fit_seconds", "fit_cpu_seconds", "predict_seconds", "bytes")}
    ranks, best = compared.ranks.mean(), (compared.ranks.eq(compared.ranks.min(axis=1), axis=0)).sum()
    rows = []
    for m in compared.methods:
        row = [_bold(m, compared.task), *(number(values[m], ".3f") for values in averages.values())]
        row += [f"{ranks[m]:.2f}", str(best[m])]
        row += [number(speed[c][m], ".3f") for c in ("fit_seconds", "fit_cpu_seconds")]
        rows.append([*row, number(speed["predict_seconds"][m], ".1f", 1e3), number(speed["bytes"][m], ",.1f", 1e-3)])
    header = ["method", *averages, "mean rank", "best on", "fit s", "fit CPU s", "predict ms / 1,000 rows", "kB"]
    return table(header, rows)


def _wins(compared: Comparison, focus: Sequence[str]) -> str:
    """Won, drawn and lost tables of the methods in focus against each of the others."""
    if len(compared.methods) < 2:
        return ""
    chosen = [m for m in focus if m in compared.methods] or [str(compared.ranks.mean().idxmin())]
    rows = []
    for other in compared.methods:
        cells = ["–" if m == other else " / ".join(map(str, compared.record(m, other))) for m in chosen]
        if set(cells) != {"–"}:
            rows.append([label(other, compared.task), *cells])
    words = f"Tables won / drawn / lost by {SCORE_NAMES[compared.task]} (columns against rows):"
    return f"{words}\n\n{table(['against', *(label(m, compared.task) for m in chosen)], rows)}"


def _each(compared: Comparison, results: pd.DataFrame) -> str:
    """The score of every table."""
    facts = results.groupby("table")[["n", "d", "classes"]].first()
    scores = compared.scores
    rows = []
    for name in compared.tables:
        n, d, classes = (int(v) for v in facts.loc[name])
        best = scores.loc[name].max()
        values = [f"**{v:.3f}**" if v == best else f"{v:.3f}" for v in scores.loc[name]]
        rows.append([name, f"{n:,}", str(d), *([str(classes)] if classes else []), *values])
    header = ["table", "rows", "columns", *(["classes"] if compared.task == "classification" else [])]
    return f"{SCORE_NAMES[compared.task]}, table by table:\n\n" + table([*header, *compared.methods], rows)


def _bold(method: str, task: str) -> str:
    return f"**{label(method, task)}**" if method in OURS else label(method, task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the summary, or put it into a page."""
    parser = make_parser("summary tables", __doc__, "--report")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CSV of results")
    parser.add_argument("--methods", metavar="A,B", help="default: all that are in the files")
    parser.add_argument("--focus", metavar="A,B", help="whose wins are counted; default: ours, else the best-ranked")
    parser.add_argument("--per-table", action="store_true", help="the score of every table, too")
    parser.add_argument("--section", metavar="NAME", help="of the page; default: the first file's name")
    args = parser.parse_args(arguments)
    if absent := [str(path) for path in args.files if not path.exists()]:
        sys.exit(f"No such file: {', '.join(absent)}.")
    results = load_tables(args.files)
    measured = in_order(results["method"].unique())
    methods = [m for m in args.methods.split(",") if m in measured] if args.methods else measured
    if not methods:
        sys.exit(f"None of these methods was measured. There are: {', '.join(measured)}.")
    focus = args.focus.split(",") if args.focus else OURS
    results = results[results["method"].isin(methods)]
    origin = provenance_of([Store(path) for path in args.files], list(results["versions"]), list(results["date"]))
    text = f"{origin}\n\n{summarise(results, methods, focus, args.per_table)}"
    if args.report:
        write_section(args.report, args.section or args.files[0].stem, text)
    else:
        print(text)
    return 0
