"""Text tasks with cards, as meta-training reads them. Shapes: n rows, C classes, E embedding size, V wordings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import yaml
from tokenizers import Tokenizer

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.domains.shared.tasks import Part, Task, WordsEncoder, hashed, label_text, wordings_of
from modelgpt_cli.domains.text.tokens import Encoded, encode

TextTask: TypeAlias = Task[Encoded]
log = logging.getLogger("modelgpt")

GLUE = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli")
"""The paper's tasks: one generator is trained on them all, so none of them is ever kept for validation."""
FAMILIES = {
    "trec_fine": "trec",
    "mr": "sst2",
    "sst5": "sst2",
    "amazon_books": "amazon_reviews_by_department",
    "amazon_dvd": "amazon_reviews_by_department",
    "amazon_electronics": "amazon_reviews_by_department",
}
"""Tasks that share their texts or their source; they stay on one side of a split."""


def held_out(name: str, share: float) -> bool:
    """Whether a task is kept for validation: by hash of its family's name, as tables are."""
    family = FAMILIES.get(name, name)
    return family not in GLUE and hashed(family) < share


@dataclass(frozen=True)
class Translations:
    """Words in other languages. Shapes: L languages.

    Attributes
    ----------
    requirements : tuple of tuples of str, (any, L)
        Sentences that need the class names behind them.
    names : mapping of str to tuple of str, (L,)
        Of class names as they are shown.
    """

    requirements: tuple[tuple[str, ...], ...]
    names: Mapping[str, tuple[str, ...]]

    def of_names(self, names: Sequence[str]) -> list[list[str]]:
        """Class names (C,) in each language that has all of them, (L, C)."""
        if not names or any(name not in self.names for name in names):
            return []
        return [list(found) for found in zip(*(self.names[name] for name in names), strict=True)]

    def of_requirements(self, named: Sequence[Sequence[str]]) -> list[str]:
        """Requirements, of class names as `of_names` has them."""
        if not named:
            return []
        pairs = (zip(found, named, strict=True) for found in self.requirements)
        return [f"{sentence}: {', '.join(names)}" for row in pairs for sentence, names in row]


def read_translations(path: Path) -> Translations:
    """Read a file of translations.

    Raises
    ------
    UsageError
        It can't be read, or a row has not one word for each of its languages.
    """
    try:
        found = parse_yaml(path.read_text(encoding="utf-8"))
        count = len(found["languages"])
        rows = (tuple(map(str, row)) for row in found["requirements"])
        result = Translations(tuple(rows), {name: tuple(map(str, row)) for name, row in found["names"].items()})
    except (OSError, KeyError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise UsageError(f"The translations {path} can't be read.", " ".join(str(error).split())[:300]) from error
    wrong = [row for row in (*result.requirements, *result.names.values()) if len(row) != count]
    if wrong:
        raise UsageError(f"The translations {path} have {count} languages.", f"This row has not: {list(wrong[0])}.")
    return result


def read_tasks(
    folder: str | Path,
    encoder: WordsEncoder,
    tokenizer: Tokenizer,
    wordings: Mapping[str, Any] | None = None,
    *,
    translations: Translations | None = None,
    most: Mapping[str, int] | None = None,
) -> list[TextTask]:
    """All tasks with a card (``card.yaml`` beside ``train.csv.gz`` and ``test.csv.gz`` or ``dev.csv.gz``), by name.

    Parameters
    ----------
    wordings : mapping, optional
        By task: more ``requirements``, and other ``labels`` by class.
    translations : Translations, optional
        Still more of both.
    most : mapping, optional
        Rows to read of ``train`` and ``test`` at most; 0 for all.

    Raises
    ------
    UsageError
        If the folder holds none.
    """
    cards = sorted(Path(folder).rglob("card.yaml"), key=lambda path: path.parent.name)
    if not cards:
        raise UsageError(f"No text tasks with cards in {folder}.", "Each is a folder with a card.yaml and its rows.")
    found = []
    for path in cards:
        try:
            own = (wordings or {}).get(path.parent.name, {})
            found.append(_read(path.parent, encoder, tokenizer, own, translations, most or {}))
        except (OSError, KeyError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            hint = "It needs card.yaml (title, description, labels), train.csv.gz, and dev.csv.gz or test.csv.gz."
            raise UsageError(f"The text task {path.parent} can't be read.", cause, hint) from error
    return found


def _read(
    folder: Path,
    encoder: WordsEncoder,
    tokenizer: Tokenizer,
    wordings: Mapping[str, Any],
    translations: Translations | None,
    most: Mapping[str, int],
) -> TextTask:
    card = parse_yaml((folder / "card.yaml").read_text(encoding="utf-8"))
    dev = folder / "dev.csv.gz"
    test = dev if dev.is_file() else folder / "test.csv.gz"
    frames = {"train": pd.read_csv(folder / "train.csv.gz", dtype=str, keep_default_na=False)}
    frames["test"] = pd.read_csv(test, dtype=str, keep_default_na=False)
    pair = "sentence2" in frames["train"]
    classes = tuple(str(label) for label in card.get("labels") or ())
    parts = {}
    for name, frame in frames.items():
        if 0 < most.get(name, 0) < len(frame):
            frame = frame.iloc[np.sort(np.random.default_rng(0).permutation(len(frame))[: most[name]])]
        rows = encode(tokenizer, frame["sentence1"].tolist(), frame["sentence2"].tolist() if pair else None)
        if classes and (len(classes) < 2 or not frame["label"].isin(classes).all()):
            raise ValueError(f"{name} has the labels {sorted(set(frame['label']))[:10]}, the card {list(classes)[:10]}")
        y = pd.Categorical(frame["label"], categories=list(classes)).codes.astype(np.int64) if classes else None
        parts[name] = Part(rows, frame["label"].astype(float).to_numpy() if y is None else y)
    sentences = [card["description"], f"{card['title']}.", *templates(classes, pair), *wordings.get("requirements", ())]
    variants = wordings_of(classes, wordings.get("labels") or {})
    if translations is not None:
        named = translations.of_names([label_text(label) for label in classes])
        sentences += translations.of_requirements(named)
        variants += named
    texts = [label_text(label) for names in variants for label in names]
    names = encoder(texts).reshape(len(variants), len(classes), -1) if classes else np.zeros((1, 1, encoder.size))
    return TextTask(
        name=folder.name,
        pair=pair,
        classes=classes,
        requirements=encoder(sentences),
        names=names.astype(np.float32),
        name_rows=[encode(tokenizer, [label_text(label) for label in names]) for names in variants],
        parts=parts,
    )


def templates(classes: Sequence[str], pair: bool) -> list[str]:
    """The requirement as the offline writer would put it, where it knows nothing but the classes."""
    what = "pair of texts" if pair else "text"
    if not classes:
        return [f"Predict a numeric value for each {what}, a regression."]
    if len(classes) > 10:
        return [f"Classify each {what} into one of {len(classes)} classes such as {', '.join(classes[:3])}."]
    return [f"Classify each {what} into {', '.join(classes[:-1])} or {classes[-1]}."]
