"""Tables of cells for docs/benchmarks.md that texts and images share: by examples per class, by task, and whence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import yaml
from benchmark_cells import LABELS, in_order, results_file
from benchmark_common import table, write_section
from benchmark_results import sidecar


def few_shot_tables(results: pd.DataFrame, per_task: bool) -> str:
    """Mean accuracy, macro F1 and seconds by method and size; the accuracy of every task."""
    tasks = sorted(set(results["task"]))
    parts = [f"{len(tasks)} tasks: {', '.join(tasks)}."]
    spread = "Mean accuracy × 100 over the tasks, ± its standard deviation over draws (draws), by examples per class:"
    parts += [spread, by_size(results, "score", ".1f", 100, deviation=True)]
    parts += ["Mean macro F1 × 100:", by_size(results, "macro_f1", ".1f", 100)]
    parts += ["Mean processor seconds of learning one task:", by_size(results, "fit_cpu_seconds", ".2f")]
    if per_task:
        for size in sorted(set(results["size"])):
            parts += [f"Accuracy × 100 with {int(size)} per class:", by_task(results[results["size"] == size])]
    return "\n\n".join(parts)


def by_size(results: pd.DataFrame, column: str, spec: str, scale: float = 1, deviation: bool = False) -> str:
    """A line a method, a column a size: means over the tasks, of draws in which all tasks were measured."""
    tasks, sizes = results["task"].nunique(), sorted(set(results["size"]))
    rows = []
    for method in in_order(set(results["method"])):
        row = [bold(method)]
        for size in sizes:
            cells = results[(results["method"] == method) & (results["size"] == size)]
            draws = cells.groupby("repeat")[column].agg(["mean", "count"])
            means = draws.loc[draws["count"] == tasks, "mean"] * scale
            text = number(means.mean(), spec)
            row.append(f"{text} ± {means.std():{spec}} ({len(means)})" if deviation and len(means) > 1 else text)
        rows.append(row)
    return table(["method", *(str(int(size)) for size in sizes)], rows)


def by_task(results: pd.DataFrame) -> str:
    """A line a task, a column a method: accuracy × 100."""
    methods = in_order(set(results["method"]))
    means = results.groupby(["task", "method"])["score"].mean().unstack()
    rows = [[str(task), *(number(line.get(m), ".1f", 100) for m in methods)] for task, line in means.iterrows()]
    return table(["task", *(LABELS.get(m, m) for m in methods)], rows)


def bold(method: str) -> str:
    """A method in words; ours stand out."""
    words = LABELS.get(method, method)
    return f"**{words}**" if method.startswith("ours") else words


def number(value: float | None, spec: str, scale: float = 1) -> str:
    """A figure, or a dash where there is none."""
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


def add_summary_arguments(parser: argparse.ArgumentParser, parts: Sequence[str], results: Path) -> None:
    """The options that both summaries have."""
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default: all")
    parser.add_argument("--results", type=Path, default=results, help="folder of results")
    parser.add_argument("--per-task", action="store_true", help="the accuracy on every unseen task, too")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="a Markdown page that gets them, instead of stdout")


def show(
    args: argparse.Namespace, parts: Sequence[str], section: Callable[[str], str], title: Callable[[str], str]
) -> None:
    """Print the sections of the parts, or put them into a page."""
    if unknown := set(args.parts) - set(parts):
        sys.exit(f"No such part: {', '.join(sorted(unknown))}. There are: {', '.join(parts)}.")
    for part in args.parts or parts:
        text = section(part)
        if args.report:
            write_section(args.report, title(part), text)
        else:
            print(f"## {part}\n\n{text}\n")
