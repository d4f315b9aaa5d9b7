"""Generated rows in builds: marked, learned from, never an input, never what a model is judged by beside real ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Cli
from fake_llm import FakeLLM, Reply, Request, answer
from test_generate import TEXTS, Writer, targets

from modelgpt_cli.core.assets import asset
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.shared.head import LEAST_ROWS, head_folds
from modelgpt_cli.domains.shared.held_out import fold_of, held_out_rows, synthetic_note
from modelgpt_cli.domains.tabular.crossfit import cross_fit
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.generator import load_generator

REQUIREMENT = "Classify each row as a or b.\n---\ntarget: y\nclasses: [a, b]\ncolumns: {x: numeric, z: numeric}\n"


def table(path: Path, n: int, marked: int = 0, **columns: list[str]) -> Path:
    """A table whose x tells the class; the last rows are marked, and their x tells the contrary."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    mark = np.arange(n) >= n - marked
    x = np.where(mark, 1 - y, y) + rng.normal(0, 0.1, n)
    frame = pd.DataFrame({"x": x, "z": rng.normal(size=n), "y": np.where(y == 1, "a", "b")})
    if marked:
        frame["synthetic"] = np.where(mark, "true", "false")
    for name, cells in columns.items():
        frame[name] = cells
    frame.to_csv(path, index=False)
    return path


def test_the_mark_is_no_input_and_its_rows_are_known(tmp_path: Path) -> None:
    dataset = load_dataset(table(tmp_path / "t.csv", 60, 20))
    assert dataset.schema.target == "y"
    assert [column.name for column in dataset.schema.columns] == ["x", "z"]
    assert dataset.n_synthetic == 20
    assert dataset.synthetic is not None
    assert dataset.synthetic[-20:].all()
    assert len(dataset.real_rows) == 40


@pytest.mark.parametrize("cells", [["cotton", "wool"], ["0.5", "1.5"]])
def test_a_column_of_that_name_with_other_cells_is_a_column(tmp_path: Path, cells: list[str]) -> None:
    dataset = load_dataset(table(tmp_path / "t.csv", 40, synthetic=cells * 20), target="y")
    assert dataset.synthetic is None
    assert "synthetic" in [column.name for column in dataset.schema.used]


def test_a_types_file_makes_the_mark_a_column(tmp_path: Path) -> None:
    (tmp_path / "types.yaml").write_text("synthetic: boolean\n")
    dataset = load_dataset(table(tmp_path / "t.csv", 40, 10), target="y", types=tmp_path / "types.yaml")
    assert "synthetic" in [column.name for column in dataset.schema.used]
    assert dataset.synthetic is None


def test_marks_that_are_all_false_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    frame = pd.read_csv(table(path, 40))
    frame.assign(synthetic="false").to_csv(path, index=False)
    dataset = load_dataset(path)
    assert dataset.synthetic is None
    assert dataset.schema.target == "y"


def test_which_rows_may_be_held_out() -> None:
    marks = np.array([False] * 10 + [True] * 5)
    rows, told = held_out_rows(marks, 8)
    assert rows is not None
    assert (rows == ~marks).all()
    assert told
    assert held_out_rows(marks, 11) == (None, False)
    assert held_out_rows(np.ones(9, dtype=bool), 8) == (None, True)
    assert held_out_rows(np.zeros(9, dtype=bool), 8) == held_out_rows(None, 8) == (None, True)


def test_folds_have_no_row_that_may_not_be_held_out() -> None:
    rows = np.arange(40) < 30
    y = np.arange(40) % 3
    fold = fold_of(y, 3, 4, np.random.default_rng(0), rows)
    assert (fold[~rows] == -1).all()
    assert Counter(fold[rows].tolist()) == {0: 8, 1: 8, 2: 7, 3: 7}
    folds = head_folds(torch.eye(3)[torch.from_numpy(y)], False, 0, rows)
    assert folds is not None
    assert (folds.fold[~rows] == -1).all()
    assert (folds.fold[rows] >= 0).all()
    assert LEAST_ROWS <= 30


