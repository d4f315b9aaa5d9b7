"""Tables: quality, calibration, seconds and bytes of ours and of the methods a user would pick instead.

    python -m scripts.benchmarks tables ../shared/data/tabular/train --split meta-validation \\
        --out docs/results/tabular-metavalidation.csv
    python -m scripts.benchmarks summary tables docs/results/tabular-metavalidation.csv

MotherNet's protocol on any folder of tables with cards: at most 2,000 rows drawn with a fixed seed, 50/50 stratified
splits, 5 repeats, everything fitted on training rows. Each cell (table, repeat, method) is appended to the CSV as soon
as it is measured, and skipped when it is there already. A YAML file beside the CSV keeps the protocol, the commands and
the machine.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.schema import Column, TaskType

from ..common import command, machine, make_parser, names, versions
from ..harness import Bench, Method, Task, measure_all, timed, warm_up
from ..metrics import COVERAGE, class_metrics, number_metrics
from ..results import Cell, Store
from .methods import make_methods
from .ours import generator_hash
from .tasks import Card, Table, draw_rows, find_cards, read_table, side, split

TIMED_ROWS = 1000
TIMED_RUNS = 3
"""Of a prediction; the quickest counts, as other work on the machine can only slow it down."""


def measure(table: Table, model: Any, *, train_share: float, seed: int) -> dict[str, Any]:
    """Fit a method on one split and score it on the test rows."""
    train, test = (table.take(rows) for rows in split(table, train_share, seed))
    _, fit_seconds, fit_cpu_seconds = timed(lambda: model.fit(train))
    size = model.package()
    answers = model.predict(test.frame)
    if table.task == "classification":
        labels = np.unique(table.y)
        p = np.zeros((len(test.y), len(labels)))
        p[:, np.searchsorted(labels, np.asarray(model.classes_).astype(str))] = answers
        metrics = class_metrics(np.searchsorted(labels, test.y), p / p.sum(axis=1, keepdims=True))
    else:
        metrics = number_metrics(test.y, answers, model.interval(test.frame, COVERAGE))
    if not all(np.isfinite(v) for v in metrics.values()):
        raise ValueError(f"not a number: {', '.join(k for k, v in metrics.items() if not np.isfinite(v))}")
    rows = test.frame.iloc[np.arange(TIMED_ROWS) % len(test.y)].reset_index(drop=True)
    predict_seconds = min(timeit.repeat(lambda: model.predict(rows), number=1, repeat=TIMED_RUNS))
    seconds = {"fit_seconds": fit_seconds, "fit_cpu_seconds": fit_cpu_seconds, "predict_seconds": predict_seconds}
    return {**metrics, **seconds, "bytes": size, "n_train": len(train.y)}


def toy_table(task: TaskType) -> Table:
    """Return a table of 60 rows to warm up with."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], size=60).astype(object)})
    y = np.where(frame["a"] > 0, "p", "n").astype(str) if task == "classification" else frame["a"].to_numpy() * 2
    return Table("toy", task, frame, y, [Column("a", "numeric"), Column("b", "categorical")])


class TableBench(Bench):
    """The benchmark of a folder of tables."""

    def __init__(self, cards: Sequence[Card], methods: Mapping[str, Method], args: argparse.Namespace) -> None:
        self.cards, self.methods, self.args = {card.name: card for card in cards}, methods, args
        self.read = lru_cache(maxsize=1)(lambda name: draw_rows(read_table(self.cards[name]), args.rows, args.seed))

    def store(self, method: str) -> Store:
        return Store(self.args.out)

    def tasks(self, method: str) -> Iterator[Task]:
        for card in self.cards.values():
            for repeat in range(self.args.repeats):
                yield Task(card.name, repeat, self.args.seed + repeat, kind=card.task)

    def start(self, method: str, task: Task) -> None:
        table = toy_table(self.cards[task.name].task)

        def work() -> None:
            model = self.methods[method].make(0, self.args.threads)
            model.fit(table)
            model.package()
            model.predict(table.frame)

        warm_up(work)

    def describe(self, method: str, task: Task) -> dict[str, Any]:
        table = self.read(task.name)
        classes = len(np.unique(table.y)) if table.task == "classification" else 0
        facts = {"task": table.task, "n": len(table.y), "d": len(table.columns), "classes": classes}
        chosen = self.methods[method]
        generator = f", generator {generator_hash(self.args.generator)}" if chosen.ours else ""
        return facts | {"versions": versions(*chosen.packages) + generator}

    def measure(self, method: str, task: Task) -> dict[str, Any]:
        model = self.methods[method].make(task.seed, self.args.threads)  # loads the generator, as imports load code
        return measure(self.read(task.name), model, train_share=self.args.train_share, seed=task.seed)


def remove_stale(store: Store, methods: Mapping[str, Method], args: argparse.Namespace) -> None:
    """Take out the cells that another generator made, if `--replace`; else stop at them.

    Raises
    ------
    SystemExit
        There are such cells.
    """

    def stale(cell: Cell) -> bool:
        ours = cell.method in methods and methods[cell.method].ours and not cell.failed
        return ours and not cell.facts["versions"].endswith(generator_hash(args.generator))

    if args.replace:
        store.remove(stale)
    elif found := [cell for cell in store.read() if stale(cell)]:
        sys.exit(
            f"{args.out} holds {len(found)} cells of another generator ({found[0].facts['versions']}). "
            "Measure them again with --replace, or choose another --out."
        )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("tables", __doc__, "--threads")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DATA_FOLDER", help="tables with cards")
    parser.add_argument("--out", type=Path, required=True, help="CSV of results, one line a cell; appended to")
    parser.add_argument("--methods", type=names, metavar="A,B", help="default: all; in this order")
    parser.add_argument("--tables", type=names, metavar="A,B", help="default: all of the folders")
    parser.add_argument("--split", choices=["meta-validation", "meta-train", "all"], default="all")
    parser.add_argument("--repeats", type=int, default=5, help="splits per table (default 5)")
    parser.add_argument("--rows", type=int, default=2000, help="rows drawn of a table, 0 for all (default 2000)")
    parser.add_argument("--train-share", type=float, default=0.5, help="default 0.5")
    parser.add_argument("--seed", type=int, default=0, help="of the rows drawn; repeat r splits with seed + r")
    parser.add_argument("--tuned", type=int, default=0, metavar="SECONDS", help="add methods tuned by random search")
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


def choose_cards(args: argparse.Namespace) -> list[Card]:
    """Return the tables to measure.

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
    available = make_methods(args.generator, args.tuned)
    if unknown := set(args.methods or ()) - set(available):
        sys.exit(f"No such method: {', '.join(sorted(unknown))}. There are: {', '.join(available)}.")
    methods = {name: available[name] for name in args.methods or available}
    protocol = {"rows": args.rows, "train_share": args.train_share, "seed": args.seed, "threads": args.threads}
    store = Store(args.out)
    store.record(protocol, {"command": command(), "machine": machine()})
    remove_stale(store, methods, args)
    return measure_all(TableBench(cards, methods, args), list(methods), args, args.out)
