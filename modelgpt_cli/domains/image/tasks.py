"""Sets of images with cards, as meta-training reads them.

A set is a zip archive, or a folder, of ``<class>/<file>`` or ``<domain>/<class>/<file>`` beside its ``<name>.yaml``.
Where there are domains, each is a task of its own, whose requirement tells of it.
Shapes: n images, C classes, E embedding size, V wordings.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.domains.image.preprocess import View, pixels
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.source import read_images
from modelgpt_cli.domains.shared.tasks import Part, Task, class_indices, hashed, label_text, wordings_of
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

ImageTask: TypeAlias = Task[Images]
log = logging.getLogger("modelgpt")
TEST_SHARE = 0.4
"""Of each class's images (in each domain), what a model is judged by."""
DOMAIN = "domain"


def set_of(name: str) -> str:
    """The set that a task, ``<set>`` or ``<set>/<domain>``, is of."""
    return name.partition("/")[0]


def held_out(name: str, share: float) -> bool:
    """Whether a set is kept for validation: by hash of its name, with all of its domains."""
    return hashed(set_of(name)) < share


def read_tasks(
    folder: str | Path, encoder: TextEncoder, view: View, wordings: Mapping[str, Any] | None = None
) -> list[ImageTask]:
    """All sets with a card, by name; ``<set>/<domain>`` where there are domains.

    Parameters
    ----------
    view : View
        How the backbone sees an image; images are held in memory as it has cut them.
    wordings : mapping, optional
        By set: more ``requirements``, and other ``labels`` by class.

    Raises
    ------
    UsageError
        If the folder holds none, or one can't be read.
    """
    found = []
    for path in set_cards(folder):
        try:
            more = (wordings or {}).get(path.stem, {})
            found += [_task(one, encoder, more) for one in read_set(path, view)]
        except (OSError, KeyError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UsageError(f"The set of images {path} can't be read.", cause) from error
    return found


@dataclass(frozen=True)
class ImageSet:
    """A set of images, or a domain of one, in its own words.

    Attributes
    ----------
    name : str
        ``<set>``, or ``<set>/<domain>``.
    told : str
        What the card says of the domain.
    sentences : list of str
        Wordings of the requirement.
    parts : dict of str to Part
        ``train`` and ``test``.
    """

    name: str
    told: str
    classes: tuple[str, ...]
    sentences: list[str]
    parts: dict[str, Part[Images]]


def set_cards(folder: str | Path) -> list[Path]:
    """The cards of the sets in a folder, by name.

    Raises
    ------
    UsageError
        If it holds none.
    """
    cards = [path for path in sorted(Path(folder).glob("*.yaml")) if _data_of(path) is not None]
    if not cards:
        raise UsageError(
            f"No sets of images with cards in {folder}.", "Each is NAME.yaml beside NAME.zip or a folder NAME."
        )
    return cards


def _data_of(card: Path) -> Path | None:
    return next((p for p in (card.with_suffix(".zip"), card.with_suffix("")) if p.exists()), None)


def read_set(path: Path, view: View) -> list[ImageSet]:
    """The set of a card, by domain where there are any."""
    card, data = parse_yaml(path.read_text(encoding="utf-8")), _data_of(path)
    assert data is not None
    return split_set(path.stem, card, load_dataset(data, domain="image"), view)


def split_set(name: str, card: Mapping[str, Any], dataset: Dataset, view: View) -> list[ImageSet]:
    """A dataset as a set, by domain where there are any, each split into images to learn from and to be judged by."""
    rows, labels, domains = read_rows(dataset, view)
    classes = dataset.schema.classes
    y = class_indices(labels, classes)
    found = []
    for domain in sorted(set(domains)):
        kept = np.flatnonzero(domains == domain)
        train, test = split_rows(y[kept], hash_seed(name))
        told = (card.get("domains") or {}).get(domain, {}).get("description", "") if domain else ""
        parts = {
            part: Part(rows.take(kept[index]), y[kept[index]]) for part, index in (("train", train), ("test", test))
        }
        sentences = _sentences(card, classes, domain, told)
        found.append(ImageSet(f"{name}/{domain}" if domain else name, told, classes, sentences, parts))
    return found


def _task(found: ImageSet, encoder: TextEncoder, wordings: Mapping[str, Any]) -> ImageTask:
    """A set with its words embedded, and further wordings of them."""
    more = wordings.get("requirements", ())
    sentences = [*found.sentences, *(f"{text.rstrip('.')}, {found.told}." if found.told else text for text in more)]
    variants = wordings_of(found.classes, wordings.get("labels") or {})
    names = encoder([label_text(label) for names in variants for label in names])
    return Task(
        name=found.name,
        pair=False,
        classes=found.classes,
        requirements=encoder(sentences),
        names=names.reshape(len(variants), len(found.classes), -1).astype(np.float32),
        parts=found.parts,
    )


def read_rows(dataset: Dataset, view: View) -> tuple[Images, np.ndarray, np.ndarray]:
    """All images of a dataset that can be decoded, their labels and domains ("" where there are none), (n,) each."""
    column, target = dataset.schema.columns[0].name, dataset.schema.target
    frame = dataset.sample
    kept, values = [], []
    for i, (_, image) in enumerate(read_images(dataset, frame[column], least=view.resize)):
        if isinstance(image, np.ndarray):
            kept.append(i)
            values.append(pixels([image], view))
    frame = frame.iloc[kept]
    domains = frame[DOMAIN].to_numpy(dtype=str) if DOMAIN in frame else np.full(len(frame), "")
    return Images(torch.cat(values)), frame[target].to_numpy(dtype=str), domains


def hash_seed(name: str) -> int:
    """A set's own seed for its split."""
    return int(hashed(name) * 2**32)


def split_rows(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to learn from and to be judged by, class by class."""
    rng = np.random.default_rng([seed, 7])
    train, test = [], []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        count = max(1, round(len(rows) * TEST_SHARE))
        test.append(rows[:count])
        train.append(rows[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _sentences(card: Mapping[str, Any], classes: Sequence[str], domain: str, told: str) -> list[str]:
    """The requirement as the card and the offline writer would put it, with what is special to the domain."""
    names = [label_text(label) for label in classes]
    what = f"{told[0].upper()}{told[1:]}: " if told else ""
    images = f"{label_text(domain)} images" if domain else "images"
    shown = f"{len(names)} classes such as {', '.join(names[:3])}"
    if len(names) <= 10:
        shown = f"{', '.join(names[:-1])} or {names[-1]}"
    return [
        f"{what}{card['description']}",
        f"{card['title']}{f', {told}' if told else ''}.",
        f"Classify {images} into {shown}{f'; they are {told}' if told else ''}.",
    ]
