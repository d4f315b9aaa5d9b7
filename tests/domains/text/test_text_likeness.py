"""Texts that are there more than once: one fold for them, and a word about labels that contradict each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tiny_texts import TOPICS, Make

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.shared.folds import ALIKE
from modelgpt_cli.domains.text.likeness import alike_split, find_alike, plain

WORDS = [word for words in TOPICS.values() for word in words]


def noise(n: int, length: int = 9) -> list[str]:
    rng = np.random.default_rng(3)
    return [" ".join(rng.permutation(WORDS)[:length]) for _ in range(n)]


def groups(*texts: str) -> list[int]:
    return find_alike([list(texts)], None).tolist()


@pytest.mark.parametrize(
    "other",
    [
        "THE PARCEL CAME TWO DAYS LATE AND THE BOX WAS TORN!!!",
        "The parcel came two days late,  and the box was torn :)",
        "The parcel came two days late and the box was torn again",
        "the parcel came two days late & the box was torn…",
    ],
)
def test_writing_and_a_word_make_no_other_text(other: str) -> None:
    first, second, third = groups("The parcel came two days late and the box was torn.", other, "I like this shop.")
    assert first == second >= 0 > third


@pytest.mark.parametrize(
    "texts",
    [
        ("The parcel came two days late and the box was torn", "The box was whole and the parcel came in time"),
        ("rate this book 3 of 5", "book a table for 3 or 5"),
        ("😀", "😡"),
        ("好评", "差评"),
        ("", "  "),
    ],
)
def test_other_texts_stay_apart(texts: tuple[str, str]) -> None:
    assert groups(*texts) == [-1, -1]


def test_signs_alone_are_a_text() -> None:
    assert plain("😀 !") == "😀 !"
    assert groups("😀", "😡", "😀") == [0, -1, 0]


def test_pairs_are_alike_in_both_texts() -> None:
    premise = "A man in a long red coat walks along the river with his two dogs in the morning"
    keys = find_alike([[premise, premise, premise], ["He is outdoors.", "He sleeps.", "he is outdoors"]], None)
    assert keys.tolist() == [0, -1, 0]


def test_likeness_that_all_share_ties_none() -> None:
    texts = [f"Please forward the attached file number {i} to the person in charge of it" for i in range(40)]
    labels = ["a", "b"] * 20
    assert alike_split([texts], labels) == (None, [])
    split, told = alike_split([[*texts, texts[0].upper()]], [*labels, "a"])
    assert split is not None
    assert (split.kind, split.n_groups) == (ALIKE, 1)
    assert told == ["1 of 41 texts is a near-duplicate of another, and kept in one fold with it."]


def test_random_labels_of_near_duplicates_are_not_learned(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.random.default_rng(5).permutation(["one", "two"] * 12)
    rows = [(text + end, label) for text, label in zip(noise(24), labels, strict=True) for end in ("", ".", "!", "...")]
    built = make(pd.DataFrame(rows, columns=["text", "label"]).sample(frac=1, random_state=0))
    metrics = built.report.metrics
    assert max(metrics[name]["accuracy"] for name in ("model", "linear")) < 0.75  # beside its copies, .9 and more
    told = "72 of 96 texts are near-duplicates of others, and kept in one fold with them."
    assert told in caplog.text
    assert told in built.model.blueprint.notes


def test_one_text_with_two_classes_is_told() -> None:
    rows = [*zip(noise(20), ["good", "bad"] * 10, strict=True), ("Slow, but kind!", "good"), ("slow but kind", "bad")]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    told = load_dataset(frame, target="label", domain="text").warnings
    assert [warning for warning in told if "different labels" in warning] == [
        "Equal texts have different labels, 2 in all: 'Slow, but kind!' (good) and 'slow but kind' (bad). "
        "Correct the labels that are wrong."
    ]
    _, notes = alike_split([frame["text"].tolist()], frame["label"].tolist())
    assert not any("different labels" in note for note in notes)  # said once


def test_almost_equal_texts_with_two_classes_are_told() -> None:
    texts = ["The soup was cold and nobody came to our table", "The soup was cold and nobody came to our tables"]
    _, notes = alike_split([[*texts, *noise(20)]], ["good", "bad", *(["good", "bad"] * 10)])
    assert notes[1].startswith("Almost equal texts have different labels, 2 in all: 'The soup was cold")
    assert notes[1].endswith("Check them.")
