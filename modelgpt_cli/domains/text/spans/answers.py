"""From the scores of words' tags to spans, and spans against true ones. Follows `runtime.answers.Answers`; numpy alone.

Shapes: N texts, W words, L tags.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.progress import Advance
from modelgpt_cli.domains.text.spans.feed import SpanFeed
from modelgpt_cli.domains.text.spans.marks import Span
from modelgpt_cli.domains.text.spans.scores import TITLES, span_scores
from modelgpt_cli.domains.text.spans.tags import Place, decode, span_probabilities, spans_of, tag_names
from modelgpt_cli.domains.text.spans.words import join_windows
from modelgpt_cli.runtime.scoring import scored

if TYPE_CHECKING:
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Source
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
OUTPUTS = ("scores",)
SPANS = "spans"
NAMES = (SPANS,)


def check(model: Model) -> str:
    """Say what a card's `decoding` lacks; "" where it has all."""
    about = model.metadata.get("decoding") or {}
    n_tags = 1 + 2 * len(model.labels)
    if about.get("tags") != tag_names(model.labels):
        return "Its tags are not those of its labels."
    table = np.array(about.get("transitions") or [], dtype=np.float64)
    if table.shape != (n_tags + 1, n_tags + 1) or not np.isfinite(table).all():
        return f"Its transitions are no table of {n_tags + 1} times {n_tags + 1} numbers."
    sharpness = about.get("sharpness")
    return "" if isinstance(sharpness, (int, float)) and sharpness > 0 else f"Its sharpness is {sharpness!r}."


def run(model: Model, columns: Mapping[str, Any], advance: Advance | None) -> dict[str, np.ndarray]:
    """Find the spans of texts: lists of ``start``, ``end``, ``text``, ``label`` and ``score`` each."""
    feed = model.feed
    assert isinstance(feed, SpanFeed)
    read = feed.read(columns)
    n_tags = 1 + 2 * len(model.labels)
    parts: list[np.ndarray] = [np.zeros((0, n_tags), np.float32)] * len(read.windows.ids)
    left = Counter(read.windows.text)
    done = len(read.texts) - len(left)  # texts without a word
    for rows, inputs in read.windows.batches():
        scores = model.execute(inputs)[0]
        for i, row in enumerate(rows.tolist()):
            low, high = read.windows.words[row]
            parts[row] = scores[i, : high - low]
            left[read.windows.text[row]] -= 1
            done += left[read.windows.text[row]] == 0
        if advance is not None and done:
            advance(done)
            done = 0
    if advance is not None and done:
        advance(done)
    joined = join_windows(read.windows, parts, read.texts, n_tags)
    found = np.empty(len(read.texts), dtype=object)
    found[:] = find_spans(
        joined, [text.words for text in read.texts], read.raw, model.labels, model.metadata["decoding"]
    )
    return {SPANS: found}


def find_spans(
    scores: Sequence[np.ndarray],
    words: Sequence[Sequence[Place]],
    texts: Sequence[str],
    labels: Sequence[str],
    decoding: Mapping[str, Any],
) -> list[list[dict[str, Any]]]:
    """Turn scores of tags into spans.

    Parameters
    ----------
    scores : sequence of (W, L)
        The graph's, of each text's words.
    words : sequence of lists of (start, end)
    decoding : mapping
        The card's.
    """
    sharpness = float(decoding["sharpness"])
    table = np.array(decoding["transitions"], dtype=np.float32)
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    for rows in _by_length([len(own) for own in scores]):
        lengths = np.array([len(scores[i]) for i in rows])
        together = np.zeros((len(rows), int(lengths.max()), table.shape[0] - 1), dtype=np.float32)
        for k, i in enumerate(rows):
            together[k, : lengths[k]] = scores[i]
        for i, tags in zip(rows, decode(together, lengths, table), strict=True):
            spans = spans_of(tags, words[i], labels)
            places = [(first, last, labels.index(span.label)) for first, last, span in spans]
            chances = span_probabilities(scores[i] * sharpness, table * sharpness, places)
            found[i] = [
                {
                    "start": span.start,
                    "end": span.end,
                    "text": texts[i][span.start : span.end],
                    "label": span.label,
                    "score": round(chance, 4),
                }
                for (_, _, span), chance in zip(spans, chances, strict=True)
            ]
    return found


def _by_length(lengths: Sequence[int], words: int = 4096) -> list[list[int]]:
    """The numbers of texts with words, short with short, about so many words at a time."""
    order = [i for i in np.argsort(lengths, kind="stable").tolist() if lengths[i]]
    found: list[list[int]] = []
    for i in order:
        if found and lengths[i] * (len(found[-1]) + 1) <= words:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def evaluate(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true spans with those that a model finds, by seqeval's definitions; see `spans.scores`."""
    from modelgpt_cli.runtime.evaluate import Evaluation

    true: list[list[Span]] = []
    found: list[list[Span]] = []
    for chunk, outputs in scored(model, source, chunk_rows, "evaluate"):
        assert chunk.truth is not None, "the true values were asked for"
        true += chunk.truth.tolist()
        found += [[Span(one["start"], one["end"], one["label"]) for one in spans] for spans in outputs[SPANS]]
    source.report()
    model.report()
    if not any(true):
        raise ModelGPTError(f"{source.name} has no span to compare with.", "Nothing is marked in its texts.")
    metrics, classes = span_scores(true, found, model.labels)
    unknown = [name for name in classes if name not in model.labels]
    if unknown:
        n = sum(int(classes[name]["rows"] or 0) for name in unknown)
        logger.warning(
            "%s of classes that the model doesn't know count as missed: %s.",
            "1 span" if n == 1 else f"{n:,} spans",
            ", ".join(repr(name) for name in unknown[:5]),
        )
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=len(true),
        skipped=0,
        metrics=metrics,
        classes=classes,
        unit=model.domain.rows,
        titles=TITLES,
        counted="spans",
    )
