"""Models that give a row any number of labels: texts and images, from data and from words, the whole way."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from bad_input import Bench
from image_models import TINY, random_trunk
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from tiny_images import KINDS, blot, encoded
from tiny_texts import TOPICS, Make

from modelgpt_cli import bundle, evaluate, export, predict, tune, verify
from modelgpt_cli import report as write_report
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import UsageError, VerificationError
from modelgpt_cli.core.label_metrics import label_metrics
from modelgpt_cli.data.label_cells import multi_hot
from modelgpt_cli.domains.image.trunks import trunk_state
from modelgpt_cli.domains.shared.folds import make_folds
from modelgpt_cli.domains.shared.thresholds import crossed_decisions, fit_thresholds
from modelgpt_cli.domains.shared.verify import worst_difference
from modelgpt_cli.parameter_generator.logistic import posterior_rows, posterior_weights

LABELS = ("food", "money", "sport")


def notes_frame(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Texts with words of none to three topics, and these as a list."""
    rng = np.random.default_rng(seed)
    texts, sets = [], []
    for i in range(n):
        chosen = [label for label in LABELS if rng.random() < 0.45]
        words = [word for label in chosen for word in rng.choice(TOPICS[label], 3)]
        texts.append(" ".join(["today", *rng.permutation(words), str(i)]))
        sets.append(json.dumps(chosen))
    return pd.DataFrame({"text": texts, "labels": sets})


def as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    truth = multi_hot(frame["labels"].tolist(), LABELS).astype(int)
    return pd.DataFrame({"text": frame["text"], **dict(zip(LABELS, truth.T, strict=True))})


def test_texts_the_whole_way(make: Make, tmp_path: Path) -> None:
    built = make(notes_frame())
    blueprint, metrics = built.model.blueprint, built.report.metrics
    assert (blueprint.task, blueprint.labels, blueprint.target) == ("classification", LABELS, "labels")
    assert set(metrics) == {"model", "requirement only", "majority"}
    assert metrics["model"]["micro_f1"] > 0.85 > metrics["majority"]["micro_f1"] + 0.1
    assert blueprint.multi_label["calibrated"]
    assert len(blueprint.multi_label["thresholds"]) == 3
    path = tmp_path / "model.onnx"
    assert export(tmp_path / "model.safetensors", output=path).max_difference < 1e-4
    new = notes_frame(40, seed=3)
    done = predict(path, new[["text"]])
    truth = multi_hot(new["labels"].tolist(), LABELS) > 0
    given = multi_hot([json.dumps([x for x in cell.split(";") if x]) for cell in done.label], LABELS) > 0
    assert (truth == given).mean() > 0.85
    limits = np.array(blueprint.multi_label["thresholds"], np.float32)
    np.testing.assert_array_equal(given, done.probabilities >= limits)
    scores = evaluate(path, new)
    assert scores["micro_f1"] == pytest.approx(f1_score(truth, given, average="micro"))
    assert scores["subset_accuracy"] == pytest.approx((truth == given).all(1).mean())
    assert scores.classes["food"]["rows"] == truth[:, 0].sum()
    assert evaluate(path, as_columns(new)).metrics == scores.metrics, "labels in columns of their own"
    write_report(path, data=new, output=tmp_path / "r.html", model_card=tmp_path / "README.md")
    assert "type: micro_f1" in (tmp_path / "README.md").read_text()
    bundle(path, output=tmp_path / "b.zip", data=new)
    assert verify(tmp_path / "b.zip").faults == []
    session = ort.InferenceSession(str(path))
    assert {o.name: (o.type, len(o.shape)) for o in session.get_outputs()} == {
        "label": ("tensor(int64)", 2),
        "probabilities": ("tensor(float)", 2),
        "novelty": ("tensor(float)", 1),
    }
    for quantize in ("fp16", "int8"):
        report = export(path, output=tmp_path / "small.onnx", quantize=quantize, data=new, force=True)
        assert report.after["micro_f1"] > 0.8  # type: ignore[operator]
    assert load_model(path).blueprint.multi_label == blueprint.multi_label


def test_columns_of_their_own_give_the_same_model(make: Make) -> None:
    one, two = make(notes_frame(60)), make(as_columns(notes_frame(60)))
    assert one.report.metrics == two.report.metrics
    torch.testing.assert_close(one.model.head_weight, two.model.head_weight)


