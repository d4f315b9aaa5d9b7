"""Text models as files: what is written gives the original's answers, is read back exactly, and is checked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from conftest import ROOT
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from text_models import default_text_model, tiny_text_model

from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.domains.text import onnx as onnx_text
from modelgpt_cli.domains.text import onnx_traced
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.onnx import to_onnx
from modelgpt_cli.domains.text.verify import edge_texts, verify
from modelgpt_cli.model_generator.measured_limits import measure_limits
from modelgpt_cli.runtime.session import TOKENIZER, Model

LABELS = ("a", "b", "c")
ROWS = pd.DataFrame(
    {
        "text": ["The film was good.", "a slow, bad book", "", None, "very " * 60, "quick", "not é"],
        "other": ["the book was bad", "", "good", "x", "the film", None, "very " * 60],
    },
    dtype=object,
)


def answers(path: Path, rows: pd.DataFrame = ROWS) -> np.ndarray:
    """What the runtime makes of some rows."""
    outputs = Model(path, threads=1).run({name: rows[name].to_numpy() for name in rows})
    return outputs["probabilities"] if "probabilities" in outputs else outputs["prediction"]


@pytest.fixture(scope="module")
def classifier() -> TextModel:
    return tiny_text_model(labels=LABELS)


@pytest.fixture(scope="module")
def pairs() -> TextModel:
    """A regressor of pairs, for which the encoder's type embeddings matter."""
    return tiny_text_model(pair=True)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize("quantize", ["none", "fp16", "int8"])
def test_files_give_the_originals_answers(
    classifier: TextModel, pairs: TextModel, tmp_path: Path, opset: int, quantize: str
) -> None:
    limit = {"none": 1e-4, "fp16": 0.02, "int8": 0.15}[quantize]
    for model in (classifier, pairs):
        path = tmp_path / f"{model.blueprint.task}.onnx"
        report = write_model(model, path, opset=opset, quantize=quantize, rows=ROWS)
        assert (report.opset, report.size_bytes) == (opset, path.stat().st_size)
        assert onnx.load(path).opset_import[0].version == opset
        np.testing.assert_allclose(answers(path), model.predict(ROWS), atol=limit)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("distilbert", {}),
        ("bert", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "type_vocab_size": 1}),
        ("bert", {"hidden_act": "relu", "num_attention_heads": 4}),
    ],
)
def test_encoders_that_are_written_by_hand(tmp_path: Path, kind: str, config: dict) -> None:
    for pair in (False, True):
        model = tiny_text_model(kind, pair=pair, **config)
        assert onnx_text.default_opset(model) == 17
        assert write_model(model, tmp_path / f"{pair}.onnx", rows=ROWS).max_difference < 1e-5
        np.testing.assert_allclose(answers(tmp_path / f"{pair}.onnx"), model.predict(ROWS), rtol=1e-5, atol=1e-5)


