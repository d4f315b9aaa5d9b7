"""The benchmark's results: one line of CSV per cell (table, repeat, method), and a YAML beside it that says how."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

Key = tuple[str, int, str]

LABELS = {
    "majority": "majority / mean",
    "knn": "k nearest neighbours",
    "logistic": "logistic regression / ridge",
    "mlp": "MLP (scikit-learn)",
    "forest": "random forest",
    "boosting": "HistGradientBoosting",
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "lora": "LoRA",
    "finetune": "Finetune",
    "one_pass": "ModelGPT, one pass",
    "ensemble": "ModelGPT, default ensemble",
    "ensemble8": "ModelGPT, 8 members",
    "tuned_ours": "ModelGPT-F, ensemble + one epoch",
}
"""Methods in words (classification / regression, where they differ), in the order in which they are shown."""


def label(name: str, task: str) -> str:
    """A method in words; ``forest_tuned60`` is a random forest tuned for 60 seconds."""
    base, tuned, seconds = name.partition("_tuned")
    searched = bool(tuned) and seconds.isdigit()
    words = LABELS.get(base if searched else name, base if searched else name)
    for_classes, _, for_numbers = words.partition(" / ")
    words = for_numbers or for_classes if task == "regression" else for_classes
    return f"{words}, tuned {seconds} s" if searched else words


def in_order(names: Iterable[str]) -> list[str]:
    """Methods in the order in which they are shown, a tuned one after its defaults."""
    order = list(LABELS)
    found = {name: name if name in LABELS else name.partition("_tuned")[0] for name in names}
    return sorted(found, key=lambda n: (order.index(found[n]) if found[n] in order else len(order), n))


@dataclass(frozen=True)
class Cell:
    """One measurement: a method on one split of a table. What does not apply, or failed, is empty."""

    table: str
    repeat: int
    method: str
    task: str = ""
    n: int | None = None
    """Rows, training and test together."""
    n_train: int | None = None
    d: int | None = None
    """Input columns."""
    classes: int | None = None
    """0 for regression."""
    roc_auc: float | None = None
    accuracy: float | None = None
    log_loss: float | None = None
    ece: float | None = None
    r2: float | None = None
    rmse: float | None = None
    target_std: float | None = None
    """Of the test rows; puts `rmse` and `width` of several tables on one scale."""
    coverage: float | None = None
    width: float | None = None
    fit_seconds: float | None = None
    """Wall-clock, from the typed training frame to the fitted model."""
    fit_cpu_seconds: float | None = None
    """Processor time of the same, all threads together: what other work on the machine does not lengthen."""
    predict_seconds: float | None = None
    """Wall-clock for 1,000 rows, the quickest of three runs."""
    bytes: int | None = None
    """Of the shipped model."""
    seed: int | None = None
    date: str = ""
    versions: str = ""
    error: str = ""

    @property
    def key(self) -> Key:
        """What a cell is found by."""
        return self.table, self.repeat, self.method


def append(path: Path, cell: Cell) -> None:
    """Add one line; it is whole in the file when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Cell)], lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(cell).items()})


def load(paths: Sequence[Path]) -> pd.DataFrame:
    """Read one or more files of results.

    Raises
    ------
    SystemExit
        Where a cell is in them twice.
    """
    frames = [pd.read_csv(path, dtype={"versions": str, "error": str}) for path in paths]
    results = pd.concat(frames, ignore_index=True)
    results[["versions", "error"]] = results[["versions", "error"]].fillna("")
    double = results[results.duplicated(["table", "repeat", "method"])]
    if len(double):
        first = double.iloc[0]
        raise SystemExit(
            f"{first['table']}, repeat {first['repeat']}, {first['method']} was measured twice. "
            "Give files of different tables or methods, or remove one of the lines."
        )
    return results


def remove(path: Path, keys: Iterable[Key]) -> None:
    """Take cells out of the file."""
    gone = set(keys)
    temporary = path.with_suffix(path.suffix + ".tmp")
    with path.open(newline="", encoding="utf-8") as file, temporary.open("w", newline="", encoding="utf-8") as kept:
        reader = csv.DictReader(file)
        writer = csv.DictWriter(kept, reader.fieldnames or [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(r for r in reader if (r["table"], int(r["repeat"]), r["method"]) not in gone)
    temporary.replace(path)


def sidecar(path: Path) -> Path:
    """The YAML that says how the cells of a CSV were measured."""
    return path.with_suffix(".yaml")


def record_run(path: Path, protocol: dict[str, Any], run: dict[str, Any]) -> None:
    """Write down under which protocol, and with which command, on which machine, the cells of a CSV are measured.

    Raises
    ------
    SystemExit
        Where the file's cells were measured under another protocol: they could not be compared.
    """
    notes = sidecar(path)
    known: dict[str, Any] = {"protocol": protocol, "runs": []}
    if notes.exists():
        known = yaml.safe_load(notes.read_text(encoding="utf-8"))
        if known["protocol"] != protocol:
            differing = sorted(k for k in protocol if known["protocol"].get(k) != protocol[k])
            raise SystemExit(f"{path} was measured with another {', '.join(differing)}. Choose another --out.")
    if run not in known["runs"]:
        known["runs"].append(run)
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text(yaml.safe_dump(known, sort_keys=False, width=110), encoding="utf-8")
