"""The image benchmark's tables for docs/benchmarks.md: held-back domains, few images per class, initialisation.

    python scripts/benchmark_image_summary.py --backbone mobilenet_v2_tf --report docs/benchmarks.md --per-task

What is not measured yet is a dash: a mean over tasks needs all of them, in one draw at least.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_cell_tables import add_summary_arguments, bold, few_shot_tables, number, provenance_of, show
from benchmark_cells import LABELS, in_order, load_part
from benchmark_common import table
from benchmark_image_data import ROOT

from modelgpt_cli.domains.image.architectures import DEFAULT_CARD

PARTS = ("domains", "few-shot", "init")
REFERENCE = "finetune"
"""Times of held-back domains are given relative to its."""
PLAIN = "pretrained"
"""Where finetuning begins that the others are compared with."""
SHOWN_EPOCHS = (0, 1, 2, 3, 5, 10, 15, 20)


def domain_tables(results: pd.DataFrame) -> str:
    """A table for each set: accuracy by domain, their means, and seconds."""
    results = results.assign(set=results["task"].str.partition("/")[0], domain=results["task"].str.partition("/")[2])
    parts = ["Accuracy × 100 on each domain's test images; means over the domains; seconds of learning one domain."]
    for name, some in results.groupby("set"):
        parts += [f"**{name}**:", _domain_table(some)]
    return "\n\n".join(parts)


def _domain_table(results: pd.DataFrame) -> str:
    domains = sorted(set(results["domain"]))
    means = results.groupby(["method", "domain"]).mean(numeric_only=True)
    methods = in_order(set(results["method"]))
    whole = {m: means.loc[m] for m in methods if len(means.loc[m]) == len(domains)}
    reference = whole.get(REFERENCE)
    rows = []
    for method in methods:
        found = means.loc[method]
        row = [bold(method), *(number(found["score"].get(domain), ".1f", 100) for domain in domains)]
        if method not in whole:
            rows.append([*row, *["–"] * 6])
            continue
        row += [number(found[key].mean(), ".1f", 100) for key in ("score", "top3", "top5")]
        cpu = found["fit_cpu_seconds"].mean()
        row += [f"{found['fit_seconds'].mean():,.2f}", f"{cpu:,.2f}"]
        row.append("–" if reference is None else f"{reference['fit_cpu_seconds'].mean() / cpu:,.1f}")
        rows.append(row)
    header = ["method", *domains, "mean", "top-3", "top-5", "fit s", "fit CPU s", "finetuning's CPU s ÷ its"]
    return table(header, rows)


def init_tables(results: pd.DataFrame) -> str:
    """Epochs to the best validation accuracy from each start, and test accuracy after each of some epochs."""
    tasks = sorted(set(results["task"]))
    starts = in_order(set(results["method"]))
    cells = {(r["task"], r["repeat"], r["method"]): r for r in results.to_dict("records")}
    rows, courses = [], []
    for start in starts:
        mine = [cell for (_, _, method), cell in cells.items() if method == start]
        rows.append([bold(start), *_epochs(mine, cells)] if _whole(mine, tasks) else [bold(start), *["–"] * 5])
        length = min(len(cell["test_curve"]) for cell in mine)
        shown = [e for e in SHOWN_EPOCHS if e < length]
        means = np.mean([cell["test_curve"][:length] for cell in mine], axis=0) * 100
        courses.append([LABELS.get(start, start), *(f"{means[e]:.1f}" if e in shown else "–" for e in SHOWN_EPOCHS)])
    header = [
        "from",
        "epochs to its best",
        "epochs to the pretrained's best",
        "best validation × 100",
        "test × 100 there",
    ]
    return "\n\n".join(
        [
            f"{len(tasks)} tasks: {', '.join(tasks)}. The same finetuning from each start; means over tasks and seeds.",
            table([*header, "seeds"], rows),
            "Test accuracy × 100 after so many epochs:",
            table(["from", *map(str, SHOWN_EPOCHS)], courses),
        ]
    )


def _whole(cells: Sequence[dict], tasks: Sequence[str]) -> bool:
    return {cell["task"] for cell in cells} == set(tasks)


def _epochs(mine: Sequence[dict], cells: dict) -> list[str]:
    """Means over a start's cells; how soon it reaches the best of the pretrained weights, of the same task and seed."""
    reached, never = [], 0
    for cell in mine:
        plain = cells.get((cell["task"], cell["repeat"], PLAIN))
        if plain is None:
            continue
        epochs = [e for e, score in enumerate(cell["curve"]) if score >= plain["best"]]
        reached += epochs[:1]
        never += not epochs
    words = f"{np.mean(reached):.1f}" if reached else "–"
    if never:
        words += f" (never in {never} of {len(reached) + never})"
    means = [np.mean([cell[key] for cell in mine]) for key in ("best_epoch", "best", "best_test")]
    seeds = len({cell["repeat"] for cell in mine})
    return [f"{means[0]:.1f}", words, f"{100 * means[1]:.1f}", f"{100 * means[2]:.1f}", str(seeds)]


def section(folder: Path, part: str, per_task: bool) -> str:
    """A part's section: how it was measured, then its tables."""
    results = load_part(folder, part, "benchmark_image.py")
    if part == "few-shot":
        body = few_shot_tables(results, per_task)
    else:
        body = domain_tables(results) if part == "domains" else init_tables(results)
    return f"Backbone {folder.name}.\n\n{provenance_of(folder, part, results)}\n\n{body}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_summary_arguments(parser, PARTS, ROOT / "docs" / "results" / "image")
    parser.add_argument("--backbone", default=DEFAULT_CARD, metavar="CARD", help="whose results; default: the shipped")
    args = parser.parse_args(arguments)
    folder = args.results / args.backbone
    show(
        args,
        PARTS,
        lambda part: section(folder, part, args.per_task),
        lambda part: f"image-{part}-{args.backbone}",
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
