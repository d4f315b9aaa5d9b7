"""``build`` from end to end with the shipped generator: how good, how repeatable, within which limits."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
from conftest import Cli

from modelgpt_cli import build, describe, evaluate, export, inspect, predict, tune
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError

SENTENCE = "Classify the species of an iris from the lengths and widths of its sepals and petals."


def written(folder: Path, text: str, name: str = "req.txt") -> Path:
    """A requirement file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def halves(table: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Two halves of a table, in random order, as CSV files."""
    mixed = table.sample(frac=1, random_state=1)
    paths = folder / "train.csv", folder / "test.csv"
    mixed.iloc[::2].to_csv(paths[0], index=False)
    mixed.iloc[1::2].to_csv(paths[1], index=False)
    return paths


# How good ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "metric", "floor"),
    [
        ("breast_cancer", "accuracy", 0.93),
        ("iris", "accuracy", 0.9),
        ("wine", "accuracy", 0.92),
        ("diabetes", "r2", 0.35),
    ],
)
def test_held_out_rows_are_predicted_well(name: str, metric: str, floor: float, tmp_path: Path) -> None:
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")(as_frame=True).frame
    if name != "diabetes":
        table["target"] = "class " + table["target"].astype(str)
    train, test = halves(table, tmp_path)
    describe(train, target="target", offline=True, output=tmp_path / "req.txt")
    report = build(tmp_path / "req.txt", output=tmp_path / "model.onnx")
    measured = evaluate(tmp_path / "model.onnx", test)[metric]
    assert measured is not None
    assert measured >= floor
    assert report.metrics["model"][metric] == pytest.approx(measured, abs=0.12)  # cross-validation is honest
    floor = report.metrics["mean" if metric == "r2" else "majority"]
    assert report.metrics["model"][metric] > floor[metric] + 0.2
    assert report.metrics["linear"][metric] > floor[metric]


# How repeatable ------------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes(iris_model: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(iris_model / "req.txt", output=tmp_path / f"{name}.onnx", members=1, seed=seed, device="cpu")
    one, two, other = ((tmp_path / f"{name}.onnx").read_bytes() for name in "abc")
    assert one == two
    assert one != other
    assert inspect(tmp_path / "c.onnx")["provenance"]["seed"] == 1


def test_members_make_the_model_larger_not_different_in_kind(iris_model: Path, tmp_path: Path) -> None:
    sizes = []
    for members in (1, 8):
        report = build(iris_model / "req.txt", output=tmp_path / f"{members}.onnx", members=members, device="cpu")
        sizes.append(report.size_bytes)
        assert evaluate(tmp_path / f"{members}.onnx", iris_model / "iris.csv")["accuracy"] >= 0.9
        assert inspect(tmp_path / f"{members}.onnx")["provenance"]["members"] == members
    assert 5 * sizes[0] < sizes[1] < 9 * sizes[0]


def test_safetensors_and_onnx_are_the_same_model(iris_model: Path, tmp_path: Path) -> None:
    export(iris_model / "model.safetensors", output=tmp_path / "exported.onnx")
    one = predict(iris_model / "model.onnx", iris_model / "iris.csv")
    two = predict(tmp_path / "exported.onnx", iris_model / "iris.csv")
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)


def test_one_pass_is_as_good_a_model_of_which_nothing_is_known(
    iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    requirement = written(tmp_path, SENTENCE)
    with caplog.at_level(logging.WARNING, "modelgpt"):
        report = build(requirement, data=iris_csv, output=tmp_path / "m.onnx", one_pass=True)
    assert report.metrics == {}
    assert report.card == "tabular-1"
    assert any("without cross-validation: nothing is known" in message for message in caplog.messages)
    assert evaluate(tmp_path / "m.onnx", iris_csv)["accuracy"] >= 0.9
    length = written(tmp_path, "Predict the petal length of an iris.\n---\ntarget: petal length (cm)\n", "length.txt")
    build(length, data=iris_csv, output=tmp_path / "n.onnx", one_pass=True, members=2)
    assert evaluate(tmp_path / "n.onnx", iris_csv)["r2"] >= 0.8
    assert inspect(tmp_path / "n.onnx")["provenance"]["members"] == 2


@pytest.mark.parametrize(("blocks", "options"), [("quality: {accuracy: 0.5}", {}), ("", {"coverage": 0.8})])
def test_one_pass_promises_nothing(blocks: str, options: dict[str, float], iris_csv: Path, tmp_path: Path) -> None:
    requirement = written(tmp_path, f"{SENTENCE}\n---\n{blocks}\n")
    with pytest.raises(UsageError, match="takes cross-validation, and --one-pass does without"):
        build(requirement, data=iris_csv, output=tmp_path / "m.onnx", one_pass=True, **options)


# What the command says -----------------------------------------------------------------------------------------------


def test_json_report(cli: Cli, iris_model: Path, tmp_path: Path) -> None:
    done = cli("build", "--req", iris_model / "req.txt", "--members", "1", "-o", "m.onnx", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["path"] == "m.onnx"
    assert report["size_bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert report["n_rows"] == 150
    assert report["data_used"] is True
    assert 0 < report["seconds"] < report["total_seconds"]
    assert set(report["metrics"]) == {"model", "linear", "majority"}
    assert report["metrics"]["majority"]["accuracy"] < 0.4 < 0.85 < report["metrics"]["model"]["accuracy"]


def test_result_goes_to_stdout_and_the_words_to_stderr(cli: Cli, iris_csv: Path, tmp_path: Path) -> None:
    written(tmp_path, SENTENCE + "\n")  # a bare sentence: the data say the rest
    (tmp_path / "more.txt").write_text("The flowers grew on the Gaspé peninsula.\n", encoding="utf-8")
    done = cli(
        "build", "--req", "req.txt", "--data", iris_csv, "-d", "@more.txt", "--members", "1", "-o", "m.onnx"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "m.onnx\n"
    assert "Cross-validated on 150 rows" in done.stderr
    assert "majority" in done.stderr
    assert "linear" in done.stderr
    card = inspect(tmp_path / "m.onnx")
    assert card["requirement"] == f"{SENTENCE} The flowers grew on the Gaspé peninsula."
    assert card["labels"] == ["setosa", "versicolor", "virginica"]
    assert next(i["name"] for i in card["inputs"]) == "sepal length (cm)"


def test_existing_model_stays_without_force(iris_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        build(iris_model / "req.txt", output=path, members=1)
    assert path.read_bytes() == b"mine"
    build(iris_model / "req.txt", output=path, members=1, force=True)
    assert path.stat().st_size > 1000


def test_other_endings_are_refused_before_any_work(iris_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.pkl"):
        build(iris_model / "req.txt", output=tmp_path / "model.pkl")


def test_changed_data_are_mentioned(iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    describe(iris_csv, target="species", offline=True, output=tmp_path / "req.txt")
    lines = iris_csv.read_text().splitlines(keepends=True)
    iris_csv.write_text("".join(lines[:-3]))
    with caplog.at_level(logging.WARNING, "modelgpt"):
        report = build(tmp_path / "req.txt", output=tmp_path / "m.onnx", members=1)
    assert any("data has changed" in note for note in report.notes)
    assert any("data has changed" in message for message in caplog.messages)


def test_unchanged_data_are_not(iris_model: Path, tmp_path: Path) -> None:
    assert build(iris_model / "req.txt", output=tmp_path / "m.onnx", members=1).notes == []


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "word"),
    [
        ("limits: {size: 10 kB}", "limits: size"),
        ("limits: {latency_ms: 0.0001}", "limits: latency_ms"),
        ("limits: {parameters: 100}", "limits: parameters"),
        ("limits: {flops: 100}", "limits: flops"),
        ("limits: {memory: 1 MB}", "limits: memory"),
        ("quality: {accuracy: 100%}", "quality: accuracy"),
        ("quality: {log_loss: 0.001}", "quality: log_loss"),
    ],
)
def test_missed_limit_writes_nothing(limit: str, word: str, iris_csv: Path, tmp_path: Path) -> None:
    requirement = written(tmp_path, f"{SENTENCE}\n---\n{limit}\n")
    before = set(tmp_path.iterdir())
    with pytest.raises(VerificationError, match="nothing was written") as caught:
        build(requirement, data=iris_csv, output=tmp_path / "m.onnx", members=1)
    assert caught.value.exit_code == 3
    assert f"{word} " in caught.value.cause
    assert re.search(r"best reached +by", caught.value.cause)
    assert set(tmp_path.iterdir()) == before


def test_kept_limits_are_reported(iris_csv: Path, tmp_path: Path) -> None:
    requirement = written(
        tmp_path,
        f"{SENTENCE}\n---\nlimits: {{size: 1MB, latency_ms: 500, parameters: 1M, flops: 5M, memory: 1GB}}\n"
        "quality: {accuracy: 80%, balanced_accuracy: 80%, f1: 0.8, roc_auc: 0.9, log_loss: 0.5}\n"
        "deploy: {opset: 15, runtime: onnxruntime-web}\n",
    )
    report = build(requirement, data=iris_csv, output=tmp_path / "m.onnx", members=1)
    metrics = {"accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"}
    assert set(report.limits) == {"size", "latency_ms", "latency_p95_ms", "parameters", "flops", "memory"} | metrics
    assert report.limits["latency_ms"] <= report.limits["latency_p95_ms"]
    assert report.limits["size"] == report.size_bytes == (tmp_path / "m.onnx").stat().st_size
    assert all(report.limits[name] == report.metrics["model"][name] for name in metrics)
    assert 0 < report.limits["latency_ms"] < 500
    card = inspect(tmp_path / "m.onnx")
    assert card["limits"]["size"] == "1 MB"
    assert card["quality"]["roc_auc"] == 0.9
    assert card["measured"] == report.limits
    assert card["deploy"] == {"opset": 15, "runtime": "onnxruntime-web"}


def test_a_regression_is_held_to_its_own_metrics(iris_csv: Path, tmp_path: Path) -> None:
    length = "Predict the petal length of an iris.\n---\ntarget: petal length (cm)\nquality: "
    requirement = written(tmp_path, length + "{r2: 0.8, mae: 0.5, rmse: 0.7}\n")
    report = build(requirement, data=iris_csv, output=tmp_path / "m.onnx", members=1)
    assert report.limits == {name: report.metrics["model"][name] for name in ("r2", "mae", "rmse")}
    requirement = written(tmp_path, length + "{accuracy: 90%}\n")
    with pytest.raises(UsageError, match="accuracy can't be measured on a regression"):
        build(requirement, data=iris_csv, output=tmp_path / "n.onnx", members=1)


def test_what_a_safetensors_file_cannot_be_held_to_is_said(
    iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    requirement = written(tmp_path, f"{SENTENCE}\n---\nlimits: {{size: 1MB, parameters: 1M}}\n")
    with caplog.at_level(logging.WARNING, "modelgpt"):
        build(requirement, data=iris_csv, output=tmp_path / "m.safetensors", members=1)
    assert any("size can be measured on a model.onnx only" in message for message in caplog.messages)


@pytest.mark.parametrize(("asked", "name"), [("onnx", "m.safetensors"), ("safetensors", "m.onnx")])
def test_another_format_than_asked_for_is_refused(asked: str, name: str, iris_csv: Path, tmp_path: Path) -> None:
    requirement = written(tmp_path, f"{SENTENCE}\n---\ndeploy: {{format: {asked}}}\n")
    with pytest.raises(UsageError, match=f"deploy: format is {asked}"):
        build(requirement, data=iris_csv, output=tmp_path / name, members=1)
    assert not (tmp_path / name).exists()


def test_missed_limit_leaves_with_3(cli: Cli, iris_csv: Path, tmp_path: Path) -> None:
    written(tmp_path, f"{SENTENCE}\n---\nlimits:\n  size: 1 kB\n")
    done = cli("build", "--req", "req.txt", "--data", iris_csv, "--members", "1", "-o", "m.onnx")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "limits: size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.onnx").exists()


# Without data --------------------------------------------------------------------------------------------------------

ANIMALS = """Tell a cat from a dog by its weight and the sound it makes.
---
classes: [cat, dog]
columns:
- {name: weight, type: numeric, mean: 12, std: 9}
- {name: sound, type: categorical, levels: [meow, bark]}
- {name: born, type: datetime}
"""


def test_words_alone_make_a_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "modelgpt"):
        report = build(written(tmp_path, ANIMALS), output=tmp_path / "m.onnx", members=2)
    assert report.data_used is False
    assert report.metrics == {}
    assert any("No data was used" in message for message in caplog.messages)
    assert any("No data was used" in note for note in inspect(tmp_path / "m.onnx")["notes"])
    rows = pd.DataFrame({"weight": [4.0, 30.0, None], "sound": ["meow", "bark", "moo"], "born": ["2020-01-01"] * 3})
    scored = predict(tmp_path / "m.onnx", rows)
    assert scored.classes == ("cat", "dog")
    np.testing.assert_allclose(scored.probabilities.sum(1), 1, atol=1e-5)
    other = written(tmp_path, ANIMALS.replace("[cat, dog]", "[loan repaid, loan lost]"), "other.txt")
    build(other, output=tmp_path / "other.onnx", members=2)
    changed = predict(tmp_path / "other.onnx", rows)
    assert not np.allclose(scored.probabilities, changed.probabilities, atol=1e-4), "the words made no difference"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SENTENCE, "no columns"),
        (ANIMALS.replace("classes: [cat, dog]\n", "task: classification\n"), "no classes"),
        (ANIMALS.replace("classes: [cat, dog]", "task: regression\ntarget: age"), "regression"),
        (ANIMALS.replace(", levels: [meow, bark]", ""), "no levels"),
    ],
)
def test_words_alone_must_say_enough(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build(written(tmp_path, text), output=tmp_path / "m.onnx")
    assert "--data" in caught.value.hint
    assert not (tmp_path / "m.onnx").exists()


# Encoder and generator -----------------------------------------------------------------------------------------------


def test_unreachable_encoder_leaves_with_4(cli: Cli, iris_model: Path, tmp_path: Path) -> None:
    done = cli(
        "build", "--req", iris_model / "req.txt", "--encoder", "no-such/encoder", "-o", "m.onnx",
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")},
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "no-such/encoder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.slow
def test_encoder_may_be_a_folder(iris_model: Path, tmp_path: Path) -> None:
    from modelgpt_cli.parameter_generator.text_encoder import default_folder

    folder = str(default_folder())
    build(iris_model / "req.txt", output=tmp_path / "m.onnx", members=1, encoder=folder, device="cpu")
    build(iris_model / "req.txt", output=tmp_path / "same.onnx", members=1, words=True, device="cpu")
    build(iris_model / "req.txt", output=tmp_path / "none.onnx", members=1, device="cpu")
    one, two, without = (
        predict(tmp_path / name, iris_model / "iris.csv").probabilities for name in ("m.onnx", "same.onnx", "none.onnx")
    )
    np.testing.assert_allclose(one, two, atol=5e-3)  # the same encoder by another way, which rounds in another
    assert np.abs(two - without).max() > 0.02  # words are read only where they are asked for
    assert folder.encode() not in (tmp_path / "m.onnx").read_bytes()


def test_absent_generator_is_one_clear_error(iris_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="There is no file"):
        build(iris_model / "req.txt", output=tmp_path / "m.onnx", generator=str(tmp_path / "none"))


# The file ------------------------------------------------------------------------------------------------------------

ALONE = """
import sys
for name in ("torch", "pandas", "modelgpt_cli", "transformers", "sklearn", "pyarrow", "onnx"):
    sys.modules[name] = None  # importing it fails
import csv, json
import numpy as np
import onnxruntime as ort
model, data = sys.argv[1:]
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
rows = list(csv.DictReader(open(data)))
feed = {i.name: np.array([[float(r[i.name])] for r in rows], np.float32) for i in session.get_inputs()}
label, probabilities = session.run(["label", "probabilities"], feed)
print(json.dumps({"label": label.tolist(), "probabilities": probabilities.tolist()}))
"""


def test_model_runs_with_onnxruntime_and_numpy_alone(iris_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, iris_model / "model.onnx", iris_model / "iris.csv"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    expected = predict(iris_model / "model.onnx", iris_model / "iris.csv")
    assert got["label"] == expected.label.tolist()
    np.testing.assert_allclose(got["probabilities"], expected.probabilities, atol=1e-6)


def test_graph_is_plain_onnx(iris_model: Path) -> None:
    import onnx

    model = onnx.load(iris_model / "model.onnx")
    assert model.ir_version <= 10
    assert {o.domain for o in model.opset_import} <= {"", "ai.onnx.ml"}
    assert all(o.version <= 20 for o in model.opset_import)
    session = ort.InferenceSession(str(iris_model / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == list(pd.read_csv(iris_model / "iris.csv").columns[:4])
    assert {i.type for i in session.get_inputs()} == {"tensor(float)"}
    assert [o.name for o in session.get_outputs()] == ["label", "probabilities"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["modelgpt"])["target"] == "species"


def test_file_holds_no_path_and_no_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 60
    folder = tmp_path / "secret-folder-of-mine"
    folder.mkdir()
    amount = np.round(rng.lognormal(8, 1, n), 4)
    email = [f"person{i}.private@example.org" for i in range(n)]
    note = [f"customer {i} called about a parcel that never came to town" for i in range(n)]
    bought = amount > np.median(amount)
    table = pd.DataFrame({"amount": amount, "email": email, "note": note, "plan": rng.choice(["gold", "tin"], n)})
    table.assign(bought=np.where(bought, "yes", "no")).to_csv(folder / "customers.csv", index=False)
    describe(folder / "customers.csv", target="bought", offline=True, output=folder / "req.txt")
    for name in ("model.onnx", "model.safetensors"):
        build(folder / "req.txt", output=folder / name, members=1)
        raw = (folder / name).read_bytes()
        assert b"amount" in raw  # names of columns are there, so a search finds what is there
        for secret in ("secret-folder-of-mine", str(tmp_path), ".private@example.org", "called about a parcel"):
            assert secret.encode() not in raw, secret
        # The text encoder's 23 MB hold any four bytes by chance; the cells are looked for in a model without it.
        build(folder / "req.txt", output=folder / name, members=1, text_columns="drop", force=True)
        raw = (folder / name).read_bytes()
        knots = {np.float32(q) for q in np.quantile(amount, np.linspace(0, 1, 16))}
        shown = [a for a in amount if np.float32(a) not in knots]
        found = [a for a in shown if np.float32(a).tobytes() in raw or str(a).encode() in raw]
        assert not found, f"{len(found)} cells of the data are in {name}"


# Python --------------------------------------------------------------------------------------------------------------


def test_verbs_as_functions(iris_csv: Path, tmp_path: Path) -> None:
    described = describe(iris_csv, target="species", offline=True)
    build(described.requirement, data=iris_csv, output=tmp_path / "m.safetensors", members=1)
    tuned = tune(tmp_path / "m.safetensors", data=iris_csv, output=tmp_path / "t.safetensors")
    assert tuned.kept in ("before", "after")
    small = export(tmp_path / "t.safetensors", output=tmp_path / "t.onnx", quantize="fp16")
    assert small.size_bytes < (tmp_path / "t.safetensors").stat().st_size
    scored = predict(tmp_path / "t.onnx", pd.read_csv(iris_csv))
    truth = pd.read_csv(iris_csv)["species"]
    accuracy = float((scored.label == truth.to_numpy()).mean())
    assert accuracy >= 0.9
    assert evaluate(tmp_path / "t.onnx", iris_csv)["accuracy"] == pytest.approx(accuracy)
