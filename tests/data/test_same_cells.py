"""A cell means the same from every file: one table, written in many ways, gets the same answers from one model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli import build, predict

ROWS, NEW = 80, 24
TABLES = 10
TOLERANCE = 1e-6


def make_table(seed: int) -> pd.DataFrame:
    """A table with a column of every kind, of which a model can make something; every table has other values."""
    rng = np.random.default_rng(seed)
    n = ROWS + NEW
    weight = (rng.normal(size=n) * 10.0 ** (seed % 4)).round(3)
    pick = rng.integers(0, 4, n)
    town = np.array(["Zürich", "Genève", "Łódź", "São Paulo"], dtype=object)[pick]
    frame = pd.DataFrame(
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
    if value is None or value is pd.NaT or value != value:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ")
    if isinstance(value, float):
        return repr(value).replace(".", decimal)
    return str(value)


def write_text(delimiter: str, decimal: str = ".", quoting: int = csv.QUOTE_MINIMAL) -> Callable[..., Path]:
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
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records(frame)), encoding="utf-8")
    return path


def write_records(frame: pd.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(records(frame), indent=1), encoding="utf-8")
    return path


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.convert_dtypes().to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def write_excel(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_excel(path.with_suffix(".xlsx"), index=False)
    return path.with_suffix(".xlsx")


ORIGINS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
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
    "DataFrame": lambda frame, path: frame,
}


def answers(model: Path, data: object, **options: int) -> np.ndarray:
    found = predict(model, data, **options)
    numbers = found.probabilities if found.prediction is None else found.prediction[:, None]
    assert numbers is not None
    return np.asarray(numbers, dtype=np.float64)


@pytest.mark.parametrize("seed", range(TABLES))
def test_a_row_has_one_answer_whatever_file_chunk_and_neighbours_it_comes_with(seed: int, tmp_path: Path) -> None:
    table = make_table(seed)
    known, new = table[:ROWS].reset_index(drop=True), table[ROWS:].drop(columns="ziel").reset_index(drop=True)
    origins = list(ORIGINS)
    origin = origins[seed % len(origins)]  # each table's model is built from another kind of file
    model = tmp_path / "m.onnx"
    built = build(
        ORIGINS[origin](known, tmp_path / "train"), target="ziel", output=model, offline=True, one_pass=True, members=1
    )
    assert built.path == model
    wanted = answers(model, new)
    assert len(wanted) == NEW
    assert wanted.std(axis=0).max() > 1e-3  # a constant answer would be equal in any case
    scale = max(1.0, float(np.abs(wanted).max()))
    for name, write in ORIGINS.items():
        data = write(new, tmp_path / "new")
        np.testing.assert_allclose(answers(model, data), wanted, atol=TOLERANCE * scale, rtol=0, err_msg=name)
        if name in ("decimal commas", "JSON lines", "Excel"):
            for rows in (1, 7, 144):
                got = answers(model, data, chunk_rows=rows)
                np.testing.assert_allclose(got, wanted, atol=TOLERANCE * scale, rtol=0, err_msg=f"{name}, {rows}")
            for row in range(0, NEW, 8):
                alone = answers(model, write(new[row : row + 1], tmp_path / "one"))
                np.testing.assert_allclose(
                    alone, wanted[row : row + 1], atol=TOLERANCE * scale, rtol=0, err_msg=f"{name}, row {row} alone"
                )