def test_integer_products_do_not_depend_on_the_batch(classifier: TextModel, tmp_path: Path) -> None:
    write_model(classifier, tmp_path / "m.onnx", quantize="int8")
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "MatMulInteger" in kinds
    assert "DynamicQuantizeLinear" not in kinds
    loaded = Model(tmp_path / "m.onnx", threads=1)
    texts = [f"the {word} film" for word in ("good", "bad", "slow", "quick", "very very very slow")] * 8
    together = loaded.run({"text": texts})["probabilities"]
    alone = np.concatenate([loaded.run({"text": [text]})["probabilities"] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-2)
    assert np.abs(together - alone).mean() < 1e-4


def test_sums_of_two_products_fit_into_16_bits(classifier: TextModel) -> None:
    """As processors without instructions for 8-bit networks need it."""
    initializers = {t.name: numpy_helper.to_array(t) for t in to_onnx(classifier, quantize="int8").graph.initializer}
    matrices = [initializers[name.removesuffix(".shift")] for name in initializers if name.endswith(".shift")]
    assert len(matrices) == 12
    for matrix in matrices:
        assert matrix.dtype == np.int8
        wide = matrix.astype(np.int64)
        for side in (wide.clip(0), -wide.clip(None, 0)):
            assert 255 * (side[:, 1:] + side[:, :-1]).max() <= 32767
        assert np.abs(wide).max() > 60


@pytest.mark.slow
def test_the_default_encoder_is_small_and_quicker_in_integers(tmp_path: Path) -> None:
    model = default_text_model(labels=("yes", "no"))
    texts = ["How do I reset the pin of my card?", "the parcel came late", "a long and slow film, but good"] * 8
    expected = model.predict(pd.DataFrame({"text": texts}))
    seconds: dict[str, list[float]] = {"none": [], "int8": []}
    loaded = {}
    for quantize in seconds:
        report = write_model(model, tmp_path / f"{quantize}.onnx", quantize=quantize)
        assert report.size_bytes < {"none": 91.5e6, "int8": 24e6}[quantize]
        loaded[quantize] = Model(tmp_path / f"{quantize}.onnx", threads=1)
        got = loaded[quantize].run({"text": texts})["probabilities"]
        np.testing.assert_allclose(got, expected, atol=1e-4 if quantize == "none" else 0.15)
    for _ in range(5):
        for quantize, session in loaded.items():
            start = time.process_time()
            session.run({"text": texts})
            seconds[quantize].append(time.process_time() - start)
    assert min(seconds["int8"]) < min(seconds["none"])


def test_the_way_back_is_exact(classifier: TextModel, pairs: TextModel, tmp_path: Path) -> None:
    for model in (classifier, pairs):
        name = model.blueprint.task
        write_model(model, tmp_path / f"{name}.onnx")
        write_model(model, tmp_path / f"{name}.safetensors")
        for suffix in ("onnx", "safetensors"):
            again = load_model(tmp_path / f"{name}.{suffix}")
            assert isinstance(again, TextModel)
            assert again.blueprint == model.blueprint
            assert again.tokenizer_json == model.tokenizer_json
            assert again.state().keys() == model.state().keys()
            assert all(torch.equal(again.state()[key], value) for key, value in model.state().items())
        export(tmp_path / f"{name}.safetensors", output=tmp_path / "again.onnx", force=True)
        assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / f"{name}.onnx").read_bytes()


def test_the_file_says_what_it_is_and_nothing_local(classifier: TextModel, tmp_path: Path) -> None:
    write_model(classifier, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    assert [i.name for i in proto.graph.input] == ["input_ids", "attention_mask"]
    assert [o.name for o in proto.graph.output] == ["label", "probabilities"]
    card = Model(tmp_path / "m.onnx").metadata
    assert card["inputs"] == [{"name": "text", "type": "text", "role": "text"}]
    assert (card["domain"], card["tokenizer"], card["max_tokens"]) == ("text", "metadata", 24)
    assert card["backbone"] == {"card": "tiny", "type": "bert", "layers": 2, "size": 32}
    assert not any(node.doc_string or node.metadata_props for node in proto.graph.node)
    raw = (tmp_path / "m.onnx").read_bytes()
    assert str(tmp_path).encode() not in raw
    assert b"site-packages" not in raw


def _weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[onnx.ModelProto], None]:
    """A change of the graph: other numbers in a tensor."""

    def apply(proto: onnx.ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))

    return apply


def _no_mask(proto: onnx.ModelProto) -> None:
    """A change of the graph: padding is attended to."""
    softmax = next(node for node in proto.graph.node if node.op_type == "Softmax")
    hidden = next(node for node in proto.graph.node if softmax.input[0] in node.output)
    softmax.input[0] = hidden.input[0]


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize(
    "change",
    [
        _no_mask,
        _weight("head.bias", lambda bias: bias + np.float32([0.01, 0, 0])),
        _weight("backbone.encoder.layer.1.output.LayerNorm.weight", lambda weight: weight * np.float32(-1)),
    ],
)
def test_verification_finds_a_wrong_graph(
    classifier: TextModel, change: Callable[[onnx.ModelProto], None], quantize: str
) -> None:
    proto = to_onnx(classifier, quantize=quantize)
    assert verify(classifier, proto.SerializeToString(), quantize=quantize) < 0.2
    change(proto)
    with pytest.raises(VerificationError):
        verify(classifier, proto.SerializeToString(), quantize=quantize)


