"""Results of texts and images: a JSON line per cell, a file per part and method, a YAML beside each that says how."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

Key = tuple[str, int | None, int]

LABELS = {
    "label_similarity": "label-name similarity",
    "probe_source": "linear probe, other domains' images",
    "ncm": "nearest class mean",
    "probe": "linear probe",
    "setfit": "SetFit",
    "lora": "LoRA",
    "finetune": "finetuning",
    "ours_words": "ModelGPT, requirement only",
    "ours_512": "ModelGPT, head on 512 rows",
    "ours": "ModelGPT",
    "ours_all_rows": "ModelGPT, head on all rows",
    "ours_tuned": "ModelGPT, one epoch of tuning",
    "pretrained": "pretrained weights",
    "generated": "weights generated from words",
    "built": "weights built from the images",
}
"""Methods in words, in the order in which they are shown; those that are not here come last."""


@dataclass(frozen=True)
class Cell:
    """One measurement: a method on one draw of a task's examples. `size` is per class, None for all of them."""

    task: str
    method: str
    size: int | None
    repeat: int
    facts: dict[str, Any] = field(default_factory=dict)
    """``score`` and further figures, ``fit_seconds``, ``fit_cpu_seconds``, ...; or ``error``."""

    @property
    def key(self) -> Key:
        """What a cell is found by in its file."""
        return self.task, self.size, self.repeat

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of figures."""
        return "error" in self.facts


def results_file(folder: Path, part: str, method: str) -> Path:
    """Where a method's cells are."""
    return folder / f"{part}-{method}.jsonl"


def append(path: Path, cell: Cell) -> None:
    """Add one line; it is whole in the file when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(cell))


def load(path: Path) -> list[Cell]:
    """The cells of a file, none where it is not there; of a cell that is there twice, the later one."""
    if not path.exists():
        return []
    cells = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        head = {name: values.pop(name) for name in ("task", "method", "size", "repeat")}
        cell = Cell(**head, facts=values)
        cells[cell.key] = cell
    return list(cells.values())


def remove_failed(path: Path) -> None:
    """Take the cells with an error out of a file."""
    if not path.exists():
        return
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(_line(cell) for cell in load(path) if not cell.failed), encoding="utf-8")
    temporary.replace(path)


def load_part(folder: Path, part: str, script: str) -> pd.DataFrame:
    """All cells of a part that worked, one line each; all methods that have a file.

    Parameters
    ----------
    script : str
        What measures them, e.g. ``benchmark_text.py``.

    Raises
    ------
    SystemExit
        Where there are none.
    """
    cells = [cell for path in sorted(folder.glob(f"{part}-*.jsonl")) for cell in load(path)]
    found = [
        {"task": c.task, "method": c.method, "size": c.size, "repeat": c.repeat, **c.facts}
        for c in cells
        if not c.failed
    ]
    if not found:
        raise SystemExit(f"No results of {part} in {folder}. Run: python scripts/{script} {part}")
    return pd.DataFrame(found)


def in_order(names: Iterable[str]) -> list[str]:
    """Methods in the order in which they are shown."""
    order = list(LABELS)
    return sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))


def _line(cell: Cell) -> str:
    head = {"task": cell.task, "method": cell.method, "size": cell.size, "repeat": cell.repeat}
    facts = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in cell.facts.items()}
    return json.dumps({**head, **facts}) + "\n"
