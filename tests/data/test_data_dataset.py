"""The dataset: typing, target, classes, sample and errors, on generated tables and on the real ones."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.typing import read_types, typed
from modelgpt_cli.requirement_generator.profile import profile

REAL = ROOT.parent / "shared" / "data" / "tabular" / "paper10"


def write(path: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def types_of(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.type for column in dataset.schema.columns}


def column_of(dataset: Dataset, name: str) -> Column:
    return next(column for column in dataset.schema.columns if column.name == name)


N = 60
Y = ["a", "b", "b"] * 20


def test_types_of_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write(
        tmp_path / "t.csv",
        customer_id=rng.permutation(10_000)[:N],
        row=range(1, N + 1),
        code=[f"K{i:05d}" for i in range(N)],
        age=rng.integers(18, 90, N),
        flag=rng.integers(0, 2, N),
        smoker=["Yes", "No"] * 30,
        colour=["red ", " blue", "green"] * 20,
        born=[f"19{i + 20}-03-0{i % 9 + 1}" for i in range(N)],
        month=[f"20{i:02d}-05" for i in range(N)],
        seen=[f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2024 10:30" for i in range(N)],
        same=["x"] * N,
        nothing=[None] * N,
        said=[f"this is what person {i} told us about it" for i in range(N)],
        big=[f"{i},{i + 100:03d},000" for i in range(1, N + 1)],
        only=["seen", None] * 30,
        target=Y,
    )
    dataset = load_dataset(path)
    assert types_of(dataset) == {
        "customer_id": "identifier",
        "row": "identifier",
        "code": "identifier",
        "age": "numeric",
        "flag": "numeric",
        "smoker": "boolean",
        "colour": "categorical",
        "born": "datetime",
        "month": "datetime",
        "seen": "datetime",
        "same": "constant",
        "nothing": "constant",
        "said": "text",
        "big": "numeric",
        "only": "categorical",
    }
    assert column_of(dataset, "colour").levels == ("blue", "green", "red")
    assert all(column.note for column in dataset.schema.dropped)
    sample = dataset.sample
    assert list(sample.columns) == [*(column.name for column in dataset.schema.used), "target"]
    assert sample["big"].iloc[0] == 1_101_000
    assert sample["born"].iloc[0] == (pd.Timestamp("1920-03-01") - pd.Timestamp("1970-01-01")).days
    expected = (pd.Timestamp("2024-02-02 10:30") - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    assert sample["seen"].iloc[1] == pytest.approx(expected)  # day first: days beyond 12 leave no other reading
    assert column_of(dataset, "seen").reading.format == "%d/%m/%Y %H:%M"
    assert column_of(dataset, "only").missing == 0.5
    assert sample["only"].iloc[1] is None


def test_year_and_small_tables_are_not_taken_for_ids(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "t.csv", year=range(1960, 1990), x=range(0, 60, 2), y=np.arange(30) / 7))
    assert types_of(dataset) == {"year": "numeric", "x": "numeric"}
    assert dataset.schema.task == "regression"
    small = load_dataset(write(tmp_path / "s.csv", x=[1, 2], name=["ann", "bob"], target=["a", "b"]))
    assert types_of(small) == {"x": "numeric", "name": "categorical"}
    assert small.n_rows == 2


def test_more_levels_than_kept(tmp_path: Path) -> None:
    levels = [f"v{i}" for i in range(100) for _ in range(3)] + ["v7"] * 5
    dataset = load_dataset(write(tmp_path / "t.csv", c=levels, target=(["a", "b"] * 200)[: len(levels)]))
    column = column_of(dataset, "c")
    assert (column.type, column.n_levels, len(column.levels), column.levels[0]) == (
        "categorical",
        100,
        MAX_LEVELS,
        "v7",
    )


def test_text_in_a_numeric_column_is_counted_and_missing(tmp_path: Path) -> None:
    values = [f"{i}.5" for i in range(100_000)]
    values[99_000] = "oops"
    path = write(tmp_path / "t.csv", x=values, target=["a", "b"] * 50_000)
    dataset = load_dataset(path, sample_rows=1000)
    assert types_of(dataset) == {"x": "numeric"}
    assert any("'x'" in warning and "1 cell" in warning for warning in dataset.warnings)
    assert sum(int(frame["x"].isna().sum()) for frame in dataset.frames()) == 1


def test_mixed_column_with_much_text_is_categorical(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "t.csv", doors=["2", "3", "4", "5more"] * 15, target=Y))
    assert types_of(dataset) == {"doors": "categorical"}


def test_unknown_as_a_word_for_missing(tmp_path: Path) -> None:
    cells = [str(i) if i % 6 else "unknown" for i in range(N)]
    dataset = load_dataset(write(tmp_path / "t.csv", x=cells, target=Y))
    assert types_of(dataset) == {"x": "numeric"}
    assert "10 cells that are no number (such as 'unknown')" in dataset.warnings[0]
    assert column_of(dataset, "x").missing == pytest.approx(1 / 6, abs=1e-5)


def test_infinite_and_huge_values_are_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", x=["inf", "-inf", "1e308", *map(str, range(57))], target=Y)
    dataset = load_dataset(path)
    assert dataset.sample["x"].iloc[:3].tolist() == [3e38, -3e38, 3e38]
    assert np.isfinite(dataset.sample["x"].to_numpy(np.float32)).all()
    assert "3 infinite or huge values" in dataset.warnings[0]


def test_typed_frame_is_the_same_for_all_formats(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "n": [1.5, None, 3.0] * 20,
            "k": pd.array([1, None, 3] * 20, dtype="Int64"),
            "b": [True, False, True] * 20,
            "c": pd.Categorical(["u", None, "v"] * 20),
            "d": pd.to_datetime(["2024-01-31", None, "2024-02-01 12:00"] * 20, format="ISO8601"),
            "target": Y,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True, date_format="iso")
    frame.assign(b=frame["b"].map({True: "true", False: "false"})).to_csv(tmp_path / "t.csv", index=False)
    loaded = {suffix: load_dataset(tmp_path / f"t.{suffix}") for suffix in ("parquet", "xlsx", "jsonl", "csv")}
    for suffix, dataset in loaded.items():
        assert types_of(dataset) == {
            "n": "numeric",
            "k": "numeric",
            "b": "boolean",
            "c": "categorical",
            "d": "datetime",
        }, suffix
        pd.testing.assert_frame_equal(dataset.sample, loaded["parquet"].sample)
        assert dataset.sample["b"].iloc[0] == "true"
        assert dataset.sample["d"].iloc[2] == 19754.5
    as_level = typed(frame, [Column("k", "categorical"), Column("n", "categorical"), Column("gone", "numeric")])
    assert as_level["k"].tolist()[:3] == ["1", None, "3"]
    assert as_level["n"].tolist()[:3] == ["1.5", None, "3"]
    assert as_level["gone"].isna().all()
    assert as_level["k"].dtype == object


def test_target_by_name_then_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="modelgpt"):
        assert load_dataset(write(tmp_path / "t.csv", Label=Y, x=range(0, 120, 2))).schema.target == "Label"
        assert load_dataset(write(tmp_path / "t.csv", x=range(0, 120, 2), kind=Y)).schema.target == "kind"
    assert "by its name" in caplog.text
    assert "the last column" in caplog.text


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["1.0", "2", "10"] * 20, "classification", ("1", "2", "10")),
        (["007", "010", "010"] * 20, "classification", ("007", "010")),
        (["b", "a", "10"] * 20, "classification", ("10", "a", "b")),
        ([str(i % 20) for i in range(N)], "classification", tuple(str(i) for i in range(20))),
        ([str(i % 21) for i in range(N)], "regression", ()),
        (["0.5", "1", "2"] * 20, "regression", ()),
        (["True", "False", "True"] * 20, "classification", ("False", "True")),
    ],
)
def test_task_and_classes(tmp_path: Path, values: list[str], task: str, classes: tuple[str, ...]) -> None:
    dataset = load_dataset(write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=values))
    assert (dataset.schema.task, dataset.schema.classes) == (task, classes)
    assert tuple(dataset.class_counts) == classes
    assert dataset.sample["target"].dtype == (object if classes else np.float64)


def test_task_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=[str(i % 3) for i in range(N)])
    assert load_dataset(path, task="regression").sample["target"].tolist()[:3] == [0.0, 1.0, 2.0]
    words = write(tmp_path / "w.csv", x=np.arange(N) ** 2, target=Y)
    with pytest.raises(UsageError, match="nothing to regress"):
        load_dataset(words, task="regression")


def test_labels_that_differ_in_writing(tmp_path: Path) -> None:
    labels = ["<=50K", "<=50K.", ">50K", "<=50k", "<=50K", ">50K."] * 10
    path = write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=labels)
    apart = load_dataset(path)
    assert len(apart.schema.classes) == 5
    assert any("--merge-labels" in warning for warning in apart.warnings)
    merged = load_dataset(path, merge_labels=True)
    assert merged.class_counts == {"<=50K": 40, ">50K": 20}
    assert set(merged.sample["target"]) == {"<=50K", ">50K"}
    assert not merged.warnings
    assert sum(len(frame) for frame in merged.frames()) == N


def test_rows_without_target_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=["a", None, "b"] * 20)
    dataset = load_dataset(path)
    assert dataset.n_rows == 40
    assert "Skipped 20 of 60 rows" in dataset.warnings[0]
    assert [len(frame) for frame in dataset.frames(rows=30)] == [20, 20]
    numbers = write(tmp_path / "r.csv", x=np.arange(N) ** 2, target=["inf", "word", *(str(i + 0.5) for i in range(58))])
    dataset = load_dataset(numbers)
    assert (dataset.n_rows, len(dataset.sample)) == (58, 58)
    assert "Left out 2 rows" in dataset.warnings[0]


def test_sample_is_stratified_and_repeatable(tmp_path: Path) -> None:
    n = 150_000
    labels = np.sort(np.where(np.arange(n) < 5, "rare", np.where(np.arange(n) < 30_000, "some", "often")))
    path = write(tmp_path / "t.csv", x=np.arange(n) * 3, target=labels)
    dataset = load_dataset(path, sample_rows=2000, seed=1)
    counts = dataset.sample["target"].value_counts()
    assert len(dataset.sample) == 2000
    assert counts["rare"] == 5
    assert counts["some"] == pytest.approx(400, abs=60)
    assert dataset.sample["x"].is_monotonic_increasing
    often = dataset.sample.loc[dataset.sample["target"] == "often", "x"]
    whole = np.arange(n)[labels == "often"] * 3
    assert often.mean() == pytest.approx(whole.mean(), rel=0.05)  # from all of the class, not its beginning
    pd.testing.assert_frame_equal(dataset.sample, load_dataset(path, sample_rows=2000, seed=1).sample)
    assert not dataset.sample.equals(load_dataset(path, sample_rows=2000, seed=2).sample)
    assert dataset.class_counts == {"often": 120_000, "rare": 5, "some": 29_995}


def test_small_table_is_its_own_sample(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=Y))
    pd.testing.assert_frame_equal(dataset.sample, pd.concat(dataset.frames(rows=7), ignore_index=True))
    assert dataset.sample["x"].tolist() == [float(i * i) for i in range(N)]


def test_fingerprint_is_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", x=np.arange(N) ** 2, target=Y)
    assert load_dataset(path).fingerprint == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_requirement_fixes_columns_and_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", a=[0, 1, 2] * 20, b=range(0, 120, 2), c=["u", "v", "w"] * 20, target=Y)
    wanted = [Column("c", "categorical", "a letter"), Column("a", "categorical")]
    dataset = load_dataset(path, columns=wanted, classes=["b", "a"])
    assert types_of(dataset) == {"a": "categorical", "c": "categorical"}
    assert column_of(dataset, "c").description == "a letter"
    assert column_of(dataset, "a").levels == ("0", "1", "2")
    with pytest.raises(UsageError, match=r"lacks columns that the requirement names: zz\."):
        load_dataset(path, columns=[*wanted, Column("zz", "numeric")])
    with pytest.raises(UsageError, match="said to be numeric"):
        load_dataset(path, columns=[Column("c", "numeric")])
    with pytest.raises(UsageError) as caught:
        load_dataset(path, classes=["a", "z"])
    assert "'b'" in caught.value.cause
    assert "'z'" in caught.value.cause


def test_types_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row=range(1, N + 1), a=[0, 1, 2] * 20, target=[1, 2, 3] * 20)
    types = tmp_path / "types.yaml"
    types.write_text("row: numeric\na: categorical\ntarget: numeric\n")
    dataset = load_dataset(path, types=types)
    assert types_of(dataset) == {"row": "numeric", "a": "categorical"}
    assert dataset.schema.task == "regression"
    types.write_text("rwo: numeric\n")
    with pytest.raises(UsageError, match="no column 'rwo'") as caught:
        load_dataset(path, types=types)
    assert "row" in caught.value.hint
    for text, words in (
        ("row: number", "'number' is not a type"),
        ("- row", "holds no columns"),
        ("a: [", "valid YAML"),
    ):
        types.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_types(types)
    with pytest.raises(UsageError, match="can't be read"):
        read_types(tmp_path / "none.yaml")


BAD = {
    "header only": ("a,b,target\n", {}, "no rows"),
    "one column": ("a\n1\n2\n", {}, "one column only"),
    "one row": ("a,target\n1,x\n", {}, "one row"),
    "one class": ("a,target\n1,x\n2,x\n3,x\n", {}, "one class only: 'x'"),
    "one value": ("a,target\n1,2.5\n2,2.5\n", {}, "is 2.5 in every row"),
    "target missing": ("a,target\n1,\n2,NA\n", {}, "empty in all 2 rows"),
    "no such target": ("age,target\n1,x\n2,y\n", {"target": "agee"}, "no target column 'agee'"),
    "id as target": ("a,name\n" + "".join(f"{i},n{i}\n" for i in range(50)), {}, "different value in each"),
    "nothing to learn from": ("a,target\n1,x\n1,y\n", {}, "no column to predict 'target' from"),
    "no such task": ("a,target\n1,x\n2,y\n", {"task": "clustering"}, "no task 'clustering'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_say_so(tmp_path: Path, case: str) -> None:
    text, options, words = BAD[case]
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ModelGPTError) as caught:
        load_dataset(path, **options)
    assert words in caught.value.problem
    assert caught.value.hint


def test_header_that_is_data_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.3,0.3,setosa\n6.3,3.3,6.0,2.5,virginica\n")
    assert "looks like data" in load_dataset(path).warnings[0]


def test_wide_table(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(40, 300)).round(3)
    frame = pd.DataFrame(values, columns=[f"c{i}" for i in range(300)]).assign(target=["a", "b"] * 20)
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = load_dataset(tmp_path / "t.csv")
    assert len(dataset.schema.used) == 300
    assert dataset.sample["c299"].tolist() == pytest.approx(values[:, 299].tolist())


def test_profile_shows_few_cells_and_each_class(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        x=np.arange(N) / 7,
        when=[f"2024-01-{i % 28 + 1:02d}" for i in range(N)],
        said=["w" * 200, "short"] * 30,
        target=["often"] * 57 + ["rare"] * 2 + [None],
    )
    shown = profile(load_dataset(path), description="in my words", rows=4)
    assert shown.description == "in my words"
    assert shown.class_counts == {"often": 57, "rare": 2}
    assert len(shown.sample) == 4
    assert {row["target"] for row in shown.sample} == {"often", "rare"}
    assert max(len(cell) for row in shown.sample for cell in row.values()) <= 60
    assert all(row["when"].startswith("2024-01-") and len(row["when"]) == 10 for row in shown.sample)
    numbers = profile(load_dataset(path, target="x"), rows=3)
    assert numbers.target_range == pytest.approx((0, 59 / 14, 59 / 7))
    assert [row["x"] for row in numbers.sample][::2] == ["0", "8.42857"]


def test_data_does_not_import_torch() -> None:
    modules = "sys, modelgpt_cli.data.dataset, modelgpt_cli.requirement_generator.profile"
    code = f"import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize("card", sorted(REAL.glob("*.yaml"))[::2], ids=lambda path: path.stem)
def test_real_tables_agree_with_their_cards(card: Path) -> None:
    facts = yaml.safe_load(card.read_text(encoding="utf-8"))
    dataset = load_dataset(card.parent / facts["file"], target="target")
    assert dataset.n_rows == facts["n_rows"]
    assert dataset.schema.task == facts["task"]
    assert dataset.class_counts == {str(label): count for label, count in facts["target"]["classes"].items()}
    assert not dataset.warnings
    missing = sum(column.missing for column in dataset.schema.columns) * dataset.n_rows
    assert missing == pytest.approx(facts.get("n_missing_cells", 0), abs=0.5)
    for column, entry in zip(dataset.schema.columns, facts["columns"], strict=True):
        assert column.used
        if entry["type"] == "numeric":
            assert column.type == "numeric"
        else:  # integer codes can't be told from numbers by their values
            numeric = pd.to_numeric(pd.Series(column.levels, dtype=str), errors="coerce").notna().all()
            assert column.type in ("categorical", "boolean") or (column.type == "numeric" and numeric)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("iris", "iris"), ("data", "train"), ("Downloads", "train"), ("2024", "train"), ("anna", "train"), ("a/b", "b")],
)
def test_a_file_called_train_is_named_after_a_folder_that_says_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "anna"))
    (tmp_path / folder).mkdir(parents=True)
    assert load_dataset(write(tmp_path / folder / "train.csv", x=np.arange(N) / 7, y=Y)).name == name


def test_columns_that_are_no_inputs_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "t.csv", x=np.arange(N) / 7, same=["k"] * N, odd=np.arange(N) % 7, y=Y)
    with caplog.at_level("INFO", "modelgpt"):
        load_dataset(path, columns=[Column("x", "numeric")])
    assert "Left out of t.csv, as they are no inputs: same, odd." in caplog.messages
