"""Tables: what `tune` gives on rows that nobody has seen, when it is given the rows of the build.

    python -m scripts.benchmarks tuning ../shared/data/tabular/train --report docs/tuning.md

Tables of the folder's meta-validation part (at most 2,000 rows, 50/50 splits) are built on one half, tuned on that half
again, and scored on the other. `before` is what `tune` says of the untuned model; on a table where tuning is kept,
`after` what it says of the tuned one. Each cell is appended to docs/results/tuning.csv, where a later call goes
on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.domains.tabular import estimator, tune
from modelgpt_cli.domains.tabular.fit_model import fit_model
from modelgpt_cli.domains.tabular.rebuild import by_generator
from modelgpt_cli.training.tune import TuneSettings

from ..common import RESULTS, make_parser, names, numbers, provenance, table, write_section
from .tasks import Table, append_cells, draw_rows, find_cards, read_table, side, split

SHARE, SMALL = 0.5, 500
CELLS = RESULTS / "tuning.csv"
KEYS = ("log_loss", "roc_auc", "accuracy", "r2")


def measure(data: Table, repeat: int, epochs: Sequence[int], lr: float | None) -> list[dict[str, Any]]:
    """Build once on one half of the rows, tune by each number of epochs, and score the other half."""
    train_rows, test_rows = split(data, SHARE, repeat)
    train, test = data.take(train_rows), data.take(test_rows)
    classes = np.unique(train.y) if data.task == "classification" else None
    kind = estimator.ModelGPTRegressor if classes is None else estimator.ModelGPTClassifier
    with patch.object(estimator, "fit_model", wraps=fit_model) as spy:
        start = time.process_time()
        built = kind(random_state=repeat, columns=data.columns).fit(train.frame, train.y).model_
        built_cpu = time.process_time() - start
    generator, rows = spy.call_args.args[:2]

    def scores(model: Any) -> dict[str, float]:
        answers = model.predict(test.frame)
        if classes is None:
            return regression_scores(answers[:, 0].astype(np.float64), test.y)
        known = np.isin(test.y, classes)
        return class_scores(answers[known], np.searchsorted(classes, test.y[known]))

    rebuild = by_generator(built, generator, seed=repeat)
    known: dict[bytes, Any] = {}

    def rebuilt(part: Any) -> Any:
        """Build again, once for all numbers of epochs: a round's rows are the same in each."""
        key = part.x.tobytes() + part.codes.tobytes()
        if key not in known:
            known[key] = rebuild(part)
        return deepcopy(known[key])

    untuned, cells = scores(built), []
    for count in epochs:
        model, start = deepcopy(built), time.process_time()
        settings = TuneSettings(count, lr=lr, seed=repeat)
        done = tune.tune_arrays(model, rows, settings, rebuilt)
        cpu = time.process_time() - start
        found = {"untuned": untuned, "tuned": scores(model), "before": done.before, "after": done.after}
        cell: dict[str, Any] = {"epochs": count, "kept": done.kept, "share": done.share, "cpu": cpu, "build": built_cpu}
        cell |= {f"{part}_{key}": values.get(key) for part, values in found.items() for key in KEYS}
        cells.append(cell)
    return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the table."""
    parser = make_parser("tuning", __doc__, "--report")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=numbers, default=[1, 10])
    parser.add_argument("--lr", type=float, help="default: that of tune")
    parser.add_argument("--rows", type=int, default=2000, help="rows drawn of a table (default 2000)")
    parser.add_argument("--tables", type=names, metavar="A,B", help="default: all of the meta-validation part")
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cards = [c for c in find_cards([args.folder]) if (c.name in args.tables if args.tables else _unseen(c))]
    for repeat in range(args.repeats):
        for card in cards:
            if args.out.exists() and ((pd.read_csv(args.out)[["table", "repeat"]] == [card.name, repeat]).all(1)).any():
                continue
            data = draw_rows(read_table(card), args.rows, 0)
            facts = {"table": card.name, "task": card.task, "n": len(data.y), "repeat": repeat}
            found = [facts | cell for cell in measure(data, repeat, args.epochs, args.lr)]
            append_cells(args.out, found)
            print(*found, sep="\n", flush=True)
    if args.report:
        text = summarise(pd.read_csv(args.out))
        write_section(args.report, "tuning", f"{provenance('modelgpt-cli', 'torch')}\n\n{text}")


def _unseen(card: Any) -> bool:
    return side(card) == "meta-validation"


def summarise(cells: pd.DataFrame) -> str:
    """Lay out means over tables by task, size and epochs, and what the tables that lose and gain most do."""
    rows = []
    size = np.where(cells["n"] > SMALL, f"above {SMALL}", f"up to {SMALL}")
    for (task, rows_of, epochs), part in cells.groupby(["task", size, "epochs"]):
        keys = ("log_loss", "roc_auc") if task == "classification" else ("r2",)
        by_table = part.groupby("table").mean(numeric_only=True)
        for key in keys:
            gain = (by_table[f"tuned_{key}"] - by_table[f"untuned_{key}"]) * (-1 if key == "log_loss" else 1)
            figures = [f"{by_table[f'{name}_{key}'].mean():.4f}" for name in ("before", "untuned", "tuned")]
            ends = f"{gain.min():+.4f} / {gain.max():+.4f}"
            kept = f"{(part.kept == 'after').sum()} of {len(part)}"
            rows.append([f"{task}, {rows_of} rows, {key}", str(epochs), *figures, f"{gain.mean():+.4f}", ends, kept])
    header = ["metric", "epochs", "before, as `tune` says", "untuned", "tuned", "gain", "worst / best", "kept after"]
    return table(header, rows)
