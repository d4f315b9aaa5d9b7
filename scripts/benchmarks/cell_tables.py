"""The results of texts and images as Markdown for docs/benchmarks.md.

    python -m scripts.benchmarks summary texts --report docs/benchmarks.md --per-task
    python -m scripts.benchmarks summary images --backbone mobilenet_v2_tf --report docs/benchmarks.md --per-task

What is not measured yet is a dash: a GLUE score needs all nine tasks, a mean over domains all of them, a mean over
unseen tasks all of them in one draw at least.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .common import PROGRAM, RESULTS, make_parser, table, write_section
from .labels import CELLS, cells_in_order
from .results import load_part, part_store
from .summary import number, provenance_of

REFERENCE = "finetune"
"""GLUE scores and times are given relative to it, too."""
PLAIN = "pretrained"
"""Where finetuning begins that the others are compared with."""
SHOWN_EPOCHS = (0, 1, 2, 3, 5, 10, 15, 20)
Bodies = dict[str, Callable[[pd.DataFrame, bool], str]]
"""Part -> its tables, from the results and whether every task is to be shown."""


def words(method: str) -> str:
    """Return a method in words; ours stand out."""
    label = CELLS.get(method, method)
    return f"**{label}**" if method.startswith("ours") else label


def methods_of(results: pd.DataFrame) -> list[str]:
    """Return the methods that were measured, in order."""
    return cells_in_order(set(results["method"]))


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
    """A line per method, a column per size: means over the tasks, of draws in which all tasks were measured."""
    tasks, sizes = results["task"].nunique(), sorted(set(results["size"]))
    rows = []
    for method in methods_of(results):
        row = [words(method)]
        for size in sizes:
            cells = results[(results["method"] == method) & (results["size"] == size)]
            draws = cells.groupby("repeat")[column].agg(["mean", "count"])
            means = draws.loc[draws["count"] == tasks, "mean"] * scale
            text = number(means.mean(), spec)
            row.append(f"{text} ± {means.std():{spec}} ({len(means)})" if deviation and len(means) > 1 else text)
        rows.append(row)
    return table(["method", *(str(int(size)) for size in sizes)], rows)


def by_task(results: pd.DataFrame) -> str:
    """A line per task, a column per method: accuracy × 100."""
    methods = methods_of(results)
    means = results.groupby(["task", "method"])["score"].mean().unstack()
    rows = [[str(task), *(number(line.get(m), ".1f", 100) for m in methods)] for task, line in means.iterrows()]
    return table(["task", *(CELLS.get(m, m) for m in methods)], rows)


def whole_table(
    results: pd.DataFrame,
    column: str,
    members: Sequence[str],
    header: Sequence[str],
    costs: Callable[[pd.DataFrame, pd.DataFrame | None], Iterable[str]],
) -> str:
    """A line per method: its score on each task or domain × 100, and what needs all of them.

    Parameters
    ----------
    column : str
        Of the results: which task or domain a cell is of.
    members : sequence of str
        All tasks or domains.
    header : sequence of str
        Of what needs all of them.
    costs : callable
        From a method's means by task, and those of `REFERENCE` if there are any, to what needs all.
    """
    means = results.groupby(["method", column]).mean(numeric_only=True)
    methods = methods_of(results)
    whole = {m: pd.DataFrame(means.loc[m]) for m in methods if len(means.loc[m]) == len(members)}
    rows = []
    for method in methods:
        scores = means.loc[method]["score"]
        row = [words(method), *(number(scores.get(member), ".1f", 100) for member in members)]
        rest = costs(whole[method], whole.get(REFERENCE)) if method in whole else ["–"] * len(header)
        rows.append([*row, *rest])
    return table(["method", *members, *header], rows)


def glue_tables(results: pd.DataFrame, per_task: bool) -> str:
    """Each task's metric × 100, their mean, and the seconds of all nine."""
    from .texts.tasks import GLUE

    def costs(found: pd.DataFrame, reference: pd.DataFrame | None) -> list[str]:
        score, cpu = found["score"].mean(), found["fit_cpu_seconds"].sum()
        share, ratio = "–", "–"
        if reference is not None:
            share = f"{100 * score / reference['score'].mean():.1f} %"
            ratio = f"{reference['fit_cpu_seconds'].sum() / cpu:,.1f}"
        return [f"{100 * score:.1f}", share, f"{found['fit_seconds'].sum():,.1f}", f"{cpu:,.1f}", ratio]

    header = ["score", "of finetuning's", "fit s", "fit CPU s", "finetuning's CPU s ÷ its"]
    text, column = whole_table(results, "task", GLUE, header, costs), "score_dev_mismatched"
    if column not in results:
        return text
    found = results.groupby("method")[column].mean().dropna()
    listed = ", ".join(f"{CELLS.get(m, m)} {100 * found[m]:.1f}" for m in cells_in_order(set(found.index)))
    return f"{text}\n\nMNLI is matched; mismatched: {listed}."


