"""``tune`` (ModelGPT-F): all parameters, the better of before and after, on rows held out from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Cli

from modelgpt_cli import build, describe, evaluate, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three interleaved rings (600 rows: much to learn beyond a first guess), and models from 60 rows."""
    folder = tmp_path_factory.mktemp("rings")
    rng = np.random.default_rng(0)
    angle, ring = rng.uniform(0, 2 * np.pi, 600), rng.integers(0, 3, 600)
    radius = 1 + ring + rng.normal(0, 0.12, 600)
    table = pd.DataFrame({"x": radius * np.cos(angle), "y": radius * np.sin(angle)})
    table["z"] = table["x"] * 0.5 + rng.normal(size=600)
    table["ring"] = np.array(["inner", "middle", "outer"])[ring]
    table.to_csv(folder / "all.csv", index=False)
    table.head(60).to_csv(folder / "few.csv", index=False)
    describe(folder / "few.csv", target="ring", offline=True, output=folder / "req.txt")
    for name in ("model.safetensors", "model.onnx"):
        build(folder / "req.txt", output=folder / name, members=1, device="cpu")
    return folder


def test_more_rows_make_it_better(rings: Path, tmp_path: Path) -> None:
    report = tune(
        rings / "model.safetensors", data=rings / "all.csv", output=tmp_path / "t.onnx", epochs=8, device="cpu"
    )
    assert report.kept == "after"
    assert report.after["log_loss"] < report.before["log_loss"]
    assert report.rows == 600
    assert report.size_bytes == (tmp_path / "t.onnx").stat().st_size
    tuned = inspect(tmp_path / "t.onnx")["provenance"]["tuned"]
    assert tuned["kept"] == "after"
    assert tuned["epochs"] == 8
    before = evaluate(rings / "model.onnx", rings / "all.csv")["log_loss"]
    assert (
        evaluate(tmp_path / "t.onnx", rings / "all.csv")["log_loss"] < before
    )  # what was reported is what was written


def test_every_parameter_is_tuned(rings: Path, tmp_path: Path) -> None:
    tune(rings / "model.safetensors", data=rings / "all.csv", output=tmp_path / "t.safetensors", epochs=8)
    before, after = load_model(rings / "model.safetensors").state(), load_model(tmp_path / "t.safetensors").state()
    for name, tensor in before.items():
        same = torch.equal(tensor, after[name])
        assert same == name.startswith("constants."), name  # preprocessing stays, all else moves


def test_a_model_that_gets_worse_is_not_kept(rings: Path, tmp_path: Path) -> None:
    report = tune(
        rings / "model.safetensors", data=rings / "all.csv", output=tmp_path / "t.safetensors", lr=50.0, device="cpu"
    )
    assert report.kept == "before"
    assert report.after["log_loss"] > report.before["log_loss"]
    before, after = load_model(rings / "model.safetensors").state(), load_model(tmp_path / "t.safetensors").state()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_onnx_in_is_as_good_as_safetensors_in(rings: Path, tmp_path: Path) -> None:
    for suffix in (".onnx", ".safetensors"):
        tune(rings / f"model{suffix}", data=rings / "all.csv", output=tmp_path / f"t{suffix}.onnx", epochs=2)
    one, two = (predict(tmp_path / f"t{s}.onnx", rings / "all.csv") for s in (".onnx", ".safetensors"))
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-4)


@pytest.mark.slow
def test_same_seed_gives_the_same_model(rings: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tune(
            rings / "model.safetensors", data=rings / "all.csv", output=tmp_path / f"{name}.onnx",
            epochs=2, seed=seed, device="cpu",
        )  # fmt: skip
    one, two, other = ((tmp_path / f"{name}.onnx").read_bytes() for name in "abc")
    assert one == two
    assert one != other


@pytest.mark.slow
def test_regression_is_tuned(diabetes_csv: Path, tmp_path: Path) -> None:
    describe(diabetes_csv, target="progression", offline=True, output=tmp_path / "req.txt")
    table = pd.read_csv(diabetes_csv)
    table.head(40).to_csv(tmp_path / "few.csv", index=False)
    build(tmp_path / "req.txt", data=tmp_path / "few.csv", output=tmp_path / "m.onnx", members=1)
    report = tune(tmp_path / "m.onnx", data=diabetes_csv, output=tmp_path / "t.onnx", epochs=10, device="cpu")
    assert report.kept == "after"
    assert report.after["rmse"] < report.before["rmse"]
    before = evaluate(tmp_path / "m.onnx", diabetes_csv)["rmse"]
    assert evaluate(tmp_path / "t.onnx", diabetes_csv)["rmse"] < before


def test_unknown_class_is_refused(rings: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rings / "all.csv")
    table.loc[:4, "ring"] = "outermost"
    table.to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(UsageError, match="'outermost'") as caught:
        tune(rings / "model.safetensors", data=tmp_path / "more.csv", output=tmp_path / "t.onnx")
    assert "inner, middle, outer" in caught.value.cause
    assert not (tmp_path / "t.onnx").exists()


def test_data_may_lack_a_class(rings: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rings / "all.csv")
    table[table["ring"] != "outer"].to_csv(tmp_path / "two.csv", index=False)
    tune(rings / "model.safetensors", data=tmp_path / "two.csv", output=tmp_path / "t.onnx")
    assert inspect(tmp_path / "t.onnx")["labels"] == ["inner", "middle", "outer"]


def test_data_without_a_column_is_refused(rings: Path, tmp_path: Path) -> None:
    pd.read_csv(rings / "all.csv").drop(columns="x").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(UsageError, match="x"):
        tune(rings / "model.safetensors", data=tmp_path / "less.csv", output=tmp_path / "t.onnx")


@pytest.mark.parametrize("content", [b"", b"nothing of ours" * 100])
@pytest.mark.parametrize("name", ["m.onnx", "m.safetensors"])
def test_foreign_file_is_refused(name: str, content: bytes, rings: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelGPTError):
        tune(tmp_path / name, data=rings / "all.csv", output=tmp_path / "t.onnx")
    assert not (tmp_path / "t.onnx").exists()


def test_two_rows_are_too_few_or_enough_but_never_a_crash(rings: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rings / "all.csv").groupby("ring").head(1).head(2)
    table.to_csv(tmp_path / "two.csv", index=False)
    report = tune(rings / "model.safetensors", data=tmp_path / "two.csv", output=tmp_path / "t.safetensors")
    assert report.rows == 2


def test_command_says_which_was_kept(cli: Cli, rings: Path, tmp_path: Path) -> None:
    done = cli(
        "tune", rings / "model.safetensors", "--data", rings / "all.csv", "--epochs", "2", "-o", "t.safetensors"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "t.safetensors\n"
    assert "Kept the model from after tuning (600 rows" in done.stderr
    assert "log loss" in done.stderr
