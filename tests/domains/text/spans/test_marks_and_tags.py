"""Spans checked, tagged, decoded and scored: the parts of marked texts that need no model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from modelgpt_cli.domains.text.spans.marks import Faults, Span, clean_spans, in_code_points, parse_spans
from modelgpt_cli.domains.text.spans.scores import span_scores
from modelgpt_cli.domains.text.spans.tags import (
    NEVER,
    decode,
    log_likelihood,
    may_follow,
    span_probabilities,
    spans_of,
    tags_of,
    transitions,
    weighed,
    whole_words,
)

CLASSES = ("city", "day")
TEXT = "from New York on Monday"
WORDS = [(0, 4), (5, 8), (9, 13), (14, 16), (17, 23)]


def raw(*spans: tuple[int, int, str]) -> list[dict[str, object]]:
    return [{"start": a, "end": b, "label": c} for a, b, c in spans]


def test_spans_of_tags_are_those_that_made_them() -> None:
    spans = [Span(5, 13, "city"), Span(17, 23, "day")]
    tags = tags_of(whole_words(spans, WORDS, Faults()), len(WORDS), CLASSES)
    assert tags.tolist() == [0, 1, 2, 0, 3]
    assert [span for _, _, span in spans_of(tags.tolist(), WORDS, CLASSES)] == spans


def test_what_is_wrong_with_spans_is_counted() -> None:
    faults = Faults()
    kept = clean_spans(
        TEXT,
        raw(
            (5, 13, "city"), (5, 8, "city"), (4, 9, "day"), (17, 24, "day"), (16, 23, "day"), (4, 5, "day"), (0, 4, "")
        ),
        faults,
    )
    assert kept == [Span(5, 13, "city"), Span(17, 23, "day")]
    assert faults.counts == {"overlap": 2, "outside": 1, "trimmed": 2, "no words": 1, "unlabelled": 1}
    assert len(faults.lines()) == 5


def test_a_span_that_cuts_a_word_is_widened_and_counted() -> None:
    faults = Faults()
    assert whole_words([Span(6, 13, "city")], WORDS, faults) == [(1, 2, "city")]
    assert "1 span that cut a word" in faults.lines()[0]


@pytest.mark.parametrize(
    "cell",
    [
        [[5, 13, "city"]],
        '[{"start": 5, "end": 13, "label": "city"}]',
        [{"start_offset": 5, "end_offset": 13, "label": "city", "id": 3}],
        [{"start": 5, "end": 13, "labels": ["city"]}],
        np.array([{"start": 5, "end": 13, "entity": "city"}], dtype=object),
    ],
)
def test_all_tools_spans_are_read(cell: object) -> None:
    assert clean_spans(TEXT, parse_spans(cell) or [], Faults()) == [Span(5, 13, "city")]


@pytest.mark.parametrize("cell", ["plain", "[1, 2, 3]", [1, 2], None, 3, '[{"start": 1}]'])
def test_other_cells_hold_no_spans(cell: object) -> None:
    assert parse_spans(cell) is None


def test_positions_in_utf16_become_positions_of_characters() -> None:
    text = "🙂🙂 Rome"
    assert text[3:7] == "Rome"
    assert in_code_points(text, raw((5, 9, "city")))[0]["start"] == 3
    assert in_code_points(text, raw((1, 9, "city")))[0]["start"] == -1  # within a character


def test_transitions_forbid_an_inner_tag_without_a_beginning() -> None:
    table = transitions([np.array([0, 1, 2, 0])], 5)
    assert (table <= NEVER).tolist() == (~may_follow(5)).tolist()
    shares = np.exp(table)[table > NEVER]
    assert np.isfinite(shares).all()
    assert np.exp(np.where(table > NEVER, table, -np.inf)).sum(1) == pytest.approx(1)
    assert weighed(table, 0.0)[0, 1] == 0
    assert weighed(table, 0.0)[0, 2] == NEVER


def paths(scores: np.ndarray, table: np.ndarray) -> dict[tuple[int, ...], float]:
    n_tags = scores.shape[1]
    found = {}
    for path in itertools.product(range(n_tags), repeat=len(scores)):
        whole = [n_tags, *path, n_tags]
        found[path] = sum(scores[i, tag] for i, tag in enumerate(path)) + sum(
            table[a, b] for a, b in itertools.pairwise(whole)
        )
    return found


def test_decoding_and_scores_agree_with_all_ways_of_tagging() -> None:
    rng = np.random.default_rng(3)
    scores = np.log(rng.dirichlet(np.ones(5), 4)).astype(np.float32)
    table = weighed(transitions([np.array([0, 1, 2, 3]), np.array([3, 4, 0, 1])], 5), 0.7)
    known = paths(scores, table)
    best = max(known, key=lambda path: known[path])
    short = scores[:2]
    together = np.zeros((2, 4, 5), np.float32)
    together[0], together[1, :2] = scores, short
    assert decode(together, np.array([4, 2]), table) == [
        list(best),
        list(max(paths(short, table), key=lambda path: paths(short, table)[path])),
    ]
    total = np.logaddexp.reduce(list(known.values()))
    assert log_likelihood(scores, table, np.array(best)) == pytest.approx(known[best] - total, abs=1e-4)
    with_span = [v for path, v in known.items() if path[1:3] == (1, 2) and path[3] != 2]
    chance = float(np.exp(np.logaddexp.reduce(with_span) - total))
    assert span_probabilities(scores, table, [(1, 2, 0)]) == [pytest.approx(chance, rel=1e-3)]


def test_scores_are_those_of_seqeval() -> None:
    true = [[Span(0, 4, "city"), Span(5, 8, "day")], [Span(0, 2, "city")], []]
    found = [[Span(0, 4, "city"), Span(5, 9, "day")], [Span(0, 2, "day")], []]
    metrics, classes = span_scores(true, found, CLASSES)
    assert metrics["precision"] == pytest.approx(1 / 3)
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == pytest.approx(1 / 3)
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["texts_right"] == pytest.approx(1 / 3)
    assert classes["city"] == {"recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3), "rows": 2}
