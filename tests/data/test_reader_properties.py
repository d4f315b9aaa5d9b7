"""Whatever bytes a file holds: a reader gives rows of the columns that it names, or one error that names the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.readers import open_table

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".csv.gz", ".jsonl.gz", ".parquet", ".xlsx")
STARTS = (b"", b"a,b\n", b"\xff\xfe", b"\xef\xbb\xbf", b"[{", b'{"a": ', b"PAR1", b"PK\x03\x04", b"\x1f\x8b\x08")
calm = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
cells = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))


def read(path: Path) -> list[int] | None:
    """The numbers of columns of the frames; None where the file can't be read."""
    try:
        table = open_table(path)
        found = []
        for frame in table.frames():
            assert list(frame.columns) == table.columns
            found.append(len(frame.columns))
    except ModelGPTError as error:
        assert path.name in error.problem or str(path) in error.problem  # noqa: PT017
        return None
    return found


@calm
@given(st.sampled_from(SUFFIXES), st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, suffix: str, start: bytes, rest: bytes) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(start + rest)
    read(path)


@calm
@given(
    st.sampled_from((".csv", ".csv.gz", ".tsv")), st.text(max_size=200), st.sampled_from(("utf-8", "utf-16", "cp1252"))
)
def test_any_text(tmp_path: Path, suffix: str, text: str, encoding: str) -> None:
    path = tmp_path / f"t{suffix}"
    content = ("a,b\n1,2\n" + text).encode(encoding, "replace")
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    read(path)


@calm
@given(st.lists(st.dictionaries(st.text(max_size=8), cells, max_size=4), max_size=6))
def test_any_json_records(tmp_path: Path, records: list[dict[str, object]]) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    found = read(path)
    names = {key for record in records for key in record}
    assert found is None or set(found) <= {len(names)}
