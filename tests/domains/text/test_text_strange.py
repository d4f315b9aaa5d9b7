"""Texts that the encoder was not made for are told, by `build` and by `predict`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from text_models import tiny_text_model
from tiny_texts import Make, topics_frame
from tokenizers import Tokenizer

from modelgpt_cli import predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.domains.text.strange import Strangeness
from modelgpt_cli.parameter_generator.default_encoder import default_folder

GERMAN = "Das Paket kam zwei Tage zu spät an und die Schachtel war zerdrückt, deshalb schicke ich alles wieder zurück. "
ENGLISH = "The parcel came two days late and the box was crushed, so I am sending all of it back to the shop. "


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(str(default_folder() / "tokenizer.json"))
    found.no_padding()
    return found


def note(tokenizer: Tokenizer, *texts: str, card: str = "minilm-l6") -> str:
    strange = Strangeness(tokenizer, card)
    strange.add([np.array(tokenizer.encode(text).ids, dtype=np.int32) for text in texts])
    return strange.note()


def test_english_is_what_it_was_made_for(tokenizer: Tokenizer) -> None:
    assert note(tokenizer, *[ENGLISH] * 3) == ""
    assert note(tokenizer) == ""


def test_words_in_many_pieces(tokenizer: Tokenizer) -> None:
    told = note(tokenizer, *[GERMAN] * 3)
    assert told.startswith("The encoder was trained on English, and these texts fall into ")
    assert told.endswith(" pieces a word, as other languages do: expect less of it.")
    assert note(tokenizer, *[GERMAN] * 3, card="german-bert") == ""  # whose language isn't known
    assert note(tokenizer, "zerdrückte Schachteln") == ""  # too few words to tell


@pytest.mark.parametrize("card", ["minilm-l6", "other"])
def test_unknown_pieces(tokenizer: Tokenizer, card: str) -> None:
    told = note(tokenizer, "箱が壊れていた 😡😡", "great 👍", card=card)
    assert "% of the pieces of these texts are unknown to it" in told
    assert told.startswith("The encoder was trained on English" if card != "other" else "The encoder may not be made")
    assert note(tokenizer, *[ENGLISH] * 9, "great 👍", card=card) == ""


def test_a_build_says_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    frame = topics_frame(24)
    assert not any("unknown to it" in text for text in make(frame).model.blueprint.notes)
    built = make(frame.assign(text=[f"部屋が清潔 {text.split()[0]}" for text in frame["text"]]))
    (told,) = [text for text in built.model.blueprint.notes if "unknown to it" in text]
    assert told in caplog.text


def test_predict_says_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_model(tiny_text_model(labels=("bad", "good")), tmp_path / "m.onnx")
    predict(tmp_path / "m.onnx", pd.DataFrame({"text": ["a slow film", "very good"]}))
    assert "unknown to it" not in caplog.text
    predict(tmp_path / "m.onnx", pd.DataFrame({"text": ["部屋 が", "good 部屋", "清潔"] * 40}), chunk_rows=30)
    assert caplog.text.count("unknown to it") == 1
