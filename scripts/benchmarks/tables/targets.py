"""Regression tables: what transforms of the target and two-sided intervals are worth.

    python -m scripts.benchmarks targets ../shared/data/tabular/train --report docs/tables.md

Each regression table of the folder (at most 2,000 rows, 50/50 splits) is built with the target as it is and an interval
as far up as down, then as the build does it; test rows say R², the share of rows below and above the interval, and how
wide that is. Each cell is appended to docs/results/targets.csv, where a later call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.domains.tabular import choose_transform, crossfit, intervals
from modelgpt_cli.domains.tabular.estimator import ModelGPTRegressor
from modelgpt_cli.domains.tabular.target_transform import TargetTransform

from ..common import RESULTS, make_parser, names, provenance, table, write_section
from .tasks import Table, append_cells, draw_rows, find_cards, read_table, side, split

ROWS, SHARE = 2000, 0.5
CELLS = RESULTS / "targets.csv"


def _one_quantile(scores: np.ndarray, coverage: float) -> tuple[float, float] | None:
    found = intervals.conformal_quantile(np.abs(scores), coverage)
    return None if found is None else (-found, found)


VARIANTS: dict[str, list[tuple[Any, str, Any]]] = {
    "plain": [
        (choose_transform, "propose", lambda y, inputs: None),
        (choose_transform, "in_range", lambda y: TargetTransform()),
        (intervals, "two_quantiles", _one_quantile),
    ],
    "even": [(intervals, "TEMPERS", (1.0,)), (crossfit, "HEAVY_TAILS", np.inf)],
    "shipped": [],
}
"""What is changed in the running modules, so that each is the shipped code."""


def measure(data: Table, repeat: int, variant: str) -> dict[str, Any]:
    """Fit on one split, and score the other rows."""
    train_rows, test_rows = split(data, SHARE, repeat)
    train, test = data.take(train_rows), data.take(test_rows)
    with ExitStack() as changes:
        for module, name, value in VARIANTS[variant]:
            changes.enter_context(patch.object(module, name, value))
        start = time.process_time()
        model = ModelGPTRegressor(random_state=repeat, columns=data.columns).fit(train.frame, train.y).model_
        cpu = time.process_time() - start
    answers, lower, upper = model.predict(test.frame, interval=True).astype(np.float64).T
    return {
        "r2": 1 - float(((answers - test.y) ** 2).mean() / test.y.var()),
        "below": float((test.y < lower).mean()),
        "above": float((test.y > upper).mean()),
        "width": float((upper - lower).mean() / test.y.std()),
        "score": _interval_score(test.y, lower, upper),
        "robust": sum(choice["robust"] for choice in model.blueprint.provenance["head"]),
        "least": float(min(answers.min(), lower.min())),
        "transform": model.blueprint.transform.get("words", ""),
        "cpu": cpu,
    }


def _interval_score(y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return Gneiting and Raftery's score of 90 % intervals, in standard deviations of the target; less is better."""
    beyond = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return float((upper - lower + 20 * beyond).mean() / y.std())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the table."""
    parser = make_parser("targets", __doc__, "--report")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows drawn of a table (default {ROWS})")
    parser.add_argument("--variants", type=names, default=["plain", "shipped"], metavar="A,B", help=", ".join(VARIANTS))
    parser.add_argument("--tables", type=names, metavar="A,B", help="default: all regression tables of the folder")
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    done = pd.read_csv(args.out)[["table", "repeat", "variant"]].to_numpy().tolist() if args.out.exists() else []
    for card in find_cards([args.folder]):
        if card.task != "regression" or (args.tables and card.name not in args.tables):
            continue
        data = draw_rows(read_table(card), args.rows, 0)
        for repeat in range(args.repeats):
            for variant in args.variants:
                if [card.name, repeat, variant] in done:
                    continue
                cell = {"table": card.name, "side": side(card), "n": len(data.y), "repeat": repeat, "variant": variant}
                cell |= measure(data, repeat, variant)
                append_cells(args.out, [cell])
                print(cell, flush=True)
    if args.report:
        text = summarise(pd.read_csv(args.out, keep_default_na=False), args.variants)
        name = "targets" if "plain" in args.variants else "intervals"
        write_section(args.report, name, f"{provenance('modelgpt-cli', 'torch')}\n\n{text}")


def summarise(cells: pd.DataFrame, variants: Sequence[str]) -> str:
    """Lay out means over repeats, table by table, and over tables: the first variant → the last."""
    means = cells.groupby(["side", "table", "variant"]).mean(numeric_only=True)
    counts = dict(zip(cells["table"], cells["n"], strict=True))
    used = cells[cells.variant == "shipped"].groupby("table")["transform"].agg(lambda words: words.mode()[0])
    header = ["table", "rows", "learned as", "R²", "below / above, %", "width, σ"]
    header += ["score, σ"] if "score" in cells else []
    rows = []
    for place, found in means.groupby(level="side"):
        for name in found.index.unique("table"):
            rows.append([name, str(counts[name]), used[name] or "–", *_pair(found, name, variants)])
        rows.append([f"**mean, {place}**", "", "", *_pair(found, None, variants)])
    return table(header, rows)


def _pair(found: pd.DataFrame, name: str | None, variants: Sequence[str]) -> list[str]:
    """First variant → last, of a table or of the mean over tables."""
    part = found.groupby(level="variant").mean() if name is None else found.xs(name, level="table").droplevel(0)
    before, after = part.loc[variants[0]], part.loc[variants[-1]]
    missed = (f"{100 * row['below']:.1f} / {100 * row['above']:.1f}" for row in (before, after))
    return [
        f"{before['r2']:.3f} → {after['r2']:.3f}",
        " → ".join(missed),
        f"{before['width']:.2f} → {after['width']:.2f}",
        *([f"{before['score']:.2f} → {after['score']:.2f}"] if "score" in part else []),
    ]
