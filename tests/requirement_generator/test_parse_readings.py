"""What an LLM may read in requests: wrong readings, none of which passes, and right ones, all of which do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.parse import ContradictionError, ParsedRequest
from modelgpt_cli.requirement_generator.parse_answer import read_reading

Figure = tuple[str, str, str]


def said(*figures: Figure, **more: Any) -> dict[str, Any]:
    """An answer as the template asks for it."""
    values: dict[str, Any] = {"domain": None, "task": None, "target": None, "classes": []}
    values |= {"limits": [], "quality": [], "deploy": [], "unclear": [], "contradiction": None}
    for place, value, words in figures:
        block, _, key = place.partition(".")
        values[block].append({"key": key, "value": value, "words": words})
    return values | more


def conflict(first: str, second: str, reason: str = "they exclude each other") -> dict[str, Any]:
    """An answer that tells of a contradiction."""
    return said(contradiction={"first": first, "second": second, "reason": reason})


def read(values: dict[str, Any], words: str) -> ParsedRequest | ContradictionError:
    return read_reading(json.dumps(values), words, words)


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "another unit": ("unter 5 MB", said(("limits.size", "5 GB", "unter 5 MB"))),
    "seconds for milliseconds": ("en moins de 20 ms", said(("limits.latency_ms", "20 s", "moins de 20 ms"))),
    "a time for a size": ("un modelo de 20 ms", said(("limits.size", "20 MB", "20 ms"))),
    "a unit that is not quoted": ("unter 5 MB", said(("limits.size", "5 MB", "unter 5"))),
    "another number": ("moins de 2 Mo", said(("limits.size", "3 MB", "moins de 2 Mo"))),
    "the number of another figure": (
        "höchstens 2 MB und 30 ms",
        said(("limits.latency_ms", "30 ms", "2 MB und 30 ms"), ("limits.size", "2 MB", "2 MB")),
    ),
    "a part of a number": ("12,5 Mo au plus", said(("limits.size", "5 MB", "5 Mo au plus"))),
    "fp16 for int8": ("Le modèle doit être en int8", said(("deploy.quantize", "fp16", "en int8"))),
    "what need not be": (
        "Sort mails into spam and ham; the file need not be int8.",
        said(("deploy.quantize", "int8", "int8"), classes=["spam", "ham"]),
    ),
    "what shall not be": ("ein Modell ohne int8", said(("deploy.quantize", "int8", "int8"))),
    "what need not be, in German": (
        "Es muss nicht unter 2 MB sein",
        said(("limits.size", "2 MB", "unter 2 MB")),
    ),
    "a file of another kind": ("enregistré en onnx", said(("deploy.format", "safetensors", "en onnx"))),
    "another runtime": ("für onnxruntime", said(("deploy.runtime", "onnxruntime-web", "onnxruntime"))),
    "letters for classes": ("Sort emails into spam or not", said(classes=["a", "o"])),
    "words of the sentence for classes": ("Ein Bild oder ein Text", said(classes=["ein", "oder"])),
    "parts of words for classes": ("trennt Katzenbilder von Hundebildern", said(classes=["Katze", "Hunde"])),
    "other classes than are listed": (
        "A model that sorts mails into spam, ham and news",
        said(classes=["spam", "ham"]),
    ),
    "a part of a word for the target": ("prévoit les ventes", said(target="vent")),
    "a figure left out": (
        "A model under 2 MB that answers within 20 ms, sorting mails into spam and ham",
        said(("limits.size", "2 MB", "under 2 MB"), classes=["spam", "ham"]),
    ),
    "errors for hits": ("höchstens 5 % falsch", said(("quality.accuracy", "5%", "5 % falsch"))),
    "a lower bound for an upper one": ("mindestens 5 MB groß", said(("limits.size", "5 MB", "mindestens 5 MB"))),
    "an upper bound for a lower one": (
        "máximo 90 %, como máximo 90 %",
        said(("quality.accuracy", "90%", "como máximo 90 %")),
    ),
    "classes for threads": ("zwei Klassen, 2 Stufen", said(("limits.threads", "2", "2 Stufen"))),
    "a year for a batch": ("données de 2024", said(("limits.batch_size", "2024", "données de 2024"))),
    "bytes for parameters": ("weniger als 2 MB", said(("limits.parameters", "2M", "2 MB"))),
    "an opset from a size": ("unter 17 MB", said(("deploy.opset", "17", "17 MB"))),
    "accuracy for F1": ("mit 90 % Genauigkeit", said(("quality.f1", "0.9", "90 % Genauigkeit"))),
    "a contradiction without quotes": ("Ein Modell unter 2 MB", conflict("under 2 MB", "over 5 MB")),
    "a contradiction of one place": ("Ein Modell unter 2 MB", conflict("unter 2 MB", "2 MB")),
    "a contradiction of two things": ("unter 2 MB und 30 ms", conflict("unter 2 MB", "30 ms")),
    "a contradiction of what agrees": ("under 2 MB, within 20 ms, int8", conflict("under 2 MB", "int8")),
    "a contradiction in one sentence": ("unter 2 MB", said(contradiction="It can't be.")),
}
RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "German": (
        "Ein Modell unter 2 MB, das Mails in Spam und Ham sortiert, in höchstens 1,5 Sekunden",
        said(
            ("limits.size", "2 MB", "unter 2 MB"),
            ("limits.latency_ms", "1.5 s", "höchstens 1,5 Sekunden"),
            classes=["Spam", "Ham"],
        ),
    ),
    "French": (
        "moins de 2,5 Mo, au moins 90 % de bonnes réponses, en demi-précision",
        said(
            ("limits.size", "2.5 MB", "moins de 2,5 Mo"),
            ("quality.accuracy", "90%", "au moins 90 %"),
            ("deploy.quantize", "fp16", "demi-précision"),
        ),
    ),
    "Spanish": (
        "no más de 200 mil parámetros, en dos hilos",
        said(("limits.parameters", "200k", "200 mil parámetros"), ("limits.threads", "2", "dos hilos")),
    ),
    "Chinese": (
        "模型小于5万参数,30毫秒以内,准确率90%以上",
        said(
            ("limits.parameters", "50k", "小于5万参数"),
            ("limits.latency_ms", "30 ms", "30毫秒以内"),
            ("quality.accuracy", "90%", "准确率90%以上"),
        ),
    ),
    "Russian": ("не более 3 МБ", said(("limits.size", "3 MB", "не более 3 МБ"))),
    "not larger than": ("nicht größer als 3 MB", said(("limits.size", "3 MB", "nicht größer als 3 MB"))),
    "errors": ("höchstens 5 % falsch", said(("quality.error_rate", "5%", "5 % falsch"))),
    "a share of two numbers": ("in 19 von 20 Fällen richtig", said(("quality.accuracy", "95%", "19 von 20"))),
    "a rate": ("mindestens 40 Bilder je Sekunde", said(("limits.rows_per_second", "40", "40 Bilder je Sekunde"))),
    "not quantised": ("bitte nicht quantisiert", said(("deploy.quantize", "none", "nicht quantisiert"))),
    "English, whole": (
        "A model under 2 MB that answers within 20 ms, sorting mails into spam and ham, at least 90 % right, int8",
        said(
            ("limits.size", "2 MB", "under 2 MB"),
            ("limits.latency_ms", "20 ms", "within 20 ms"),
            ("quality.accuracy", "90%", "at least 90 % right"),
            ("deploy.quantize", "int8", "int8"),
            classes=["spam", "ham"],
        ),
    ),
    "letters that are marked": ("Unterscheide 'a' und 'o'", said(classes=["a", "o"])),
    "a contradiction": ("Höchstens 2 MB. Und mindestens 5 MB.", conflict("Höchstens 2 MB", "mindestens 5 MB")),
    "a contradiction of file and demand": (
        "safetensors, mais opset 17",
        conflict("safetensors", "opset 17", "safetensors has no opset"),
    ),
    "unclear": ("gern in int8", said(unclear=[{"words": "gern in int8", "reason": "a wish"}])),
}


@pytest.mark.parametrize("kind", WRONG)
def test_no_wrong_reading_passes(kind: str) -> None:
    words, values = WRONG[kind]
    with pytest.raises(BadAnswerError):
        read(values, words)


@pytest.mark.parametrize("kind", RIGHT)
def test_right_readings_pass(kind: str) -> None:
    words, values = RIGHT[kind]
    found = read(values, words)
    if values["contradiction"]:
        assert isinstance(found, ContradictionError)
        assert values["contradiction"]["first"] in str(found)
        assert values["contradiction"]["second"] in str(found)
        return
    assert isinstance(found, ParsedRequest)
    figures = [figure for block in ("limits", "quality", "deploy") for figure in values[block]]
    assert len(found.proposed) == len(figures)
    assert found.requirement.classes == tuple(values["classes"])


def test_a_figure_that_was_left_out_may_be_told_as_unclear() -> None:
    words = "A model under 2 MB that answers within 20 ms"
    told = said(("limits.size", "2 MB", "under 2 MB"), unclear=[{"words": "within 20 ms", "reason": "of what?"}])
    assert isinstance(read(told, words), ParsedRequest)
    with pytest.raises(BadAnswerError, match="within 20 ms' states limits: latency_ms, which you left out"):
        read({**told, "unclear": []}, words)
