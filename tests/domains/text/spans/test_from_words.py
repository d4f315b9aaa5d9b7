"""Spans from words alone: what a sentence asks for, what is found, and what is refused; names beside marked texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from marked_texts import Marked, spans_jsonl

from modelgpt_cli import build, predict
from modelgpt_cli.artifacts.export import export
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.text.spans.kinds import SpanGenerator, matched_kinds, prior_of, shipped_generator
from modelgpt_cli.domains.text.spans.model import tag_scores
from modelgpt_cli.requirement_generator.parse import parse_request
from modelgpt_cli.runtime.session import Model

TEXT = "Maria Keller of Siemens paid $1,200 for a flight from Berlin to Madrid on March 14."
WANTED = {
    "Maria Keller": "people",
    "Siemens": "company",
    "$1,200": "price",
    "Berlin": "city",
    "Madrid": "city",
    "March 14": "date",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of five classes, from a requirement without data."""
    folder = tmp_path_factory.mktemp("words")
    requirement = folder / "req.txt"
    requirement.write_text(
        "Find who paid what.\n---\ntask: spans\nclasses: [people, company, price, city, date]\n", encoding="utf-8"
    )
    build(requirement, output=folder / "m.onnx", offline=True)
    return folder / "m.onnx"


def _found(model: Path, text: str) -> dict[str, str]:
    return {one["text"]: one["label"] for one in predict(model, {"text": [text]}).answers["spans"][0]}


def test_names_of_classes_find_spans(model: Path) -> None:
    assert _found(model, TEXT) == WANTED
    assert _found(model, "nothing of that kind is said here") == {}


def test_what_was_taken_for_what_is_kept_in_the_file(model: Path) -> None:
    card = Model(model).metadata
    assert card["nearest"]["company"]["concept"] == "organisation"
    told = " ".join(card["notes"])
    assert "first guess" in told
    assert "'price' for money" in told
    assert "'date'" not in told  # which is called so
    assert card["provenance"]["generator"]["sha256"] == shipped_generator().header["sha256"]


def test_a_smaller_file_finds_the_same(model: Path, tmp_path: Path) -> None:
    export(model, output=tmp_path / "small.onnx", quantize="int8")
    assert (tmp_path / "small.onnx").stat().st_size < 25e6
    assert _found(tmp_path / "small.onnx", TEXT) == WANTED


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("[person, sentiment]", "'sentiment' (nearest: "),
        ("[company, vendor]", "'vendor' can't be told from 'company'"),
    ],
)
def test_what_names_do_not_carry_is_refused(classes: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(f"Find things.\n---\ntask: spans\nclasses: {classes}\n", encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        build(tmp_path / "req.txt", output=tmp_path / "m.onnx", offline=True)
    text = f"{raised.value.problem} {raised.value.cause}"
    assert message in text
    assert "--data" in raised.value.hint
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("sentence", "classes"),
    [
        ("Extract persons, organisations and dates from news.", ("persons", "organisations", "dates")),
        ("Extract all email addresses from messages", ("email addresses",)),
        ("Highlight the names and amounts in invoices.", ("names", "amounts")),
    ],
)
def test_a_sentence_asks_for_spans(sentence: str, classes: tuple[str, ...]) -> None:
    found = parse_request(sentence).requirement
    assert (found.domain, found.task, found.classes) == ("marked", "spans", classes)


@pytest.mark.parametrize(
    ("sentence", "task"),
    [
        ("Mark emails as spam or ham", "classification"),
        ("Mark the cells in images", None),
        ("Mark every message that needs an answer", None),
        ("Sort mails into spam and ham, and extract nothing", "classification"),
    ],
)
def test_other_sentences_do_not(sentence: str, task: str | None) -> None:
    found = parse_request(sentence).requirement
    assert (found.domain, found.task) != ("marked", "spans")
    assert task is None or found.task == task


def _towns(n: int, rng: np.random.Generator) -> list[Marked]:
    """Texts of where goods come from and go to: both are places, which names alone can't tell apart."""
    towns = ["Bonn", "Ghent", "Malmö", "Graz", "Nantes", "Turku", "Cork", "Bari", "Vigo", "Delft", "Split", "Brno"]
    found = []
    for _ in range(n):
        source, sink = rng.choice(towns, 2, replace=False).tolist()
        text = f"The goods left {source} yesterday and will reach {sink} soon."
        marks = [(text.index(town), text.index(town) + len(town), kind) for town, kind in ((source, "a"), (sink, "b"))]
        found.append((text, marks))
    return found


def test_few_marked_texts_tell_apart_what_is_of_one_kind(tmp_path: Path) -> None:
    data = spans_jsonl(tmp_path / "marked.jsonl", _towns(6, np.random.default_rng(0)))
    build(data, output=tmp_path / "m.onnx", offline=True)
    assert Model(tmp_path / "m.onnx").metadata["provenance"]["head"]["around_names"] is True
    assert _found(tmp_path / "m.onnx", "The goods left Riga yesterday and will reach Faro soon.") == {
        "Riga": "a",
        "Faro": "b",
    }


def _toy() -> SpanGenerator:
    """Two kinds, each seen by one of three inputs."""
    weight = torch.zeros(3, 5)
    weight[0, 1] = weight[1, 3] = 8.0
    bias = torch.tensor([2.0, 0, -9, 0, -9])
    names = (("fruit", 0), ("tool", 1))
    return SpanGenerator(("fruit", "tool"), names, torch.eye(2, 384), weight, bias, *[torch.zeros(1)] * 2, {})


def test_marked_words_say_what_kind_a_class_is() -> None:
    inputs = [torch.eye(3)[[0, 2, 1, 2, 0]]]
    tags = [np.array([3, 0, 1, 0, 3])]  # the second class is marked on the first kind
    kinds = matched_kinds(_toy(), inputs, tags, ("fruit", "tool"))
    assert kinds == ["tool", "fruit"]  # what is marked counts more than what it is called
    assert matched_kinds(_toy(), inputs, [np.zeros(5, int)], ("fruits", "tool")) == ["fruit", "tool"]
    assert matched_kinds(_toy(), inputs, [np.array([0, 1, 0, 1, 0])], ("fruit",)) == [None]


def test_a_class_that_is_no_kind_begins_as_rarer_than_no_span() -> None:
    prior = prior_of(_toy(), ["tool", None])
    assert prior is not None
    assert prior.shape == (4, 7)  # the last two are of the kind that is no class
    scores = torch.tensor([[0.0, 0, 1, 1]]) @ prior
    assert scores[0, 3] < scores[0, 0]
    assert prior_of(_toy(), [None]) is None


def test_words_of_other_kinds_are_in_no_span() -> None:
    logits = torch.tensor([[0.0, 3.0, -9.0, 5.0, -9.0]])  # rather of the hidden kind
    assert tag_scores(logits, 3).argmax() == 0
    assert tag_scores(logits[:, :3], 3).argmax() == 1
    assert torch.allclose(tag_scores(logits, 3).exp().sum(), torch.tensor(1.0))
