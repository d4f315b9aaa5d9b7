"""Workbooks, JSON, ARFF, zips and vectors: one table, however it is kept."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from openpyxl import Workbook

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Schema
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.dates import days
from modelgpt_cli.data.readers import open_table
from scripts.benchmarks.same_cells import write_ods

ROWS = [[1.5 * i, ["red", "blue"][i % 2], i % 3 == 0] for i in range(30)]
NAMES = ["amount", "colour", "bought"]


def frame_of(data: Any) -> pd.DataFrame:
    return pd.concat(list(open_table(data).frames()), ignore_index=True)


def book_of(path: Path, **sheets: list[list[Any]]) -> Workbook:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book


def check(found: pd.DataFrame) -> None:
    assert found.columns.tolist() == NAMES
    assert found.to_numpy().tolist() == ROWS


def test_a_cover_is_not_the_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "book.xlsx"
    book_of(path, Cover=[["Stock", "May"], ["By", "N. N."]], Data=[NAMES, *ROWS])
    check(frame_of(path))
    assert "read the sheet 'Data'" in caplog.text
    check(frame_of(f"{path}#Data"))
    check(frame_of(f"{path}#2"))
    assert open_table(f"{path}#Cover").columns == ["Stock", "May"]
    with pytest.raises(UsageError, match="no sheet 'Date'") as caught:
        open_table(f"{path}#Date")
    assert "'Data'" in caught.value.hint


def test_the_first_of_two_tables_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book_of(path, Data=[NAMES, *ROWS], More=[["a", "b"], *([[i, i] for i in range(500)])])
    check(frame_of(path))


def test_titles_totals_and_empty_rows_of_a_sheet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "book.xlsx"
    rows = [["Stock in May", None, None], [], NAMES, *ROWS[:10], [], *ROWS[10:], NAMES, ["Total", None, 30]]
    book = book_of(path, Data=rows)
    book["Data"].merge_cells("A1:C1")
    book.save(path)
    check(frame_of(path))
    for words in ("above the header: Stock in May", "a row that repeats the header", "a remark: Total, 30"):
        assert words in caplog.text


def test_merged_cells_hold_their_value_in_each_row(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book = book_of(path, Data=[["place", "n"], ["north", 1], [None, 2], ["south", 3], [None, 4]])
    book["Data"].merge_cells("A2:A3")
    book["Data"].merge_cells("A4:A5")
    book.save(path)
    assert frame_of(path)["place"].tolist() == ["north", "north", "south", "south"]


def test_a_merged_header_in_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book = book_of(
        path, Data=[["kind", "sales", None], [None, "spring", "autumn"], *([["ab"[i % 2], i, i] for i in range(12)])]
    )
    book["Data"].merge_cells("A1:A2")
    book["Data"].merge_cells("B1:C1")
    book.save(path)
    assert open_table(path).columns == ["kind", "sales spring", "sales autumn"]


def test_dates_of_a_sheet(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book_of(path, Data=[["day", "n"], [dt.date(2024, 5, 1), 1], [dt.datetime(2024, 5, 2, 12, 30), 2], [None, 3]])
    found = frame_of(path)["day"]
    assert pd.to_datetime(found).tolist()[:2] == [pd.Timestamp(2024, 5, 1), pd.Timestamp(2024, 5, 2, 12, 30)]
    assert pd.isna(found[2])


def test_an_open_document_sheet(tmp_path: Path) -> None:
    check(frame_of(write_ods(pd.DataFrame(ROWS, columns=NAMES), tmp_path / "book")))


RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
FRAME = pd.DataFrame(RECORDS)
JSON = {
    "records": json.dumps(RECORDS, indent=1),
    "lines": "\n".join(map(json.dumps, RECORDS)),
    "lists by column": json.dumps({name: [record[name] for record in RECORDS] for name in NAMES}),
    "objects by column": FRAME.to_json(),
    "objects by row": FRAME.to_json(orient="index"),
    "split": FRAME.to_json(orient="split"),
    "table": FRAME.to_json(orient="table", index=False),
    "wrapped": json.dumps({"status": "ok", "count": 30, "data": RECORDS}, indent=1),
}


@pytest.mark.parametrize("how", JSON)
def test_json(tmp_path: Path, how: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(JSON[how])
    check(frame_of(path))


def test_one_record_of_json(tmp_path: Path) -> None:
    for name in ("data.json", "data.jsonl"):
        (tmp_path / name).write_text('{"a": 1, "b": ["x"]}\n')
        assert frame_of(tmp_path / name).to_numpy().tolist() == [[1, ["x"]]]


def test_objects_in_objects_get_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"review": {"body": "fine", "by": {"age": 3}}, "label": "p"}\n{"review": {"body": "bad"}}\n')
    found = frame_of(path)
    assert found.columns.tolist() == ["review.body", "review.by.age", "label"]
    assert found["review.body"].tolist() == ["fine", "bad"]


ARFF = """% made by hand
@RELATION stock

