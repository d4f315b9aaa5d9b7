"""The text benchmark's tables for docs/benchmarks.md: GLUE, and accuracy by examples per class on unseen tasks.

    python scripts/benchmark_text_summary.py --report docs/benchmarks.md --per-task

What is not measured yet is a dash: a GLUE score needs all nine tasks, a mean over the unseen tasks all of them in one
draw at least.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from benchmark_common import table, write_section
from benchmark_results import sidecar
from benchmark_text_data import GLUE, ROOT
from benchmark_text_results import LABELS, in_order, load_part, results_file

REFERENCE = "finetune"
"""GLUE scores and times are given relative to it, too."""


def glue_table(results: pd.DataFrame) -> str:
    """One line a method: each task's metric × 100, their mean, and the seconds of all nine."""
    means = results.groupby(["method", "task"]).mean(numeric_only=True)
    header = ["method", *GLUE, "score", "of finetuning's", "fit s", "fit CPU s", "finetuning's CPU s ÷ its"]
    rows = []
    whole = {m: means.loc[m] for m in in_order(set(results["method"])) if len(means.loc[m]) == len(GLUE)}
    for method in in_order(set(results["method"])):
        found = means.loc[method]
        row = [_bold(method)]
        row += [_number(found["score"].get(task), ".1f", 100) for task in GLUE]
        if method not in whole:
            rows.append([*row, *["–"] * 5])
            continue
        score, wall, cpu = found["score"].mean(), found["fit_seconds"].sum(), found["fit_cpu_seconds"].sum()
        row.append(f"{100 * score:.1f}")
        reference = whole.get(REFERENCE)
        row.append("–" if reference is None else f"{100 * score / reference['score'].mean():.1f} %")
        row += [f"{wall:,.1f}", f"{cpu:,.1f}"]
        row.append("–" if reference is None else f"{reference['fit_cpu_seconds'].sum() / cpu:,.1f}")
        rows.append(row)
    return table(header, rows) + _mismatched(means)


def _mismatched(means: pd.DataFrame) -> str:
    column = "score_dev_mismatched"
    if column not in means:
        return ""
    found = means[column].dropna().droplevel("task")
    words = ", ".join(f"{LABELS.get(m, m)} {100 * found[m]:.1f}" for m in in_order(set(found.index)))
    return f"\n\nMNLI is matched; mismatched: {words}."


def few_shot_tables(results: pd.DataFrame, per_task: bool) -> str:
    """Mean accuracy, macro F1 and seconds by method and size; the accuracy of every task."""
    tasks = sorted(set(results["task"]))
    parts = [f"{len(tasks)} tasks: {', '.join(tasks)}."]
    spread = "Mean accuracy × 100 over the tasks, ± its standard deviation over draws (draws), by examples per class:"
    parts += [spread, _by_size(results, "score", ".1f", 100, deviation=True)]
    parts += ["Mean macro F1 × 100:", _by_size(results, "macro_f1", ".1f", 100)]
    parts += ["Mean processor seconds of learning one task:", _by_size(results, "fit_cpu_seconds", ".2f")]
    if per_task:
        for size in sorted(set(results["size"])):
            parts += [f"Accuracy × 100 with {int(size)} per class:", _by_task(results[results["size"] == size])]
    return "\n\n".join(parts)


def _by_size(results: pd.DataFrame, column: str, spec: str, scale: float = 1, deviation: bool = False) -> str:
    tasks, sizes = results["task"].nunique(), sorted(set(results["size"]))
    rows = []
    for method in in_order(set(results["method"])):
        row = [_bold(method)]
        for size in sizes:
            cells = results[(results["method"] == method) & (results["size"] == size)]
            draws = cells.groupby("repeat")[column].agg(["mean", "count"])
            means = draws.loc[draws["count"] == tasks, "mean"] * scale
            text = _number(means.mean(), spec)
            row.append(f"{text} ± {means.std():{spec}} ({len(means)})" if deviation and len(means) > 1 else text)
        rows.append(row)
    return table(["method", *(str(int(size)) for size in sizes)], rows)


def _by_task(results: pd.DataFrame) -> str:
    methods = in_order(set(results["method"]))
    means = results.groupby(["task", "method"])["score"].mean().unstack()
    rows = [[str(task), *(_number(line.get(m), ".1f", 100) for m in methods)] for task, line in means.iterrows()]
    return table(["task", *(LABELS.get(m, m) for m in methods)], rows)


def _bold(method: str) -> str:
    words = LABELS.get(method, method)
    return f"**{words}**" if method.startswith("ours") else words


def _number(value: float | None, spec: str, scale: float = 1) -> str:
    return "–" if value is None or pd.isna(value) else format(value * scale, spec)


def provenance_of(folder: Path, part: str, results: pd.DataFrame) -> str:
    """How the results came to be: commands, machines and versions from the files beside them, days from the rows."""
    notes = [sidecar(results_file(folder, part, method)) for method in in_order(set(results["method"]))]
    runs = [run for path in notes if path.exists() for run in yaml.safe_load(path.read_text("utf-8"))["runs"]]
    lines = dict.fromkeys(f"    {run['command']}" for run in runs)
    machines = dict.fromkeys(run["machine"] for run in runs)
    versions = dict.fromkeys(v for run in runs for v in run["versions"].split(", ") if v)
    days = sorted(set(results["date"]))
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    threads = "/".join(str(n) for n in sorted(set(results["threads"])))
    words = f"{span}; {'; '.join(machines)}; {', '.join(versions)}; threads: {threads}; precision of training: "
    trained = in_order(set(results["dtype"].dropna()))
    return "\n".join([*lines, "", f"{words}{', '.join(trained)}."])


def section(folder: Path, part: str, per_task: bool) -> str:
    """A part's section: how it was measured, then its tables."""
    results = load_part(folder, part)
    body = glue_table(results) if part == "glue" else few_shot_tables(results, per_task)
    return f"{provenance_of(folder, part, results)}\n\n{body}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="glue, few-shot; default: both")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results" / "text", help="folder of results")
    parser.add_argument("--per-task", action="store_true", help="the accuracy on every unseen task, too")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="a Markdown page that gets them, instead of stdout")
    args = parser.parse_args(arguments)
    if unknown := set(args.parts) - {"glue", "few-shot"}:
        sys.exit(f"No such part: {', '.join(sorted(unknown))}. There are: glue, few-shot.")
    for part in args.parts or ["glue", "few-shot"]:
        text = section(args.results, part, args.per_task)
        if args.report:
            write_section(args.report, f"text-{part}", text)
        else:
            print(f"## {part}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
