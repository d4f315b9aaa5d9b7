"""A regression whose target lies far from zero and varies little: no figure of it fits into float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch

from modelgpt_cli import build, evaluate, export, predict, tune
from modelgpt_cli.domains.shared.target_scale import in_own_unit, target_scale

OFF = {"offline": True, "members": 1, "device": "cpu"}


def rows(offset: float, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    return pd.DataFrame(x, columns=["a", "b"]).assign(y=offset + 10 * x[:, 0] + rng.normal(size=n))


def test_the_scale_is_float64_only_where_float32_is_too_coarse() -> None:
    assert target_scale(0.0, 1.0).dtype == target_scale(5000.0, 1.0).dtype == torch.float32
    wide = target_scale(1e9, 10.0)
    assert wide.dtype == torch.float64
    scores = torch.tensor([[0.5]])
    assert in_own_unit(scores, wide).tolist() == [[1e9 + 5]]
    assert in_own_unit(scores, target_scale(0.0, 2.0)).dtype == torch.float32


@pytest.mark.parametrize("offset", [1e9, -1e6])
def test_far_from_zero_a_model_is_as_good_as_near_it(tmp_path: Path, offset: float) -> None:
    train, new = rows(offset)[::2], rows(offset)[1::2]
    report = build(train, target="y", output=tmp_path / "far.onnx", **OFF)
    near = build(rows(0)[::2], target="y", output=tmp_path / "near.onnx", **OFF)
    for metric in ("rmse", "mae", "r2"):
        assert report.metrics["model"][metric] == pytest.approx(near.metrics["model"][metric], rel=0.02)
    assert report.interval["mean_width"] == pytest.approx(near.interval["mean_width"], rel=0.02)
    found = evaluate(tmp_path / "far.onnx", new)
    assert 0.8 < found["rmse"] < 1.5
    assert 0.8 <= found["interval_coverage"] <= 1
    answers = predict(tmp_path / "far.onnx", new)
    assert answers.prediction.dtype == answers.lower.dtype == np.float64
    beside = predict(tmp_path / "near.onnx", new)
    assert np.abs(answers.prediction - offset - beside.prediction).max() < 0.01
    outputs = {o.name: o.type for o in ort.InferenceSession(tmp_path / "far.onnx").get_outputs()}
    assert set(outputs.values()) == {"tensor(double)"}
    assert {o.type for o in ort.InferenceSession(tmp_path / "near.onnx").get_outputs()} == {"tensor(float)"}


@pytest.mark.slow
def test_it_survives_storing_quantising_and_tuning(tmp_path: Path) -> None:
    frame = rows(1e9)
    build(frame, target="y", output=tmp_path / "far.onnx", **OFF)
    assert export(tmp_path / "far.onnx", output=tmp_path / "copy.onnx").max_difference < 1e-4
    small = export(tmp_path / "far.onnx", output=tmp_path / "small.onnx", quantize="int8", data=frame)
    assert small.after["r2"] > 0.95
    found = tune(tmp_path / "far.onnx", data=frame, output=tmp_path / "tuned.onnx", epochs=1, device="cpu")
    assert found.before["rmse"] < 2
    assert evaluate(tmp_path / "tuned.onnx", frame)["rmse"] < 2
    build(frame, target="y", output=tmp_path / "far.safetensors", keep_requirement=False, **OFF)
    export(tmp_path / "far.safetensors", output=tmp_path / "again.onnx")
    assert evaluate(tmp_path / "again.onnx", frame)["rmse"] < 2