def test_verification_tries_the_edges(pairs: TextModel) -> None:
    rows = edge_texts(pairs)
    assert list(rows) == ["text", "other"]
    assert ((rows.text == "") & (rows.other != "")).any()
    assert ((rows.other == "") & (rows.text != "")).any()
    assert pairs.encode(rows).cut


def test_export_measures_what_quantisation_costs(classifier: TextModel, tmp_path: Path) -> None:
    write_model(classifier, tmp_path / "m.safetensors")
    rows = ROWS[["text"]].assign(label=[LABELS[k] for k in classifier.predict(ROWS).argmax(1)])
    rows.to_csv(tmp_path / "d.csv", index=False)
    report = export(tmp_path / "m.safetensors", output=tmp_path / "q.onnx", quantize="int8", data=tmp_path / "d.csv")
    assert report.before["accuracy"] == 1
    assert report.after["accuracy"] is not None
    assert report.after["accuracy"] >= 6 / 7
    with pytest.raises(UsageError, match="--data is for measuring"):
        export(tmp_path / "m.safetensors", output=tmp_path / "n.onnx", data=tmp_path / "d.csv")


def test_limits_are_measured(classifier: TextModel, tmp_path: Path) -> None:
    write_model(classifier, tmp_path / "m.onnx")
    limits = Limits(size=10_000_000, parameters=100_000, latency_ms=10_000.0)
    measured = measure_limits(limits, Quality(), classifier, tmp_path / "m.onnx", {}, ROWS)
    assert measured["size"] == (tmp_path / "m.onnx").stat().st_size
    assert measured["parameters"] == sum(p.numel() for p in classifier.parameters())
    assert measured["latency_ms"] > 0
    assert measured["latency_p95_ms"] >= measured["latency_ms"]


def _header(path: Path, change: Callable[[dict[str, str]], None]) -> None:
    with safe_open(str(path), "pt") as file:
        header = file.metadata()
    change(header)
    save_file(load_file(path), str(path), metadata=header)


