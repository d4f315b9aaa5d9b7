"""One table, written in many ways: are the answers of a model the same? The table in ``docs/reading.md``.

Twelve tables with numbers, whole numbers, yes and no, codes with leading zeros, names with accents, days, times and
missing cells. The model of each is built from another kind of file; then new rows are predicted for from every kind,
also chunk by chunk and one row at a time. ``tests/data/test_same_cells.py`` holds the answers to be equal.

    python -m scripts.benchmarks same-cells
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd

ROWS, NEW = 80, 24
TABLES = 12
TOLERANCE = 1e-6


def make_table(seed: int) -> pd.DataFrame:
    """A table with a column of every kind, of which a model can make something; every table has other values."""
    rng = np.random.default_rng(seed)
    n = ROWS + NEW
    weight = (rng.normal(size=n) * 10.0 ** (seed % 4)).round(3)
    pick = rng.integers(0, 4, n)
    town = np.array(["Zürich", "Genève", "Łódź", "São Paulo"], dtype=object)[pick]
    frame: pd.DataFrame = pd.DataFrame(
        {
            "Größe": weight,
            "teile": rng.integers(0, 2_500, n),
            "aktiv": rng.random(n) < 0.5,
            "flag": rng.integers(0, 2, n),
            "code": np.array(["007", "0123", "45", "800"], dtype=object)[rng.integers(0, 4, n)],
            "ort": town,
            "tag": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
            "zeit": pd.Timestamp("2024-01-01 06:30") + pd.to_timedelta(rng.integers(0, 9_000, n), unit="h"),
        }
    )
    rank = frame["Größe"].rank() / n + (pick % 2) * 0.5 + frame["aktiv"] * 0.4 + frame["tag"].rank() / n
    frame["ziel"] = np.where(rank > rank.median(), "hoch", "tief") if seed % 3 else rank.round(4)
    for name in frame.columns[:-1][seed % 3 :: 3]:  # missing cells, in other columns of every table
        holes = rng.random(n) < 0.1
        frame[name] = frame[name].astype(object).where(~holes, None)
    return frame


def cell(value: object, decimal: str = ".") -> str:
    """A cell as text."""
    if value is None or value is pd.NaT or value != value:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ")
    if isinstance(value, float):
        return repr(value).replace(".", decimal)
    return str(value)


def write_text(delimiter: str, decimal: str = ".", quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> Callable[..., Path]:
    """Return what writes a table as text with this delimiter, decimal sign and quotes."""

    def write(frame: pd.DataFrame, path: Path) -> Path:
        path = path.with_suffix(".csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
            writer.writerow(frame.columns)
            writer.writerows([cell(value, decimal) for value in row] for row in frame.itertuples(index=False))
        return path

    return write


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON has them: numbers, true and false, null, and dates as text."""
    plain = frame.astype(object).map(lambda value: cell(value) if isinstance(value, pd.Timestamp) else value)
    return [
        {name: None if value is None or value is pd.NaT or value != value else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def write_lines(frame: pd.DataFrame, path: Path) -> Path:
    """Write JSON lines."""
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records(frame)), encoding="utf-8")
    return path


def write_records(frame: pd.DataFrame, path: Path) -> Path:
    """Write one JSON array."""
    path = path.with_suffix(".json")
    path.write_text(json.dumps(records(frame), indent=1), encoding="utf-8")
    return path


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    """Write Parquet, with its own types."""
    frame.convert_dtypes().to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def write_excel(frame: pd.DataFrame, path: Path) -> Path:
    """Write a workbook of Excel."""
    frame.to_excel(path.with_suffix(".xlsx"), index=False)
    return path.with_suffix(".xlsx")


_NAMESPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{short}:1.0"' for short in ("office", "table", "text")
)


def _ods_cell(value: object) -> str:
    if value is None or value is pd.NaT or value != value:
        return "<table:table-cell/>"
    if isinstance(value, (bool, np.bool_)):
        kind = f'office:value-type="boolean" office:boolean-value="{str(bool(value)).lower()}"'
    elif isinstance(value, pd.Timestamp):
        kind = f'office:value-type="date" office:date-value="{value.isoformat()}"'
    elif isinstance(value, (int, float, np.number)):
        kind = f'office:value-type="float" office:value="{value!r}"'.replace("np.float64(", "").replace(')"', '"')
    else:
        return f'<table:table-cell office:value-type="string"><text:p>{escape(str(value))}</text:p></table:table-cell>'
    return f"<table:table-cell {kind}/>"