def test_a_table_is_judged_by_its_real_rows_alone() -> None:
    generator = load_generator(asset("weights", "tabular", "generator.safetensors"))[0]
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    marks = np.arange(80) >= 60
    x = np.stack([np.where(marks, 1 - y, y) + rng.normal(0, 0.1, 80), rng.normal(size=80)], 1).astype(np.float32)
    arrays = TableArrays(x, np.zeros((80, 0), np.int64), y, 2, (), synthetic=marks)
    checked = cross_fit(generator, arrays, members=4).checked
    assert checked is not None
    assert checked.rows == 60
    assert checked.index is not None
    assert (np.sort(checked.index) == np.arange(60)).all()
    assert all(np.isfinite(value) for metrics in checked.metrics.values() for value in metrics.values())
    assert checked.metrics["majority"]["accuracy"] == pytest.approx(max(y[:60].mean(), 1 - y[:60].mean()), abs=0.05)
    few = TableArrays(x[55:], arrays.codes[55:], y[55:], 2, (), synthetic=marks[55:])
    assert cross_fit(generator, few, members=4).checked is None


def test_the_note_says_what_the_metrics_are_of() -> None:
    assert synthetic_note(50, 20, True) == "20 of the 50 rows were generated; the metrics are of the real ones alone."
    assert synthetic_note(50, 20, False) == "20 of the 50 rows were generated."
    assert "of real ones nothing is known" in synthetic_note(20, 20, True)


class Numbers:
    """Rows of the table above, as an LLM might write them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)

    def __call__(self, request: Request) -> str:
        rows = []
        for label in targets(request):
            x, z = float(label == "a") + self.rng.normal(0, 0.1), self.rng.normal()
            rows.append({"x": round(x, 4), "z": round(z, 4), "y": label})
        return json.dumps({"rows": rows})


def test_a_build_from_generated_rows_alone_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(REQUIREMENT)
    with FakeLLM(Reply(write=Numbers())) as fake:
        done = cli(
            *("build", "--req", "req.txt", "--generate", "60", "-o", "m.onnx", "--members", "1", "--json"),
            env={"OPENAI_BASE_URL": fake.url},
        )
        assert done.returncode == 0, done.stderr
        assert len(fake.requests) == 3
    report = json.loads(done.stdout)
    assert report["metrics"]["model"]["accuracy"] > 0.9
    assert "All 60 rows were generated, and the metrics are of generated ones too" in done.stderr
    card = json.loads(cli("inspect", "m.onnx", "--json").stdout)
    assert card["provenance"]["data"]["synthetic"] == 60
    assert any("All 60 rows were generated" in note for note in card["notes"])
    assert [entry["name"] for entry in card["inputs"]] == ["x", "z"]
    rows = pd.read_csv(tmp_path / "m.generated.csv")
    assert rows["synthetic"].all()
    assert len(rows) == 60


def test_beside_real_rows_the_metrics_are_of_these_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(REQUIREMENT)
    table(tmp_path / "real.csv", 40)
    with FakeLLM(Reply(write=Numbers())) as fake:
        done = cli(
            *("build", "--req", "req.txt", "--data", "real.csv", "--generate", "30", "-o", "m.safetensors", "--json"),
            *("--members", "1", "--examples", "2"),
            env={"OPENAI_BASE_URL": fake.url},
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n_rows"] == 40
    assert "30 of the 70 rows were generated; the metrics are of the real ones alone." in report["notes"]
    assert fake.requests[0].messages[-1]["content"].count('"y": "') == 2


def test_texts_are_judged_by_real_ones_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(TEXTS)
    real = tmp_path / "real"
    for i in range(12):
        folder = real / ("complaint" if i % 2 else "praise")
        folder.mkdir(parents=True, exist_ok=True)
        word = "is broken and late" if i % 2 else "is great, thank you"
        (folder / f"{i}.txt").write_text(f"My order number {i} {word}.")
    with FakeLLM(Reply(write=Writer(text=True))) as fake:
        done = cli(
            *("build", "--req", "req.txt", "--data", "real", "--generate", "10", "-o", "m.safetensors", "--json"),
            env={"OPENAI_BASE_URL": fake.url},
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n_rows"] == 12
    assert "10 of the 22 rows were generated; the metrics are of the real ones alone." in report["notes"]


def test_a_build_that_gets_no_rows_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(REQUIREMENT)
    with FakeLLM(answer("no")) as fake:
        done = cli(
            *("build", "--req", "req.txt", "--generate", "60", "-o", "m.onnx"), env={"OPENAI_BASE_URL": fake.url}
        )
    assert done.returncode == 4
    assert "leave out --generate" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["req.txt"]
