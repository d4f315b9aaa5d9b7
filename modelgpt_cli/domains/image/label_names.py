"""Classes that the names of files in one folder say: cat.0.jpg, cat_001.jpg, "cat (3).jpg". Below `layout`.

Precision before recall: names that a camera or a program gives must never become classes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from modelgpt_cli.data.folder_names import TEST_NAMES, TRAIN_NAMES, VALIDATION_NAMES

LEAST_IMAGES = 3
"""Each class has so many images: fewer may be a series by chance."""
MOST_CLASSES = 100
"""More prefixes are names of things rather than of classes; the shared sets have up to 37 (Oxford's pets)."""
_COUNTED = re.compile(r"(?P<label>.+?)(?:[ ._-]*\((?P<n>\d+)\)|[ ._#-]+\d+|(?<=[^\W\d_])\d+)")
"""A label, then a number: in brackets, after a separator, or right behind a letter."""
_GENERAL_TEXT = """
img image images imgs dsc dscn dscf dcim pxl mvi mov vid gopr gx pic pics picture pictures photo photos foto fotos bild
bilder imagen frame frames video cam camera scan scans scanned screenshot screenshots capture snapshot whatsapp signal
telegram file files document untitled unnamed download downloads copy kopie new edited page seite figure fig plot
sample samples example item object input output left right mask masks label labels gt depth rgb data part tile crop
patch slice
"""
_GENERAL = frozenset(_GENERAL_TEXT.split())
"""Names that cameras and programs give, and the parts of a whole: of two cameras, IMG_1.jpg and DSC_1.jpg."""
_SPLITS = frozenset((*TRAIN_NAMES, *TEST_NAMES, *VALIDATION_NAMES))
_NUMBERED = frozenset(("class", "label", "cls", "category"))
"""Words that a number makes the name of a class; else labels that differ by a number alone are people or places."""
_WORDS = re.compile(r"[^\W\d_]+")


def label_of(place: str) -> str:
    """Return what stands before the number at the end of a file's name, as a label; "" where it doesn't end so."""
    stem = PurePosixPath(place).name
    suffix = PurePosixPath(place).suffix
    if suffix and not suffix[1:].isdigit():  # of a file without a suffix, cat.12, the number is no suffix
        stem = stem[: -len(suffix)]
    found = _COUNTED.fullmatch(stem)
    return found["label"].strip(" ._#-") if found else ""


def find_labels(images: Collection[str]) -> dict[str, str]:
    """Return the class of each image, by place, where all their names say one; else nothing.

    All names have to be a label and a number, and the labels few, with several images each, and no words that a camera,
    a program or a split into parts puts there.
    """
    labels = {place: label_of(place) for place in images}
    counts = Counter(labels.values())
    if "" in counts or not 2 <= len(counts) <= MOST_CLASSES or min(counts.values()) < LEAST_IMAGES:
        return {}
    words = {label: [word.lower() for word in _WORDS.findall(label)] for label in counts}
    if any(not _tells(found) for found in words.values()):
        return {}
    alike = len({tuple(found) for found in words.values()}) < len(words)
    if alike and not all(found[-1] in _NUMBERED for found in words.values()):
        return {}
    return labels


def _tells(words: list[str]) -> bool:
    """Whether the words of a label can be a class: no single Latin letter, and not all of them general."""
    if not words or words[0] in _GENERAL or set(words) <= _GENERAL | _SPLITS:
        return False
    return any(len(word) > 1 or not word.isascii() for word in words)


def known_labels(images: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the classes among some known ones that the names of images say, by place."""
    spelled = {label.casefold(): label for label in known}
    return {p: spelled[label] for p in images if (label := label_of(p).casefold()) in spelled}
