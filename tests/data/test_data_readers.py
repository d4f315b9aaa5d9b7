"""Readers: every kind of file comes out as the same raw cells, and every bad file as one clear message."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.readers import open_table

CSV = "age,colour,target\n31,red,yes\n,blue,no\n45,green,yes\n"


def rows_of(path: Path | str) -> list[list[object]]:
    frames = list(open_table(path).frames())
    frame = pd.concat(frames, ignore_index=True)
    return [[None if pd.isna(cell) else cell for cell in row] for row in frame.astype(object).to_numpy().tolist()]


EXPECTED = [["31", "red", "yes"], [None, "blue", "no"], ["45", "green", "yes"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(CSV.replace(",", delimiter).encode(encoding))
    table = open_table(path)
    assert table.columns == ["age", "colour", "target"]
    assert rows_of(path) == EXPECTED


def test_western_bytes_are_read_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data.csv"
    # the odd byte comes late: the head of the file alone looks like UTF-8
    path.write_bytes(("a,b\n" + "1,x\n" * 400_000 + "2,café\n").encode("latin-1"))
    with caplog.at_level("INFO", logger="modelgpt"):
        table = open_table(path)
    assert "read as cp1252" in caplog.text
    assert list(table.frames())[-1]["b"].iloc[-1] == "café"


def test_gzip_crlf_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    text = 'a,note,target\r\n1,"two\nlines, one cell",x\r\n2,"say ""hi""",y\r\n'
    path.write_bytes(gzip.compress(text.encode()))
    assert rows_of(path) == [["1", "two\nlines, one cell", "x"], ["2", 'say "hi"', "y"]]


def test_cells_come_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    cells = ["None", "NA", "N/A", "NaN", "null", "?", "-", " 7", "1.234,5"]
    path.write_text("a;b\n" + "".join(f"{cell};1\n" for cell in [*cells, '""', ""]))
    assert [row[0] for row in rows_of(path)] == [*cells, None, None]


def test_commas_inside_text_do_not_win_over_tabs(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    path.write_text("name, first\tage, years\nDoe, Jane\t31\nRoe, Rick\t45\n")
    assert open_table(path).columns == ["name, first", "age, years"]


def test_one_column_keeps_empty_lines_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n\n3\n")
    assert rows_of(path) == [["1"], [None], ["3"]]


def test_frames_are_cut_and_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(1000)))
    table = open_table(path)
    for _ in range(2):
        frames = list(table.frames(rows=300, columns=["b", "a"]))
        assert [len(frame) for frame in frames] == [300, 300, 300, 100]
        assert list(frames[0].columns) == ["b", "a"]
        assert frames[3]["a"].iloc[-1] == "999"
    with pytest.raises(UsageError, match="no column 'x'"):
        next(table.frames(columns=["x"]))


@pytest.mark.slow
def test_wide_table_comes_in_small_frames(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    line = ",".join(["1"] * 5000)
    path.write_text(",".join(f"c{i}" for i in range(5000)) + "\n" + (line + "\n") * 1000)
    assert len(next(iter(open_table(path).frames()))) <= 800


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    records = [{"a": 1, "b": "x"}, {"b": None, "c": [1, "two"]}]
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n\n")
    assert open_table(path).columns == ["a", "b", "c"]
    frame = next(open_table(path).frames())
    assert frame["a"].tolist() == [1, None]
    assert frame["c"].tolist() == [None, [1, "two"]]


def test_json_array(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], indent=1))
    assert rows_of(path) == [[1, "x"], [2, "y"]]


def test_parquet_and_excel(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"a": [1.5, 2.0], "when": [dt.datetime(2024, 1, 31), dt.datetime(2024, 2, 1)], "t": ["x", "y"]}
    )
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_excel(tmp_path / "data.xlsx", index=False)
    for name in ("data.parquet", "data.xlsx"):
        table = open_table(tmp_path / name)
        assert table.columns == ["a", "when", "t"]
        first = next(table.frames(columns=["t", "a"]))
        assert first.to_numpy().tolist() == [["x", 1.5], ["y", 2.0]]


def test_parquet_with_a_pandas_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"k": [7, 80, 9], "a": [1.5, 2.0, 3.0]})
    frame.set_index("k").to_parquet(tmp_path / "named.parquet")
    first = next(open_table(tmp_path / "named.parquet").frames(columns=["k", "a"]))
    assert first.to_numpy().tolist() == [[7, 1.5], [80, 2], [9, 3]]
    frame.set_axis([5, 9, 6]).to_parquet(tmp_path / "plain.parquet")
    assert open_table(tmp_path / "plain.parquet").columns == ["k", "a"]


