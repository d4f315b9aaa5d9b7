"""TabArena's protocol on a folder of OpenML's files: its splits, its errors, and a word where there is nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks.tables import tabarena


def write_folder(folder: Path) -> None:
    rng = np.random.default_rng(0)
    a, kind = rng.normal(size=90), rng.choice(["x", "y"], 90)
    label = np.where(a + 0.3 * rng.normal(size=90) > 0, "p", "n")
    lines = [f"{value:.4f},{k},{name}" for value, k, name in zip(a, kind, label, strict=True)]
    head = "@relation two\n@attribute a numeric\n@attribute kind {x,y}\n@attribute class {n,p}\n@data\n"
    (folder / "two.arff").write_text(head + "\n".join(lines))
    pd.DataFrame({"a": a, "kind": kind, "amount": 2 * a + 7.123}).to_csv(folder / "number.csv", index=False)
    large = pd.DataFrame({"a": rng.normal(size=2600).round(2), "y": rng.normal(size=2600)})
    large.to_csv(folder / "large.csv", index=False)
    splits = [f"{'TEST' if row % 2 == fold else 'TRAIN'},{row},0,{fold}" for fold in (0, 1) for row in range(90)]
    head = "@relation s\n@attribute type {TRAIN,TEST}\n@attribute rowid numeric\n@attribute repeat numeric\n"
    (folder / "7_splits.arff").write_text(head + "@attribute fold numeric\n@data\n" + "\n".join(splits))
    (folder / "tasks.csv").write_text("name,target,task\ntwo,class,7\nnumber,amount,\nlarge,y,\nabsent,y,\n")


def test_a_folder_is_measured_by_the_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    out = tmp_path / "cells.csv"
    arguments = [str(tmp_path), "--methods", "logistic", "--out", str(out)]
    tabarena.main([*arguments, "--lite", "--report", str(tmp_path / "page.md")])
    cells = pd.read_csv(out).set_index("table")
    assert cells.loc["two", "error"] == "1 - roc_auc"
    assert cells.loc["two", "value"] < 0.1
    assert cells.loc["two", "splits"] == "official"
    assert cells.loc["number", "error"] == "rmse"
    assert list(cells.index) == ["two", "number"]
    said = capsys.readouterr().err
    assert "large: 2,600 rows, left out" in said
    assert "absent: neither absent.arff nor absent.csv" in said
    assert "| two | 90 | official | 1 - roc_auc |" in (tmp_path / "page.md").read_text()
    tabarena.main([*arguments, "--repeats", "2"])  # goes on
    cells = pd.read_csv(out)
    assert len(cells) == 2 + 6
    assert not cells.duplicated(tabarena.KEYS).any()


def test_official_splits_are_taken_row_by_row(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = tabarena.read(next(tabarena.read_tasks(tmp_path).itertuples()))
    found = list(tabarena.splits(data, tmp_path / "7_splits.arff", 10))
    assert [(repeat, fold) for repeat, fold, _, _ in found] == [(0, 0), (0, 1)]
    assert found[1][3].tolist() == list(range(1, 90, 2))
    assert len(list(tabarena.splits(data, tmp_path / "none_splits.arff", 10))) == 30


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"There is no .*tasks\.csv"):
        tabarena.main([str(tmp_path)])
    (tmp_path / "tasks.csv").write_text("name,target\nabsent,y\n")
    with pytest.raises(SystemExit, match="None of the tables"):
        tabarena.main([str(tmp_path)])
