"""How unlike the training data a row is: by features alone, and in built, exported and tuned models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from conftest import Cli
from onnx import TensorProto, helper
from tiny_texts import Make, sayings, stars_frame, topics_frame

from modelgpt_cli import export, predict, tune
from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import VerificationError
from modelgpt_cli.domains.shared.folds import Folds, make_folds
from modelgpt_cli.domains.shared.novelty import PROTOTYPES, Novelty, fit_novelty, novelty_names, write_novelty
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.domains.shared.verify import worst_difference
from modelgpt_cli.runtime.session import Model

SIZE = 40


def blobs(classes: int, per: int, seed: int = 0, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, SIZE) around a centre for each class, and their classes as one-hot (N, classes)."""
    centres = torch.randn(200, SIZE, generator=torch.Generator().manual_seed(9))[first : first + classes]
    noise = torch.randn(classes * per, SIZE, generator=torch.Generator().manual_seed(seed)) * 0.5
    y = torch.arange(classes).repeat(per)
    return centres[y] + noise, torch.nn.functional.one_hot(y, classes).float()


def folds(target: torch.Tensor) -> Folds:
    return make_folds(target.argmax(1).numpy(), target.shape[1], 5, np.random.default_rng(0))


@pytest.mark.parametrize("classes", [3, 3 * PROTOTYPES])
def test_other_classes_are_above_the_threshold(classes: int) -> None:
    features, target = blobs(classes, 10)
    novelty, told = fit_novelty(features, target, folds(target), classes=True)
    assert novelty.prototypes.shape == (SIZE, min(classes, PROTOTYPES))
    assert (told["rows"], told["quantile"]) == (len(features), 0.99)
    same, other = blobs(classes, 10, seed=1)[0], blobs(20, 10, first=150)[0]
    assert (novelty(same) > told["threshold"]).float().mean() < 0.1
    assert (novelty(other) > told["threshold"]).float().mean() > (0.9 if classes == 3 else 0.3)


def test_the_scaling_of_usual_features_counts() -> None:
    features, target = blobs(3, 10)
    offset, spread = torch.full((SIZE,), 7.0), torch.linspace(0.1, 5, SIZE)
    scaling = Scaling(offset, spread)
    plain, told = fit_novelty(features, target, folds(target), classes=True)
    scaled, also = fit_novelty(features, target, folds(target), classes=True, scaling=scaling)
    assert told == also
    torch.testing.assert_close(plain(features), scaled(features * spread + offset), atol=1e-5, rtol=1e-4)
    again = Novelty.of_state(scaled.state() | {"head.weight": features})
    assert again is not None
    assert again.scale is not None
    assert Novelty.of_state({"head.weight": features}) is None


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_graph_gives_the_same(opset: int, scaled: bool) -> None:
    features, target = blobs(3, 10)
    scaling = Scaling(torch.ones(SIZE), torch.full((SIZE,), 2.0)) if scaled else None
    novelty, _ = fit_novelty(features, target, folds(target), classes=True, scaling=scaling)
    state = {name: value.numpy() for name, value in novelty.state().items()}
    assert novelty_names(state) == list(state)
    g = GraphWriter(state, ["x", "novelty"], opset=opset)
    write_novelty(g, "x")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", SIZE])]
    proto = g.model(inputs, [helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["N"])], {})
    rows = torch.cat([features, torch.zeros(1, SIZE), features * 1e4])
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": rows.numpy()})[0]
    np.testing.assert_allclose(found, novelty(rows).numpy(), atol=1e-5)


def odd_texts() -> list[str]:
    """Texts of words that no topic has."""
    rng = np.random.default_rng(5)
    return ["".join(chr(97 + int(c)) for c in rng.integers(0, 26, 30)) for _ in range(20)]


def test_a_text_model_tells_texts_that_are_unlike_all(make: Make, tmp_path: Path, cli: Cli) -> None:
    built = make(topics_frame(90))
    threshold = built.model.blueprint.novelty["threshold"]
    report = export(tmp_path / "model.safetensors", output=tmp_path / "model.onnx")
    assert report.max_difference < 1e-4
    pd.DataFrame({"text": [*sayings(["food"], 30, 7)[0], *odd_texts()]}).to_csv(tmp_path / "new.csv", index=False)
    done = predict(tmp_path / "model.onnx", tmp_path / "new.csv")
    assert done.novelty is not None
    assert done.novelty_threshold == threshold
    assert done.novel == int((done.novelty > threshold).sum()) > 0
    assert done.novelty[30:].mean() > done.novelty[:30].mean()
    lines = cli("predict", tmp_path / "model.onnx", tmp_path / "new.csv")
    assert lines.stdout.splitlines()[0] == "label,novelty"
    assert f"{done.novel} of 50 texts are" in lines.stderr
    shown = [
        json.loads(line)
        for line in cli("predict", tmp_path / "model.onnx", tmp_path / "new.csv", "--json").stdout.splitlines()
    ]
    np.testing.assert_allclose([row["novelty"] for row in shown], done.novelty, rtol=1e-5)
    for quantize in ("fp16", "int8"):
        export(tmp_path / "model.safetensors", output=tmp_path / "small.onnx", quantize=quantize, force=True)
        assert Model(tmp_path / "small.onnx").novelty == threshold
    assert load_model(tmp_path / "model.onnx").blueprint.novelty["threshold"] == threshold  # type: ignore[union-attr]


def test_a_number_has_a_novelty_too_and_words_alone_have_none(make: Make, tmp_path: Path) -> None:
    built = make(stars_frame(60))
    export(tmp_path / "model.safetensors", output=tmp_path / "model.onnx")
    done = predict(tmp_path / "model.onnx", ["soup and bread again", "goal and team"])
    assert (done.prediction.shape, done.novelty.shape) == ((2,), (2,))  # type: ignore[union-attr]
    assert built.model.novelty is not None
    words = make(None, "classes: [food, money, sport]")
    assert (words.model.novelty, words.model.blueprint.novelty) == (None, {})


def test_a_graph_whose_novelty_is_off_is_refused(make: Make) -> None:
    model = make(topics_frame(60), lexical=False).model
    seen = model.inputs(model.encode(topics_frame(4))).clone()
    p = (seen @ model.head_weight + model.head_bias).softmax(1).detach().numpy()
    label = np.array([model.blueprint.labels[k] for k in p.argmax(1)], dtype=object)
    assert model.novelty is not None
    novelty = model.novelty(seen).numpy()
    assert worst_difference(model, seen.numpy(), [label, p, novelty]) < 1e-6
    assert worst_difference(model, seen.numpy(), [label, p, novelty + 0.5]) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(VerificationError, match="novelty is no number"):
        worst_difference(model, seen.numpy(), [label, p, novelty * np.nan])


def test_tuning_renews_it(make: Make, tmp_path: Path) -> None:
    built = make(topics_frame(60), lexical=False)
    topics_frame(60, seed=5).to_csv(tmp_path / "more.csv", index=False)
    tuned = tmp_path / "tuned.safetensors"
    kept = tune(tmp_path / "model.safetensors", data=tmp_path / "more.csv", output=tuned, epochs=6, lr=2e-3).kept
    assert kept == "after"
    after = load_model(tuned)
    assert built.model.novelty is not None
    assert not torch.equal(after.novelty.prototypes, built.model.novelty.prototypes)  # type: ignore[union-attr]
    assert after.blueprint.novelty["rows"] == 6, "a tenth is held out"  # type: ignore[union-attr]
    assert after.blueprint.calibration == {}  # type: ignore[union-attr]
