"""The runtime on small models that hold the contract: predictions, their CSV, and what is said of bad input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from tiny_models import tiny_model

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.runtime.predict import predict
from modelgpt_cli.runtime.session import Model

COLUMNS = {"size": "numeric", "seen": "datetime", "colour": "categorical"}
LABELS = ["no, never", "yes"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier: 'yes' where size is positive, or the colour red."""
    return tiny_model(
        tmp_path / "model.onnx",
        COLUMNS,
        labels=LABELS,
        bias=[0.5, 0.0],
        weight={"size": [0, 1], "colour": [0, 10]},
        levels={"colour": ["red"]},
    )


@pytest.fixture
def regressor(tmp_path: Path) -> Path:
    """Twice the size, plus the day."""
    return tiny_model(tmp_path / "regressor.onnx", COLUMNS, weight={"size": [2], "seen": [1]}, bias=[0.1])


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def probability_of_yes(score: float) -> float:
    return float(1 / (1 + np.exp(0.5 - score)))


def test_rows_keep_their_order_over_chunks_and_labels_are_quoted(model: Path, tmp_path: Path) -> None:
    size = np.random.default_rng(0).normal(size=300).round(4)
    data = write(tmp_path / "d.csv", "size,seen,colour\n" + "".join(f"{s},2020-01-01,blue\n" for s in size))
    done = predict(model, data, output=tmp_path / "p.csv", proba=True, chunk_rows=7)
    out = pd.read_csv(tmp_path / "p.csv")
    assert done.rows == 300
    assert list(out) == ["label", "probability_no, never", "probability_yes"]
    assert out.label.tolist() == ["yes" if s > 0.5 else "no, never" for s in size]
    np.testing.assert_allclose(out.probability_yes, 1 / (1 + np.exp(0.5 - size)), atol=2e-7)


def test_missing_cells_unseen_levels_and_further_columns(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "d.csv", "more,colour,target,seen,size\n1,red,x,,\n2,mauve,x,,?\n3,,x,,1e308\n")
    done = predict(model, data)
    assert done.label is not None
    assert done.label.tolist() == ["yes", "no, never", "yes"]
    assert done.probabilities is not None
    assert np.isfinite(done.probabilities).all()


def test_regression_writes_numbers_that_read_back_exactly(regressor: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "d.csv", "size,seen,colour\n0.1,1970-01-11,x\n,1970-01-02,\n")
    predict(regressor, data, output=tmp_path / "p.csv")
    out = pd.read_csv(tmp_path / "p.csv")
    direct = predict(regressor, data).prediction
    assert list(out) == ["prediction"]
    assert direct is not None
    np.testing.assert_array_equal(out.prediction.to_numpy(np.float32), direct)
    np.testing.assert_allclose(direct, [10.3, 1.1], rtol=1e-6)


def test_a_frame_gives_what_its_file_gives(model: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": [3.0, np.nan], "seen": pd.to_datetime(["2020-01-01", None]), "colour": ["red", None]})
    frame.to_csv(tmp_path / "d.csv", index=False)
    a, b = predict(model, frame), predict(model, tmp_path / "d.csv")
    np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_a_missing_column_warns_and_most_missing_fail(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = predict(model, write(tmp_path / "a.csv", "size,colour\n1,x\n"))
    assert done.label is not None
    assert done.label.tolist() == ["yes"]
    assert "1 column of the model is missing, read as empty cells: seen" in caplog.text
    with pytest.raises(ModelGPTError, match="lacks 2 of the model's 3 columns: seen, colour"):
        predict(model, write(tmp_path / "b.csv", "size,hue\n1,x\n"))


def test_a_failure_leaves_the_destination_alone(model: Path, tmp_path: Path) -> None:
    before = write(tmp_path / "p.csv", "precious")
    data = write(tmp_path / "d.csv", "size,seen,colour\n1,,a\n1,,a,too,many\n")
    with pytest.raises(UsageError, match="already exists"):
        predict(model, data, output=before)
    with pytest.raises(ModelGPTError):
        predict(model, data, output=before, force=True)
    assert before.read_text() == "precious"
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "d.csv", "p.csv"}


def test_run_takes_plain_arrays_and_lists(model: Path) -> None:
    loaded = Model(model, threads=1)
    out = loaded.run({"size": [0, 1], "colour": np.array([None, "red"], object)})
    assert out["label"].tolist() == ["no, never", "yes"]
    assert out["probabilities"].dtype == np.float32
    assert out["probabilities"][1, 1] == pytest.approx(probability_of_yes(11.0))
    with pytest.raises(UsageError, match="differ in length"):
        loaded.run({"size": [0, 1], "colour": ["red"]})
    with pytest.raises(UsageError, match="'size' must hold numbers"):
        loaded.run({"size": ["tall"]})
    with pytest.raises(UsageError, match="None of the model's columns"):
        loaded.run({"hue": ["red"]})


def test_long_arrays_are_scored_whole(model: Path) -> None:
    size = np.random.default_rng(0).normal(size=300_000)
    out = Model(model).run({"size": size})
    np.testing.assert_allclose(out["probabilities"][:, 1], 1 / (1 + np.exp(0.5 - size)), atol=1e-6)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def _foreign(path: Path) -> None:
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)


