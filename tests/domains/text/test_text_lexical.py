"""What words say beside the encoder: the same numbers in numpy, torch and ONNX; chosen where they help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from tiny_texts import Make, topics_frame

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.shared.head import DENSE_ONLY, NARROW_ONLY, HeadSource, fit_head
from modelgpt_cli.domains.text.lexical import OVERLAPS, LexicalScores, Lexicon
from modelgpt_cli.domains.text.onnx_lexical import lexical_scores
from modelgpt_cli.domains.text.tokens import Encoded
from modelgpt_cli.domains.text.tune import TextTuning
from modelgpt_cli.parameter_generator import logistic_sparse
from modelgpt_cli.parameter_generator.adapter import Words
from modelgpt_cli.parameter_generator.logistic_sparse import SparseInputs, posterior_beside
from modelgpt_cli.training.tune import TuneSettings

PIECES, CLASSES = 12, 3


def some_rows(pair: bool, n: int = 30, seed: int = 0) -> Encoded:
    """Rows of 1 to 13 pieces; of pairs, either text may be empty."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(0, PIECES, rng.integers(1, 14)).astype(np.int32) for _ in range(n)]
    second = [rng.integers(0, len(row) + 1) if pair else len(row) for row in ids]
    return Encoded(ids, np.array(second, dtype=np.int64))


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("opset", [13, 17, 20])
def test_numpy_torch_and_onnx_agree(pair: bool, opset: int) -> None:
    rows = some_rows(pair)
    lexicon = Lexicon.of(rows.take(range(8)), PIECES, pair, CLASSES)  # so that some items are unknown
    weight = torch.randn(lexicon.width, CLASSES, generator=torch.Generator().manual_seed(0))
    scores = LexicalScores.of(lexicon, weight)
    expected = scores.of_rows(rows).numpy()
    batch = rows.padded(range(len(rows)))
    found = scores(batch.ids, batch.mask, batch.segments).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    names = ["ids", "mask", "segments"][: 2 + pair]
    g = GraphWriter({k: v.numpy() for k, v in scores.state().items()}, [*names, "scores"], opset=opset)
    g.op("Identity", lexical_scores(g, PIECES, "ids", "mask", "segments" if pair else ""), output="scores")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "T"]) for name in names]
    proto = g.model(inputs, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])], {})
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = dict(zip(names, (t.numpy() for t in (batch.ids, batch.mask, batch.segments)), strict=False))
    np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-5)


def test_an_item_counts_by_its_logarithm_and_a_row_has_length_one() -> None:
    rows = Encoded([np.array(row, np.int32) for row in ([1, 2, 2, 2], [3], [5, 5])], np.array([4, 1, 2]))
    lexicon = Lexicon.of(rows, PIECES, False, CLASSES)
    values = lexicon.inputs(rows).toarray()
    np.testing.assert_allclose((values**2).sum(1), 1, rtol=1e-5)
    piece = {i: lexicon.slots[i] - 1 for i in (1, 2)}
    assert values[0, piece[2]] / values[0, piece[1]] == pytest.approx(1 + np.log(3), rel=1e-5)
    unknown = Encoded([np.array([1, 7, 8, 9], np.int32)], np.array([4]))
    assert 0 < (lexicon.inputs(unknown).toarray() ** 2).sum() < 0.3  # the rest is of pieces that no row has


def test_a_pair_is_told_what_it_shares() -> None:
    rows = Encoded([np.array([1, 2, 1, 2], np.int32), np.array([1, 2, 3, 4], np.int32)], np.array([2, 2]))
    values = Lexicon.of(rows, PIECES, True, 2).inputs(rows).toarray()[:, -OVERLAPS:]
    assert values[0].min() > 0.5
    np.testing.assert_array_equal(values[1], 0)


def test_of_too_many_items_the_most_frequent_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.domains.text.lexical.MOST_FEATURES", 2)
    rows = Encoded([np.array(row, np.int32) for row in ([1, 2], [1, 3], [2, 1], [4])], np.array([2, 2, 2, 1]))
    lexicon = Lexicon.of(rows, PIECES, False, CLASSES)
    assert set(np.flatnonzero(lexicon.slots)) == {1, 2}
    assert lexicon.width == 2


