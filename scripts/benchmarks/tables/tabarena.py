"""Tables by TabArena's protocol, on the data of its tasks that are there offline; nothing is downloaded.

    python -m scripts.benchmarks tabarena FOLDER --methods ensemble,catboost --report docs/benchmarks.md

FOLDER holds OpenML's files: a table ``NAME.arff`` (or ``NAME.csv``) each, with its target and, for the official splits,
its task's number in ``tasks.csv`` (columns ``name``, ``target`` and ``task``), and these splits as OpenML gives them in
``TASK_splits.arff`` (columns ``type``, ``rowid``, ``repeat`` and ``fold``). Without them, rows are divided at random by
class. Below 2,500 rows the protocol (Erickson et al. 2025, arXiv 2506.16791) has 3 folds and 10 repeats; larger tables
are left out here. The error is 1 - ROC AUC of two classes, log-loss of more, RMSE of numbers. `--lite` takes the first
fold of the first repeat alone, as TabArena-Lite does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from modelgpt_cli.core.metrics import log_loss, rmse, roc_auc
from modelgpt_cli.data.dataset import load_dataset

from ..common import RESULTS, make_parser, names, provenance, table, write_section
from .methods import make_methods
from .tasks import Table, append_cells

CELLS = RESULTS / "tabarena.csv"
MOST_ROWS, FOLDS, REPEATS = 2500, 3, 10
KEYS = ["table", "repeat", "fold", "method"]


def read_tasks(folder: Path) -> pd.DataFrame:
    """Return the folder's tasks: name, target, task ("" where unknown) and path.

    Raises
    ------
    SystemExit
        There are none.
    """
    listed = folder / "tasks.csv"
    if not listed.exists():
        sys.exit(f"There is no {listed}. {__doc__.split('FOLDER holds')[1].split('Without')[0].strip()}")
    tasks = pd.read_csv(listed, dtype=str, keep_default_na=False)
    if not {"name", "target"} <= set(tasks):
        sys.exit(f"{listed} must have the columns name and target.")
    tasks["task"] = tasks.get("task", "")
    found = [[p for p in (folder / f"{name}.arff", folder / f"{name}.csv") if p.exists()] for name in tasks["name"]]
    for name in (name for name, paths in zip(tasks["name"], found, strict=True) if not paths):
        print(f"{name}: neither {name}.arff nor {name}.csv is in {folder}; left out", file=sys.stderr)
    tasks = tasks.assign(path=[str(paths[0]) if paths else "" for paths in found])
    there: pd.DataFrame = tasks[tasks["path"] != ""]
    if not len(there):
        sys.exit(f"None of the tables in {listed} is there.")
    return there


def read(task: Any) -> Table:
    """Read a task's rows as a build reads them."""
    found = load_dataset(task.path, target=task.target, sample_rows=10**7, domain="tabular")
    columns = [c for c in found.schema.columns if c.used]
    y = found.sample[task.target].to_numpy()
    y = y.astype(str) if found.schema.task == "classification" else y.astype(np.float64)
    return Table(task.name, found.schema.task, found.sample[[c.name for c in columns]], y, columns)


def splits(data: Table, official: Path, repeats: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield repeat, fold, and the rows to learn from and to score: the official ones where they are there."""
    if official.is_file():
        lines = official.read_text(encoding="utf-8").lower().partition("@data")[2].split()
        rows = pd.DataFrame([line.split(",")[:4] for line in lines if line], columns=["type", "row", "repeat", "fold"])
        rows[["row", "repeat", "fold"]] = rows[["row", "repeat", "fold"]].astype(float).astype(int)
        if rows["row"].max() >= len(data.y):
            sys.exit(f"{official} is about {rows['row'].max() + 1:,} rows, {data.name} has {len(data.y):,}.")
        for (repeat, fold), part in rows[rows["repeat"] < repeats].groupby(["repeat", "fold"]):
            tests = part["type"].str.strip("'\"") == "test"
            yield repeat, fold, part["row"][~tests].to_numpy(), part["row"][tests].to_numpy()
        return
    kind = StratifiedKFold if data.task == "classification" else KFold
    for repeat in range(repeats):
        parts = kind(FOLDS, shuffle=True, random_state=repeat).split(data.frame, data.y)
        yield from ((repeat, fold, train, test) for fold, (train, test) in enumerate(parts))


def error(answers: np.ndarray, classes: np.ndarray, test: Table, labels: np.ndarray) -> tuple[str, float]:
    """Return the protocol's error and its value."""
    if test.task == "regression":
        return "rmse", rmse(test.y, answers)
    p = np.zeros((len(test.y), len(labels)))
    p[:, np.searchsorted(labels, classes.astype(str))] = answers
    true = np.searchsorted(labels, test.y)
    if len(labels) == 2:
        return "1 - roc_auc", 1 - (roc_auc(true, p) or 0.5)
    return "log_loss", log_loss(true, p) or 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the table."""
    parser = make_parser("tabarena", __doc__, "--threads", "--report")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", type=names, default=["ensemble"], metavar="A,B", help="default: ensemble")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"default {REPEATS}, the protocol's")
    parser.add_argument("--lite", action="store_true", help="the first fold of the first repeat alone")
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    available = make_methods()
    if unknown := set(args.methods) - set(available):
        sys.exit(f"No such method: {', '.join(sorted(unknown))}. There are: {', '.join(available)}.")
    for task in read_tasks(args.folder).itertuples():
        data = read(task)
        if len(data.y) >= MOST_ROWS:
            print(f"{task.name}: {len(data.y):,} rows, left out ({MOST_ROWS:,} and more)", file=sys.stderr)
            continue
        measure(data, args.folder / f"{str(task.task) or 'no'}_splits.arff", available, args)
    if args.report and args.out.exists():
        text = f"{provenance('modelgpt-cli', 'torch', 'catboost')}\n\n{summarise(pd.read_csv(args.out))}"
        write_section(args.report, "tabarena", text)


def measure(data: Table, official: Path, available: Any, args: Any) -> None:
    """Measure a table's missing cells."""
    done = pd.read_csv(args.out)[KEYS].astype(str).to_numpy().tolist() if args.out.exists() else []
    labels = np.unique(data.y) if data.task == "classification" else np.zeros(0)
    for repeat, fold, train, test in splits(data, official, args.repeats):
        for method in args.methods:
            if [data.name, str(repeat), str(fold), method] in done or (args.lite and (repeat or fold)):
                continue
            start, model = time.process_time(), available[method].make(repeat, args.threads)
            model.fit(data.take(train))
            cpu = time.process_time() - start
            model.package()
            part = data.take(test)
            classes = model.classes_ if data.task == "classification" else np.zeros(0)
            name, value = error(model.predict(part.frame), classes, part, labels)
            cell = {"table": data.name, "repeat": repeat, "fold": fold, "method": method, "n": len(data.y)}
            cell |= {"splits": "official" if official.is_file() else "random", "error": name, "value": value}
            append_cells(args.out, [cell | {"cpu": cpu}])
            print(f"{data.name} {repeat}.{fold} {method}: {name} {value:.4f}, {cpu:.1f} CPU s", file=sys.stderr)


def summarise(cells: pd.DataFrame) -> str:
    """Lay out mean errors by table."""
    means = cells.pivot_table(index=["table", "n", "splits", "error"], columns="method", values="value")
    rows = []
    for name, n, kind, key in means.index:
        values = means.loc[name, n, kind, key]
        rows.append([name, f"{n:,}", kind, key, *(f"{value:.4f}" for value in values)])
    return table(["table", "rows", "splits", "error", *means.columns], rows)
