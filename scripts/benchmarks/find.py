"""How well `modelgpt find` finds: queries in other words over the shared cards, top-1 and top-3.

    python -m scripts.benchmarks find --report docs/benchmarks.md

Beside it stands what a search by words alone finds (TF-IDF over the same texts).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer

from modelgpt_cli.sources.catalogue.cards import DataCard, read_catalogue
from modelgpt_cli.sources.catalogue.search import rank

from .common import RESULTS, data_folder, make_parser, provenance, table, write_section

QUERIES = Path(__file__).with_name("find_queries.yaml")
TOP = (1, 3, 5)


def places(cards: list[DataCard], queries: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rank of each query's card, from 1 on: by embeddings, and by words."""
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    texts = vectorizer.fit_transform([card.search_text() for card in cards])
    found: list[dict[str, Any]] = []
    for name, query in queries.items():
        ranked = [card.name for card, _ in rank(query, cards)]
        order = np.argsort(-(texts @ vectorizer.transform([query]).T).toarray()[:, 0], kind="stable")
        by_words = [cards[i].name for i in order]
        line = {"card": name, "query": query, "place": ranked.index(name) + 1, "first": ranked[0]}
        found.append(line | {"place_by_words": by_words.index(name) + 1})
    return found


def report(lines: list[dict[str, Any]], n_cards: int) -> str:
    """Lay out the section for docs/benchmarks.md."""
    rows = []
    for key, words in (("place", "`modelgpt find`"), ("place_by_words", "words alone (TF-IDF)")):
        shares = [sum(line[key] <= top for line in lines) / len(lines) for top in TOP]
        rows.append([words, *(f"{100 * share:.0f}" for share in shares)])
    missed = [line for line in lines if line["place"] > TOP[1]]
    listed = "; ".join(f'"{line["query"]}" ({line["card"]}: place {line["place"]})' for line in missed)
    words = (
        f"{len(lines)} queries (`scripts/benchmarks/find_queries.yaml`) in other words than the cards', each for one "
        f"card,\nover {n_cards} cards of tables, texts and images. Share × 100 whose card is among the first:"
    )
    parts = ["## Finding data", provenance("torch"), words, table(["", *map(str, TOP)], rows)]
    return "\n\n".join([*parts, f"Not among the first three: {listed or 'none'}."])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, report."""
    parser = make_parser("find", __doc__, "--report")
    parser.add_argument("--data", type=Path, default=data_folder(""))
    parser.add_argument("--out", type=Path, default=RESULTS / "generate" / "find.jsonl")
    args = parser.parse_args(arguments)
    cards = read_catalogue(args.data)
    lines = places(cards, yaml.safe_load(QUERIES.read_text(encoding="utf-8")))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = report(lines, len(cards))
    print(text)
    if args.report:
        write_section(args.report, "find", text)
