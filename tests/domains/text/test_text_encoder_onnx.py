"""The text encoder in ONNX: the same embeddings as in torch, at any batch, length and operator set."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.shared.onnx_text_encoder import embed, encoder_weights
from modelgpt_cli.domains.shared.tokens import load_tokenizer, padded, token_ids
from modelgpt_cli.parameter_generator.default_encoder import default_folder
from modelgpt_cli.parameter_generator.minilm import MiniLM
from modelgpt_cli.parameter_generator.shipped_encoder import MAX_TOKENS, ShippedEncoder, shipped_encoder
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

TEXTS = [
    "good",
    "The delivery took three weeks, and the box was open!",
    "Großartig – 10/10 ☕",
    "word " * 400,
    "a",
    "?",
]


def graph(encoder: ShippedEncoder, opset: int) -> bytes:
    """A model that is the encoder alone."""
    weights = encoder_weights(encoder.state(), quantized=encoder.quantized)
    g = GraphWriter(weights, ["ids", "mask", "embedding"], opset=opset)
    g.op("Identity", embed(g, "ids", "mask"), output="embedding")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "T"]) for name in ("ids", "mask")]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 384])]
    made = helper.make_graph(g.nodes, "encoder", inputs, outputs, list(g.constants.values()))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run(raw: bytes, encoder: ShippedEncoder, texts: list[str | None], batch: int) -> np.ndarray:
    session = ort.InferenceSession(raw, providers=["CPUExecutionProvider"])
    rows = token_ids(load_tokenizer(encoder.tokenizer_json), texts)
    parts = []
    for start in range(0, len(rows), batch):
        ids, mask = padded(rows[start : start + batch])
        parts.append(session.run(None, {"ids": ids, "mask": mask})[0])
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def exact() -> ShippedEncoder:
    """The encoder with its weights as they were trained."""
    return ShippedEncoder(MiniLM(default_folder(), MAX_TOKENS), quantized=False)


@pytest.mark.parametrize("opset", [13, 20])
def test_full_precision_equals_torch(exact: ShippedEncoder, opset: int) -> None:
    encoder = exact
    raw = graph(encoder, opset)
    expected = encoder(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    for batch in (1, 6):
        np.testing.assert_allclose(run(raw, encoder, list(TEXTS), batch), expected, atol=1e-5)
    if opset == 20:  # short texts are not cut off: the encoder of requirements gives the same, but for its scale
        reference = TextEncoder()(TEXTS[:3]) / np.sqrt(384)
        np.testing.assert_allclose(expected[:3], reference, atol=1e-4)


def test_rounded_weights_are_small_close_and_the_same_in_torch(exact: ShippedEncoder) -> None:
    shipped = shipped_encoder()
    raw = graph(shipped, 17)
    assert len(raw) < 23_500_000
    expected = shipped(TEXTS)
    np.testing.assert_allclose(run(raw, shipped, list(TEXTS), 3), expected, atol=1e-5)
    assert (expected * exact(TEXTS)).sum(1).min() > 0.99  # cosine


def test_missing_texts_are_zeros() -> None:
    shipped = shipped_encoder()
    got = run(graph(shipped, 17), shipped, ["good", None, "  "], 3)
    np.testing.assert_array_equal(got[1:], 0)
    assert np.linalg.norm(got[0]) == pytest.approx(1, abs=1e-5)
