"""Tables: what a teacher is worth to a model that learns from it, and how much of the teacher's lead is kept.

    python -m scripts.benchmarks teacher ../shared/data/tabular/train --tables phoneme,yeast --report docs/tables.md

Tables (at most 2,000 rows, 50/50 splits) are built on one half without a teacher and with each of the teachers, whose
own answers come of the same half; all are scored on the other. Each cell is appended to docs/results/teacher.csv,
where a later call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier, ModelGPTRegressor

from ..common import RESULTS, make_parser, names, provenance, table, write_section
from .competitors import CatBoost, Pipelined, forest
from .tasks import Table, append_cells, draw_rows, find_cards, read_table, side, split

SHARE = 0.5
KEYS = ("log_loss", "roc_auc", "accuracy", "r2")
PACKAGES = ("modelgpt-cli", "torch", "lightgbm", "scikit-learn", "catboost")
CELLS = RESULTS / "teacher.csv"
TEACHERS: dict[str, tuple[str, Callable[[int], Pipelined | CatBoost]]] = {
    "forest": ("sklearn.ensemble:RandomForest", lambda seed: Pipelined(forest, seed, 1)),
    "catboost": ("catboost:CatBoost", lambda seed: CatBoost(seed, 1)),
}
"""What `teacher` is given, and the same method alone."""


def measure(data: Table, repeat: int, teachers: Sequence[str]) -> list[dict[str, Any]]:
    """Build without and with each teacher on one split; score these and the teachers on the other rows."""
    train_rows, test_rows = split(data, SHARE, repeat)
    train, test = data.take(train_rows), data.take(test_rows)
    classes = np.unique(train.y) if data.task == "classification" else None
    kind, suffix = (ModelGPTRegressor, "Regressor") if classes is None else (ModelGPTClassifier, "Classifier")

    def scores(answers: np.ndarray) -> dict[str, float]:
        if classes is None:
            return regression_scores(answers.astype(np.float64).ravel(), test.y)
        known = np.isin(test.y, classes)
        return class_scores(answers[known], np.searchsorted(classes, test.y[known]))

    cells = []
    for method in ["", *teachers]:
        name, alone = TEACHERS.get(method, (None, None))
        start = time.process_time()
        made = kind(random_state=repeat, columns=data.columns, teacher=None if name is None else name + suffix)
        model = made.fit(train.frame, train.y).model_
        cell: dict[str, Any] = {"method": "ours" if alone is None else f"ours, {method}"}
        found = model.blueprint.provenance.get("teacher", {})
        cell |= {"cpu": time.process_time() - start, "used": found.get("used"), "said": found.get("lead_kept")}
        cell |= {key: scores(model.predict(test.frame)).get(key) for key in KEYS}
        cells.append(cell)
        if alone is not None:
            start = time.process_time()
            own = alone(repeat)
            own.fit(train)
            cell = {"method": method, "cpu": time.process_time() - start, "used": None, "said": None}
            cells.append(cell | {key: scores(own.predict(test.frame)).get(key) for key in KEYS})
    return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the table."""
    parser = make_parser("teacher", __doc__, "--report")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DATA_FOLDER")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--teachers", type=names, default=list(TEACHERS), metavar="A,B")
    parser.add_argument("--rows", type=int, default=2000, help="rows drawn of a table (default 2000)")
    parser.add_argument("--tables", type=names, metavar="A,B", help="default: all of the folders")
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for repeat in range(args.repeats):
        for card in find_cards(args.folders):
            if args.tables and card.name not in args.tables:
                continue
            if args.out.exists() and ((pd.read_csv(args.out)[["table", "repeat"]] == [card.name, repeat]).all(1)).any():
                continue
            data = draw_rows(read_table(card), args.rows, 0)
            facts = {"table": card.name, "side": side(card), "n": len(data.y), "repeat": repeat}
            found = [facts | cell for cell in measure(data, repeat, args.teachers)]
            append_cells(args.out, found)
            print(*found, sep="\n", flush=True)
    if args.report:
        write_section(args.report, "teacher", f"{provenance(*PACKAGES)}\n\n{summarise(pd.read_csv(args.out))}")


def summarise(cells: pd.DataFrame) -> str:
    """Lay out what is lost or gained on rows that nobody has seen, by table and teacher; means over repeats."""
    means = cells.groupby(["side", "table", "method"]).mean(numeric_only=True)
    header = ["table", "teacher", "log-loss (R²): teacher", "without → with", "lead kept"]
    header += ["AUC: teacher", "without → with", "CPU s: without → with"]
    rows = []
    for place, table_name in dict.fromkeys(key[:2] for key in means.index):
        of = means.loc[place, table_name]
        for teacher in (name for name in of.index if f"ours, {name}" in of.index):
            alone, before, after = of.loc[teacher], of.loc["ours"], of.loc[f"ours, {teacher}"]
            key = "r2" if np.isnan(before["log_loss"]) else "log_loss"
            lead, kept = alone[key] - before[key], after[key] - before[key]
            has_lead = lead > 0 if key == "r2" else lead < 0
            told = "no lead" if not has_lead else f"{kept / lead:.0%}"
            figures = [f"{alone[key]:.3f}", f"{before[key]:.3f} → {after[key]:.3f}", told]
            auc = ["–", "–"]
            if key == "log_loss":
                auc = [f"{alone['roc_auc']:.4f}", f"{before['roc_auc']:.4f} → {after['roc_auc']:.4f}"]
            mark = "" if place == "meta-train" else " *"
            rows.append([f"{table_name}{mark}", teacher, *figures, *auc, f"{before['cpu']:.1f} → {after['cpu']:.1f}"])
    return table(header, rows)
