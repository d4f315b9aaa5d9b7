"""What a table's model gains by members and loses by storage, by rows, columns and classes: the cards' record.

    python -m scripts.benchmarks members ../shared/data/tabular/train
    python -m scripts.benchmarks members --from-results

Each meta-validation table is cut to several numbers of labelled rows; 1, 2, 4 and 8 members learn from the same rows,
as `modelgpt build` has them, and the rest of the table (2,000 rows at most) judges, each model as it is, in fp16 and in
int8. Every cell goes to docs/results/card-rules.csv, where a later call goes on; from all of them come the means of
weights/tabular/members.yaml, which the cards read, and the tables of docs/cards.md. `--from-results` measures nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier, ModelGPTRegressor
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.onnx import to_onnx
from modelgpt_cli.model_generator.costs import STORED
from modelgpt_cli.runtime.session import Model

from ..common import PROGRAM, ROOT, data_folder, make_parser, provenance, table, write_section
from .tasks import Table, draw_rows, find_cards, read_table, side, split

CELLS, REPORT = ROOT / "docs" / "results" / "card-rules.csv", ROOT / "docs" / "cards.md"
RECORD, CARD = (ROOT / "weights" / "tabular" / name for name in ("members.yaml", "card.yaml"))
MEMBERS = (8, 4, 2, 1)
ROWS = (50, 200, 1000, 4000)
LEAST_TEST, MOST_TEST = 40, 2000
COLUMNS = (
    *("table", "task", "n", "d", "classes", "seed", "members", "storage", "bytes", "seconds"),
    *("log_loss", "accuracy", "roc_auc", "r2"),
)
METRICS = {"classification": ("log_loss", "accuracy", "roc_auc"), "regression": ("r2",)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the record and the report."""
    parser = make_parser("members", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=data_folder("tabular") / "train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12, help="CPU minutes, after which no further cell is begun")
    parser.add_argument("--from-results", action="store_true", help="only write record and report anew")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not args.from_results:
        _measure_all(args.folder, args.seeds, args.minutes)
    cells = pd.read_csv(CELLS)
    write_record(cells)
    write_report(cells)


def _measure_all(folder: Path, seeds: int, minutes: float) -> None:
    """Measure every cell that is not there yet: seed by seed, in an order that makes a part of it a fair draw."""
    tables = [read_table(card) for card in find_cards([folder]) if side(card) == "meta-validation"]
    done = set()
    if CELLS.exists():
        done = set(pd.read_csv(CELLS)[["table", "n", "seed"]].itertuples(index=False, name=None))
    cells = [(data, rows) for data in tables for rows in ROWS if _large_enough(data, rows)]
    for seed in range(seeds):
        for i in np.random.default_rng(seed).permutation(len(cells)):
            data, rows = cells[i]
            if (data.name, rows, seed) in done:
                continue
            if time.process_time() > 60 * minutes:
                print(f"The {minutes:g} minutes are over: call it again for the rest.", file=sys.stderr)
                return
            found = pd.DataFrame(_measure(data, rows, seed))[list(COLUMNS)]
            found.to_csv(CELLS, mode="a", header=not CELLS.exists(), index=False, float_format="%.6g")


def _large_enough(data: Table, rows: int) -> bool:
    least = rows + LEAST_TEST
    return len(data.y) >= least and (data.task == "regression" or rows >= 4 * len(np.unique(data.y)))


def _measure(data: Table, rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield cells of one table at one number of rows: every number of members in every storage."""
    train_rows, test_rows = split(data, (rows + 0.5) / len(data.y), seed)  # half a row more: both parts are rounded
    train, test = data.take(train_rows), draw_rows(data.take(test_rows), MOST_TEST, seed)
    classes = np.unique(train.y) if data.task == "classification" else None
    if classes is not None:
        test = test.take(np.flatnonzero(np.isin(test.y, classes)))
    for members in MEMBERS:
        kind = ModelGPTClassifier if data.task == "classification" else ModelGPTRegressor
        estimator, start = kind(members=members, random_state=seed, columns=train.columns), time.process_time()
        estimator.fit(train.frame, train.y)
        model, seconds = estimator.model_, time.process_time() - start
        cell: dict[str, Any] = {"table": data.name, "task": data.task, "n": len(train.y)}
        cell |= {"d": model.weight("head.linear").shape[0], "classes": model.blueprint.n_outputs}
        cell |= {"seed": seed, "members": members, "seconds": round(seconds, 3)}
        for storage in STORED:
            n_bytes, answers = _answers(model, test.frame, storage)
            if classes is None:
                scores = regression_scores(answers[:, 0].astype(np.float64), test.y)
            else:
                scores = class_scores(answers, np.searchsorted(classes, test.y))
            figures = {name: scores.get(name) for names in METRICS.values() for name in names}
            yield {**cell, "storage": storage, "bytes": n_bytes, **figures}
        print(data.name, rows, seed, members, f"{time.process_time() - start:.1f} s", file=sys.stderr, flush=True)


def _answers(model: TabularModel, frame: pd.DataFrame, storage: str) -> tuple[int, np.ndarray]:
    """Return the bytes of the file in a storage, and its answers."""
    raw = to_onnx(model, quantize=storage).SerializeToString(deterministic=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(raw)
        answers = Model(path, threads=1).run({name: frame[name].to_numpy() for name in map(str, frame)})
    return len(raw), answers["probabilities" if "probabilities" in answers else "prediction"]


def paired(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return what each number of members and storage loses against 8 members in fp32, by cell; below 0: it gains."""
    known = cells.dropna(subset=[metric])
    cell = ["table", "n", "seed"]
    wide = known.set_index([*cell, "d", "classes", "members", "storage"])[metric].unstack(["members", "storage"])
    sign = 1 if metric == "log_loss" else -1
    losses: pd.DataFrame = wide.sub(wide[(8, "none")], axis=0) * sign
    return losses


def summary(lost: pd.Series) -> tuple[float, float]:
    """Return the mean over tables, and its standard error: cells of one table are not independent."""
    means = lost.groupby(level="table").mean()
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")


def write_record(cells: pd.DataFrame) -> None:
    """Write what the cards read."""
    losses = {metric: paired(cells, metric) for metric in ("log_loss", "r2")}
    header = {"generator": generator_hash(), "date": date.today().isoformat(), "command": f"{PROGRAM} members"}
    entries = []
    for members in MEMBERS:
        own = cells[(cells.members == members) & (cells.storage == "none")].groupby("table")
        quality = {name: float(own[name].mean().mean()) for names in METRICS.values() for name in names}
        lost = {name: round(summary(wide[(members, "none")])[0], 5) for name, wide in losses.items()}
        entries.append({"members": members, "quality": {k: round(v, 4) for k, v in quality.items()}, "lost": lost})
    known = yaml.safe_load(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    without = {"without_trees": known["without_trees"]} if "without_trees" in known else {}  # measured by `tables`
    text = yaml.safe_dump({**header, "members": entries, **without}, sort_keys=False)
    RECORD.write_text(text, encoding="utf-8")


def generator_hash() -> str:
    """Return the generator's checksum, as its card has it."""
    values = yaml.safe_load(CARD.read_text(encoding="utf-8"))
    return str(values["sha256"])


def write_report(cells: pd.DataFrame) -> None:
    """Write the section of docs/cards.md."""
    n_tables = cells.table.nunique()
    n_cells = len(cells.drop_duplicates(["table", "n", "seed"]))
    parts = [
        provenance("modelgpt-cli", "torch"),
        f"{n_cells} cells of {n_tables} tables (a table at a number of rows, one draw). Mean loss against 8 members in "
        "fp32, ± its standard error over tables; below 0 is a gain. CPU seconds of a build on one thread; kB of the "
        "file.",
        _by_members(cells),
        "By the task, log-loss lost in fp32 (classification):",
        _by_task(cells),
    ]
    write_section(REPORT, "rules", "\n\n".join(parts))


def _by_members(cells: pd.DataFrame) -> str:
    log_loss, r2 = paired(cells, "log_loss"), paired(cells, "r2")
    rows = []
    for members in MEMBERS:
        for storage in STORED:
            own = cells[(cells.members == members) & (cells.storage == storage)]
            shown = [_shown(summary(wide[(members, storage)]), 4) for wide in (log_loss, r2)]
            cost = [f"{own.seconds.mean():.2f}", f"{own.bytes.mean() / 1000:.0f}"]
            rows.append([str(members), storage.replace("none", "fp32"), *shown, *cost])
    return table(["members", "storage", "log-loss lost", "R² lost", "CPU s", "kB"], rows)


def _by_task(cells: pd.DataFrame) -> str:
    lost = paired(cells, "log_loss")
    level = lost.index.get_level_values
    d, c = np.asarray(level("d")), np.asarray(level("classes"))
    groups = {f"n = {rows:,}": np.asarray(level("n")) == rows for rows in ROWS}
    groups |= {"d < 10": d < 10, "d 10 to 30": (d >= 10) & (d <= 30), "d > 30": d > 30, "C = 2": c == 2, "C > 2": c > 2}
    rows = []
    for name, chosen in groups.items():
        part = lost[chosen]
        if part.index.get_level_values("table").nunique() > 1:
            shown = [_shown(summary(part[(members, "none")]), 4) for members in MEMBERS[1:]]
            rows.append([name, str(part.index.get_level_values("table").nunique()), *shown])
    return table(["", "tables", *(f"{members} member{'s' if members > 1 else ''}" for members in MEMBERS[1:])], rows)


def _shown(value: tuple[float, float], digits: int) -> str:
    return f"{value[0]:+.{digits}f} ± {value[1]:.{digits}f}"