def test_what_users_see(make: Make, tmp_path: Path, bench: Bench) -> None:
    make(notes_frame(60))
    export(tmp_path / "model.safetensors", output=bench.folder / "model.onnx")
    notes_frame(5, seed=4).to_csv(bench.folder / "new.csv", index=False)
    rows = list(csv.DictReader(io.StringIO(bench.run("predict", "model.onnx", "new.csv").out)))
    assert list(rows[0]) == ["prediction", *(f"probability_{label}" for label in LABELS), "novelty"]
    lines = [json.loads(line) for line in bench.run("predict", "model.onnx", "new.csv", "--json").out.splitlines()]
    assert [";".join(line["prediction"]) for line in lines] == [row["prediction"] for row in rows]
    shown = bench.run("evaluate", "model.onnx", "new.csv")
    assert "subset accuracy" in shown.out
    assert "mean average precision" in shown.out
    assert "multi-label classification of 'labels'" in bench.run("inspect", "model.onnx").out
    for line, words in (
        (["predict", "model.onnx", "new.csv", "--min-confidence", "0.5"], "--min-confidence is for one label a row"),
        (["evaluate", "model.onnx", "new.csv", "--importance"], "--importance is for one label a row"),
        (["evaluate", "model.onnx", "new.csv", "--plot", "a.png"], "--plot is for one label a row"),
        (["tune", "model.onnx", "--data", "new.csv", "-o", "t.onnx"], "multi-label, and tune is for models of one"),
    ):
        refused = bench.run(*line)
        assert refused.code != 0
        assert words in refused.err