def write_ods(frame: pd.DataFrame, path: Path) -> Path:
    """Write a workbook of OpenDocument."""
    path = path.with_suffix(".ods")
    lines = [list(frame.columns), *frame.astype(object).to_numpy().tolist()]
    rows = "".join(f"<table:table-row>{''.join(map(_ods_cell, line))}</table:table-row>" for line in lines)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<m/>")
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMESPACES}><office:body>'
            f'<office:spreadsheet><table:table table:name="Data">{rows}</table:table></office:spreadsheet>'
            "</office:body></office:document-content>",
        )
    return path


ORIGINS: dict[str, Callable[[pd.DataFrame, Path], Path | pd.DataFrame]] = {
    "comma": write_text(","),
    "semicolon": write_text(";"),
    "tab": write_text("\t"),
    "decimal commas": write_text(";", ","),
    "quoted decimal commas": write_text(",", ","),
    "all quoted": write_text(",", quoting=csv.QUOTE_ALL),
    "JSON lines": write_lines,
    "JSON records": write_records,
    "Parquet": write_parquet,
    "Excel": write_excel,
    "OpenDocument": write_ods,
    "DataFrame": lambda frame, path: frame,
}
"""Name → writes a table, and returns what `predict` and `build` take."""
CHUNKS = (1, 7, 144)
IN_CHUNKS = ("decimal commas", "JSON lines", "Excel")
"""Kinds that are also read chunk by chunk, and one row at a time."""


def answers(model: Path, data: Path | pd.DataFrame, chunk_rows: int = 16_384) -> np.ndarray:
    """Return a model's probabilities (N, C) or numbers (N, 1) for some data, float64."""
    from modelgpt_cli import predict

    found = predict(model, data, chunk_rows=chunk_rows)
    numbers = found.probabilities if found.prediction is None else found.prediction[:, None]
    assert numbers is not None
    return np.asarray(numbers, dtype=np.float64)


def differences(seed: int, folder: Path) -> tuple[str, dict[str, float], float]:
    """Build a model of one table, and compare its answers for new rows however these are written.

    Parameters
    ----------
    seed : int
        Of the table; it also says from which kind of file the model is built.
    folder : Path
        For the files.

    Returns
    -------
    origin : str
        The kind of file that the model was built from.
    largest : dict of str to float
        Kind of file → largest difference from the answers for the table in memory, relative to the largest answer where
        that is above 1.
    spread : float
        Standard deviation of the answers over the rows: of answers that are all alike equality would say nothing.
    """
    from modelgpt_cli import build

    table = make_table(seed)
    known, new = table[:ROWS].reset_index(drop=True), table[ROWS:].drop(columns="ziel").reset_index(drop=True)
    origin = list(ORIGINS)[seed % len(ORIGINS)]
    model = folder / "m.onnx"
    data = ORIGINS[origin](known, folder / "train")
    build(data, target="ziel", output=model, offline=True, one_pass=True, members=1, force=True)
    wanted = answers(model, new)
    scale = max(1.0, float(np.abs(wanted).max()))
    largest: dict[str, float] = {}

    def compare(name: str, got: np.ndarray, rows: slice = slice(None)) -> None:
        largest[name] = max(largest.get(name, 0.0), float(np.abs(got - wanted[rows]).max()) / scale)

    for name, write in ORIGINS.items():
        written = write(new, folder / "new")
        compare(name, answers(model, written))
        if name not in IN_CHUNKS:
            continue
        for rows in CHUNKS:
            compare(f"{name}, chunks", answers(model, written, chunk_rows=rows))
        for row in range(0, NEW, 8):
            alone = slice(row, row + 1)
            compare(f"{name}, a row alone", answers(model, write(new[alone], folder / "one")), alone)
    return origin, largest, float(wanted.std(axis=0).max())


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks same-cells", description=__doc__)
    parser.add_argument(
        "--tables", type=int, default=TABLES, help="tables, each of another seed (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    found = []
    for seed in range(args.tables):
        with tempfile.TemporaryDirectory() as folder:
            found.append(differences(seed, Path(folder)))
    print(f"{dt.date.today()}, {args.tables} tables, largest difference of an answer by the kind of file:\n")
    print("| read from | " + " | ".join(str(seed) for seed in range(args.tables)) + " |")
    print("|---|" + "---|" * args.tables)
    print("| *built from* | " + " | ".join(f"*{origin}*" for origin, _, _ in found) + " |")
    for name in found[0][1]:
        print(
            f"| {name} | "
            + " | ".join(f"{largest[name]:.0e}" if largest[name] else "0" for _, largest, _ in found)
            + " |"
        )
    return 0
