"""Tables in memory: the same answers as from a file, by every verb, and one clear error for anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from tiny_models import tiny_model

from modelgpt_cli import build, describe, evaluate, export, generate, predict, tune
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.requirement_generator.requirement_file import read_requirement
from modelgpt_cli.runtime.feed import open_source
from modelgpt_cli.runtime.session import Model

ROWS = 90


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """Numbers, whole numbers with gaps, categories, yes or no, days, and a class that follows from them."""
    rng = np.random.default_rng(0)
    size, colour = rng.normal(size=ROWS), rng.choice(["red", "green", "blue"], ROWS)
    frame = pd.DataFrame(
        {
            "size": size,
            "count": pd.array(rng.integers(0, 1000, ROWS), dtype="Int64"),
            "colour": pd.Categorical(colour),
            "sold": rng.random(ROWS) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, ROWS), unit="D"),
            "price": np.where(size + (colour == "red") > 0.4, "high", "low"),
        },
        index=np.arange(ROWS)[::-1] * 2,
    )
    frame.iloc[::10, 0] = np.nan
    frame.iloc[5::10, 1] = pd.NA
    return frame


def forms(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """The same table from a file and in memory."""
    path = folder / "table.csv"
    frame.assign(sold=frame["sold"].map({True: "true", False: "false"})).to_csv(path, index=False)
    return {
        "csv": path,
        "frame": frame,
        "dict": {name: frame[name] for name in frame},
        "lists": {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame},
        "records": frame.astype(object).where(frame.notna(), None).to_dict("records"),
    }


def probabilities(model: Path, data: Any) -> np.ndarray:
    """Return what a model predicts, (N, C)."""
    found = predict(model, data).probabilities
    assert found is not None
    return found


def test_the_same_table_gives_the_same_model_and_answers_in_any_form(mixed: pd.DataFrame, tmp_path: Path) -> None:
    given = forms(mixed, tmp_path)
    options: dict[str, Any] = {"target": "price", "one_pass": True, "seed": 1}
    built = {name: build(data, output=tmp_path / f"{name}.onnx", **options).path for name, data in given.items()}
    first = probabilities(built["csv"], given["csv"])
    measured = evaluate(built["csv"], given["csv"]).metrics
    assert measured["accuracy"] is not None
    assert measured["accuracy"] > 0.8
    for name, data in given.items():
        for model in (built["csv"], built[name]):
            np.testing.assert_allclose(probabilities(model, data), first, atol=1e-6, err_msg=name)
            assert evaluate(model, data).metrics == pytest.approx(measured, abs=1e-6), name
    kept = {name: read_requirement(tmp_path / f"{name}.req.txt") for name in given}
    assert kept["csv"].data == str(tmp_path / "table.csv")
    assert {requirement.data for name, requirement in kept.items() if name != "csv"} == {None}
    assert "data:" not in (tmp_path / "frame.req.txt").read_text()
    assert "each row of the table by price" in kept["frame"].sentence


def test_yes_and_no_are_read_as_the_model_spells_them(mixed: pd.DataFrame, tmp_path: Path) -> None:
    plain = mixed.assign(sold=mixed["sold"].map({True: "True", False: "False"}))  # as pandas writes CSV
    for built, other in ((mixed, plain), (plain, mixed)):
        model = build(built, target="price", output=tmp_path / "m.onnx", one_pass=True, force=True).path
        np.testing.assert_array_equal(probabilities(model, built), probabilities(model, other))


def test_an_array_of_numbers_has_columns_by_number(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    array = np.column_stack([X, y])
    frame = pd.DataFrame(array, columns=["x0", "x1", "x2", "x3", "x4"])
    models = [
        build("Tell three irises apart.", data, target="x4", output=tmp_path / f"{i}.onnx", one_pass=True).path
        for i, data in enumerate((array, frame))
    ]
    answers = [probabilities(model, data) for model in models for data in (array, frame, X)]
    for found in answers[1:]:
        np.testing.assert_allclose(found, answers[0], atol=1e-6)
    assert evaluate(models[0], array)["accuracy"] == evaluate(models[1], frame)["accuracy"]


def test_tune_and_export_and_describe_take_a_frame(tmp_path: Path) -> None:
    frame = load_iris(as_frame=True).frame
    found = describe(frame, output=tmp_path / "req.txt")
    assert found.requirement.data is None
    model = build(tmp_path / "req.txt", frame, output=tmp_path / "m.safetensors", one_pass=True).path
    report = tune(model, data=frame, output=tmp_path / "tuned.safetensors", epochs=1)
    assert report.rows == 150
    written = export(model, output=tmp_path / "m.onnx", quantize="int8", data=frame.to_dict("list"))
    assert written.before["accuracy"] is not None
    assert "petal length" in str(
        generate(found.requirement, n=6, data=frame, output=tmp_path / "a.csv", dry_run=True).prompt
    )


def test_the_first_frame_is_named_once(tmp_path: Path) -> None:
    frame = load_iris(as_frame=True).frame
    with pytest.raises(UsageError, match="the table and the table both are data"):
        build(frame, frame, output=tmp_path / "m.onnx")


def test_the_fingerprint_is_of_the_cells(mixed: pd.DataFrame, tmp_path: Path) -> None:
    given = forms(mixed, tmp_path)
    prints = {name: open_table(data).fingerprint() for name, data in given.items() if name != "csv"}
    assert len(set(prints.values())) == 1
    assert prints["frame"].startswith("sha256:")
    assert len(prints["frame"]) == 71
    other = mixed.copy()
    other.iloc[3, 0] += 1
    assert open_table(other).fingerprint() != prints["frame"]
    assert open_table(mixed.rename(columns={"size": "length"})).fingerprint() != prints["frame"]


def test_cells_are_read_as_from_parquet(mixed: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    mixed.to_parquet(path)
    before = mixed.copy()
    from_file, in_memory = load_dataset(path, target="price"), load_dataset(mixed, target="price")
    assert in_memory.schema == from_file.schema
    pd.testing.assert_frame_equal(in_memory.sample, from_file.sample)
    assert (in_memory.name, in_memory.path) == ("the table", None)
    pd.testing.assert_frame_equal(mixed, before)  # it is the user's
    frames = list(open_table(mixed).frames(40, ["day", "size"]))
    assert [len(frame) for frame in frames] == [40, 40, 10]
    assert list(frames[0]) == ["day", "size"]


def test_texts_are_predicted_from_a_plain_list(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("said\nhello\n")
    model = Model(tiny_model(tmp_path / "m.onnx", {"said": "text"}, labels=["x", "y"]))
    chunk = next(open_source(model, ["hello there", "good morning", None][:2]).chunks(10))
    assert chunk.columns["said"].tolist() == ["hello there", "good morning"]
    chunk = next(open_source(model, [str(tmp_path / "texts.csv")]).chunks(10))
    assert chunk.columns["said"].tolist() == ["hello"]
    with pytest.raises(UsageError, match="Several files"):
        open_source(model, ["one.csv", "two.csv"])


VERBS: dict[str, Callable[[Any, Path, Path], Any]] = {
    "build": lambda data, model, folder: build("Tell a from b.", data, output=folder / "out.onnx"),
    "build from data": lambda data, model, folder: build(data, output=folder / "out.onnx"),
    "describe": lambda data, model, folder: describe(data),
    "predict": lambda data, model, folder: predict(model, data),
    "evaluate": lambda data, model, folder: evaluate(model, data),
    "open_table": lambda data, model, folder: open_table(data),
}


@pytest.mark.parametrize("verb", VERBS)
def test_anything_else_is_one_clear_error(verb: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric", "b": "numeric"}, labels=["x", "y"])
    odd: list[tuple[Any, str]] = [
        (3, "read from a int"),
        ((row for row in [{"a": 1}]), "read from a generator"),
        ([], "an empty list"),
        (np.zeros(3), r"array of shape \(3,\)"),
        (np.array([["a", "b"]]), "array of shape"),
        ({"a": 1, "b": 2}, "column 'a' is a int"),
        ({"a": [1], "b": [1, 2]}, "differ in length"),
    ]
    if verb != "build":  # there no data are given
        odd.append((None, "read from a NoneType"))
    for data, message in odd:
        with pytest.raises(UsageError, match=message):
            VERBS[verb](data, model, tmp_path)
    assert not (tmp_path / "out.onnx").exists()


def test_what_is_amiss_with_a_frame_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="duplicate column names: a"):
        open_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ModelGPTError, match="no columns"):
        open_table(pd.DataFrame())
    with pytest.raises(ModelGPTError, match="one column only"):
        load_dataset({"a": [1, 2, 3]})
