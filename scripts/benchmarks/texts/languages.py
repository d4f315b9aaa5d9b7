"""Texts: accuracy by the language of the examples and of the texts, with the usual and the multilingual encoder.

    python -m scripts.benchmarks.texts.languages
    python -m scripts.benchmarks.texts.languages --data FOLDER

The first builds in each of fifteen languages with eight examples a class of the texts that `language_sets` makes, and
with the words of a requirement alone, in that language and in English. The second does the same across languages:
FOLDER holds ``lang_XX.csv`` and ``lang_XX_test.csv`` for each language XX, with the columns ``text`` and ``label``; the
classes, named in that language, come first in the same order in all files of examples. Both print a table for the docs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.text.build import TextBuild
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.options import BuildOptions

from ..common import make_parser
from .language_sets import KINDS, LanguageSet, read_sets

CARDS = ("minilm-l6", "use-multilingual")
ENGLISH = "en"
SENTENCE = "Classify each text into {}."
TEXT, LABEL = "text", "label"
COLUMNS = (Column(TEXT, "text", role="text"),)


def read(path: Path) -> pd.DataFrame:
    """Read texts and labels."""
    frame: pd.DataFrame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame


def built(data: pd.DataFrame | None, card: str, sentence: str, classes: Sequence[str]) -> TextModel:
    """Build a model as ``modelgpt build`` does, from examples or from words alone."""
    wanted = Requirement(sentence, "classification", LABEL, tuple(classes), COLUMNS, domain="text")
    making = TextBuild(wanted, BuildOptions(backbone=card))
    if data is None:
        return making.from_words()[0]
    schema = Schema(COLUMNS, LABEL, "classification", tuple(classes), domain="text")
    dataset = Dataset(
        name="benchmark", path=None, schema=schema, n_rows=len(data), class_counts={}, sample=data, warnings=[],
        fingerprint="",
    )  # fmt: skip
    return making.from_data(dataset, check_fingerprint=False)[0]


def share_right(model: TextModel, texts: Sequence[str], truth: Sequence[int], classes: Sequence[str]) -> float:
    """The share of texts whose class, by its place among `classes` as the model calls them, is right."""
    places = [list(classes).index(label) for label in model.blueprint.labels]
    said = [places[k] for k in model.predict(pd.DataFrame({"text": list(texts)}, dtype=object)).argmax(1)]
    return float(np.equal(said, truth).mean())


def accuracies(folder: Path, card: str, languages: Sequence[str]) -> dict[tuple[str, str], float]:
    """Build with the examples of each language; return the accuracy on each, by both."""
    examples = {language: read(folder / f"lang_{language}.csv") for language in languages}
    classes = {language: list(dict.fromkeys(frame["label"])) for language, frame in examples.items()}
    found = {}
    for learned, frame in examples.items():
        model = built(frame, card, ", ".join(classes[learned]), classes[learned])
        for asked in languages:
            test = read(folder / f"lang_{asked}_test.csv")
            truth = [classes[asked].index(label) for label in test["label"]]
            found[learned, asked] = share_right(model, test["text"].tolist(), truth, classes[learned])
    return found


def scores(own: LanguageSet, english: LanguageSet, card: str) -> Iterator[tuple[str, float]]:
    """Yield what was given, and the accuracy on a set's test texts."""
    texts, labels = zip(*own.tests, strict=True)
    truth = [own.classes.index(label) for label in labels]
    for name, given in (("words", own), ("English words", english)):
        sentence = SENTENCE.format(", ".join(given.classes)) if given is english else ", ".join(given.classes)
        yield name, share_right(built(None, card, sentence, given.classes), texts, truth, given.classes)
        frame = pd.DataFrame(list(given.examples), columns=[TEXT, LABEL], dtype=object)
        model = built(frame, card, sentence, given.classes)
        yield name.replace("words", "examples"), share_right(model, texts, truth, given.classes)


def table(cards: Sequence[str], draws: int, languages: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the table: one a card, kind and language, means over draws."""
    yield "| encoder | task | language | words | 8 examples | English words | 8 English examples |"
    yield "| --- " * 7 + "|"
    for card in cards:
        for kind in KINDS:
            sets = [read_sets(kind, seed) for seed in range(draws)]
            for language in languages or list(sets[0]):
                found = [dict(scores(some[language], some[ENGLISH], card)) for some in sets]
                means = (100 * np.mean([one[name] for one in found]) for name in found[0])
                yield f"| `{card}` | {kind} | {language} | {' | '.join(f'{mean:.0f}' for mean in means)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = make_parser("texts.languages", __doc__)
    parser.add_argument("--data", type=Path, help="texts of one's own, across languages")
    parser.add_argument("--draws", type=int, default=2, help="draws of the examples (default 2)")
    parser.add_argument("--cards", default=",".join(CARDS), help="encoders (default both)")
    parser.add_argument("--languages", default="", help="some of the languages (default all)")
    args = parser.parse_args(arguments)
    if args.data is None:
        for line in table(args.cards.split(","), args.draws, [name for name in args.languages.split(",") if name]):
            print(line, flush=True)
        return
    stems = (path.stem for path in args.data.glob("lang_*_test.csv"))
    languages = sorted(stem.removesuffix("_test").removeprefix("lang_") for stem in stems)
    print("| encoder | examples | " + " | ".join(languages) + " |")
    print("| --- " * (2 + len(languages)) + "|")
    for card in args.cards.split(","):
        found = accuracies(args.data, card, languages)
        for learned in languages:
            cells = " | ".join(f"{100 * found[learned, asked]:.0f}" for asked in languages)
            print(f"| `{card}` | {learned} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
