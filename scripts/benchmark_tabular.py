"""Tables against the methods a user would pick instead: accuracy, AUC, log-loss, calibration, seconds and bytes.

    python scripts/benchmark_tabular.py --data ../shared/data/tabular/paper10 --splits 5 \\
        --out docs/results/paper10.csv --report docs/benchmarks.md

Stratified 60/40 splits, seeds 0, 1, ...; columns typed by the YAML cards; preprocessing fitted on the training rows.
Seconds run from a typed frame to the probabilities of the test rows, in one process, imports and one warm-up fit
apart. Each cell (data set, split, method) is appended to the CSV as soon as it is measured, and skipped when it is
there already: an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from benchmark_common import provenance, table, write_section
from benchmark_methods import JOBS, LABELS, METHODS
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit

from modelgpt_cli.data.schema import Column

ECE_BINS = 15


@dataclass(frozen=True)
class Table:
    """A classification table with its card's typing."""

    name: str
    frame: pd.DataFrame
    """Typed: float64, or object columns of `str` with None for missing."""
    y: np.ndarray
    columns: list[Column]


@dataclass(frozen=True)
class Cell:
    """One measurement: a method on one split of a data set."""

    dataset: str
    split: int
    method: str
    accuracy: float
    roc_auc: float
    log_loss: float
    ece: float
    seconds: float
    bytes: int
    rows: int
    features: int
    classes: int


def read_table(card_path: Path) -> Table | None:
    """Read a card and its CSV; None where the task is not classification."""
    card = yaml.safe_load(card_path.read_text(encoding="utf-8"))
    if card["task"] != "classification":
        return None
    columns = [Column(str(c["name"]), c["type"], str(c.get("description", ""))) for c in card["columns"]]
    raw = pd.read_csv(card_path.with_name(card["file"]), dtype=str, keep_default_na=False, na_values=[""])
    counts = raw["target"].value_counts()
    rare = counts.index[counts < 2]  # a stratified split needs two rows of a class
    if len(rare):
        print(f"{card['name']}: left out classes with one row: {', '.join(map(str, rare))}", file=sys.stderr)
    raw = raw[raw["target"].notna() & ~raw["target"].isin(rare)].reset_index(drop=True)
    frame = pd.DataFrame({c.name: _typed(raw[c.name], c) for c in columns})
    return Table(card["name"], frame, raw["target"].to_numpy(dtype=object).astype(str), columns)


def _typed(cells: pd.Series, column: Column) -> np.ndarray:
    if column.is_float:
        return pd.to_numeric(cells).to_numpy(dtype=np.float64)
    values = cells.to_numpy(dtype=object, copy=True)
    values[cells.isna().to_numpy()] = None
    return values


def split(data: Table, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and test part, 60/40, stratified by class."""
    splitter = StratifiedShuffleSplit(n_splits=1, train_size=0.6, test_size=0.4, random_state=seed)
    return next(iter(splitter.split(data.frame, data.y)))


def roc_auc(codes: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve: binary, or the mean over all pairs of classes that are present (one-vs-one)."""
    if p.shape[1] == 2:
        return float(roc_auc_score(codes, p[:, 1]))
    pairs = []
    for a, b in combinations(np.unique(codes), 2):
        rows = (codes == a) | (codes == b)
        pairs += [roc_auc_score(codes[rows] == c, p[rows, c]) for c in (a, b)]
    return float(np.mean(pairs))


def calibration_error(codes: np.ndarray, p: np.ndarray) -> float:
    """Expected calibration error of the most probable class, 15 bins of equal width."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(codes))


def measure(data: Table, seed: int, method: str) -> Cell:
    """Fit one method on one split and score it on the test rows."""
    train, test = split(data, seed)
    train_frame, test_frame = (
        data.frame.iloc[train].reset_index(drop=True),
        data.frame.iloc[test].reset_index(drop=True),
    )
    unfitted = METHODS[method](seed)  # loads the generator, as imports load libraries
    started = time.perf_counter()
    model = unfitted.fit(train_frame, data.y[train], data.columns)
    probabilities = model.predict_proba(test_frame)
    seconds = time.perf_counter() - started

    labels = np.unique(data.y)
    p = np.zeros((len(test), len(labels)))
    p[:, np.searchsorted(labels, np.asarray(model.classes_).astype(str))] = probabilities
    p /= p.sum(axis=1, keepdims=True)
    codes = np.searchsorted(labels, data.y[test])
    return Cell(
        dataset=data.name,
        split=seed,
        method=method,
        accuracy=float((p.argmax(axis=1) == codes).mean()),
        roc_auc=roc_auc(codes, p),
        log_loss=float(log_loss(codes, p, labels=range(len(labels)))),
        ece=calibration_error(codes, p),
        seconds=seconds,
        bytes=model.n_bytes(),
        rows=len(data.y),
        features=len(data.columns),
        classes=len(labels),
    )


def warm_up(method: str) -> bool:
    """Fit once on a toy table, so that no method pays for lazy imports, thread pools or the generator's loading.

    False, with a word on stderr, where the method can't run here: the others go on without it.
    """
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], size=60).astype(object)})
    y = np.where(frame["a"] > 0, "p", "n").astype(str)
    columns = [Column("a", "numeric"), Column("b", "categorical")]
    try:
        METHODS[method](0).fit(frame, y, columns).predict_proba(frame)
    except Exception as error:
        print(f"{method} can't run here and is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def append(path: Path, cell: Cell) -> None:
    """Add one line to the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists() or path.stat().st_size == 0
    row = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(cell).items()}
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Cell)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def run(args: argparse.Namespace, cards: list[Path]) -> int:
    """Measure every cell that is not in the results yet; return how many failed."""
    done: set[tuple[str, int, str]] = set()
    if args.out.exists():
        known = pd.read_csv(args.out)
        done = set(zip(known["dataset"], known["split"], known["method"], strict=True))
    ready: dict[str, bool] = {}
    failed = 0
    for card in cards:
        todo = [(s, m) for s in range(args.splits) for m in args.methods if (card.stem, s, m) not in done]
        data = read_table(card) if todo else None
        if data is None:
            continue
        for seed, method in todo:
            if method not in ready:
                ready[method] = warm_up(method)
                failed += not ready[method]
            if not ready[method]:
                continue
            try:
                cell = measure(data, seed, method)
            except Exception:
                failed += 1
                print(f"{data.name} split {seed} {method}: failed\n{traceback.format_exc()}", file=sys.stderr)
                continue
            append(args.out, cell)
            line = f"accuracy {cell.accuracy:.4f}  auc {cell.roc_auc:.4f}  {cell.seconds:.2f} s"
            print(f"{data.name} split {seed} {method}: {line}", file=sys.stderr)
    return failed