@ATTRIBUTE amount NUMERIC
@attribute 'the colour' {red, 'dark blue'}
@attribute note string
@data
% a comment
1.5,red,'it\\'s fine, really'
?,'dark blue',?
"""


def test_arff(tmp_path: Path) -> None:
    path = tmp_path / "data.arff"
    path.write_text(ARFF)
    found = frame_of(path)
    assert found.columns.tolist() == ["amount", "the colour", "note"]
    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == [
        ["1.5", "red", "it's fine, really"],
        [None, "dark blue", None],
    ]
    path.write_text(ARFF + "{0 1.5}\n")
    with pytest.raises(ModelGPTError, match="sparse ARFF"):
        frame_of(path)


DECLARED = """@relation declared
@attribute size {0, 1, 2, 3}
@attribute grade {low, Low, NA}
@attribute amount integer
@attribute day date 'dd/MM/yyyy h:mm a'
@attribute code string
@attribute same {x, y}
@attribute class {1.0, 2.0}
@data
"""
"""Of which each column would be something else in a CSV file."""


def declared(path: Path, last: str = "class {1.0, 2.0}") -> Schema:
    """Return the schema of a file of such columns, of 60 rows; `last` is what the last one is declared to be."""
    rows = [
        f"{i % 3},{('low', 'Low', 'NA')[i % 3]},{20_240_101 + i % 28},"
        f"{i % 12 + 1:02d}/05/2024 3:{i % 60:02d} PM,{100 + i % 9},x,{1 + i % 2}.0"
        for i in range(60)
    ]
    path.write_text(DECLARED.replace("class {1.0, 2.0}", last) + "\n".join(rows))
    return load_dataset(path).schema


def test_the_types_that_an_arff_file_declares_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    schema = declared(tmp_path / "data.arff")
    size, grade, amount, day = schema.columns[:4]
    assert [column.type for column in schema.columns] == [
        *("categorical", "categorical", "numeric", "datetime", "categorical", "constant")
    ]
    assert sorted(size.levels) == ["0", "1", "2"]
    assert sorted(grade.levels) == ["Low", "NA", "low"]
    assert "NA" not in (grade.reading.missing or ())
    assert amount.low == 20_240_101
    assert day.reading.format == "%d/%m/%Y %I:%M %p"
    assert (schema.task, schema.classes) == ("classification", ("1.0", "2.0"))
    assert "may be day first" not in caplog.text
    assert declared(tmp_path / "data.arff", "class real").task == "regression"
    assert load_dataset(tmp_path / "data.arff", task="classification").schema.classes == ("1", "2")


def test_the_user_knows_better_than_an_arff_file(tmp_path: Path) -> None:
    declared(tmp_path / "data.arff")
    (tmp_path / "types.yaml").write_text("size: numeric\nclass: numeric\n")
    schema = load_dataset(tmp_path / "data.arff", types=tmp_path / "types.yaml").schema
    assert schema.columns[0].type == "numeric"
    assert schema.task == "regression"


@pytest.mark.parametrize(
    ("java", "cell", "form"),
    [
        ("", "2024-05-03T07:08:09", "ISO8601"),
        ("yyyy-MM-dd", "2024-05-03", "ISO8601"),
        ("dd.MM.yyyy", "03.05.2024", "%d.%m.%Y"),
        ("MM/dd/yy'T'HH:mm", "05/03/24T07:08", "%m/%d/%y %H:%M"),
        ("d MMM yyyy, hh:mma", "3 Mai 2024, 07:08AM", "%d %b %Y %I:%M %p"),
        ("EEE, d MMM yyyy", "Fri, 3 May 2024", ""),
    ],
)
def test_dates_of_an_arff_file(tmp_path: Path, java: str, cell: str, form: str) -> None:
    rows = "\n".join(f'"{cell}", {label}' for label in "ab")
    (tmp_path / "data.arff").write_text(
        f'@relation r\n@attribute day date "{java}"\n@attribute label {{a, b}}\n@data\n"{cell}",?\n{rows}'
    )
    declared = open_table(tmp_path / "data.arff").declared["day"]
    assert (declared.type, declared.reading.format) == ("datetime", form)
    if form:
        found = days(pa.array([cell]), declared.reading)
        assert found.astype(int).tolist() == [(dt.date(2024, 5, 3) - dt.date(1970, 1, 1)).days]


def test_a_table_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/train.csv", "a,b\n1,x\n2,y\n")
        archive.writestr("__MACOSX/._train.csv", "nothing")
    assert frame_of(path).to_numpy().tolist() == [["1", "x"], ["2", "y"]]
    assert open_table(path).name == "data.csv.zip"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data/test.csv", "a,b\n1,x\n")
    with pytest.raises(ModelGPTError, match=r"without images"):
        open_table(path)


def test_vectors_are_columns(tmp_path: Path) -> None:
    vectors = [[0.5 * i, None if i == 3 else 1.0, -i] for i in range(6)]
    frame = pd.DataFrame({"v": [*vectors[:5], None], "k": list("ababab")})
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    in_memory = frame.assign(v=[np.array(v, float) for v in vectors[:5]] + [None])
    wanted = np.array([*vectors[:5], [None] * 3], float)
    for data in (tmp_path / "data.parquet", tmp_path / "data.jsonl", frame, in_memory):
        table = open_table(data)
        assert table.columns == ["v_0", "v_1", "v_2", "k"]
        assert table.fingerprint().startswith("sha256:")
        found = pd.concat(list(table.frames(rows=2)))
        np.testing.assert_array_equal(found[["v_0", "v_1", "v_2"]].to_numpy(float), wanted)
        assert next(table.frames(columns=["k", "v_1"])).columns.tolist() == ["k", "v_1"]


def test_lists_of_any_length_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": [[1, 2], [3]], "w": [["a", "b"], ["c", "d"]]})
    frame.to_parquet(tmp_path / "data.parquet")
    assert open_table(tmp_path / "data.parquet").columns == ["v", "w"]


def test_a_vector_of_another_length_is_an_error(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": [[1.0, 2.0]] * 400 + [[3.0]], "k": ["a"] * 401})
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ModelGPTError, match="the lists of v differ in length"):
        frame_of(tmp_path / "data.parquet")
