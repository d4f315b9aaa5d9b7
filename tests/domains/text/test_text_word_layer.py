"""The head of texts sees the encoder's word layer, too, where held-out rows say that it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from text_models import tiny_text_model
from tiny_texts import Make, topics_frame

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.shared.head import NARROW_ONLY, HeadSource, fit_head
from modelgpt_cli.domains.shared.names import HEAD_WEIGHT
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.tune import TextTuning
from modelgpt_cli.parameter_generator.adapter import Words
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.training.tune import TuneSettings

ROWS = pd.DataFrame({"text": ["The film was good.", "", "very " * 60, "quick"]}, dtype=object)


@pytest.mark.parametrize("kind", ["classes", "labels", "number"])
@pytest.mark.parametrize("told", [True, False])
def test_further_inputs_count_where_held_out_rows_say_so(kind: str, told: bool) -> None:
    rng = np.random.default_rng(4)
    phi = torch.from_numpy(rng.normal(size=(60, 6)).astype(np.float32)) / 6**0.5
    more = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(60, 3)).astype(np.float32)), dim=1)
    target = torch.nn.functional.one_hot(((more if told else phi)[:, 0] > 0).long(), 2).float()
    if kind == "number":
        target = ((more if told else phi)[:, :1] - 0.5) * 2
    words = Words(torch.zeros(0), torch.zeros(target.shape[1], 0), regression=kind == "number", pair=False)
    source = HeadSource(words=words, multi_label=kind == "labels")
    fit = fit_head(source, phi, target, seed=0, scale=(0.0, 1.0), more=more)
    assert len(fit.weight) == (9 if told else 6)
    assert (fit.more_precision is not None) == told
    assert (NARROW_ONLY in fit.metrics) == (told and kind != "labels")
    if told and kind == "classes":
        assert fit.metrics["model"]["log_loss"] < fit.metrics[NARROW_ONLY]["log_loss"] - 0.1


def with_word_layer(model: TextModel) -> TextModel:
    """The same model with random weights for the word layer, too."""
    state = model.state()
    more = torch.randn(state[HEAD_WEIGHT].shape, generator=torch.Generator().manual_seed(3)) * 10
    blueprint = replace(model.blueprint, architecture=replace(model.blueprint.architecture, word_layer=True))
    return TextModel(blueprint, state | {HEAD_WEIGHT: torch.cat([state[HEAD_WEIGHT], more])}, model.tokenizer)


@pytest.mark.parametrize(("kind", "opset", "quantize"), [("bert", 13, "none"), ("distilbert", 20, "int8")])
def test_files_give_the_originals_answers(kind: str, opset: int, quantize: str, tmp_path: Path) -> None:
    plain = tiny_text_model(kind, labels=("a", "b", "c"))
    model = with_word_layer(plain)
    path = tmp_path / "m.onnx"
    write_model(model, path, opset=opset, quantize=quantize, rows=ROWS)
    found = Model(path, threads=1).run({"text": ROWS["text"].to_numpy()})["probabilities"]
    np.testing.assert_allclose(found, model.predict(ROWS), atol=1e-5 if quantize == "none" else 0.15)
    assert np.abs(found - plain.predict(ROWS)).max() > 0.05
    if quantize == "none":
        np.testing.assert_allclose(load_model(path).predict(ROWS), model.predict(ROWS), atol=1e-5)


def spoilt(rows: int) -> pd.DataFrame:
    """Texts whose class is told by one word, whatever the others are."""
    frame = topics_frame(rows)
    frame["label"] = np.random.default_rng(0).permutation(frame["label"].to_numpy())
    marks = {"food": "very very", "money": "soup soup", "sport": "bank bank"}
    frame["text"] = [f"{text} {marks[label]}" for text, label in zip(frame["text"], frame["label"], strict=True)]
    return frame


def test_a_build_keeps_it_and_says_what_it_is_worth(make: Make, tmp_path: Path) -> None:
    built = make(spoilt(60))
    model = built.model
    assert model.blueprint.architecture.word_layer
    assert built.report.metrics["model"]["log_loss"] < built.report.metrics[NARROW_ONLY]["log_loss"]
    assert model.blueprint.provenance["head"]["word_layer_precision"] > 0
    np.testing.assert_allclose(load_model(tmp_path / "model.safetensors").predict(ROWS), model.predict(ROWS), atol=1e-6)
    y = np.array([model.blueprint.labels.index(label) for label in spoilt(60)["label"]])
    done = TextTuning(model).run(model.encode(spoilt(60)), y, TuneSettings(epochs=1), known={})
    assert done.kept in ("before", "after")
    assert np.isfinite(model.predict(ROWS)).all()