def _tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    with safe_open(str(path), "pt") as file:
        header = file.metadata()
    state = load_file(path)
    change(state)
    save_file(state, str(path), metadata=header)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "can't be read"),
        (lambda p: _header(p, lambda h: h.pop(TOKENIZER)), "carries no tokenizer"),
        (lambda p: _header(p, lambda h: h.update({TOKENIZER: "{}"})), "tokenizer can't be read"),
        (lambda p: _header(p, lambda h: h.pop("modelgpt")), "not made by modelgpt"),
        (lambda p: _tensors(p, lambda s: s.pop("head.weight")), "head.weight"),
        (lambda p: _tensors(p, lambda s: s.pop("backbone.embeddings.LayerNorm.weight")), "LayerNorm.weight"),
        (lambda p: _tensors(p, lambda s: s.update({"head.weight": torch.zeros(5, 3)})), "don't fit each other"),
        (lambda p: _tensors(p, lambda s: s.update({"head.weight": torch.zeros(32, 2)})), "is damaged"),
        (lambda p: _tensors(p, lambda s: s["head.bias"].fill_(float("nan"))), "no finite numbers"),
    ],
)
def test_a_spoilt_file_is_one_clear_error(
    classifier: TextModel, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "m.safetensors"
    write_model(classifier, path)
    spoil(path)
    with pytest.raises(ModelGPTError) as caught:
        load_model(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_quantised_files_do_not_come_back(classifier: TextModel, tmp_path: Path) -> None:
    write_model(classifier, tmp_path / "q.onnx", quantize="int8")
    with pytest.raises(ModelGPTError, match=r"quantised \(int8\)"):
        load_model(tmp_path / "q.onnx")


def test_tables_are_written_without_transformers(tmp_path: Path) -> None:
    code = (
        "import sys; from artifact_models import random_model, random_table\n"
        "from modelgpt_cli.artifacts.export import write_model\n"
        "write_model(random_model(*random_table(), labels=('a', 'b')), sys.argv[1])\n"
        "heavy = {'transformers', 'modelgpt_cli.domains.text.onnx', 'onnxscript'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.onnx")],
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TextModel, Path]]:
    """A model whose encoder torch has to trace, once for all tests, and the cache with its graph."""
    folder = tmp_path_factory.mktemp("cache")
    model = tiny_text_model("electra", labels=LABELS, embedding_size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELGPT_CACHE", str(folder))
        write_model(model, folder / "m.onnx", rows=ROWS)
        yield model, folder


@pytest.mark.slow
def test_any_other_encoder_is_traced_and_kept(
    traced: tuple[TextModel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = traced
    np.testing.assert_allclose(answers(folder / "m.onnx"), model.predict(ROWS), atol=1e-5)
    again = load_model(folder / "m.onnx")
    assert all(torch.equal(again.state()[key], value) for key, value in model.state().items())
    raw = (folder / "m.onnx").read_bytes()
    assert b"site-packages" not in raw
    assert b".py" not in raw

    monkeypatch.setattr(onnx_traced, "_trace", lambda *_: pytest.fail("traced again"))
    other = tiny_text_model("electra", labels=LABELS, embedding_size=32, seed=3)
    write_model(other, tmp_path / "other.onnx", rows=ROWS)
    np.testing.assert_allclose(answers(tmp_path / "other.onnx"), other.predict(ROWS), atol=1e-5)
    for quantize, limit in (("fp16", 0.02), ("int8", 0.15)):
        report = write_model(model, tmp_path / f"{quantize}.onnx", quantize=quantize, rows=ROWS)
        assert (report.opset, report.max_difference > 0) == (18, True)
        np.testing.assert_allclose(answers(tmp_path / f"{quantize}.onnx"), model.predict(ROWS), atol=limit)
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "MatMulInteger" in kinds
    with pytest.raises(UsageError, match="opset 17 is not supported for electra"):
        write_model(model, tmp_path / "no.onnx", opset=17)


@pytest.mark.slow
def test_a_damaged_cache_is_made_anew(traced: tuple[TextModel, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = traced
    (kept,) = (folder / "encoders").iterdir()
    whole = kept.read_bytes()
    calls = []

    def trace(*_: object) -> onnx.ModelProto:
        calls.append(1)
        return onnx.load_model_from_string(whole[64:])

    monkeypatch.setattr(onnx_traced, "_trace", trace)
    for content in (b"", whole[:-9], whole[:100] + b"x" + whole[101:]):
        kept.write_bytes(content)
        verify(model, to_onnx(model, opset=18).SerializeToString())
        assert kept.read_bytes() == whole
    assert len(calls) == 3
    monkeypatch.setenv("MODELGPT_CACHE", "/proc/no/such")  # where nothing can be written: traced, and not kept
    to_onnx(model, opset=18)
    assert len(calls) == 4


def test_an_encoder_that_cannot_be_traced_is_one_clear_error(
    traced: tuple[TextModel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELGPT_CACHE", str(tmp_path))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no decomposition\nfor this operator")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(ModelGPTError, match="'electra' can't be turned into an ONNX graph") as caught:
        to_onnx(traced[0], opset=18)
    assert "no decomposition for this operator" in caught.value.cause


def test_the_card_is_json(classifier: TextModel) -> None:
    card = model_card(classifier.blueprint)
    assert json.loads(json.dumps(card, allow_nan=False)) == card
