"""The text domain's parts: cards, the backbone with LoRA, tokens and head inputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_texts import (
    POSITIONS,
    SIZE,
    loaded,
    random_lora,
    sayings,
    tiny_backbone,
)
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.text.architectures import CARDS, find_card
from modelgpt_cli.domains.text.backbone import Backbone, load_backbone
from modelgpt_cli.domains.text.embed import embed
from modelgpt_cli.domains.text.head_sizes import input_groups
from modelgpt_cli.domains.text.inputs import COSINE, PRODUCT, head_inputs
from modelgpt_cli.domains.text.model import encoder_config, make_encoder
from modelgpt_cli.domains.text.tokens import Encoded, encode, prepare_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("text") / "tiny")


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return loaded(folder)


def states_of(backbone: Backbone, texts: list[str], lora: dict[str, Tensor] | None = None) -> Tensor:
    rows = encode(prepare_tokenizer(backbone.tokenizer, 64), texts)
    return backbone(rows.padded(range(len(texts))), lora)


# Cards and the backbone ---------------------------------------------------------------------------------------------


def test_cards() -> None:
    assert find_card(None) is find_card("minilm-l6") is find_card("all-MiniLM-L6-v2") is CARDS["minilm-l6"]
    assert find_card("distilbert").source == "distilbert-base-uncased"
    for card in CARDS.values():  # the paper's, section 4
        assert (card.rank, card.alpha, card.dropout, card.scale) == (16, 32, 0.05, 2.0)
    assert (find_card("someone/encoder").name, find_card("someone/encoder").source) == ("someone/encoder",) * 2


def test_a_folder_gets_a_card_that_keeps_its_path_to_itself(folder: Path) -> None:
    card = find_card(str(folder))
    assert card.name == "tiny"
    assert str(folder) not in str(card.to_dict())
    assert card.path() == str(folder)
    assert CARDS["distilbert"].to_dict()["source"] == "distilbert-base-uncased"


@torch.no_grad()
def test_merging_the_factors_is_as_running_them_beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.domains.text.backbone.in_halves", lambda encoder: encoder)
    backbone = loaded(folder)
    rows = encode(prepare_tokenizer(backbone.tokenizer, 64), sayings(["food", "water"], 6)[0])
    tokens, lora = rows.padded(range(6)), random_lora(backbone)
    plain, expected = backbone(tokens), backbone(tokens, lora)
    assert not torch.allclose(expected, plain, atol=0.05)
    torch.testing.assert_close(backbone(tokens), plain)  # nothing stays behind
    merged = backbone.merge(lora)
    found = merged(input_ids=tokens.ids, attention_mask=tokens.mask, token_type_ids=tokens.segments)
    torch.testing.assert_close(found.last_hidden_state, expected, atol=1e-5, rtol=1e-4)
    assert not any("lora" in name for name in merged.state_dict())


@torch.no_grad()
def test_factors_act_with_alpha_over_r_on_query_and_value_alone(folder: Path) -> None:
    backbone = loaded(folder)
    before = {
        k: v.clone() for k, v in backbone.network.state_dict().items() if k.endswith(("query.weight", "value.weight"))
    }
    lora = random_lora(backbone)
    after = backbone.merge(lora).state_dict()
    untouched = [k for k in after if k.endswith("key.weight")]
    assert untouched
    assert len(backbone.adapted) == len(before) == 4
    for layer in backbone.adapted:
        old = before[f"{layer}.weight"]
        added = 2.0 * lora[f"{layer}.lora_B"] @ lora[f"{layer}.lora_A"]
        found = after[f"{layer}.weight"]
        torch.testing.assert_close(found, old + added, atol=1e-5, rtol=1e-3)
        assert torch.equal(found, found.half().float()), "a file can keep it in halves"


def test_dropout_acts_on_the_factors_in_training_and_on_nothing_else(folder: Path) -> None:
    backbone, texts = loaded(folder), ["goal team", "soup bread"]
    lora = random_lora(backbone)
    calm = states_of(backbone, texts, lora)
    backbone.train_adapter()
    torch.manual_seed(0)
    assert not torch.allclose(states_of(backbone, texts, lora), calm, atol=1e-4)
    torch.testing.assert_close(states_of(backbone, texts), states_of(backbone, texts))
    backbone.train_adapter(False)
    torch.testing.assert_close(states_of(backbone, texts, lora), calm)


def test_other_kinds_of_encoders_are_adapted_too(tmp_path: Path) -> None:
    from tiny_texts import tiny_tokenizer
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    sizes = {"dim": SIZE, "n_layers": 1, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": POSITIONS}
    DistilBertModel(DistilBertConfig(vocab_size=200, **sizes)).save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer(), pad_token="[PAD]").save_pretrained(tmp_path)
    backbone = loaded(tmp_path)
    assert not backbone.type_ids
    assert [layer.split(".")[-1] for layer in backbone.adapted] == ["q_lin", "v_lin"]
    texts = ["goal team", "soup"]
    assert not torch.allclose(states_of(backbone, texts, random_lora(backbone)), states_of(backbone, texts), atol=1e-3)


@torch.no_grad()
def test_an_encoder_is_rebuilt_from_its_blueprint(backbone: Backbone) -> None:
    plain = loaded_plain(backbone)
    config = encoder_config(plain)
    assert config["model_type"] == "bert"
    assert not any(key in config for key in ("_name_or_path", "transformers_version"))
    again = make_encoder(config, plain.state_dict())
    ids = torch.randint(5, 50, (2, 9))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    torch.testing.assert_close(again(**given).last_hidden_state, plain(**given).last_hidden_state)


def loaded_plain(backbone: Backbone) -> torch.nn.Module:
    """The encoder of a backbone without places for factors."""
    import copy

    return copy.deepcopy(backbone).merge(None)


# Tokens and head inputs ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens_of(backbone: Backbone):
    """Token ids of a text without the special ones."""
    return lambda text: backbone.tokenizer.encode(text, add_special_tokens=False).ids


def test_a_pair_is_one_sequence_of_two_segments(backbone: Backbone, tokens_of) -> None:
    rows = encode(prepare_tokenizer(backbone.tokenizer, 64), ["goal team", "soup"], ["rain", "bread salt plate"])
    cls, sep = (backbone.tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    assert rows.ids[0].tolist() == [cls, *tokens_of("goal team"), sep, *tokens_of("rain"), sep]
    padded = rows.padded([0, 1])
    assert padded.segments.tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert padded.mask.sum(1).tolist() == [6, 7]
    assert padded.ids[0, 6] == 0


def test_texts_longer_than_the_window_are_cut_and_counted(backbone: Backbone) -> None:
    long, tokenizer = "goal " * 500, prepare_tokenizer(backbone.tokenizer, 16)
    rows = encode(tokenizer, [long, "goal", "goal " * 14, "goal " * 15])
    assert rows.cut == 2
    assert rows.lengths.tolist() == [16, 3, 16, 16]
    pairs = encode(tokenizer, [long, "goal", "soup"], ["rain", long, "bread"])
    assert pairs.cut == 2
    assert pairs.lengths.tolist() == [16, 16, 5]
    assert pairs.second.tolist() == [14, 3, 3]  # the longer of both is cut
    assert backbone.tokenizer.truncation is None, "the backbone's own tokenizer stays as it was"


def test_every_row_comes_once_in_batches(backbone: Backbone) -> None:
    rng = np.random.default_rng(0)
    rows = Encoded([np.arange(1, n + 1, dtype=np.int32) for n in rng.integers(1, 60, 100)], np.full(100, 99))
    seen = []
    for index, batch in rows.batches(120):
        seen += index.tolist()
        assert batch.ids.shape[0] == len(index)
        assert batch.ids.numel() <= 120
        for row, ids, mask in zip(index, batch.ids, batch.mask, strict=True):
            length = len(rows.ids[row])
            assert ids[:length].tolist() == rows.ids[row].tolist()
            assert mask.tolist() == [1] * length + [0] * (len(mask) - length)
    assert sorted(seen) == list(range(100))
    assert [index.tolist() for index, _ in rows.take([3]).batches(1)] == [[0]]  # a row of more tokens comes alone
    assert not list(rows.take([]).batches(100))


@torch.no_grad()
def test_padding_and_batches_change_no_embedding(backbone: Backbone) -> None:
    texts, _ = sayings(["sport", "water"], 9)
    tokenizer = prepare_tokenizer(backbone.tokenizer, 64)
    for second in (None, [*texts[1:], "soup " * 12]):
        rows = encode(tokenizer, [*texts[:-1], "goal " * 30], second)
        pair = second is not None
        together = embed(backbone, None, rows, pair, tokens=4096)
        alone = torch.cat([embed(backbone, None, rows.take([i]), pair) for i in range(len(rows))])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(embed(backbone, None, rows, pair, tokens=30), together, atol=1e-5, rtol=1e-4)
        assert together.shape == (9, sum(input_groups(SIZE)[pair].values()))


def test_missing_and_empty_texts_are_alike(backbone: Backbone) -> None:
    tokenizer = prepare_tokenizer(backbone.tokenizer, 64)
    rows = encode(tokenizer, [None, "", "   "])
    assert {tuple(row) for row in rows.ids} == {tuple(rows.ids[0])}
    phi = embed(backbone, None, rows, False)
    assert torch.isfinite(phi).all()
    torch.testing.assert_close(phi.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize(("first", "second"), [("", "rain"), ("goal", None), (None, "")])
def test_an_empty_side_of_a_pair_is_finite(backbone: Backbone, first: str | None, second: str | None) -> None:
    rows = encode(prepare_tokenizer(backbone.tokenizer, 64), [first, "goal team"], [second, "soup"])
    phi = embed(backbone, None, rows, True)
    assert phi.shape == (2, 4 * SIZE + 1)
    assert torch.isfinite(phi).all()


def test_a_tokenizer_without_special_tokens_may_give_nothing(backbone: Backbone) -> None:
    bare = prepare_tokenizer(backbone.tokenizer, 16)
    bare.post_processor = None  # type: ignore[assignment]
    rows = encode(bare, ["", "goal"])
    assert rows.lengths.tolist() == [1, 1]
    assert torch.isfinite(embed(backbone, None, rows, False)).all()
    pairs = encode(bare, ["", "goal"], ["rain", ""])
    phi = embed(backbone, None, pairs, True)
    assert torch.isfinite(phi).all()
    assert not phi[1, SIZE : 2 * SIZE].any(), "an absent text is zeros"


def test_head_inputs_are_directions_and_how_they_compare() -> None:
    states = torch.zeros(1, 4, 2)
    states[0] = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    mask = torch.tensor([[1, 1, 1, 0]])
    one = head_inputs(states, mask, torch.zeros_like(mask), False)
    torch.testing.assert_close(one, torch.nn.functional.normalize(torch.tensor([[4.0, 5.0]])))
    pair = head_inputs(states, mask, torch.tensor([[0, 0, 1, 1]]), True)
    torch.testing.assert_close(pair[0, :6], torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
    assert not pair[0, 6:].any()  # at right angles: no product, no cosine
    same = head_inputs(states[:, :2], mask[:, :2], torch.tensor([[0, 1]]), True)
    torch.testing.assert_close(same[0], torch.tensor([1.0, 0, 1.0, 0, 0, 0, PRODUCT, 0, COSINE]))


def test_windows_longer_than_the_encoders_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=f"reads {POSITIONS} tokens at most; 500 were asked for"):
        load_backbone(dataclasses.replace(find_card(str(folder)), max_tokens=500))
