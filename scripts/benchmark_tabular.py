"""Tables against the methods a user would pick instead: quality, calibration, seconds and bytes, cell by cell.

    python scripts/benchmark_tabular.py ../shared/data/tabular/train --split meta-validation --threads 1 \\
        --out docs/results/tabular-metavalidation.csv
    python scripts/benchmark_summary.py docs/results/tabular-metavalidation.csv

MotherNet's protocol on any folder of tables with cards: at most 2,000 rows drawn with a fixed seed, 50/50 stratified
splits, 5 repeats, everything fitted on training rows. Each cell (table, repeat, method) is appended to the CSV as soon
as it is measured, and skipped when it is there already: an interrupted benchmark goes on where it stopped. A cell that
fails is written down with its error. A YAML beside the CSV keeps the protocol, the commands and the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
import timeit
import traceback
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from benchmark_common import command, machine
from benchmark_methods import OURS, Make, Method, make_methods, method_versions
from benchmark_metrics import COVERAGE, class_metrics, number_metrics
from benchmark_ours import generator_hash
from benchmark_results import Cell, append, load, record_run, remove
from benchmark_tables import Card, Table, draw_rows, find_cards, read_table, side, split
from threadpoolctl import threadpool_limits

from modelgpt_cli.core.schema import Column, TaskType

TIMED_ROWS = 1000
TIMED_RUNS = 3
"""Of a prediction; the quickest counts, as other work on the machine can only slow it down."""
ERROR_LENGTH = 300


def measure(table: Table, method: Method, name: str, repeat: int, *, train_share: float, seed: int) -> dict[str, Any]:
    """Fit one method on one split and score it on the test rows: the measured fields of a `Cell`."""
    train_rows, test_rows = split(table, train_share, seed)
    train, test = table.take(train_rows), table.take(test_rows)
    cpu, wall = time.process_time(), time.perf_counter()
    method.fit(train.frame, train.y, table.columns, table.task)
    fit_seconds, fit_cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    size = method.package()
    answers = method.predict(test.frame)
    if table.task == "classification":
        labels = np.unique(table.y)
        p = np.zeros((len(test.y), len(labels)))
        p[:, np.searchsorted(labels, np.asarray(method.classes_).astype(str))] = answers
        metrics = class_metrics(np.searchsorted(labels, test.y), p / p.sum(axis=1, keepdims=True))
    else:
        metrics = number_metrics(test.y, answers, method.interval(test.frame, COVERAGE))
    if not all(np.isfinite(v) for v in metrics.values()):
        raise ValueError(f"not a number: {', '.join(k for k, v in metrics.items() if not np.isfinite(v))}")
    rows = test.frame.iloc[np.arange(TIMED_ROWS) % len(test.y)].reset_index(drop=True)
    predict_seconds = min(timeit.repeat(lambda: method.predict(rows), number=1, repeat=TIMED_RUNS))
    timed = {"fit_seconds": fit_seconds, "fit_cpu_seconds": fit_cpu_seconds, "predict_seconds": predict_seconds}
    return {**metrics, **timed, "bytes": size, "n_train": len(train.y)}


def measure_cell(table: Table, make: Make, name: str, repeat: int, args: argparse.Namespace) -> Cell:
    """As `measure`, into a cell, whether it works or not."""
    seed = args.seed + repeat
    classes = len(np.unique(table.y)) if table.task == "classification" else 0
    facts: dict[str, Any] = {"task": table.task, "n": len(table.y), "d": len(table.columns), "classes": classes}
    facts |= {"seed": seed, "date": date.today().isoformat()}
    try:
        method = make(seed, args.threads)  # loads the generator, as imports load libraries
        facts["versions"] = method_versions(name, method, args.generator)
        facts |= measure(table, method, name, repeat, train_share=args.train_share, seed=seed)
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        facts["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_LENGTH]
    return Cell(table.name, repeat, name, **facts)


def warm_up(make: Make, threads: int, task: TaskType) -> None:
    """Fit once on a toy table, so that no cell pays for lazy imports, thread pools or the generator's loading."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], size=60).astype(object)})
    y = np.where(frame["a"] > 0, "p", "n").astype(str) if task == "classification" else frame["a"].to_numpy() * 2
    try:
        method = make(0, threads)
        if hasattr(method, "seconds"):
            method.seconds = 0.1
        method.fit(frame, y, [Column("a", "numeric"), Column("b", "categorical")], task)
        method.package()
        method.predict(frame)
    except Exception as error:  # the cells will fail too, and say so in the results
        print(f"warm-up failed: {type(error).__name__}: {error}", file=sys.stderr)


