"""No file, however odd, is more than an error that names it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data import guarded as module
from modelgpt_cli.data.guarded import GuardedCells, guarded
from modelgpt_cli.data.readers import open_table

CSV = b"a,b\n" + b"1,x\n2,y\n" * 2000


def read(path: Path) -> int:
    return sum(len(frame) for frame in open_table(path).frames())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.csv.gz", gzip.compress(CSV, mtime=0)[:-20]),
        ("changed.csv.gz", gzip.compress(CSV, mtime=0)[:40] + b"\xff" * 20 + gzip.compress(CSV, mtime=0)[60:]),
        ("head.csv.gz", b"\x1f\x8b\x08\x00"),
        ("cut16.csv", b"\xff\xfe" + "a,b\n1,x\n".encode("utf-16-le")[:-1]),
        ("deep.json", b"[" * 200_000),
        ("deep.jsonl", b'{"a": ' + b"[" * 200_000 + b"\n"),
        ("list.json", b"[1, 2]"),
        ("number.json", b"7"),
        ("long.json", b'{"a": ' + b"9" * 10_000 + b"}"),
        ("p.parquet", b"PAR1" + b"\0" * 100 + b"PAR1"),
        ("x.xlsx", b"PK\x03\x04" + b"\0" * 100),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    try:
        read(path)
    except ModelGPTError as error:
        assert name in error.problem  # noqa: PT017  # some are read as far as they go


@pytest.mark.parametrize("names", [["", "a"], ["a\0b", "c"], ["a\nb", "c"], ["\u202eb", "c"], ["a" * 5000, "b"]])
def test_odd_names_of_parquet_columns(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table([pa.array([1, 2]), pa.array(["x", "y"])], names=names), path)
    table = open_table(path)
    assert not any("\0" in column for column in table.columns)
    frame = next(table.frames())
    assert list(frame.columns) == table.columns
    assert len(frame) == 2


class Broken:
    columns: list[str] = ["a"]  # noqa: RUF012

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"a": [1]})
        raise KeyError("whatever")

    def fingerprint(self) -> str:
        return "sha256:0"


def test_what_a_reader_raises_is_explained() -> None:
    cells = GuardedCells(Broken(), "t.csv")
    with pytest.raises(ModelGPTError, match=r"t\.csv is damaged") as caught:
        list(cells.frames(1, ["a"]))
    assert "KeyError" in caught.value.cause
    assert cells.fingerprint() == "sha256:0"  # what the reader has beside is there


def test_what_the_consumer_raises_is_left_alone() -> None:
    def consume() -> None:
        for _ in GuardedCells(Broken(), "t.csv").frames(1, ["a"]):
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        consume()


@pytest.mark.parametrize(("start", "line"), [(b"", b"\n"), (b"[", b"\n"), (b"", b"")])
def test_a_packed_line_that_fills_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, line: bytes
) -> None:
    monkeypatch.setattr(module, "_MOST_LINE", 3 << 20)
    path = tmp_path / "bomb.json.gz"
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb") as packed:
        packed.write(start + (b" " * (1 << 20) + line) * 8)
    path.write_bytes(content.getvalue())
    opened = guarded(lambda file, name: Broken())
    if start or not line:
        with pytest.raises(ModelGPTError, match="unpacks to a line"):
            opened(path, "bomb.json.gz")
    else:
        assert opened(path, "bomb.json.gz").columns == ["a"]
