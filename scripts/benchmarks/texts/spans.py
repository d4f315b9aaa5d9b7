"""Spans in texts: entity F1 (micro, exact ends) by the number of marked texts, beside what is usual; and CPU seconds.

    python -m scripts.benchmarks spans --report docs/texts.md

Six sets are drawn from templates (``span_templates.yaml``): test texts have templates and fillers of their own. Three
of them have chosen the form of the head; the others have had no part in it. The seventh is news, marked by hand. From
words alone, only the classes count whose names are known.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelgpt_cli.domains.text.spans.architectures import text_card
from modelgpt_cli.domains.text.spans.build import head_inputs, shared_words_encoder, window_states
from modelgpt_cli.domains.text.spans.fit import Words, fit_spans, known_spans, look_up
from modelgpt_cli.domains.text.spans.kinds import LEAST, SpanGenerator, matched_kinds, prior_of, shipped_generator
from modelgpt_cli.domains.text.spans.marks import Faults, Span
from modelgpt_cli.domains.text.spans.model import tag_scores
from modelgpt_cli.domains.text.spans.scores import span_scores
from modelgpt_cli.domains.text.spans.tags import decode, spans_of, tag_names, tags_of, transitions, weighed, whole_words
from modelgpt_cli.domains.text.spans.words import Text, make_windows, read_texts

from ..common import make_parser, names, numbers, provenance, table, write_section
from .span_sets import NEWS, Marked, span_set, templates

SIZES = (8, 32, 128)
TEST = 200
METHODS = {
    "words": "ModelGPT, names alone",
    "lookup": "look-up of the marked words",
    "crf": "CRF on words and their shapes",
    "probe": "linear probe of the same states",
    "ours": "ModelGPT",
}
Answers = list[list[Span]]


class Texts:
    """Marked texts, tokenised and embedded."""

    def __init__(self, marked: Sequence[Marked], classes: Sequence[str]) -> None:
        encoder, tokenizer, layers = shared_words_encoder(text_card())
        self.raw = [text for text, _ in marked]
        self.read = read_texts(tokenizer, self.raw)
        self.windows = make_windows(self.read, tokenizer, text_card().max_tokens)
        self.states = window_states(encoder, layers, self.windows)  # one window a text: all are short
        self.spans = [[Span(*span) for span in spans] for _, spans in marked]
        places = [whole_words(s, t.words, Faults()) for s, t in zip(self.spans, self.read, strict=True)]
        self.tags = [tags_of(p, len(t.words), classes) for p, t in zip(places, self.read, strict=True)]

    def words(self, i: int) -> list[str]:
        """Return the words of a text."""
        return [self.raw[i][start:end] for start, end in self.read[i].words]

    def first(self, n: int) -> Texts:
        """Return the first texts."""
        found: Texts = object.__new__(Texts)
        found.raw, found.read, found.states = self.raw[:n], self.read[:n], self.states[:n]
        found.spans, found.tags = self.spans[:n], self.tags[:n]
        found.windows = make_windows(found.read, shared_words_encoder(text_card())[1], text_card().max_tokens)
        return found


def _spans(tags: Sequence[Sequence[int]], read: Sequence[Text], classes: Sequence[str]) -> Answers:
    return [[s for _, _, s in spans_of(t, r.words, classes)] for t, r in zip(tags, read, strict=True)]


def _ours(train: Texts, test: Texts, classes: Sequence[str], seed: int) -> Answers:
    generator = shipped_generator()
    mean, scale = generator.mean, generator.scale
    inputs = head_inputs(train.states, train.windows, train.read, mean, scale)
    prior = prior_of(generator, matched_kinds(generator, inputs, train.tags, classes))
    words = Words(inputs, train.tags, [t.words for t in train.read], train.spans, train.raw)
    fit = fit_spans(words, classes, np.arange(len(words)), seed, prior)
    return _answers(generator, test, (fit.weight, fit.bias), fit.table, classes)


def _answers(
    generator: SpanGenerator,
    test: Texts,
    head: tuple[torch.Tensor, torch.Tensor],
    tag_table: np.ndarray,
    classes: Sequence[str],
) -> Answers:
    """What a head and transitions find."""
    weight, bias = head
    tags = []
    for own in head_inputs(test.states, test.windows, test.read, generator.mean, generator.scale):
        scores = tag_scores(own @ weight + bias, 1 + 2 * len(classes)).numpy()
        tags.append(decode(scores[None], np.array([len(scores)]), tag_table)[0])
    return _spans(tags, test.read, classes)


def _from_words(test: Texts, classes: Sequence[str]) -> tuple[float, int]:
    """F1 over the classes whose names are known, and how many these are."""
    generator = shipped_generator()
    kinds: dict[str, str] = {}
    for label, near in generator.nearest(classes).items():
        if near["likeness"] >= LEAST and near["concept"] not in kinds.values():
            kinds[label] = near["concept"]
    known = list(kinds)
    allowed = weighed(transitions([], 1 + 2 * len(known)), 0.0)
    found = _answers(generator, test, generator.head(list(kinds.values())), allowed, known)
    true = [[span for span in spans if span.label in kinds] for spans in test.spans]
    return span_scores(true, found, known)[0]["f1"] or 0.0, len(known)


def _lookup(train: Texts, test: Texts, classes: Sequence[str], seed: int) -> Answers:
    known = known_spans(list(zip(train.raw, train.spans, strict=True)))
    return [look_up(text, read.words, known) for text, read in zip(test.raw, test.read, strict=True)]


def _probe(train: Texts, test: Texts, classes: Sequence[str], seed: int) -> Answers:
    """Logistic regression of each word's states, each word by itself."""
    from sklearn.linear_model import LogisticRegression

    def states(texts: Texts) -> list[np.ndarray]:
        return [torch.nn.functional.normalize(s, dim=-1).transpose(0, 1).flatten(1).numpy() for s in texts.states]

    model = LogisticRegression(C=100.0, max_iter=300)
    model.fit(np.concatenate(states(train)), np.concatenate(train.tags))
    return _spans([model.predict(own).tolist() for own in states(test)], test.read, classes)