def run(cards: Sequence[Card], methods: Mapping[str, Make], args: argparse.Namespace) -> tuple[int, int]:
    """Measure every cell that is not in the results yet.

    Returns
    -------
    measured, failed : int
    """
    known = load([args.out]) if args.out.exists() else None
    done = set() if known is None else set(zip(known["table"], known["repeat"], known["method"], strict=True))
    warm: set[tuple[str, str]] = set()
    measured = failed = 0
    for name in methods:
        for card in cards:
            todo = [r for r in range(args.repeats) if (card.name, r, name) not in done]
            if not todo:
                continue
            if (name, card.task) not in warm:
                warm_up(methods[name], args.threads, card.task)
                warm.add((name, card.task))
            table = draw_rows(read_table(card), args.rows, args.seed)
            for repeat in todo:
                cell = measure_cell(table, methods[name], name, repeat, args)
                append(args.out, cell)
                measured += 1
                failed += bool(cell.error)
                score = cell.error or f"{'auc' if cell.r2 is None else 'r2'} {cell.roc_auc or cell.r2 or 0:.4f}"
                print(f"{card.name} {repeat} {name}: {score}  {cell.fit_seconds or 0:.2f} s", file=sys.stderr)
    return measured, failed


def forget(args: argparse.Namespace, methods: Sequence[str]) -> None:
    """Make room for cells that failed, or that another generator made, if `--replace`; else stop at the latter."""
    if not args.out.exists():
        return
    known = load([args.out])
    known = known[known["method"].isin(methods)]
    ours = known[known["method"].isin(OURS) & (known["error"] == "")]
    stale = ours[~ours["versions"].str.endswith(generator_hash(args.generator))] if len(ours) else ours
    if args.replace:
        gone = pd.concat([stale, known[known["error"] != ""]])
        remove(args.out, zip(gone["table"], gone["repeat"], gone["method"], strict=True))
    elif len(stale):
        sys.exit(
            f"{args.out} holds {len(stale)} cells of another generator ({stale.iloc[0]['versions']}). "
            "Measure them again with --replace, or choose another --out."
        )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DATA_FOLDER", help="tables with cards")
    parser.add_argument("--out", type=Path, required=True, help="CSV of results, one line a cell; appended to")
    parser.add_argument("--methods", type=_names, metavar="A,B", help="default: all; in this order")
    parser.add_argument("--tables", type=_names, metavar="A,B", help="default: all of the folders")
    parser.add_argument("--split", choices=["meta-validation", "meta-train", "all"], default="all")
    parser.add_argument("--repeats", type=int, default=5, help="splits per table (default 5)")
    parser.add_argument("--rows", type=int, default=2000, help="rows drawn of a table, 0 for all (default 2000)")
    parser.add_argument("--train-share", type=float, default=0.5, help="default 0.5")
    parser.add_argument("--seed", type=int, default=0, help="of the rows drawn; repeat r splits with seed + r")
    parser.add_argument("--threads", type=int, default=1, help="threads of every method (default 1)")
    parser.add_argument(
        "--tuned", type=int, default=0, metavar="SECONDS", help="add competitors tuned by random search"
    )
    parser.add_argument("--generator", type=Path, help="a checkpoint for our methods; default: the shipped one")
    parser.add_argument(
        "--replace", action="store_true", help="measure failed cells, and those of another generator, again"
    )
    args = parser.parse_args(arguments)
    if args.repeats < 1 or args.threads < 1 or args.rows < 0 or args.tuned < 0:
        parser.error("--repeats and --threads must be at least 1, --rows and --tuned at least 0")
    if not 0 < args.train_share < 1:
        parser.error("--train-share must be between 0 and 1")
    return args


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def choose_cards(args: argparse.Namespace) -> list[Card]:
    """The tables to measure.

    Raises
    ------
    SystemExit
        A table that was asked for is not there, or none is left.
    """
    cards = find_cards(args.folders)
    if absent := set(args.tables or ()) - {c.name for c in cards}:
        sys.exit(f"No such table: {', '.join(sorted(absent))}.")
    cards = [c for c in cards if args.split in ("all", side(c)) and (not args.tables or c.name in args.tables)]
    return cards or sys.exit("No table is left to measure: check --split and --tables.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 when a cell failed."""
    args = parse_arguments(arguments)
    cards = choose_cards(args)
    available = make_methods(args.tuned, args.generator)
    if unknown := set(args.methods or ()) - set(available):
        sys.exit(f"No such method: {', '.join(sorted(unknown))}. There are: {', '.join(available)}.")
    methods = {name: available[name] for name in args.methods or available}
    protocol = {"rows": args.rows, "train_share": args.train_share, "seed": args.seed, "threads": args.threads}
    record_run(args.out, protocol, {"command": command(), "machine": machine()})
    forget(args, list(methods))
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    with threadpool_limits(limits=args.threads):
        measured, failed = run(cards, methods, args)
    print(f"{measured} cells measured, {failed} failed, in {args.out}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
