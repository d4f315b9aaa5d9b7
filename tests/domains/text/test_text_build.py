"""Builds on texts: with data and without, few rows and many classes, the window, other backbones."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from tiny_texts import (
    SIZE,
    Make,
    loaded,
    pairs_frame,
    sayings,
    stars_frame,
    tiny_backbone,
    tiny_generator,
    topics_frame,
)

from modelgpt_cli import build, describe, export, inspect, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.shared.backbone_build import HEAD_ROWS
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.parameter_generator.checkpoint import save_generator

# With data ----------------------------------------------------------------------------------------------------------


def test_a_classification(make: Make) -> None:
    built = make(topics_frame(90))
    blueprint, metrics = built.model.blueprint, built.report.metrics
    assert (blueprint.domain, blueprint.task, blueprint.target) == ("text", "classification", "label")
    assert blueprint.labels == ("food", "money", "sport")
    assert [(c.name, c.role) for c in blueprint.used] == [("text", "text")]
    parts = {"encoder only", "last layer only"}  # where held-out rows gain by words
    assert set(metrics) - parts == {"model", "requirement only", "linear", "majority"}
    assert metrics["model"]["accuracy"] > 0.85 > metrics["majority"]["accuracy"] + 0.3
    assert built.report.n_rows == 90
    assert built.labels("soup bread cook", "loan tax bank", "team ball goal") == ["food", "money", "sport"]
    np.testing.assert_allclose(built.probabilities("soup", "").sum(1), 1, rtol=1e-5)


def test_a_pair(make: Make) -> None:
    built = make(pairs_frame(160))
    assert [(c.name, c.role) for c in built.model.columns] == [("sentence1", "text"), ("sentence2", "pair")]
    assert built.model.pair
    assert built.report.metrics["model"]["accuracy"] > 0.6  # words alone don't tell
    pairs = pd.DataFrame({"sentence1": ["soup bread", "soup bread"], "sentence2": ["soup bread", "boat river"]})
    same = built.model.predict(pairs)[:, built.model.blueprint.labels.index("same")]
    assert same[0] > same[1]
    assert built.model.head_weight.shape == (4 * SIZE + 1, 2)


def test_a_number(make: Make) -> None:
    built = make(stars_frame(90))
    assert built.model.blueprint.task == "regression"
    assert built.report.metrics["model"]["r2"] > 0.6
    more = stars_frame(40, seed=4)
    error = built.model.predict(more)[:, 0] - more["stars"]
    assert np.abs(error).mean() < 1.5  # between 10 and 15: in the target's own unit


def test_a_learnt_generator_leaves_its_mark_on_every_layer(make: Make, world: Path) -> None:
    frame = topics_frame(30)
    fresh = make(frame)
    learnt = make(frame, generator=str(world / "learnt.safetensors"))
    plain = loaded(world / "tiny").merge(None).state_dict()
    for name, value in fresh.model.encoder.state_dict().items():
        torch.testing.assert_close(value, plain[name])
        moved = not torch.allclose(learnt.model.encoder.state_dict()[name], value, atol=1e-6)
        assert moved == name.endswith(("query.weight", "value.weight")), name


def test_matrices_are_kept_in_halves_and_exactly(make: Make, tmp_path: Path) -> None:
    model = make(topics_frame(30)).model
    export(tmp_path / "model.safetensors", output=tmp_path / "m.onnx")
    tune(tmp_path / "m.onnx", data=topics_frame(30), output=tmp_path / "t.onnx", device="cpu")
    for name in ("m.onnx", "t.onnx"):
        stored = {t.name: t.data_type for t in onnx.load(tmp_path / name).graph.initializer}
        matrices = {
            n for n in stored if n.startswith("backbone.") and n.endswith(("word_embeddings.weight", "query.weight"))
        }
        assert matrices
        assert {stored[n] for n in matrices} == {onnx.TensorProto.FLOAT16}
    again = load_model(tmp_path / "m.onnx").state()
    assert all(torch.equal(again[key], value) for key, value in model.state().items())


def test_the_requirement_is_read(make: Make, world: Path) -> None:
    frame, learnt = topics_frame(30), str(world / "learnt.safetensors")
    one = make(frame, generator=learnt)
    other = make(frame, generator=learnt, sentence="Is it goal, soup or cash?")
    more = make(frame, generator=learnt, description="They are taken from today and again.")
    weights = [b.model.encoder.state_dict()["encoder.layer.0.attention.self.query.weight"] for b in (one, other, more)]
    assert not torch.allclose(weights[0], weights[1], atol=1e-5)
    assert not torch.allclose(weights[0], weights[2], atol=1e-5)


def test_same_seed_same_weights(make: Make) -> None:
    one, two = make(topics_frame(70)), make(topics_frame(70))
    state = two.model.state()
    assert all(torch.equal(value, state[name]) for name, value in one.model.state().items())
    assert one.report.metrics == two.report.metrics
    other = make(topics_frame(70), seed=1)
    assert other.model.blueprint.provenance["seed"] == 1
    assert other.report.metrics["model"] != one.report.metrics["model"]  # other folds


def test_the_file_says_where_it_comes_from_and_no_more(make: Make, world: Path, tmp_path: Path) -> None:
    built = make(topics_frame(40))
    provenance = built.model.blueprint.provenance
    assert provenance["encoder"] == {"name": "tiny"}
    assert len(provenance["generator"]["sha256"]) == 64
    assert provenance["head"]["rows"] == 40
    with safe_open(str(tmp_path / "model.safetensors"), "pt") as file:
        header = str(file.metadata())
    assert str(tmp_path) not in header
    assert str(world) not in header
    assert topics_frame(40)["text"][7] not in header
    shown = inspect(tmp_path / "model.safetensors")
    assert shown["domain"] == "text"


def test_describe_then_build(make: Make, world: Path, tmp_path: Path) -> None:
    topics_frame(60).to_csv(tmp_path / "topics.csv", index=False)
    describe(tmp_path / "topics.csv", offline=True, output=tmp_path / "req.txt")
    tiny = str(world / "tiny")
    report = build(
        tmp_path / "req.txt", output=tmp_path / "m.safetensors", backbone=tiny, encoder=tiny,
        generator=str(world / "fresh.safetensors"), device="cpu",
    )  # fmt: skip
    assert report.data_used
    assert report.metrics["model"]["accuracy"] > 0.8
    assert not report.notes


def test_a_folder_of_texts(make: Make, tmp_path: Path) -> None:
    for i, (text, label) in enumerate(zip(*sayings(["sport", "food"], 40), strict=True)):
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{i}.txt").write_text(text)
    built = make(tmp_path / "texts")
    assert built.model.blueprint.labels == ("food", "sport")
    assert built.report.metrics["model"]["accuracy"] > 0.8


def test_the_text_comes_first_and_then_its_pair(make: Make, world: Path) -> None:
    frame, learnt = pairs_frame(40), str(world / "learnt.safetensors")
    turned = make(frame, text="sentence2", text_pair="sentence1", generator=learnt)
    assert [(c.name, c.role) for c in turned.model.columns] == [("sentence2", "text"), ("sentence1", "pair")]
    same = make(frame[["sentence2", "sentence1", "label"]], generator=learnt)
    np.testing.assert_allclose(turned.model.predict(frame), same.model.predict(frame), atol=1e-5)
    columns = "columns:\n- {name: b, type: text, role: pair}\n- {name: a, type: text, role: text}\n"
    words = make(None, f"classes: [same, other]\n{columns}")
    assert [c.name for c in words.model.columns] == ["a", "b"]


def test_asking_for_columns(make: Make) -> None:
    frame = topics_frame(40).assign(price=np.arange(40) / 7, title=sayings(["water"], 40)[0])
    built = make(frame, text="title", target="label")
    assert [c.name for c in built.model.columns] == ["title"]
    with pytest.raises(UsageError, match="no text column 'txet'"):
        make(frame, text="txet")


# Odd data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 7])
def test_few_rows_are_not_cross_validated_and_it_says_so(
    make: Make, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        built = make(topics_frame(rows, ("sport", "food")))
    assert built.report.metrics == {}
    assert built.report.n_rows == 0
    assert any(f"Too few rows ({rows}) to cross-validate" in note for note in built.report.notes)
    assert "Too few rows" in caplog.text
    assert np.isfinite(built.probabilities("goal", "soup")).all()


def test_eight_rows_are_cross_validated(make: Make) -> None:
    assert make(topics_frame(8, ("sport", "food"))).report.metrics["model"]["accuracy"] >= 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_two_hundred_classes(make: Make) -> None:
    names = [f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in "klmnopqrst"]
    frame = pd.DataFrame({"text": [f"{n} goal with {n} {i}" for i in (1, 2) for n in names], "intent": names * 2})
    built = make(frame, target="intent")
    assert len(built.model.blueprint.labels) == 200
    assert built.probabilities("ak goal", "tt").shape == (2, 200)
    assert built.report.metrics["model"]["accuracy"] > 5 / 200


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["y", "t"], ("t", "y")),
        ([10, 2], ("2", "10")),
        (["\U0001f600", "\u05d6\u05d4"], ("\u05d6\u05d4", "\U0001f600")),
        (["not 'that'", 'but "this"'], ('but "this"', "not 'that'")),
    ],
)
def test_any_labels(make: Make, labels: list, expected: tuple[str, ...]) -> None:
    frame = topics_frame(40, ("sport", "food"))
    built = make(frame.assign(label=labels * 20))
    assert built.model.blueprint.labels == expected
    assert built.report.metrics["model"]["accuracy"] > 0.7
    assert built.labels("goal team ball score") == [str(labels[0])]


def test_a_class_with_one_row(make: Make) -> None:
    frame = topics_frame(41, ("sport", "food"))
    frame.loc[40, "label"] = "alone"
    built = make(frame)
    assert built.model.blueprint.labels == ("alone", "food", "sport")
    assert any("'alone': one row only" in note for note in built.report.notes)
    assert np.isfinite(list(built.report.metrics["model"].values())).all()


def test_a_class_without_a_row_is_known_by_its_name(make: Make) -> None:
    built = make(topics_frame(40, ("sport", "food")), "classes: [food, sport, water]")
    assert built.model.blueprint.labels == ("food", "sport", "water")
    assert any("'water': no row" in note for note in built.report.notes)
    assert built.model.head_weight[:, 2].abs().max() > 0
    assert built.probabilities("goal", "river").shape == (2, 3)


def test_long_texts_are_cut_with_a_word_and_a_count(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    frame = topics_frame(30)
    frame.loc[3, "text"] = "goal " * 400
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        built = make(frame)
    note = "1 of 30 texts are longer than the window (128 tokens) and were cut."
    assert note in built.report.notes
    assert f"{note} --max-tokens widens it." in caplog.text
    wider = make(frame, max_tokens=150)
    assert wider.model.blueprint.architecture.max_tokens == 150
    assert "(150 tokens)" in str(wider.report.notes)
    narrow = make(frame, max_tokens=8)
    assert "30 of 30 texts are longer" in str(narrow.report.notes)
    one, two = (narrow.probabilities(text) for text in ("goal " * 6, "goal " * 6 + "soup " * 9))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_empty_texts(make: Make) -> None:
    frame = topics_frame(30)
    frame.loc[[2, 5], "text"] = ""
    built = make(frame)
    assert "2 of 30 texts are empty." in built.report.notes
    missing = built.model.predict(pd.DataFrame({"text": ["", None, float("nan")]}))
    np.testing.assert_allclose(missing[0], missing[1], atol=1e-6)
    np.testing.assert_allclose(missing[0], missing[2], atol=1e-6)
    nothing = built.model.predict(pd.DataFrame(index=[0, 1, 2]))  # no such column
    np.testing.assert_allclose(nothing, missing, atol=1e-6)


def test_odd_characters(make: Make) -> None:
    odd = ["\U0001f600\U0001f44d", "\u05d6\u05d4 \u05e1\u05e8\u05d8", "\u202eturned", "bell \x07 here", "\u8fd9\u90e8"]
    frame = topics_frame(60)
    frame.loc[:4, "text"] = odd
    built = make(frame)
    assert built.report.metrics["model"]["accuracy"] > 0.7
    assert np.isfinite(built.probabilities(*odd)).all()


def test_many_rows_are_drawn_evenly(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HEAD_ROWS >= 1000
    monkeypatch.setattr("modelgpt_cli.domains.shared.backbone_build.HEAD_ROWS", 50)
    frame = topics_frame(130, ("sport", "food"))
    frame.loc[frame.index[-10:], "label"] = "rare"
    built = make(frame)
    assert "The head was solved on 50 of 130 rows, drawn evenly." in built.report.notes
    assert built.model.blueprint.labels == ("food", "rare", "sport")
    assert built.model.blueprint.provenance["head"]["rows"] == 50
    more = make(frame, rows=60)
    assert more.model.blueprint.provenance["head"]["rows"] == 60
    everything = make(frame, all_rows=True)
    assert everything.model.blueprint.provenance["head"]["rows"] == 130
    assert not everything.report.notes


# Without data -------------------------------------------------------------------------------------------------------


def test_words_alone(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        built = make(None, "classes: [sport, food, water]")
    assert not built.report.data_used
    assert built.report.metrics == {}
    assert "zero-shot" in built.report.notes[0]
    assert "zero-shot" in caplog.text
    assert [(c.name, c.role) for c in built.model.columns] == [("text", "text")]
    assert built.model.blueprint.target == "label"
    # The head leans towards the names: a text that is a class's name is of that class.
    assert built.labels("sport", "food", "water") == ["sport", "food", "water"]


def test_words_alone_for_pairs_and_numbers(make: Make, world: Path) -> None:
    learnt = str(world / "learnt.safetensors")
    columns = "columns:\n- {name: a, type: text, role: text}\n- {name: b, type: text, role: pair}\n"
    pair = make(None, f"classes: [same, other]\ntarget: verdict\n{columns}", generator=learnt)
    assert pair.model.blueprint.target == "verdict"
    answers = pair.model.predict(pd.DataFrame({"a": ["goal", "goal"], "b": ["goal", "soup"]}))
    assert not np.allclose(answers[0], answers[1], atol=1e-5)
    number = make(None, "domain: text\ntask: regression\ntarget_mean: 10\ntarget_std: 2", generator=learnt)
    values = number.model.predict(pd.DataFrame({"text": ["goal", "soup bread"]}))
    assert values.shape == (2, 1)
    assert not np.allclose(values[0], values[1], atol=1e-5)
    assert np.abs(values - 10).max() < 20


def test_words_alone_are_data_withheld(make: Make) -> None:
    """The head without data is what the generated head is with data, before it is solved."""
    built = make(None, "classes: [food, money, sport]")
    with_data = make(topics_frame(60)).report.metrics["requirement only"]
    frame = topics_frame(60)
    accuracy = np.mean([a == b for a, b in zip(built.labels(*frame["text"]), frame["label"], strict=True)])
    assert accuracy == pytest.approx(with_data["accuracy"])


# Backbones and generators -------------------------------------------------------------------------------------------


def test_a_backbone_without_a_generator_learns_from_data_alone(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        built = make(topics_frame(60), generator=None)
    assert "No generator was trained for 'tiny'" in caplog.text
    assert "modelgpt meta-train --domain text --backbone" in caplog.text
    assert built.model.blueprint.provenance["generator"] is None
    assert built.report.metrics["model"]["accuracy"] > 0.8
    assert "requirement only" not in built.report.metrics
    with pytest.raises(UsageError, match="needs a generator trained for it") as caught:
        make(None, "classes: [sport, food]", generator=None)
    assert "--data" in caught.value.hint


def test_a_generator_of_another_backbone_is_refused(make: Make, tmp_path: Path) -> None:
    tiny_backbone(tmp_path / "wide", hidden_size=48)
    with pytest.raises(UsageError, match="doesn't fit the backbone 'wide'") as caught:
        make(topics_frame(20), backbone=str(tmp_path / "wide"))
    assert "'tiny'" in caught.value.cause
    assert "--generator" in caught.value.hint
    shipped = str(ROOT / "weights" / "tabular")
    with pytest.raises(ModelGPTError, match="domain tabular, not for text"):
        make(topics_frame(20), generator=shipped)


def test_an_encoder_that_the_generator_does_not_read_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="doesn't fit the generator") as caught:
        make(topics_frame(20), encoder=None)
    assert "384" in caught.value.cause


def test_a_run_directory_is_a_generator(make: Make, world: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_generator(run / "generator.safetensors", tiny_generator(loaded(world / "tiny")), {"step": 12}, domain="text")
    assert make(topics_frame(20), generator=str(run)).model.blueprint.provenance["generator"]["step"] == 12
    with pytest.raises(ModelGPTError, match="There is no file"):
        make(topics_frame(20), generator=str(tmp_path / "nowhere"))


# With the weights that ship -----------------------------------------------------------------------------------------


def shipped() -> bool:
    try:
        return asset("weights", "text", "generator.safetensors").is_file()
    except ModelGPTError:
        return False


needs_weights = pytest.mark.skipif(not shipped(), reason="weights/text holds no generator")
PRAISE = ["A wonderful film, I loved it.", "Great acting and a moving story.", "The best evening in years, superb."]
BLAME = ["A terrible film, I hated it.", "Awful acting and a boring story.", "The worst evening in years, a waste."]


@needs_weights
def test_the_shipped_generator_knows_classes_by_their_names(tmp_path: Path) -> None:
    words = "Tell whether a film review is positive or negative.\n---\nclasses: [positive, negative]\n"
    (tmp_path / "req.txt").write_text(words)
    build(tmp_path / "req.txt", output=tmp_path / "m.safetensors", device="cpu")
    model = load_model(tmp_path / "m.safetensors")
    assert isinstance(model, TextModel)
    best = model.predict(pd.DataFrame({"text": PRAISE + BLAME})).argmax(1)
    expected = ["positive"] * len(PRAISE) + ["negative"] * len(BLAME)
    assert sum(model.blueprint.labels[k] == label for k, label in zip(best, expected, strict=True)) >= 5


@needs_weights
def test_the_shipped_generator_learns_from_a_few_texts(tmp_path: Path) -> None:
    rows = [(f"{text} Seen on day {i}.", label) for i in range(6) for text, label in labelled()]
    pd.DataFrame(rows, columns=["review", "mood"]).to_csv(tmp_path / "films.csv", index=False)
    (tmp_path / "req.txt").write_text("Tell the mood of a film review.\n---\ntarget: mood\n")
    report = build(tmp_path / "req.txt", data=tmp_path / "films.csv", output=tmp_path / "m.safetensors", device="cpu")
    assert report.metrics["model"]["accuracy"] > 0.9
    assert load_model(tmp_path / "m.safetensors").blueprint.architecture.card == "minilm-l6"


def labelled() -> list[tuple[str, str]]:
    return [(text, "glad") for text in PRAISE] + [(text, "sad") for text in BLAME]