def _crf(train: Texts, test: Texts, classes: Sequence[str], seed: int) -> Answers:
    """The features and settings of sklearn-crfsuite's tutorial."""
    try:
        from sklearn_crfsuite import CRF
    except ImportError as error:
        raise SystemExit("sklearn-crfsuite is not installed. Run: pip install sklearn-crfsuite") from error
    known = tag_names(classes)
    model = CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100, all_possible_transitions=True)
    features = [[_features(texts.words(i)) for i in range(len(texts.raw))] for texts in (train, test)]
    model.fit(features[0], [[known[tag] for tag in tags] for tags in train.tags])
    found = [[known.index(tag) for tag in tags] for tags in model.predict(features[1])]
    return _spans(found, test.read, classes)


def _features(words: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for i, word in enumerate(words):
        own: dict[str, Any] = {"bias": 1.0, "lower": word.lower(), "end3": word[-3:], "end2": word[-2:]}
        own |= {"upper": word.isupper(), "title": word.istitle(), "digit": word.isdigit()}
        for name, j in (("-1", i - 1), ("+1", i + 1)):
            if 0 <= j < len(words):
                other = words[j]
                own |= {f"{name}lower": other.lower(), f"{name}title": other.istitle(), f"{name}upper": other.isupper()}
            else:
                own[f"{name}edge"] = True
        found.append(own)
    return found


_FITS: dict[str, Callable[[Texts, Texts, Sequence[str], int], Answers]] = {
    "lookup": _lookup,
    "crf": _crf,
    "probe": _probe,
    "ours": _ours,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the tables."""
    parser = make_parser("spans", __doc__, "--seed", "--report")
    parser.add_argument("--sets", type=names, default=[*templates(), NEWS])
    parser.add_argument("--sizes", type=numbers, default=list(SIZES))
    parser.add_argument("--methods", type=names, default=list(METHODS))
    parser.add_argument("--draws", type=int, default=2, help="draws of the marked texts (default 2)")
    parser.add_argument("--speed", action="store_true", help="measure a build and predictions, too")
    args = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    f1: dict[tuple[str, str, int], list[float]] = {}
    known: dict[str, str] = {}
    for name in args.sets:
        classes = sorted({label for _, spans in span_set(name, "train", 400, args.seed) for _, _, label in spans})
        test = Texts(span_set(name, "test", TEST, args.seed), classes)
        if "words" in args.methods:
            value, count = _from_words(test, classes)
            known[name] = f"{value:.2f} ({count} of {len(classes)})"
            f1["words", name, 0] = [value]
            print(name, 0, 0, "words", known[name], flush=True)
        for draw in range(args.draws):
            whole = Texts(span_set(name, "train", max(args.sizes), args.seed + draw), classes)
            for size in args.sizes:
                for method in args.methods:
                    if method == "words" or size > len(whole.raw):
                        continue
                    answers = _FITS[method](whole.first(size), test, classes, args.seed)
                    value = span_scores(test.spans, answers, classes)[0]["f1"] or 0.0
                    f1.setdefault((method, name, size), []).append(value)
                    print(name, draw, size, method, f"{value:.3f}", flush=True)
    text = f"{provenance('modelgpt-cli', 'sklearn-crfsuite', 'scikit-learn', 'torch')}\n\n"
    text += f"Entity F1 (micro) on {TEST} test texts ({NEWS}: 62), mean of {args.draws} draws, seed {args.seed}; "
    text += "* has chosen the head's form. From names alone: of the classes whose names are known (how many).\n\n"
    text += _table(f1, known, args.sets, args.sizes, args.methods)
    if args.speed:
        text += f"\n\n{_speed(args.seed)}"
    print(text)
    if args.report:
        write_section(args.report, "spans", text)


def _table(
    f1: dict[tuple[str, str, int], list[float]],
    known: dict[str, str],
    sets: Sequence[str],
    sizes: Sequence[int],
    methods: Sequence[str],
) -> str:
    """A line for each method and size; the mean is over the sets that have it."""
    chosen = {name for name, one in templates().items() if one["chosen_on"]}
    header = ["method, marked texts", *(f"{n}*" if n in chosen else n for n in sets), "mean"]
    rows = []
    if known:
        rows.append([f"{METHODS['words']}, 0", *(known[n] for n in sets), _mean(f1, "words", sets, 0)])
    for size in sizes:
        for method in methods:
            if method == "words":
                continue
            cells = [f1.get((method, n, size)) for n in sets]
            shown = ["–" if cell is None else f"{np.mean(cell):.2f}" for cell in cells]
            rows.append([f"{METHODS[method]}, {size}", *shown, _mean(f1, method, sets, size)])
    return table(header, rows)


def _mean(f1: dict[tuple[str, str, int], list[float]], method: str, sets: Sequence[str], size: int) -> str:
    return f"{np.mean([np.mean(f1[method, n, size]) for n in sets if (method, n, size) in f1]):.3f}"


def _speed(seed: int) -> str:
    """CPU seconds of a build and of predictions, one thread."""
    from modelgpt_cli import build, predict

    marked = span_set("invoices", "train", 64, seed)
    texts = [text for text, _ in span_set("invoices", "test", TEST, seed)] * 3
    with tempfile.TemporaryDirectory() as folder:
        data, model = Path(folder) / "marked.jsonl", Path(folder) / "m.onnx"
        lines = ({"text": t, "spans": [{"start": a, "end": b, "label": c} for a, b, c in s]} for t, s in marked)
        data.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        start = time.process_time()
        build(data, output=model, offline=True)
        built = time.process_time() - start
        predict(model, {"text": texts[:8]}, threads=1)
        start = time.process_time()
        predict(model, {"text": texts}, threads=1)
        rate = len(texts) / (time.process_time() - start)
        size = model.stat().st_size / 1e6
    return (
        f"A build of 64 marked texts takes {built:.1f} s of CPU (with the loading of the encoder, without that of "
        f"libraries), `predict` {rate:,.0f} texts a second of CPU; the file has {size:.0f} MB."
    )


if __name__ == "__main__":
    main()
