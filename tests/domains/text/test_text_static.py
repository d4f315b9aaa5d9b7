"""The static encoder: small and quick, the same in torch and in the graph, and what a tight limit takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from modelgpt_cli import build, evaluate, export, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.text import architectures, static_weights
from modelgpt_cli.domains.text.architectures import STATIC, find_card
from modelgpt_cli.domains.text.backbone import load_shown
from modelgpt_cli.domains.text.static import StaticConfig, StaticEncoder

PRAISE = ("a wonderful film", "I loved every minute", "excellent acting and a great story", "beautiful and moving")
BLAME = ("a terrible film", "I hated every minute", "awful acting and a boring story", "dull and far too long")


def reviews(n: int = 24) -> pd.DataFrame:
    rows = [(f"{(PRAISE, BLAME)[i % 2][i // 2 % 4]}, seen on day {i}", ("good", "bad")[i % 2]) for i in range(n)]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx``, built from 24 texts by the shipped table."""
    path = tmp_path_factory.mktemp("static") / "model.onnx"
    build(reviews(), target="label", output=path, backbone=STATIC, offline=True, device="cpu")
    return path


def test_a_text_is_the_direction_of_its_pieces_sum() -> None:
    encoder = StaticEncoder(StaticConfig(3, hidden_size=2))
    encoder.table.copy_(torch.tensor([[3, 0], [0, 4], [100, 100]], dtype=torch.int8))
    encoder.scale.copy_(torch.tensor([[1.0], [1.0], [0.0]]))
    ids = torch.tensor([[0, 1, 2], [0, 2, 1], [2, 2, 2]])
    found = encoder(ids, torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 0.0]]))


def test_a_model_is_small_and_its_graph_gives_what_torch_gives(model: Path) -> None:
    assert model.stat().st_size < 10e6
    assert (inspect(model)["backbone"]["card"], inspect(model)["backbone"]["type"]) == (STATIC, "static")
    again = load_model(model)
    assert isinstance(again.encoder, StaticEncoder)
    texts = pd.DataFrame({"text": ["a wonderful story", "far too long", "", "漢字", "day " * 400]})
    answers = predict(model, texts, chunk_rows=2)
    np.testing.assert_allclose(answers.probabilities, again.predict(texts), atol=1e-5)
    assert list(answers.label[:2]) == ["good", "bad"]


def test_it_is_exported_and_tuned(model: Path, tmp_path: Path) -> None:
    export(model, output=tmp_path / "m.onnx", quantize="int8")
    assert evaluate(tmp_path / "m.onnx", reviews())["accuracy"] == 1.0
    tune(model, data=reviews(), output=tmp_path / "t.onnx", device="cpu")
    assert evaluate(tmp_path / "t.onnx", reviews())["accuracy"] == 1.0


def test_a_limit_that_the_usual_encoder_misses_takes_it(tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text("Tell good from bad reviews.\n---\ndomain: text\nlimits: {size: 12 MB}\n")
    report = build(tmp_path / "req.txt", reviews(), output=tmp_path / "m.onnx", device="cpu")
    assert report.card == STATIC
    assert (tmp_path / "m.onnx").stat().st_size <= 12e6


def test_what_it_costs_is_on_record() -> None:
    encoder = load_shown(find_card(STATIC)).model
    size, table = architectures.SIZES[STATIC], architectures.TABLES[STATIC]
    state = encoder.state_dict()
    assert size.parameters == sum(value.numel() for value in state.values())
    assert table == sum(value.numel() * value.element_size() for value in state.values())
    assert size.features == encoder.config.hidden_size


def test_another_table_than_the_expected_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_weights, "DIGEST", "0" * 64)
    with pytest.raises(ModelGPTError, match="not the expected one"):
        load_shown(replace(find_card(STATIC), max_tokens=17))