def domain_tables(results: pd.DataFrame, per_task: bool) -> str:
    """One table, as the paper's Table 3: accuracy by domain, the mean of each set's domains, and of all the rest."""
    domains = {name: sorted(set(some["task"])) for name, some in results.groupby(results["task"].str.partition("/")[0])}
    scores = results.pivot_table(index="method", columns="task", values="score")
    whole = {name: scores[tasks].mean(axis=1, skipna=False).dropna() for name, tasks in domains.items()}
    means = pd.concat([
        pd.DataFrame({"method": found.index, "task": f"{name}, mean", "score": found.to_numpy()})
        for name, found in whole.items()
    ])  # fmt: skip

    def costs(found: pd.DataFrame, reference: pd.DataFrame | None) -> list[str]:
        found = found.dropna(subset="fit_cpu_seconds")  # the domains, not their means
        cpu = found["fit_cpu_seconds"].mean()
        ratio = "–" if reference is None else f"{reference['fit_cpu_seconds'].mean() / cpu:,.1f}"
        shares = [number(found[key].mean(), ".1f", 100) for key in ("top3", "top5")]
        return [*shares, f"{found['fit_seconds'].mean():,.2f}", f"{cpu:,.2f}", ratio]

    members = [member for name, tasks in domains.items() for member in (*tasks, f"{name}, mean")]
    header = ["top-3", "top-5", "fit s", "fit CPU s", "finetuning's CPU s ÷ its"]
    told = "Accuracy × 100 on each domain's test images; top-3, top-5 and seconds are means over them all."
    return f"{told}\n\n{whole_table(pd.concat([results, means]), 'task', members, header, costs)}"


def init_tables(results: pd.DataFrame, per_task: bool) -> str:
    """Epochs to the best validation accuracy from each start, and test accuracy after each of some epochs."""
    tasks = sorted(set(results["task"]))
    records: list[dict[str, Any]] = results.to_dict("records")  # type: ignore[assignment]
    cells = {(r["task"], r["repeat"], r["method"]): r for r in records}
    rows, courses = [], []
    for start in methods_of(results):
        mine = [cell for (_, _, method), cell in cells.items() if method == start]
        complete = {cell["task"] for cell in mine} == set(tasks)
        rows.append([words(start), *(_epochs(mine, cells) if complete else ["–"] * 5)])
        length = min(len(cell["test_curve"]) for cell in mine)
        means = np.mean([cell["test_curve"][:length] for cell in mine], axis=0) * 100
        courses.append([CELLS.get(start, start), *(f"{means[e]:.1f}" if e < length else "–" for e in SHOWN_EPOCHS)])
    header = ["from", "epochs to its best", "epochs to the pretrained's best", "best validation × 100"]
    given = f"{len(tasks)} tasks: {', '.join(tasks)}. The same finetuning from each start; means over tasks and seeds."
    after = table(["from", *map(str, SHOWN_EPOCHS)], courses)
    parts = [given, table([*header, "test × 100 there", "seeds"], rows), "Test accuracy × 100 after so many epochs:"]
    return "\n\n".join([*parts, after])


