"""Texts: accuracy by the language of the examples and of the texts, with the usual and the multilingual encoder.

    python -m scripts.benchmarks.texts.languages --data FOLDER

FOLDER holds ``lang_XX.csv`` and ``lang_XX_test.csv`` for each language XX: columns ``text`` and ``label``. The classes,
named in that language, come first in the same order in all files of examples. Prints a table for docs/benchmarks.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli import build
from modelgpt_cli.artifacts.model_file import load_model

from ..common import make_parser

CARDS = ("minilm-l6", "use-multilingual")


def read(path: Path) -> pd.DataFrame:
    """Read texts and labels."""
    frame: pd.DataFrame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame


def accuracies(folder: Path, card: str, languages: Sequence[str]) -> dict[tuple[str, str], float]:
    """Build with the examples of each language; return the accuracy on each, by both."""
    examples = {language: read(folder / f"lang_{language}.csv") for language in languages}
    classes = {language: list(dict.fromkeys(frame["label"])) for language, frame in examples.items()}
    found = {}
    for learned, frame in examples.items():
        with tempfile.TemporaryDirectory() as place:
            output = Path(place) / "model.safetensors"
            build(frame, target="label", output=output, backbone=card, offline=True, keep_requirement=False)
            model = load_model(output)
        for asked in languages:
            test = read(folder / f"lang_{asked}_test.csv")
            said = [classes[learned].index(model.blueprint.labels[k]) for k in model.predict(test).argmax(1)]
            truth = [classes[asked].index(label) for label in test["label"]]
            found[learned, asked] = float(np.equal(said, truth).mean())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = make_parser("texts.languages", __doc__)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args(arguments)
    stems = (path.stem for path in args.data.glob("lang_*_test.csv"))
    languages = sorted(stem.removesuffix("_test").removeprefix("lang_") for stem in stems)
    print("| encoder | examples | " + " | ".join(languages) + " |")
    print("| --- " * (2 + len(languages)) + "|")
    for card in CARDS:
        found = accuracies(args.data, card, languages)
        for learned in languages:
            cells = " | ".join(f"{100 * found[learned, asked]:.0f}" for asked in languages)
            print(f"| `{card}` | {learned} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
