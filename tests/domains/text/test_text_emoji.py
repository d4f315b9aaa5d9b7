"""Emoji are read by their names, by the tokenizer itself, in a build, in a model file and in a graph."""

from __future__ import annotations

import pytest
from tiny_texts import tiny_tokenizer
from tokenizers import Tokenizer, normalizers

from modelgpt_cli.domains.text.emoji import character_table, emoji_names, name_emoji
from modelgpt_cli.domains.text.onnx_tokenizer import _proved_plan
from modelgpt_cli.domains.text.tokens import prepare_tokenizer
from modelgpt_cli.domains.text.wordpiece_plan import plan_wordpiece
from modelgpt_cli.parameter_generator.default_encoder import default_folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The usual encoder's."""
    return prepare_tokenizer(Tokenizer.from_file(str(default_folder() / "tokenizer.json")), 32)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    found: list[str] = tokenizer.encode(text, add_special_tokens=False).tokens
    return found


def test_each_is_words_of_its_own(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "ok😀😡") == ["ok", "grinning", "face", "angry", "face"]
    assert pieces(tokenizer, "so 👍🏽") == ["so", "thumbs", "up"]  # whatever its skin's tone
    assert pieces(tokenizer, "❤️") == ["red", "heart"]
    assert pieces(tokenizer, "🇩🇪") == ["de"]
    assert pieces(tokenizer, "★ naïve") == ["★", "naive"]  # a sign that it knows


def test_a_model_file_has_it(tokenizer: Tokenizer) -> None:
    again = Tokenizer.from_str(tokenizer.to_str())
    assert pieces(again, "😂 done") == pieces(tokenizer, "😂 done")


def test_a_tokenizer_that_knows_them_stays() -> None:
    known = tiny_tokenizer()
    known.add_tokens([character for character, _ in emoji_names()])
    before = known.to_str()
    assert name_emoji(known).to_str() == before


def test_a_table_replaces_what_it_lists_and_nothing_else() -> None:
    table = {"a": "b", "é": "", "漢": "kan ji", "😀": " x "}
    step = normalizers.Precompiled(character_table(table))
    assert step.normalize_str("aé漢😀😁zé") == "bkan ji x 😁z"
    assert step.normalize_str("") == ""


def test_a_graph_is_told(tokenizer: Tokenizer) -> None:
    plan = plan_wordpiece(tokenizer.to_str())
    assert plan.replaced["😡"] == "angry face"
    assert ord("😡") in plan.apart


@pytest.mark.slow
def test_a_graph_reads_as_the_tokenizer_does() -> None:
    pytest.importorskip("onnxruntime_extensions")
    named = prepare_tokenizer(tiny_tokenizer(), 32)
    plan = _proved_plan(named.to_str())  # raises where they differ, on texts of every kind
    assert plan.replaced["😀"] == "grinning face"
