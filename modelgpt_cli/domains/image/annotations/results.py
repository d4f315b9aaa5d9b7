"""Answers as COCO has them: results by the ids of a file of annotations, and annotations where there is none.

Behind the parts ``answers`` of domains whose images are marked. Imports neither torch nor pandas.
Shapes: H, W pixels.
"""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.given import annotations_at, marked_files
from modelgpt_cli.domains.image.annotations.objects import Id
from modelgpt_cli.runtime.feed import Chunk

logger = logging.getLogger("modelgpt")
Entries: TypeAlias = Callable[[Mapping[str, Any], bool], Iterator[tuple[str | None, dict[str, Any]]]]
"""Gives what an image's answers by name have found, each thing's class and what COCO says of it: ``bbox``,
``segmentation`` or ``keypoints``, and ``score``. The class is None where the model knows none. The second argument says
whether results are wanted, to be measured, rather than annotations, which also have an ``area``."""


@dataclass(frozen=True)
class Ids:
    """What annotations call images and classes by.

    Attributes
    ----------
    images, classes : mapping of str to int, float or str
        By an image's name, as `find_images` gives it, and by the class's.
    pointed : tuple of str
        Classes whose objects have key points.
    """

    images: Mapping[str, Id]
    classes: Mapping[str, Id]
    pointed: tuple[str, ...] = ()


def ids_of(data: Sequence[Any]) -> Ids | None:
    """Return the ids in the annotations of what a user gives; None where there are none.

    Raises
    ------
    ModelGPTError
        Two images have one id, or a class has several; or as `find_annotations`.
    """
    images: dict[str, Id] = {}
    classes: dict[str, Id] = {}
    pointed: dict[str, None] = {}
    owners: dict[Id, str] = {}
    for given in data:
        known = annotations_at(given)
        if known is None or not any(image.number is not None for image in known.images):
            continue
        for file, image in zip(marked_files(known, known.images, given), known.images, strict=True):
            if image.number is not None:
                owner = owners.setdefault(image.number, file.name)
                if owner != file.name:
                    raise _ambiguous(f"The annotations have the id {image.number!r} for {owner} and for {file.name}.")
                images[file.name] = image.number
            pointed |= dict.fromkeys(known.classes[one.label] for one in image.objects if one.points is not None)
        for label in known.classes:
            number = known.numbers.get(label)
            if number is None or classes.setdefault(label, number) != number:
                raise _ambiguous(f"The annotations have several ids for the class {label!r}.")
    return Ids(images, classes, tuple(pointed)) if images else None


def _ambiguous(problem: str) -> ModelGPTError:
    return ModelGPTError(
        problem,
        "Results go by the ids of one file of annotations.",
        "Give that file in the place of the folder, such as test/annotations.json.",
    )


def coco_document(
    names: Sequence[str], data: Any, categories: Sequence[Mapping[str, Any]], entries: Entries
) -> Document:
    """Return what writes a run's answers as COCO has them; see `runtime.answers.DocumentAnswers`.

    Parameters
    ----------
    names : sequence of str
        Of all images.
    data : object
        What the user gave, or a sequence of such.
    categories : sequence of mapping
        ``name`` of each class, and what else COCO has of it.
    """
    ids = ids_of(data if isinstance(data, (list, tuple)) else [data])
    return Annotating(names, categories, entries) if ids is None else Results(ids, entries)


