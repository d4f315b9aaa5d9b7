"""The results of the benchmarks of quality: a line per cell, and a YAML file beside them that says how they came to be.

Tables: one CSV file of all methods. Texts and images: a JSONL file per part and method, ``<part>-<method>.jsonl``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

Key = tuple[str, str, int | None, int]
COLUMNS = (
    "table", "repeat", "method",
    "task",  # classification or regression
    "n", "n_train", "d", "classes",  # rows in all and in training, input columns, classes (0 for regression)
    "roc_auc", "accuracy", "log_loss", "ece",
    "r2", "rmse", "target_std", "coverage", "width",  # target_std: of the test rows, the scale of rmse and width
    "fit_seconds", "fit_cpu_seconds",  # from the typed training frame to the fitted model; all threads together
    "predict_seconds",  # wall-clock for 1,000 rows, the quickest of three runs
    "bytes",  # of the shipped model
    "seed", "date", "versions", "error",
)  # fmt: skip
"""Of the CSV files."""
OLD_COMMANDS = {
    f"scripts/benchmark_{old}.py": f"-m scripts.benchmarks {new}"
    for old, new in (("tabular", "tables"), ("text", "texts"), ("image", "images"))
}
"""Scripts that the runs of earlier versions name, and the commands that do the same today."""


@dataclass(frozen=True)
class Cell:
    """One measurement: a method on one draw of a task. `size` is examples per class, None for all of them."""

    task: str
    method: str
    repeat: int
    size: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """``score`` or other figures, ``fit_seconds``, ``fit_cpu_seconds``, …; or ``error``."""

    @property
    def key(self) -> Key:
        """What a cell is found by."""
        return self.task, self.method, self.size, self.repeat

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of figures."""
        return "error" in self.facts


class Store:
    """A file of cells, CSV or JSONL."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.csv = path.suffix == ".csv"

    def read(self) -> list[Cell]:
        """Return the cells, none where there is no file; of a cell that is there twice, the later one."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        rows = csv.DictReader(io.StringIO(text)) if self.csv else map(json.loads, text.splitlines())
        return list({cell.key: cell for cell in map(self._cell, rows)}.values())

    def append(self, cell: Cell) -> None:
        """Add one line; it is whole in the file when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(self._lines([cell], header=file.tell() == 0))

    def remove(self, gone: Callable[[Cell], bool]) -> None:
        """Take cells out of the file."""
        cells = self.read()
        kept = [cell for cell in cells if not gone(cell)]
        if len(kept) < len(cells):
            temporary = self.path.with_suffix(self.path.suffix + ".tmp")
            temporary.write_text(self._lines(kept, header=True), encoding="utf-8", newline="")
            temporary.replace(self.path)

    @property
    def notes(self) -> Path:
        """The YAML file that says how the cells were measured."""
        return self.path.with_suffix(".yaml")

    def runs(self) -> list[dict[str, str]]:
        """Return command, machine and further words of each run."""
        if not self.notes.exists():
            return []
        found: list[dict[str, str]] = yaml.safe_load(self.notes.read_text(encoding="utf-8"))["runs"]
        for run in found:
            for old, new in OLD_COMMANDS.items():
                run["command"] = run["command"].replace(old, new)
        return found

    def record(self, protocol: dict[str, Any], run: dict[str, Any]) -> None:
        """Record the protocol, and the command and machine of a run.

        Raises
        ------
        SystemExit
            Where the file's cells were measured under another protocol: they could not be compared.
        """
        known: dict[str, Any] = {"protocol": protocol, "runs": []}
        if self.notes.exists():
            known = yaml.safe_load(self.notes.read_text(encoding="utf-8"))
            if known["protocol"] != protocol:
                differing = sorted(k for k in protocol if known["protocol"].get(k) != protocol[k])
                raise SystemExit(f"{self.path} was measured with another {', '.join(differing)}. Choose another --out.")
        if run not in known["runs"]:
            known["runs"].append(run)
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        self.notes.write_text(yaml.safe_dump(known, sort_keys=False, width=110), encoding="utf-8")

    def _cell(self, row: dict[str, Any]) -> Cell:
        if not self.csv:
            return Cell(row.pop("task"), row.pop("method"), row.pop("repeat"), row.pop("size"), row)
        facts = {key: value for key, value in row.items() if value != ""}
        return Cell(facts.pop("table"), facts.pop("method"), int(facts.pop("repeat")), None, facts)

    def _lines(self, cells: Iterable[Cell], header: bool) -> str:
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if self.csv and header:
            writer.writeheader()
        for cell in cells:
            if self.csv:
                facts = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in cell.facts.items()}
                writer.writerow({"table": cell.task, "repeat": cell.repeat, "method": cell.method, **facts})
            else:
                head = {"task": cell.task, "method": cell.method, "size": cell.size, "repeat": cell.repeat}
                facts = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in cell.facts.items()}
                file.write(json.dumps({**head, **facts}) + "\n")
        return file.getvalue()


def part_store(folder: Path, part: str, method: str) -> Store:
    """Return where a method's cells of a part are."""
    return Store(folder / f"{part}-{method}.jsonl")


def load_part(folder: Path, part: str, command: str) -> pd.DataFrame:
    """Read all cells of a part that worked, a row each.

    Raises
    ------
    SystemExit
        Where there are none; names the `command` that measures them.
    """
    cells = [cell for path in sorted(folder.glob(f"{part}-*.jsonl")) for cell in Store(path).read()]
    found = [
        {"task": c.task, "method": c.method, "size": c.size, "repeat": c.repeat, **c.facts}
        for c in cells
        if not c.failed
    ]
    if not found:
        raise SystemExit(f"No results of {part} in {folder}. Run: {command} {part}")
    frame: pd.DataFrame = pd.DataFrame(found)
    return frame


def load_tables(paths: Sequence[Path]) -> pd.DataFrame:
    """Read one or more CSV files of results.

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
