"""Tables: what a kernel machine beside network and trees is worth.

    python -m scripts.benchmarks kernel ../shared/data/tabular/train --report docs/tabular-generator.md

Made-up functions (250 and 1,000 training rows, 1,000 test rows), and tables of the folder (at most 2,000 rows, 50/50
splits) are built with the kernel and without; test rows say R², or AUC and log-loss. Each cell is appended to
docs/results/kernel.csv, where a later call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier, ModelGPTRegressor

from ..common import RESULTS, make_parser, names, provenance, table, write_section
from .tasks import Table, append_cells, draw_rows, find_cards, read_table, side, split

SIZES, TEST_ROWS = (250, 1000), 1000
WAVES = 800
SHARE = 0.5
CELLS = RESULTS / "kernel.csv"
Rows = tuple[np.ndarray, np.ndarray]
"""Inputs (n, d) and targets (n,)."""


def _field(n: int, d: int, seed: int, noise: float = 0.1) -> Rows:
    """A smooth random function: a sum of cosine waves, some inputs more relevant than others."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    waves = 1.5 * rng.normal(size=(d, WAVES)) / d**0.5 * rng.uniform(0.2, 1.8, size=(d, 1))
    f = np.cos(x @ waves + rng.uniform(0, 2 * np.pi, WAVES)) @ rng.normal(size=WAVES)
    return x, f / f.std() + noise * rng.normal(size=n)


def _steps(n: int, d: int, seed: int, noise: float = 0.3) -> Rows:
    """Products of two thresholds each: what trees are made for."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    pairs = [rng.integers(0, d, 2) for _ in range(8)]
    f = np.zeros(n)
    for i, j in pairs:
        f += rng.normal() * (x[:, i] > rng.normal() / 2) * (x[:, j] > rng.normal() / 2)
    return x, f / f.std() + noise * rng.normal(size=n)


MADE_UP: dict[str, Callable[[int, int], Rows]] = {
    "friedman 1": lambda n, seed: make_friedman1(n, noise=1.0, random_state=seed),
    "friedman 2": lambda n, seed: make_friedman2(n, noise=100.0, random_state=seed),
    "friedman 3": lambda n, seed: make_friedman3(n, noise=0.1, random_state=seed),
    "field of 3": lambda n, seed: _field(n, 3, seed),
    "field of 8": lambda n, seed: _field(n, 8, seed),
    "steps of 8": lambda n, seed: _steps(n, 8, seed),
}


def problems(folders: Sequence[Path], wanted: Sequence[str], repeat: int) -> Iterator[tuple[str, Table, Table]]:
    """Yield where a problem is from, its training and its test rows."""
    for name, make in MADE_UP.items():
        for n in SIZES:
            x, y = make(n + TEST_ROWS, repeat)
            columns = [Column(f"x{j}", "numeric") for j in range(x.shape[1])]
            frame = pd.DataFrame(x, columns=[column.name for column in columns])
            rows = Table(f"{name}, {n:,} rows", "regression", frame, y, columns)
            if not wanted or name in wanted:
                yield "made up", rows.take(np.arange(n)), rows.take(np.arange(n, n + TEST_ROWS))
    for card in find_cards(folders):
        if not wanted or card.name in wanted:
            data = draw_rows(read_table(card), 2000, 0)
            train, test = split(data, SHARE, repeat)
            yield f"{side(card)}, {card.task}", data.take(train), data.take(test)


def measure(train: Table, test: Table, repeat: int, kernel: bool | None) -> dict[str, Any]:
    """Build, and score the test rows."""
    start = time.process_time()
    if train.task == "regression":
        number = ModelGPTRegressor(random_state=repeat, columns=train.columns, kernel=kernel).fit(train.frame, train.y)
        cpu, model = time.process_time() - start, number.model_
        scores = regression_scores(np.asarray(number.predict(test.frame), dtype=np.float64), test.y)
    else:
        made = ModelGPTClassifier(random_state=repeat, columns=train.columns, kernel=kernel).fit(train.frame, train.y)
        cpu, model = time.process_time() - start, made.model_
        known = np.isin(test.y, made.classes_)
        answers = made.predict_proba(test.frame.loc[known])
        scores = class_scores(answers, np.searchsorted(made.classes_, test.y[known]))
    told: dict[str, Any] = {key: scores.get(key) for key in ("r2", "roc_auc", "log_loss")}
    return told | {"mixed": model.kernel is not None, "cpu": cpu}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the table."""
    parser = make_parser("kernel", __doc__, "--report")
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tables", type=names, default=[], metavar="A,B", help="or made-up functions; default: all")
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    done = pd.read_csv(args.out)[["table", "repeat"]].to_numpy().tolist() if args.out.exists() else []
    for repeat in range(args.repeats):
        for place, train, test in problems(args.folders, args.tables, repeat):
            if [train.name, repeat] in done:
                continue
            for kernel in (False, None):
                cell = {"table": train.name, "from": place, "repeat": repeat, "kernel": kernel is None}
                cell |= measure(train, test, repeat, kernel)
                append_cells(args.out, [cell])
                print(cell, flush=True)
    if args.report:
        text = summarise(pd.read_csv(args.out))
        write_section(args.report, "kernel", f"{provenance('modelgpt-cli', 'torch', 'lightgbm')}\n\n{text}")


def summarise(cells: pd.DataFrame) -> str:
    """Lay out means: each made-up function, and the tables of each side and task; without → with."""
    shown = cells.assign(what=np.where(cells["from"] == "made up", cells["table"], cells["from"]))
    rows = []
    for what, found in shown.groupby("what", sort=False):
        means = found.groupby("kernel").mean(numeric_only=True)
        pairs = []
        for key, digits in (("r2", 3), ("roc_auc", 4), ("log_loss", 4), ("cpu", 1)):
            without, mixed_in = (means.loc[flag, key] for flag in (False, True))
            pairs.append("–" if np.isnan(without) else f"{without:.{digits}f} → {mixed_in:.{digits}f}")
        mixed = found[found["kernel"]]["mixed"]
        rows.append([str(what), str(found["table"].nunique()), f"{mixed.sum()} of {len(mixed)}", *pairs])
    return table(["what", "tables", "mixed in", "R²", "AUC", "log-loss", "CPU s"], rows)