def summarise(results: pd.DataFrame, methods: list[str], splits: int) -> str:
    """Lay out the means over data sets, and the accuracy of each data set, as Markdown."""
    results = results[results["method"].isin(methods) & (results["split"] < splits)]
    methods = [m for m in methods if m in set(results["method"])]
    counts = results.groupby(["dataset", "method"]).size().unstack().reindex(columns=methods)
    complete = counts.index[(counts == splits).all(axis=1)]
    if complete.empty:
        return "No data set is complete yet: run the benchmark with the same --out again."
    results = results[results["dataset"].isin(complete)]
    by_set = results.groupby(["method", "dataset"]).mean(numeric_only=True)
    means = by_set.groupby("method").mean()
    accuracy = by_set["accuracy"].unstack("method")[methods]
    ranks = accuracy.rank(axis=1, ascending=False).mean()
    seconds = by_set["seconds"].groupby("method").sum()
    finetune = seconds.get("finetune")

    rows = []
    for m in methods:
        mean = {str(k): float(v) for k, v in zip(means.columns, means.loc[m].to_numpy(), strict=True)}
        row = [LABELS[m], *(f"{mean[k]:.3f}" for k in ("accuracy", "roc_auc", "log_loss", "ece"))]
        speed = f"{finetune / seconds[m]:,.1f}×" if finetune is not None else "–"
        rows.append([*row, f"{ranks[m]:.1f}", f"{seconds[m]:,.2f}", speed, f"{mean['bytes'] / 1e3:,.0f}"])
    header = ["method", "accuracy", "ROC AUC", "log-loss", "ECE", "mean rank", "seconds", "Finetune ÷ it", "kB"]
    sizes = results.groupby("dataset")["rows"].first().sort_values()
    each = [[d, f"{sizes[d]:,}", *(f"{accuracy.loc[d, m]:.3f}" for m in methods)] for d in sizes.index]
    notes = (
        f"{len(complete)} data sets, {splits} stratified 60/40 splits (seeds 0 to {splits - 1}), {JOBS} threads. Means "
        "over data sets of means over splits; mean rank by accuracy (1 is best); seconds: from a typed frame to test "
        "predictions, preprocessing included, imports and one warm-up excluded, mean over splits, summed over the data "
        f"sets. AUC one-vs-one for more than two classes; ECE with {ECE_BINS} bins. Bytes: the pickled pipeline "
        "(scikit-learn), the float32 parameters (networks)."
    )
    skipped = sorted(set(counts.index) - set(complete))
    if skipped:
        notes += f" Left out as incomplete: {', '.join(skipped)}."
    parts = [notes, table(header, rows), "Accuracy, data set by data set:"]
    return "\n\n".join([*parts, table(["data set", "rows", *methods], each)])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of YAML cards with a CSV each")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="CSV of results, one line a cell; appended to")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="default: every classification set in the folder")
    parser.add_argument("--report", type=Path, help="Markdown file whose section is rewritten with the summary")
    args = parser.parse_args()
    if args.splits < 1:
        parser.error("--splits must be at least 1")
    return args


def main() -> int:
    """Measure what is missing, then print (and write) the summary; 1 when a cell failed."""
    args = parse_arguments()
    cards = sorted(args.data.glob("*.yaml"), key=lambda p: (p.stem not in (args.datasets or []), p.stem))
    if args.datasets:
        absent = set(args.datasets) - {p.stem for p in cards}
        cards = [p for p in cards if p.stem in args.datasets]
        if absent:
            print(f"no such data set in {args.data}: {', '.join(sorted(absent))}", file=sys.stderr)
            return 2
    if not cards:
        print(f"no YAML cards in {args.data}", file=sys.stderr)
        return 2
    torch.set_num_threads(JOBS)
    warnings.simplefilter("ignore", ConvergenceWarning)
    failed = run(args, cards)
    if not args.out.exists():
        print("nothing was measured", file=sys.stderr)
        return 1
    results = pd.read_csv(args.out)
    summary = summarise(results[results["dataset"].isin([p.stem for p in cards])], args.methods, args.splits)
    print(summary)
    if args.report:
        packages = ("modelgpt-cli", "torch", "scikit-learn", "numpy")
        title = f"## Tables: {args.data.resolve().name}"
        write_section(
            args.report, f"tabular {args.data.resolve().name}", f"{title}\n\n{provenance(*packages)}\n\n{summary}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
