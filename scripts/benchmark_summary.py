"""The tables of docs/benchmarks.md from the benchmark's results: means, ranks, wins, seconds and bytes, as Markdown.

    python scripts/benchmark_summary.py docs/results/tabular-metavalidation.csv --per-table

Every number is first averaged over the repeats of a table, then over the tables that all methods have in full; tables
that are left out are named. Classification and regression are told apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from benchmark_common import table, write_section
from benchmark_results import in_order, label, load, sidecar
from benchmark_statistics import SCORES, Comparison, compare

OURS = ("one_pass", "ensemble", "ensemble8", "tuned_ours")
SCORE_NAMES = {"classification": "ROC AUC", "regression": "R²"}


def summarise(results: pd.DataFrame, methods: Sequence[str], focus: Sequence[str], per_table: bool) -> str:
    """All of it, for each task there is."""
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
    """One line a method."""
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
        row = [_bold(m, compared.task), *(_number(values[m], ".3f") for values in averages.values())]
        row += [f"{ranks[m]:.2f}", str(best[m])]
        row += [_number(speed[c][m], ".3f") for c in ("fit_seconds", "fit_cpu_seconds")]
        row.append(_number(speed["predict_seconds"][m] * 1e3, ".1f"))
        rows.append([*row, _number(speed["bytes"][m] / 1e3, ",.1f")])
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


def _number(value: float, spec: str) -> str:
    return "–" if pd.isna(value) else format(value, spec)


def provenance_of(paths: Sequence[Path], results: pd.DataFrame) -> str:
    """How the results came to be: commands and machines from the files beside them, days and versions from the rows."""
    notes = [yaml.safe_load(sidecar(path).read_text(encoding="utf-8")) for path in paths if sidecar(path).exists()]
    runs = [run for note in notes for run in note["runs"]]
    lines = dict.fromkeys(f"    {run['command']}" for run in runs)
    machines = dict.fromkeys(run["machine"] for run in runs)
    versions = dict.fromkeys(v for text in results["versions"] for v in text.split(", ") if v)
    dates = sorted(results["date"].unique())
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return "\n".join([*lines, "", f"{days}; {'; '.join([*machines, ', '.join(versions)])}."]).lstrip("\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CSV of results")
    parser.add_argument("--methods", metavar="A,B", help="default: all that are in the files")
    parser.add_argument("--focus", metavar="A,B", help="whose wins are counted; default: ours, else the best-ranked")
    parser.add_argument("--per-table", action="store_true", help="the score of every table, too")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="a Markdown page that gets it, instead of stdout")
    parser.add_argument("--section", metavar="NAME", help="the page's section; default: the first file's name")
    args = parser.parse_args(arguments)
    if absent := [str(path) for path in args.files if not path.exists()]:
        sys.exit(f"No such file: {', '.join(absent)}.")
    results = load(args.files)
    measured = in_order(results["method"].unique())
    methods = [m for m in args.methods.split(",") if m in measured] if args.methods else measured
    if not methods:
        sys.exit(f"None of these methods was measured. There are: {', '.join(measured)}.")
    focus = args.focus.split(",") if args.focus else OURS
    results = results[results["method"].isin(methods)]
    text = f"{provenance_of(args.files, results)}\n\n{summarise(results, methods, focus, args.per_table)}"
    if args.report:
        write_section(args.report, args.section or args.files[0].stem, text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
