"""Files of notes, one folder a mood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset, make_dataset
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.source import Source

FILES = ".mel files"
OPTIONS = {"transposed": False}


class Melodies:
    """The files of a folder as cells: their notes, and the folder that each lies in."""

    columns = ("melody", "mood")

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*/*.mel"))

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        cells = {"melody": [f.read_text() for f in self.files], "mood": [f.parent.name for f in self.files]}
        yield pd.DataFrame({name: cells[name] for name in columns})

    def fingerprint(self) -> str:
        return "sha256:" + "0" * 64


def open_path(path: Path) -> Table | None:
    if not path.is_dir() or not any(path.glob("*/*.mel")):
        return None
    return Table(Melodies(path), path.name, path, path, domain="melody")  # type: ignore[arg-type]


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    return None


def detect(source: Source) -> bool:
    return isinstance(source.table.cells, Melodies)


def read(source: Source) -> Dataset:
    scanned = source.scanned({"melody": Column("melody", "notes", role="melody")})
    columns = tuple(Column(c.name, c.type, role=c.role) for c in scanned.columns)
    schema = Schema(columns, scanned.target.name, scanned.target.task, scanned.target.classes, "melody")
    return make_dataset(source, scanned, schema)