def test_unknown_labels_are_told(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(notes_frame(60))
    export(tmp_path / "model.safetensors", output=tmp_path / "model.onnx")
    frame = notes_frame(10).assign(labels='["food", "water"]')
    assert evaluate(tmp_path / "model.onnx", frame).rows == 10
    assert "Labels that the model doesn't know are left out of the comparison: 'water' (10)" in caplog.text
    with pytest.raises(UsageError, match="has no column 'labels'"):
        evaluate(tmp_path / "model.onnx", frame[["text"]])


def test_words_alone_serve_labels_uncalibrated(make: Make) -> None:
    built = make(None, "classes: [food, money, sport]\nmulti_label: true")
    blueprint = built.model.blueprint
    assert blueprint.multi_label == {"thresholds": [0.5] * 3, "calibrated": False, "separator": ";"}
    assert any("uncalibrated" in note for note in blueprint.notes)
    few = make(notes_frame(6), multi_label=True).model.blueprint
    assert not few.multi_label["calibrated"], "no row was held out"


def test_what_the_labels_are_asked_of(make: Make, tmp_path: Path) -> None:
    words = "classes: [food, money, sport]\nmulti_label: true"
    with pytest.raises(UsageError, match="has no row with several labels in 'kind'"):
        make(notes_frame(20).assign(labels="x").rename(columns={"labels": "kind"}), f"{words}\ntarget: kind")
    make(notes_frame(30))
    with pytest.raises(UsageError, match="tune is for models of one answer"):
        tune(tmp_path / "model.safetensors", data=tmp_path / "data.csv", output=tmp_path / "t.safetensors")


def test_images_from_a_table(bench: Bench, tmp_path: Path) -> None:
    save_file(
        {k: v.contiguous() for k, v in trunk_state(random_trunk(TINY)).items()}, str(bench.folder / "tiny.safetensors")
    )
    rows = []
    for i in range(36):
        chosen = [label for k, label in enumerate(KINDS) if i >> k & 1]
        pixels = [blot(i, KINDS[label]) if label in chosen else np.full((96, 96, 3), 170, np.uint8) for label in KINDS]
        (bench.folder / f"{i}.png").write_bytes(encoded(np.concatenate(pixels, 1), "PNG"))
        rows.append((f"{i}.png", "|".join(chosen) or "[]"))
    pd.DataFrame(rows, columns=["file", "animals"]).to_csv(bench.folder / "table.csv", index=False)
    (bench.folder / "9.png").write_bytes(b"\x89PNG broken")
    line = ["--backbone", TINY, "--backbone-weights", "tiny.safetensors", "-o", "model.onnx", "--offline", "--json"]
    built = bench.run("build", "table.csv", *line)
    assert built.code == 0, built.err
    assert "Multi-label: the column 'animals' holds any number of labels a row" in built.err
    assert json.loads(built.out)["metrics"]["model"]["micro_f1"] > 0.6
    answered = list(csv.DictReader(io.StringIO(bench.run("predict", "model.onnx", "table.csv").out)))
    assert list(answered[0]) == ["file", "prediction", "probability_cat", "probability_dog", "novelty"]
    assert answered[9]["probability_cat"] == "", "the one that can't be read"
    scores = json.loads(bench.run("evaluate", "model.onnx", "table.csv", "--json").out)
    assert scores["multi_label"]
    assert set(scores["classes"]) == set(KINDS)
    assert "--topk is for one label an image" in bench.run("predict", "model.onnx", "1.png", "--topk", "2").err
    assert "A folder has one class for each image" in bench.run("evaluate", "model.onnx", bench.folder).err


# Parts --------------------------------------------------------------------------------------------------------------


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 4) of labels, one of them rare, and labels drawn by their squares."""
    rng = np.random.default_rng(seed)
    p = rng.random((n, 4)) * [1, 1, 1, 0.3]
    return p, rng.random((n, 4)) < p**2


def test_the_posterior_of_labels_is_logistic_regression_of_each() -> None:
    rng = np.random.default_rng(0)
    phi = torch.from_numpy(rng.normal(size=(80, 5)).astype(np.float32))
    y = torch.from_numpy((rng.random((80, 3)) < 0.4).astype(np.float32))
    kinds = {"regression": False, "multi_label": True, "steps": 400}
    zero, precision = torch.zeros(5, 3), torch.full((5,), 2.0)
    ways = [solve(phi, y, zero, precision, **kinds) for solve in (posterior_rows, posterior_weights)]  # type: ignore[operator]
    for k in range(3):
        exact = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-8, max_iter=1000).fit(phi, y[:, k]).coef_[0]
        for found in ways:
            np.testing.assert_allclose(found[:, k], exact, atol=2e-3)


def test_thresholds_are_where_f1_is_highest() -> None:
    p, y = drawn(400)
    found = fit_thresholds(p, y)
    for k in range(3):
        best = max(f1_score(y[:, k], p[:, k] >= t) for t in np.linspace(0.01, 0.99, 99))
        assert f1_score(y[:, k], p[:, k] >= found[k]) >= best - 1e-9
    few, of = drawn(12)
    assert fit_thresholds(few, of)[3] == fit_thresholds(few.reshape(-1, 1), of.reshape(-1, 1))[0], "the common one"
    assert fit_thresholds(np.zeros((9, 1)), np.zeros((9, 1)))[0] == 0.5


def test_rows_are_judged_by_thresholds_that_have_not_seen_them() -> None:
    p, y = drawn(60)
    folds = make_folds(np.zeros(60), 0, 5, np.random.default_rng(0))
    before = crossed_decisions(p, y, folds)
    changed = y.copy()
    own = folds.fold == 2
    changed[own] = ~changed[own]
    np.testing.assert_array_equal(crossed_decisions(p, changed, folds)[own], before[own])


def test_metrics_are_scikit_learns() -> None:
    p, y = drawn(200)
    p = p.round(1)  # with ties
    found = label_metrics(y, p >= 0.5, p)
    assert found["f1"] == pytest.approx(f1_score(y, p >= 0.5, average="macro", zero_division=0))
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(y, p))
    nothing = label_metrics(y[:0], y[:0], p[:0])
    assert set(nothing.values()) == {None}


def test_a_graph_whose_labels_are_off_is_refused(make: Make) -> None:
    model = make(notes_frame(40), lexical=False).model
    seen = model.inputs(model.encode(notes_frame(4))).clone()
    p = (seen @ model.head_weight + model.head_bias).sigmoid().detach().numpy()
    label = (p >= np.array(model.blueprint.multi_label["thresholds"], np.float32)).astype(np.int64)
    assert model.novelty is not None
    novelty = model.novelty(seen).numpy()
    assert worst_difference(model, seen.numpy(), [label, p, novelty]) < 1e-6
    with pytest.raises(VerificationError, match="labels are not those with a probability of their threshold"):
        worst_difference(model, seen.numpy(), [1 - label, p, novelty])


def test_a_damaged_card_is_refused(make: Make, tmp_path: Path) -> None:
    built = make(notes_frame(40))
    built.model.blueprint.multi_label["thresholds"] = [0.5]
    from modelgpt_cli.artifacts.model_card import model_card
    from modelgpt_cli.core.card_schema import card_fault

    assert card_fault(model_card(built.model.blueprint)) == "its thresholds are not 3 probabilities"