@pytest.mark.parametrize("kind", ["classes", "labels", "number"])
def test_few_and_many_rows_are_solved_alike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = some_rows(False, 120)
    values = Lexicon.of(rows, PIECES, False, CLASSES).inputs(rows)
    phi = torch.randn(120, 5, generator=generator) / 2
    target = torch.nn.functional.one_hot(torch.randint(0, 3, (120,), generator=generator), 3).float()
    target = torch.randn(120, 1, generator=generator) if kind == "number" else target
    prior = torch.randn(5, target.shape[1], generator=generator)
    found = []
    for most in (1000, 0):
        monkeypatch.setattr(logistic_sparse, "ROWS", most)
        kinds = {"regression": kind == "number", "multi_label": kind == "labels"}
        sparse = SparseInputs.of(values)
        weight, beside = posterior_beside(phi, sparse, target, prior, torch.full((5,), 0.5), 0.3, **kinds)
        found.append(phi @ weight + sparse.scores(beside))
    torch.testing.assert_close(*found, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("told", [True, False])
def test_words_count_where_held_out_rows_say_so(told: bool) -> None:
    rows = some_rows(False, 200)
    lexicon = Lexicon.of(rows, PIECES, False, 2)
    rng = np.random.default_rng(3)
    y = torch.from_numpy(np.array([7 in row for row in rows.ids]) if told else rng.random(200) < 0.5).long()
    target = torch.nn.functional.one_hot(y, 2).float()
    source = HeadSource(words=Words(torch.zeros(0), torch.zeros(2, 0), regression=False, pair=False))
    phi = torch.from_numpy(rng.normal(size=(200, 4)).astype(np.float32))  # tells nothing
    fit = fit_head(source, phi, target, seed=0, scale=(0.0, 1.0), sparse=SparseInputs.of(lexicon.inputs(rows)))
    if told:
        assert fit.beside is not None
        assert fit.metrics["model"]["accuracy"] > fit.metrics[DENSE_ONLY]["accuracy"] + 0.2
    else:
        assert fit.beside is None
        assert DENSE_ONLY not in fit.metrics


def spoilt_topics(rows: int) -> pd.DataFrame:
    """Topics whose class is told by one word, whatever the others are."""
    frame = topics_frame(rows)
    frame["label"] = np.random.default_rng(0).permutation(frame["label"].to_numpy())
    marks = {"food": "0", "money": "1", "sport": "2"}
    frame["text"] = [f"{text} {marks[label]}" for text, label in zip(frame["text"], frame["label"], strict=True)]
    return frame


def test_a_model_keeps_its_words(make: Make, tmp_path: Path) -> None:
    built = make(spoilt_topics(120))
    model = built.model
    assert model.lexical is not None
    assert DENSE_ONLY in built.report.metrics
    assert model.blueprint.provenance["head"]["words"] == model.lexical.lexicon.width
    again = load_model(tmp_path / "model.safetensors")
    texts = pd.DataFrame({"text": ["soup 0", "soup 2", "", "tax 1 1"]})
    np.testing.assert_allclose(again.predict(texts), model.predict(texts), atol=1e-6)
    frame = spoilt_topics(60)
    y = np.array([model.blueprint.labels.index(label) for label in frame["label"]])
    before = model.lexical.weight.detach().clone()
    done = TextTuning(model).run(model.encode(frame), y, TuneSettings(epochs=1), known={})
    assert done.kept in ("before", "after")
    assert not torch.equal(model.lexical.weight, before) or done.kept == "before"
    assert not model.lexical.weight[0].any()


def test_words_may_be_left_out(make: Make) -> None:
    built = make(spoilt_topics(60), lexical=False)
    assert built.model.lexical is None
    assert not built.model.blueprint.architecture.word_layer
    assert not {DENSE_ONLY, NARROW_ONLY} & set(built.report.metrics)
