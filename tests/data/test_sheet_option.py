"""``--sheet``: one sheet of a workbook, or of each workbook, for every command that reads a table."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bad_input import Bench
from tiny_models import tiny_model

from modelgpt_cli import build, describe, evaluate, predict, tune
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.data.address import read_address, with_sheet
from modelgpt_cli.data.readers import open_table


def workbook(target: Path | io.BytesIO, **sheets: pd.DataFrame) -> Any:
    with pd.ExcelWriter(target, engine="openpyxl") as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    return target


def rows(sign: int = 1, n: int = 24) -> pd.DataFrame:
    """The answer is the sign of `a`, or the other one."""
    values = [(i % 2 * 2 - 1) * (1 + i / n) for i in range(n)]
    return pd.DataFrame({"a": values, "target": ["y" if sign * v > 0 else "x" for v in values]})


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path: Path = workbook(tmp_path / "book.xlsx", First=rows(), Second=rows(-1))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [0, 1]})


@pytest.mark.parametrize("sheet", ["Second", "2", "R&D", "No. #1", "header=x", "a&sheet=b", "sheet="])
def test_any_name_of_a_sheet_can_be_put_behind_a_file(tmp_path: Path, sheet: str) -> None:
    (tmp_path / "a#b.xlsx").touch()
    for path in (str(tmp_path / "a#b.xlsx"), "missing.xlsx", str(tmp_path), "-"):
        for header in ("", "#header=3"):
            text = with_sheet(path + header, sheet)
            found = read_address(text)
            assert (found.path, found.sheet, found.header) == (path, sheet, "3" if header else "auto")
            assert with_sheet(text, sheet) == text
    check_exists(with_sheet(str(tmp_path / "a#b.xlsx"), sheet))


def test_two_ways_to_name_a_sheet_must_agree() -> None:
    assert with_sheet("book.xlsx#Sales", "Sales") == "book.xlsx#Sales"
    with pytest.raises(UsageError, match="different sheets"):
        with_sheet("book.xlsx#Sales", "Costs")


@pytest.mark.parametrize(
    ("data", "why"),
    [(None, "no data"), ({"a": [1]}, "in memory"), ([{"a": 1}], "in memory"), ("a lovely film", "is no workbook")],
)
def test_what_is_no_file_has_no_sheet(data: Any, why: str) -> None:
    assert with_sheet(data, None) is data
    with pytest.raises(UsageError) as caught:
        with_sheet(data, "Sales")
    assert why in caught.value.problem + caught.value.cause
    with pytest.raises(UsageError, match="names no sheet"):
        with_sheet("book.xlsx", " ")


def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path, model: Path) -> None:
    for name in ("data.csv", "data.jsonl", "data.parquet"):
        frame = rows()
        path = tmp_path / name
        if name == "data.csv":
            frame.to_csv(path, index=False)
        elif name == "data.jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
        with pytest.raises(UsageError, match=f"{name} is no workbook, so it has no sheet 'Second'"):
            evaluate(model, path, sheet="Second")


def test_predict_and_evaluate_read_the_sheet(book: Path, model: Path) -> None:
    assert [evaluate(model, book, sheet=sheet)["accuracy"] for sheet in (None, "First", "Second", "2")] == [1, 1, 0, 0]
    assert predict(model, book, sheet="Second").label.tolist() == rows()["target"].tolist()
    with pytest.raises(UsageError, match="no sheet 'Third'"):
        predict(model, book, sheet="Third")


def test_in_a_folder_it_is_the_sheet_of_each_workbook(tmp_path: Path, model: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        workbook(tmp_path / "data" / f"{name}.xlsx", Notes=rows(), Rows=rows(-1))
    assert evaluate(model, tmp_path / "data", sheet="Rows")["accuracy"] == 0
    table = open_table(with_sheet(str(tmp_path / "data"), "Rows"))
    assert next(table.frames())["target"].tolist() == rows(-1)["target"].tolist()


def test_describe_keeps_the_sheet_in_the_requirement(tmp_path: Path, book: Path) -> None:
    workbook(book, First=rows(), Second=rows().rename(columns={"a": "b"}))
    done = describe(book, sheet="Second", offline=True, output=tmp_path / "req.txt")
    assert done.requirement.data == "book.xlsx#Second"
    assert [column.name for column in done.requirement.columns] == ["b"]


def test_build_and_tune_keep_to_the_sheet(tmp_path: Path, book: Path) -> None:
    quick: dict[str, Any] = {"one_pass": True, "device": "cpu"}
    first = build(book, sheet="Second", output=tmp_path / "m.onnx", offline=True, **quick)
    assert evaluate(first.path, book, sheet="2")["accuracy"] == 1
    assert "data: book.xlsx#Second" in (tmp_path / "m.req.txt").read_text()
    with pytest.raises(UsageError, match="different sheets"):
        build(tmp_path / "m.req.txt", sheet="First", output=tmp_path / "n.onnx", **quick)
    other = build(tmp_path / "m.req.txt", book, sheet="First", output=tmp_path / "n.onnx", **quick)
    assert evaluate(other.path, book, sheet="First")["accuracy"] == 1
    tuned = tune(first.path, data=book, sheet="Second", output=tmp_path / "tuned.onnx", device="cpu")
    assert tuned.before["accuracy"] == 1


def test_a_workbook_on_stdin(bench: Bench, book: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: str | Path) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(book.read_bytes())))
        done = bench.run(*args)
        assert done.code == 0, done.err
        return done.out

    run("predict", model, "-", "--sheet", "Second", "-o", "answers.csv")
    assert len((bench.folder / "answers.csv").read_text().splitlines()) == 25
    assert "data:" not in run("describe", "-", "--sheet", "2", "--offline")


@pytest.mark.parametrize(
    "line",
    [
        "build book.xlsx#First --sheet Second -o n.onnx",
        "describe book.xlsx#First --sheet Second",
        "tune m.onnx --data book.xlsx#First --sheet Second -o n.onnx",
        "predict m.onnx book.xlsx#First --sheet Second",
        "evaluate m.onnx book.xlsx#First --sheet Second",
        "generate --req req.txt --data book.xlsx#First --sheet Second -n 2 -o g.csv --dry-run",
        "export m.onnx --quantize int8 --data book.xlsx#First --sheet Second -o n.onnx",
    ],
)
def test_every_command_refuses_two_sheets(bench: Bench, book: Path, model: Path, line: str) -> None:
    bench.write("req.txt", "Tell x from y.\n---\ntask: classification\ntarget: target\nclasses: [x, y]\n")
    bench.refuse(2, "different sheets", *line.split())


def test_words_alone_have_no_sheet(bench: Bench) -> None:
    bench.refuse(2, "There are no data", "build", "tell x from y by a", "--sheet", "1", "-o", "m.onnx")
