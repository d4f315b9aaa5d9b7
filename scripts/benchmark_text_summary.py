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
from benchmark_cell_tables import add_summary_arguments, bold, few_shot_tables, number, provenance_of, show
from benchmark_cells import LABELS, in_order, load_part
from benchmark_common import table
from benchmark_text_data import GLUE, ROOT

PARTS = ("glue", "few-shot")
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
        row = [bold(method)]
        row += [number(found["score"].get(task), ".1f", 100) for task in GLUE]
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


def section(folder: Path, part: str, per_task: bool) -> str:
    """A part's section: how it was measured, then its tables."""
    results = load_part(folder, part, "benchmark_text.py")
    body = glue_table(results) if part == "glue" else few_shot_tables(results, per_task)
    return f"{provenance_of(folder, part, results)}\n\n{body}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_summary_arguments(parser, PARTS, ROOT / "docs" / "results" / "text")
    args = parser.parse_args(arguments)
    show(args, PARTS, lambda part: section(args.results, part, args.per_task), lambda part: f"text-{part}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