def _card(path: Path, change: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(path)
    card = {**json.loads(model.metadata_props[0].value), **change}
    onnx.helper.set_model_props(model, {"modelgpt": json.dumps({k: v for k, v in card.items() if v is not None})})
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.unlink(), "There is no file"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (_truncated, "not a model that onnxruntime can load"),
        (_noise, "not a model that onnxruntime can load"),
        (_foreign, "was not made by modelgpt"),
        (lambda p: _card(p, {"format": 1}), "has format 1; this modelgpt reads format 2"),
        (lambda p: _card(p, {"format": None}), "is damaged"),
        (lambda p: _card(p, {"target": None}), "'target'] is missing"),
        (lambda p: _card(p, {"inputs": [{"name": "size", "type": "numeric"}]}), "not those that its card names"),
        (lambda p: p.write_bytes((2).to_bytes(8, "little") + b"{}"), "modelgpt export"),
    ],
)
def test_a_file_that_is_no_usable_model_is_one_clear_error(model: Path, spoil: Any, words: str) -> None:
    spoil(model)
    with pytest.raises(ModelGPTError) as caught:
        Model(model)
    assert words in str(caught.value)


def test_stdin_to_stdout_without_torch(model: Path) -> None:
    code = (
        "import sys; from modelgpt_cli.cli import main\n"
        f"code = main(['predict', {str(model)!r}, '-'])\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'openai', 'onnx', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="size;seen;colour\n2;;\n-2;;red\n-2;;\n", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(io.StringIO(done.stdout)).label.tolist() == ["yes", "yes", "no, never"]


def test_importing_the_runtime_does_not_import_torch() -> None:
    code = (
        "import sys, pkgutil, importlib, modelgpt_cli.runtime as r\n"
        "for m in pkgutil.iter_modules(r.__path__): importlib.import_module('modelgpt_cli.runtime.' + m.name)\n"
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn', 'openai', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_throughput_has_a_floor(tmp_path: Path) -> None:
    """Fourteen columns, eight of them strings, as in Adult; a coarse floor, in the process's own time."""
    names = {f"n{k}": "numeric" for k in range(6)} | {f"c{k}": "categorical" for k in range(8)}
    wide = tiny_model(tmp_path / "wide.onnx", names, labels=["a", "b"], weight={"n0": [0, 1]})
    row = ",".join(["39"] * 6 + ["some-level"] * 8)
    data = write(tmp_path / "d.csv", ",".join(names) + "\n" + f"{row}\n" * 100_000)
    start = time.process_time()
    assert predict(wide, data, output=tmp_path / "p.csv", proba=True).rows == 100_000
    assert time.process_time() - start < 4


@pytest.mark.parametrize("weight", [np.nan, np.inf])
@pytest.mark.parametrize("labels", [(), ("no", "yes")])
def test_answers_that_are_no_numbers_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, weight: float, labels: tuple[str, ...]
) -> None:
    model = tiny_model(
        tmp_path / "m.onnx", {"x": "numeric"}, labels=labels, weight={"x": [weight] * (len(labels) or 1)}
    )
    predict(model, {"x": [1.0, 2.0]})
    assert [r.message for r in caplog.records if "no finite numbers" in r.message] == [
        "2 rows have answers that are no finite numbers: the model or its input is broken."
    ]


def test_numbers_in_float64_are_written_in_full(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"x": "numeric"}, weight={"x": [1.0]})
    proto = onnx.load(model)
    proto.graph.node[-1].output[0] = "single"
    proto.graph.node.append(onnx.helper.make_node("Cast", ["single"], ["double"], to=onnx.TensorProto.DOUBLE))
    proto.graph.node.append(onnx.helper.make_node("Add", ["double", "offset"], ["prediction"]))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1e9), "offset"))
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(proto, model)
    assert predict(model, {"x": [0.25]}).prediction.tolist() == [1e9 + 0.25]
    predict(model, {"x": [0.25]}, output=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "prediction\n1000000000.25\n"
