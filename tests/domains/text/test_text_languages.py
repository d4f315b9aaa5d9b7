"""Languages are told by letters and common words, at build and at predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from modelgpt_cli.domains.text.languages import NAMES, Languages, language_of
from modelgpt_cli.domains.text.roles import says_text
from modelgpt_cli.domains.text.strange import Strangeness
from modelgpt_cli.parameter_generator.default_encoder import default_folder


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Die Lampe flackert, und der Koffer ist zu klein"),
        ("en", "The lamp flickers and the suitcase is too small"),
        ("es", "La lámpara parpadea y la maleta es muy pequeña para los dos"),
        ("fr", "La lampe clignote et la valise est trop petite pour nous"),
        ("it", "La lampada non funziona e la valigia è molto piccola"),
        ("pt", "A lâmpada não funciona e a mala é muito pequena"),
        ("nl", "De lamp is kapot en het hotel was niet schoon"),
        ("pl", "Lampa nie działa, a walizka jest bardzo mała"),
        ("tr", "Lamba çalışmıyor ve bu bavul çok küçük"),
        ("ru", "Лампа не работает"),
        ("zh", "孩子们特别喜欢这个游戏"),
        ("ja", "部屋は清潔でした"),
        ("ko", "방이 깨끗해요"),
        ("ar", "الغرفة نظيفة"),
        ("th", "ห้องสะอาด"),
        (None, "12 ok ✓"),
        (None, ""),
    ],
)
def test_a_text_tells_its_language(language: str | None, text: str) -> None:
    assert language_of(text) == language
    assert language is None or language in NAMES


def test_shares_are_of_the_texts_that_tell() -> None:
    found = Languages()
    found.add(["Das ist gut", "Der Film ist schlecht", "Wir sind nicht da", "it was the best", "ok"])
    assert found.total == 4
    assert found.shares() == {"de": 0.75, "en": 0.25}
    assert found.words() == "German (75%), English (25%)"


def test_a_language_that_the_build_has_not_seen() -> None:
    tokenizer = Tokenizer.from_file(str(default_folder() / "tokenizer.json"))
    strange = Strangeness(tokenizer, "use-multilingual")
    texts = ["La lampe est une merveille"] * 6 + ["Die Lampe ist sehr gut"] * 6
    strange.add([np.array(row.ids) for row in tokenizer.encode_batch(texts)], texts)
    told = strange.new_languages({"de": 1.0})
    assert told == "Of 12 texts 6 French by their words; the model was built from German."
    assert strange.new_languages({"de": 0.5, "fr": 0.5}) == ""
    assert strange.new_languages({}) == ""  # an older model
    few = Strangeness(tokenizer, "use-multilingual")
    few.add([np.array([1])] * 2, texts[:2])
    assert few.new_languages({"de": 1.0}) == ""


def test_another_language_than_english_is_told_by_its_words() -> None:
    tokenizer = Tokenizer.from_file(str(default_folder() / "tokenizer.json"))
    strange = Strangeness(tokenizer, "minilm-l6")
    texts = ["la casa es muy grande y no me gusta"] * 6
    strange.add([np.array(tokenizer.encode(text).ids) for text in texts], texts)
    assert "these texts seem to be Spanish (100%)" in strange.note()


@pytest.mark.parametrize("name", ["texto", "Bewertung", "评论", "テキスト", "отзыв", "텍스트", "yorum", "avis"])
def test_headers_promise_text_in_many_languages(name: str) -> None:
    assert says_text(name)


@pytest.mark.parametrize("name", ["标签", "etiqueta", "Klasse", "метка", "ラベル"])
def test_headers_name_the_target_in_many_languages(tmp_path: Path, name: str) -> None:
    from modelgpt_cli.data.dataset import load_dataset

    rows = [f"{'yes' if i % 2 else 'no'},a text of some words number {i},{i % 3}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join([f"{name},texto,note", *rows]) + "\n", encoding="utf-8")
    assert load_dataset(tmp_path / "t.csv").schema.target == name