class Document(ABC):
    """A list that is written as its entries are found. Follows `runtime.answers.DocumentWriter`."""

    _begun = False

    @abstractmethod
    def head(self) -> bytes:
        """Return what comes before the first image."""

    @abstractmethod
    def tail(self) -> bytes:
        """Return what comes behind the last image."""

    @abstractmethod
    def of_image(self, name: str, size: tuple[int, int], answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the entries of an image, of some height and width."""

    def rows(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> bytes:
        """Return the entries of the images of a chunk that could be read."""
        readable = [True] * chunk.rows if chunk.readable is None else chunk.readable.tolist()
        names = [name for name, there in zip(chunk.names, readable, strict=True) if there]
        images: Sequence[np.ndarray] = next(iter(chunk.columns.values()))
        lines: list[str] = []
        for k, (name, image) in enumerate(zip(names, images, strict=True)):
            answer = {key: values[k] for key, values in outputs.items()}
            lines += map(_line, self.of_image(name, (image.shape[0], image.shape[1]), answer))
        if not lines:
            return b""
        before, self._begun = (",\n" if self._begun else "\n"), True
        return _encoded(before + ",\n".join(lines))


class Results(Document):
    """COCO's results: a list with the ids of a file of annotations. What has none there is left out, and told."""

    def __init__(self, ids: Ids, entries: Entries) -> None:
        self._ids, self._entries = ids, entries
        self._strangers: list[str] = []
        self._foreign: dict[str, int] = {}

    def head(self) -> bytes:
        """Return what comes before the first image."""
        return b"["

    def of_image(self, name: str, size: tuple[int, int], answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the results of an image."""
        number = self._ids.images.get(name)
        if number is None:
            self._strangers.append(name)
            return
        for label, fields in self._entries(answer, True):
            label = self._own_class() if label is None else label
            if label in self._ids.classes:
                yield {"image_id": number, "category_id": self._ids.classes[label], **fields}
            else:
                self._foreign[label] = self._foreign.get(label, 0) + 1

    def _own_class(self) -> str:
        """The class of what has key points.

        Raises
        ------
        ModelGPTError
            There are several, or none.
        """
        pointed = self._ids.pointed or tuple(self._ids.classes)
        if len(pointed) == 1:
            return pointed[0]
        raise ModelGPTError(
            f"The annotations have key points of {', '.join(pointed[:5])}, and the model tells no classes apart.",
            "A result has one category.",
            "Give annotations of one class.",
        )

    def tail(self) -> bytes:
        """Return what comes last; warn of what was left out."""
        if self._strangers:
            several = f"{len(self._strangers):,} images are" if len(self._strangers) > 1 else "1 image is"
            logger.warning("%s in no annotations, such as %s: without an id, left out.", several, self._strangers[0])
        for label, n in self._foreign.items():
            several = f"{n:,} results are" if n > 1 else "1 result is"
            logger.warning("%s of %r, which the annotations have no category for: left out.", several, label)
        return b"\n]\n"


class Annotating(Document):
    """A whole COCO file, with images and categories, whose ids count from 1."""

    def __init__(self, names: Sequence[str], categories: Sequence[Mapping[str, Any]], entries: Entries) -> None:
        self._entries, self._shared = entries, shared_folder(names)
        self._categories = [{"id": k, **one} for k, one in enumerate(categories, 1)]
        self._numbers = {one["name"]: one["id"] for one in self._categories}
        self._images: list[dict[str, Any]] = []
        self._things = 0

    def head(self) -> bytes:
        """Return what comes before the first image."""
        return b'{"annotations": ['

    def of_image(self, name: str, size: tuple[int, int], answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the annotations of an image."""
        number = len(self._images) + 1
        file = PurePath(name[self._shared :]).as_posix()
        self._images.append({"id": number, "file_name": file, "width": size[1], "height": size[0]})
        for label, fields in self._entries(answer, False):
            self._things += 1
            category = self._categories[0]["id"] if label is None else self._numbers[label]
            yield {"id": self._things, "image_id": number, "category_id": category, **fields, "iscrowd": 0}

    def tail(self) -> bytes:
        """Return images and categories; say that there were no ids."""
        logger.info(
            "No annotations say ids of images: written as annotations, with ids from 1 on. For results by the ids "
            "of a COCO file, give it in the place of the images."
        )
        lists = {"images": self._images, "categories": self._categories}
        parts = [f'"{key}": [\n' + ",\n".join(map(_line, some)) + "\n]" for key, some in lists.items()]
        return _encoded("\n],\n" + ",\n".join(parts) + "}\n")


def shared_folder(names: Sequence[str]) -> int:
    """Return how many characters the folder has that all of some paths lie in, with its separator.

    Examples
    --------
    >>> shared_folder(["new/a.jpg", "new/b/c.jpg"]), shared_folder(["a.jpg", "new/b.jpg"])
    (4, 0)
    """
    try:
        shared = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    except ValueError:  # absolute paths among others
        shared = ""
    return len(shared) + (not shared.endswith(os.sep)) if shared else 0


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
