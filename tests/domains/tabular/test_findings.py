"""What a build tells of a table that flatters its model, and of what it has decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli import build
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.shared.folds import ALIKE
from modelgpt_cli.domains.tabular.findings import describe_schema, inspect_table, whole_numbers
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.leaks import Inspection, find_copies
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor
from modelgpt_cli.domains.tabular.rows import table_arrays

N = 300


def plain(seed: int = 0) -> pd.DataFrame:
    """A table that there is nothing to say of."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(kind=rng.choice(list("uvw"), N))
    return frame.assign(y=np.where(x[:, 0] + rng.normal(size=N) > 0, "yes", "no"))


def arrays(frame: pd.DataFrame) -> tuple[TableArrays, TablePreprocessor, list[str]]:
    dataset = load_dataset(frame, target="y", domain="tabular")
    preprocessor = make_preprocessor(dataset.schema.columns, dataset.sample)
    table = table_arrays(dataset, preprocessor)
    found = inspect_table(table, preprocessor, dataset.schema, 0)[1]
    return table, preprocessor, [finding.text for finding in found if finding.serious]


def test_of_a_plain_table_nothing_is_said() -> None:
    for seed in range(3):
        assert arrays(plain(seed))[2] == []


@pytest.mark.parametrize("kind", ["category", "number", "copy of a number"])
def test_a_column_that_knows_the_target_is_named(kind: str) -> None:
    frame = plain()
    if kind == "category":
        frame["status"] = frame["y"].map({"yes": "paid", "no": "open"})
    elif kind == "number":
        frame["status"] = np.where(frame["y"] == "yes", 5.0, 1.0) + np.random.default_rng(1).random(N)
    else:
        frame["y"] = np.random.default_rng(1).normal(size=N)
        frame["status"] = 3 * frame["y"] + 7
    assert [line.split(" alone ")[0] for line in arrays(frame)[2]] == ["'status'"]


def test_nine_in_ten_is_no_leak() -> None:
    frame = plain()
    frame["status"] = frame["y"].where(np.random.default_rng(1).random(N) < 0.95, "open")
    assert arrays(frame)[2] == []


@pytest.mark.parametrize("by", ["numbers", "target"])
@pytest.mark.parametrize("coded", [False, True])
def test_groups_of_like_rows_are_named(by: str, coded: bool) -> None:
    rng = np.random.default_rng(0)
    frame = plain()
    patient = np.repeat(np.arange(30), 10)
    if by == "numbers":
        frame[["a", "b", "c"]] = rng.normal(size=(30, 3))[patient] + 0.05 * rng.normal(size=(N, 3))
    else:
        frame["y"] = np.where(rng.random(30) < 0.5, "yes", "no")[patient]
    frame["patient_id"] = patient if coded else [f"P{i}" for i in patient]
    assert any("--group patient_id" in line for line in arrays(frame)[2])


def test_a_category_of_many_levels_is_no_group() -> None:
    frame = plain().assign(city=np.random.default_rng(1).choice([f"c{i}" for i in range(40)], N))
    assert arrays(frame)[2] == []


def test_drift_in_time_is_told_and_white_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    day = pd.Series(pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"))
    walk = pd.DataFrame({"day": day, "a": rng.normal(size=N), "y": rng.normal(size=N).cumsum()})
    assert any("--time day" in line for line in arrays(walk.sample(frac=1, random_state=0))[2])
    assert arrays(plain().assign(day=day))[2] == []
    # What the other columns explain is no drift.
    explained = walk.assign(yesterday=walk["y"].shift(1).fillna(0), y=walk["y"])
    assert not any("--time" in line for line in arrays(explained)[2])


def test_copies_are_told_and_stay_together() -> None:
    frame = plain()
    doubled = pd.concat([frame, frame[:60]], ignore_index=True)
    table, _, lines = arrays(doubled)
    assert any(line.startswith("16.7% of the rows are copies") for line in lines)
    split, share = find_copies(table)
    assert split is not None
    assert split.kind == ALIKE
    assert share == pytest.approx(60 / 360)
    assert np.array_equal(split.keys[:60], split.keys[300:])
    assert split.n_groups == N


def test_copies_of_groups_make_no_leaks() -> None:
    frame = plain().drop(columns="kind")[:30].loc[np.repeat(np.arange(30), 10)].reset_index(drop=True)
    assert [line.split(" of the rows")[0] for line in arrays(frame)[2]] == ["90.0%"]
    lines = arrays(frame.assign(patient=[f"P{i // 10}" for i in range(N)]))[2]
    assert sum("--group patient" in line for line in lines) == 1
    assert not any("alone predicts" in line for line in lines)


def test_equal_rows_of_categories_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.choice(list("xy"), N), "b": rng.choice(list("uvw"), N), "y": rng.choice(["n", "j"], N)}
    )
    assert find_copies(arrays(frame)[0]) == (None, 0.0)


def test_few_rows_or_one_column_say_nothing() -> None:
    table, preprocessor, _ = arrays(plain().assign(status=lambda frame: frame["y"])[:20])
    assert Inspection(table, preprocessor).leaks() == []
    alone = pd.DataFrame({"x": np.arange(200) % 7 + 0.5, "y": np.arange(200) % 7 + 1.5})
    assert arrays(alone)[2] == []


def test_whole_numbers_are_told_to_be_classes_or_numbers() -> None:
    few = pd.DataFrame({"x": np.linspace(0, 1, 36), "y": 1000 * (np.arange(36) % 18)})
    schema = load_dataset(few, target="y", domain="tabular").schema
    (line,) = describe_schema(schema, (), 36)
    assert line.serious
    assert "18 different whole numbers" in line.text
    assert "'y: numeric'" in line.text
    digits = load_dataset(few.loc[few.index.repeat(10)].assign(y=np.arange(360) % 3), target="y", domain="tabular")
    assert [finding.serious for finding in describe_schema(digits.schema, (), 360)] == [False]
    assert describe_schema(load_dataset(plain(), target="y", domain="tabular").schema, (), N) == []
    assert "'y: categorical'" in whole_numbers(schema, [1.0, 2.0, 5.0])[0].text
    assert whole_numbers(schema, [1.0, 2.5]) == whole_numbers(schema, list(range(100))) == []


def test_a_build_keeps_its_findings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = plain().assign(status=lambda frame: frame["y"].str.upper(), code=[f"k{i}" for i in range(N)])
    report = build(frame, target="y", output=tmp_path / "m.onnx", members=1, offline=True, device="cpu")
    leak = next(note for note in report.notes if "'status' alone" in note)
    assert leak in caplog.messages
    assert any(note.startswith("No inputs: 'code'.") and "'code: categorical'" in note for note in report.notes)