def _epochs(mine: Sequence[dict[str, Any]], cells: dict[Any, dict[str, Any]]) -> list[str]:
    """Means over a start's cells; how soon it reaches the best of the pretrained weights, of the same task and seed."""
    reached, never = [], 0
    for cell in mine:
        plain = cells.get((cell["task"], cell["repeat"], PLAIN))
        if plain is None:
            continue
        epochs = [e for e, score in enumerate(cell["curve"]) if score >= plain["best"]]
        reached += epochs[:1]
        never += not epochs
    text = f"{np.mean(reached):.1f}" if reached else "–"
    if never:
        text += f" (never in {never} of {len(reached) + never})"
    means = [np.mean([cell[key] for cell in mine]) for key in ("best_epoch", "best", "best_test")]
    seeds = len({cell["repeat"] for cell in mine})
    return [f"{means[0]:.1f}", text, f"{100 * means[1]:.1f}", f"{100 * means[2]:.1f}", str(seeds)]


def alternative_tables(results: pd.DataFrame, per_task: bool) -> str:
    """Mean accuracy and processor seconds of each method by the number of images per class."""
    tasks = sorted(set(results["task"]))
    sized = results.assign(size=results["size"].map(lambda n: "all" if pd.isna(n) else str(int(n))))
    sizes = sorted(set(sized["size"]), key=lambda n: float("inf") if n == "all" else int(n))
    rows = []
    for method in methods_of(sized):
        row = [words(method)]
        for size in sizes:
            cells = sized[(sized["method"] == method) & (sized["size"] == size)].groupby("task").mean(numeric_only=True)
            complete = len(cells) == len(tasks)
            row.append(f"{100 * cells['score'].mean():.1f}" if complete else "–")
            row.append(f"{cells['fit_cpu_seconds'].mean():,.1f}" if complete else "–")
        rows.append(row)
    header = ["method", *(text for size in sizes for text in (f"{size}: accuracy × 100", "CPU s"))]
    given = f"{len(tasks)} tasks: {', '.join(tasks)}. Means over the tasks, by images per class; seconds of one task."
    return f"{given}\n\n{table(header, rows)}"


DOMAINS: dict[str, tuple[str, Bodies]] = {
    "texts": ("text", {"glue": glue_tables, "few-shot": few_shot_tables}),
    "images": (
        "image",
        {
            "domains": domain_tables,
            "few-shot": few_shot_tables,
            "init": init_tables,
            "alternatives": alternative_tables,
        },
    ),
}
"""Domain -> its folder of results, and its parts."""


def section(domain: str, folder: Path, part: str, per_task: bool) -> str:
    """Lay out a part: how it was measured, then its tables."""
    results = load_part(folder, part, f"{PROGRAM} {domain}")
    stores = [part_store(folder, part, method) for method in methods_of(results)]
    threads = "/".join(str(n) for n in sorted(set(results["threads"])))
    trained = ", ".join(cells_in_order(set(results["dtype"].dropna())))
    more = f"; threads: {threads}; precision of training: {trained}"
    origin = provenance_of(stores, [], list(results["date"]), more)
    backbone = f"Backbone {folder.name}.\n\n" if domain == "images" else ""
    return f"{backbone}{origin}\n\n{DOMAINS[domain][1][part](results, per_task)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    domain, *arguments = sys.argv[2:] if arguments is None else arguments
    kind, parts = DOMAINS[domain]
    parser = make_parser(f"summary {domain}", __doc__, "--report")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default: all")
    parser.add_argument("--results", type=Path, default=RESULTS / kind, help="folder of results")
    parser.add_argument("--per-task", action="store_true", help="the accuracy on every unseen task, too")
    if domain == "images":
        from modelgpt_cli.domains.image.architectures import DEFAULT_CARD

        parser.add_argument("--backbone", default=DEFAULT_CARD, metavar="CARD", help="default: the shipped network")
    args = parser.parse_args(arguments)
    if unknown := set(args.parts) - set(parts):
        sys.exit(f"No such part: {', '.join(sorted(unknown))}. There are: {', '.join(parts)}.")
    folder, title = (args.results / args.backbone, f"-{args.backbone}") if domain == "images" else (args.results, "")
    for part in args.parts or parts:
        text = section(domain, folder, part, args.per_task)
        if args.report:
            write_section(args.report, f"{kind}-{part}{title}", text)
        else:
            print(f"## {part}\n\n{text}\n")
    return 0