def test_content_counts_more_than_the_name(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(path)
    assert open_table(path).columns == ["a", "b"]


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / "test.csv").write_text(CSV)
    (tmp_path / "README.md").write_text("Colours of people.\n")
    table = open_table(tmp_path)
    assert table.path == tmp_path / "train.csv"
    assert table.test_path == tmp_path / "test.csv"
    assert table.description == "Colours of people."


def test_folder_without_a_clear_table(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="no table in the folder"):
        open_table(tmp_path)
    (tmp_path / "people.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "test.csv").write_text(CSV)
    assert open_table(tmp_path).name == "people.csv.gz"
    (tmp_path / "more.csv").write_text(CSV)
    with pytest.raises(ModelGPTError, match=r"several tables: more\.csv, people\.csv\.gz"):
        open_table(tmp_path)


def test_stdin_is_read_twice_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "from modelgpt_cli.data.readers import open_table\n"
        "t = open_table('-')\n"
        "print(t.name, t.path, *[sum(len(f) for f in t.frames()) for _ in range(2)])"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=CSV.encode(), capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode().split() == ["stdin", "None", "3", "3"]
    assert list(tmp_path.iterdir()) == []


BAD = {
    "empty": ("e.csv", b"", "e.csv is empty"),
    "blank": ("e.csv", b"\n\n", "e.csv is empty"),
    "duplicates": ("d.csv", b"a,b,a\n1,2,3\n", "duplicate column names: a"),
    "binary": ("x.bin", b"\x01\x00\x02\x00\xff\xfe" * 50, "not a table"),
    "png": ("x.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "not a table"),
    "zip": ("x.zip", b"PK\x03\x04rest", "damaged"),
    "excel": ("x.xlsx", b"PK\x03\x04rest", "damaged"),
    "parquet": ("x.parquet", b"PAR1 and nothing more", "damaged"),
    "gzip": ("x.csv.gz", gzip.compress(CSV.encode() * 50)[:-12], "damaged"),
    "json": ("x.jsonl", b'{"a": 1}\n{"a": 2\n', "line 2 is not valid JSON"),
    "json list": ("x.jsonl", b'{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
    "json array": ("x.json", b"[1, 2]", "item 1 is not a JSON object"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_so(tmp_path: Path, case: str) -> None:
    name, content, words = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelGPTError) as caught:
        open_table(tmp_path / name)
    assert words in caught.value.problem
    assert caught.value.hint


def test_no_such_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(CSV)
    with pytest.raises(ModelGPTError) as caught:
        open_table(tmp_path / "peple.csv")
    assert "There is no file" in caught.value.problem
    assert "people.csv" in caught.value.hint


@pytest.mark.parametrize(("bad", "cells"), [("9,9,9,9", 4), ("9,9", 2)])
def test_ragged_row_names_the_line(tmp_path: Path, bad: str, cells: int) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b,c\n1,"two\nlines",3\n' + "4,5,6\n" * 200_000 + bad + "\n7,8,9\n")
    with pytest.raises(ModelGPTError) as caught:
        list(open_table(path).frames())
    assert f"line 200004 has {cells} cells where the header has 3" in caught.value.problem


def test_open_quote_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b\n1,"never closed\n' + "2,3\n" * 100)
    with pytest.raises(ModelGPTError, match="opened and never closed"):
        list(open_table(path).frames())
    path.write_text('a,b\n1,"closed\nlater"\n')
    assert rows_of(path) == [["1", "closed\nlater"]]


def test_unreadable_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="nothing is piped in"):
        open_table("-")


def test_about_how_many_rows_there_are_is_known_beforehand(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(5_000), "note": ["one\ncell", "x"] * 2_500})
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_csv(tmp_path / "data.csv.gz", index=False)
    frame.to_csv(tmp_path / "data.tsv", sep="\t", index=False, encoding="utf-16")
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "data.parquet")
    lines = "\n".join(f"{i}, x" for i in range(5_000))
    (tmp_path / "data.arff").write_text(
        f"% no more\n@relation r\n@attribute a numeric\n@attribute b {{x}}\n@data\n{lines}"
    )
    for path in sorted(tmp_path.iterdir()):
        table = open_table(path)
        assert sum(map(len, table.frames())) == 5_000
        assert table.expected_rows == pytest.approx(5_000, abs=5 if ".csv" in path.name or ".tsv" in path.name else 0)
    assert open_table(frame).expected_rows == 5_000
    frame[:40].to_excel(tmp_path / "data.xlsx", index=False)
    assert open_table(tmp_path / "data.xlsx").expected_rows == 40
    frame.to_json(tmp_path / "data.json", orient="records")
    assert open_table(tmp_path / "data.json").expected_rows is None
