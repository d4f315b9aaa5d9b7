"""BERT without transformers: the same states, the same tokenizer, the same way back from a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_texts import tiny_backbone
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from modelgpt_cli.domains.text.bert import Bert, BertConfig, read_bert
from modelgpt_cli.domains.text.model import encoder_config, make_encoder
from modelgpt_cli.parameter_generator.default_encoder import default_folder


def some_tokens(words: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(5, words, (4, 21), generator=rng)
    mask, segments = torch.ones_like(ids), torch.zeros_like(ids)
    mask[1, 9:] = 0
    mask[2] = 0
    segments[:, 6:] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


@torch.no_grad()
def test_the_shipped_encoder_is_the_one_that_transformers_reads() -> None:
    folder = default_folder()
    found, tokenizer = read_bert(folder)
    expected = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    tokens = some_tokens(30_000)
    torch.testing.assert_close(
        found(**tokens).last_hidden_state, expected(**tokens).last_hidden_state, atol=2e-5, rtol=1e-4
    )
    own = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    assert tokenizer.to_str() == own.to_str()


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"hidden_act": "relu", "type_vocab_size": 1, "layer_norm_eps": 1e-3}])
def test_an_encoder_of_the_kind_is_rebuilt_as_it_was(tmp_path: Path, more: dict[str, Any]) -> None:
    folder = tiny_backbone(tmp_path, **more)
    expected = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    config = encoder_config(expected)
    found = make_encoder(config, expected.state_dict())
    assert isinstance(found, Bert)
    tokens = some_tokens(50)
    tokens["token_type_ids"] %= config.get("type_vocab_size", 2)
    torch.testing.assert_close(
        found(**tokens).last_hidden_state, expected(**tokens).last_hidden_state, atol=2e-6, rtol=1e-4
    )
    again = make_encoder(encoder_config(found), found.state_dict())
    assert isinstance(again, Bert)
    assert again.config == found.config


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "distilbert"},
        {"model_type": "bert", "is_decoder": True},
        {"model_type": "bert", "position_embedding_type": "relative_key"},
        {"model_type": "bert", "hidden_act": "gelu_new"},
    ],
)
def test_what_it_cannot_do_is_left_to_transformers(config: dict[str, Any]) -> None:
    assert BertConfig.of(config) is None


def test_a_gradient_and_dropout_in_training(tmp_path: Path) -> None:
    model = make_encoder({"model_type": "bert", "num_hidden_layers": 1, "vocab_size": 60}, fresh(num_hidden_layers=1))
    tokens = some_tokens(50)
    calm = model(**tokens).last_hidden_state
    model.train()
    stirred = model(**tokens).last_hidden_state
    assert not torch.allclose(calm, stirred)
    stirred.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def fresh(**config: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {k: torch.randn_like(v) * 0.02 for k, v in Bert(BertConfig(vocab_size=60, **config)).state_dict().items()}


def test_a_build_from_words_imports_neither_transformers_nor_peft_nor_a_compiler(tmp_path: Path) -> None:
    """Together they took half of its time."""
    (tmp_path / "req.txt").write_text("Is a mail spam?\n---\ndomain: text\nclasses: [spam, ham]\n", encoding="utf-8")
    code = (
        "import sys; from modelgpt_cli import build; build('req.txt', output='m.onnx');"
        "print([n for n in ('transformers', 'peft', 'torch._dynamo', 'sklearn') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("[]")
