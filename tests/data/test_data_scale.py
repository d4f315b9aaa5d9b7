"""Long tables: typed columns are counted as text columns are, rows are drawn evenly, work runs ahead in a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from modelgpt_cli import build
from modelgpt_cli.core.background import ahead, begin
from modelgpt_cli.data import scan
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.data.sampling import CLASS_FLOOR, RowSampler
from modelgpt_cli.domains.tabular import rows
from modelgpt_cli.domains.tabular.head import HeadSums
from modelgpt_cli.model_generator import build as pipeline
from modelgpt_cli.parameter_generator import default_encoder, text_encoder

N = 3000


def coded(values: np.ndarray, levels: list[str], mask: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8), mask=mask), pa.array(levels))


def write_table(path: Path, parts: int = 3) -> Path:
    """A Parquet file of many types, each row group with a dictionary of its own."""
    rng = np.random.default_rng(0)
    writer = None
    for part in range(parts):
        n = N // parts
        small = rng.normal(size=n).astype(np.float32)
        small[rng.random(n) < 0.1] = np.nan
        none = rng.random(n) < 0.05
        kinds = ["red", "NA", "blue "] if part % 2 else [" blue", "red", "NA"]
        code = rng.integers(0, 3, n)
        columns = {
            "small": pa.array(small),
            "large": pa.array(rng.normal(size=n) * 1e3, mask=none),
            "count": pa.array(rng.integers(0, 50, n).astype(np.int32), mask=none),
            "even": pa.array(rng.integers(0, 9, n).astype(np.float64)),
            "colour": coded(code, kinds, none),
            "digits": coded(code, ["1.5", "7", "9"], none),
            "word": pa.array(np.array(["one", "two", "?"])[code]),
            "target": coded((small > 0).astype(int), ["low", "high"], np.arange(n) % 100 == 7),
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def test_typed_columns_say_what_their_text_says(tmp_path: Path) -> None:
    parquet = write_table(tmp_path / "t.parquet")
    frame = pq.read_table(parquet).to_pandas()
    frame.to_csv(tmp_path / "t.csv", index=False)
    typed, text = (load_dataset(tmp_path / name, sample_rows=10 * N) for name in ("t.parquet", "t.csv"))
    assert (typed.n_rows, typed.class_counts) == (text.n_rows, text.class_counts)
    assert typed.n_rows == N - 30
    for mine, theirs in zip(typed.schema.columns, text.schema.columns, strict=True):
        assert (mine.name, mine.type, mine.levels, mine.missing) == (
            theirs.name,
            theirs.type,
            theirs.levels,
            theirs.missing,
        )
    levels = {column.name: set(column.levels) for column in typed.schema.columns}
    assert levels["colour"] == {"red", "blue"}
    assert levels["word"] == {"one", "two"}
    present = frame["target"].notna()
    assert typed.schema.columns[0].missing == pytest.approx(frame["small"][present].isna().mean(), abs=1e-6)


def test_facts_of_typed_and_coded_cells() -> None:
    facts = scan.ColumnFacts()
    facts.update(pa.array([3.0, np.nan, -4.0]))
    facts.update(coded(np.array([0, 1, 1, 0]), ["8", "x", "-90", "NA"], np.array([False, False, False, True])))
    assert (facts.good, facts.bad, facts.missing, facts.low, facts.high) == (3, 2, 2, -4.0, 8.0)  # -90 is in no cell
    assert facts.whole
    facts.update(pa.array([0.5, np.inf]))
    assert (facts.whole, facts.clipped) == (False, 1)


def test_target_of_many_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_LABELS", 50)
    y = np.random.default_rng(0).normal(size=200_000)
    y[150_000:150_010] = np.nan
    pq.write_table(pa.table({"x": np.arange(200_000) % 977, "y": y}), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet", target="y", sample_rows=500)
    assert (dataset.schema.task, dataset.n_rows) == ("regression", 199_990)


def test_rows_are_drawn_evenly_and_repeatably(tmp_path: Path) -> None:
    n = 400_000
    pq.write_table(pa.table({"x": np.arange(n) / 2, "target": np.arange(n) % 2}), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet", sample_rows=1000)

    def draw(seed: int) -> np.ndarray:
        return 2 * np.concatenate([frame["x"].to_numpy() for frame in dataset.frames(share=0.1, seed=seed)])

    drawn = draw(0)
    assert len(drawn) == pytest.approx(0.1 * n, rel=0.02)
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), np.array([0.25, 0.5, 0.75]) * n, rtol=0.03)
    np.testing.assert_array_equal(drawn, draw(0))
    assert not np.array_equal(drawn[:100], draw(1)[:100])


def test_sampler_keeps_a_rare_label_that_comes_late() -> None:
    sampler = RowSampler(200, seed=0)
    for part in range(100):
        labels = np.zeros(500, dtype=np.int64)
        if part >= 90:
            labels[:4] = 1
        sampler.add(pd.DataFrame({"label": labels}), labels)
    assert len(sampler.result(stratified=True)) == 200
    assert (sampler.result(stratified=True)["label"] == 1).sum() >= CLASS_FLOOR


@pytest.mark.slow
def test_head_of_a_long_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(rows, "HEAD_ROWS", 1000)
    path = write_table(tmp_path / "t.parquet")
    requirement = tmp_path / "req.txt"
    requirement.write_text(f"High or low?\n---\ntarget: target\ndata: {json.dumps(str(path))}\n")
    seen: list[int] = []
    original = HeadSums.add

    def add(self: HeadSums, first: torch.Tensor, *rest: torch.Tensor) -> None:
        seen.append(len(first))
        original(self, first, *rest)

    monkeypatch.setattr(HeadSums, "add", add)
    drawn = build(requirement, output=tmp_path / "drawn.onnx")
    n_drawn = sum(seen)
    assert 850 < n_drawn < 1150
    assert any(f"{n_drawn:,} rows, drawn evenly from the 2,970" in note for note in drawn.notes)
    seen.clear()
    every = build(requirement, output=tmp_path / "every.onnx", all_rows=True)
    assert sum(seen) == 2970
    assert not any("drawn evenly" in note for note in every.notes)


def test_memory_does_not_grow_with_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rng = np.random.default_rng(0)
    table = pa.table({f"x{j}": rng.random(50_000) for j in range(10)})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(16):
            writer.write_table(table)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in open_table(path).frames()]
    assert max(held) < path.stat().st_size / 3


def test_work_in_a_thread() -> None:
    assert begin(lambda: 7)() == 7
    failed = begin(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed()
    assert list(ahead(iter([[1], [2], [3]]))) == [[1], [2], [3]]

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("in the file")

    with pytest.raises(ValueError, match="in the file"):
        list(ahead(broken()))


def test_encoder_is_hashed_once_where_that_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    original = default_encoder.sha256

    def digest(weights: Path) -> str:
        hashed.append(weights)
        return original(weights)

    monkeypatch.setattr(default_encoder, "sha256", digest)
    default_encoder.begin_check()
    encoder = text_encoder.TextEncoder()
    assert len(hashed) == 1
    assert np.isfinite(encoder(["sepal length"])).all()
    default_encoder.check_default(default_encoder.default_folder())
    assert len(hashed) == 2  # a digest serves one check: the file may have changed since


def test_fingerprint_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    path = write_table(tmp_path / "t.parquet")
    dataset: Dataset = load_dataset(path)
    assert dataset.fingerprint == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
