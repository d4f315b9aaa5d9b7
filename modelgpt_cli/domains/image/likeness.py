"""Images that are there more than once: the same file under two names, or the same image stored, sized or lit anew.

Beside `rows`: a build and tuning keep such images in one fold, as a model that has seen one knows the other.
Shapes: N images, S pixels a side, T thumbnail pixels a side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.image.copies import contradictions
from modelgpt_cli.domains.image.rows import LabelledImages
from modelgpt_cli.domains.shared.folds import ALIKE, Split

log = logging.getLogger("modelgpt")
THUMBNAIL = 16
ALIKE_AT = (0.99, 0.998)
"""Correlation of the thumbnails' colours from which two images are near-duplicates. Of 7,000 images of ten public sets,
24 pairs reach .99, all of which are one photograph twice (and of 1,797 digits of 8 x 8 pixels 9 pairs); stored anew as
JPEG or WebP, halved or lit by a tenth more, 98 in 100 images reach it. The 256 bits of a difference hash can't part
these: to find half of the re-encoded, they take 255 pairs of different letters, drawn on white, for the same.
The second is for images of one scene, which all reach the first."""
MOST_OF_ALL = 0.1
"""Where a group holds so large a share of the images, and more than `FEW`, likeness tells of the scene alone: a camera
that doesn't move."""
FEW = 10
MOST_COMPARED = 50_000
"""Of more images only equal ones are found: the comparison takes a product of N x N."""
_CHUNK = 2048
_FLAT = 1.0
"""Mean deviation of the thumbnail's values, of 255, below which an image has nothing to compare but noise."""


def thumbnails(values: Tensor) -> Tensor:
    """Make images comparable, whatever their brightness and contrast.

    Parameters
    ----------
    values : uint8 (N, 3, S, S)

    Returns
    -------
    float32 (N, 3 · T · T)
        Of length 1, or 0 for an image of one tone; their products are correlations.
    """
    parts = []
    for part in values.split(_CHUNK):
        small = torch.nn.functional.adaptive_avg_pool2d(part.float(), THUMBNAIL).flatten(1)
        small = small - small.mean(1, keepdim=True)
        length = small.norm(dim=1, keepdim=True)
        flat = length < _FLAT * small.shape[1] ** 0.5
        parts.append(torch.where(flat, 0.0, small / length.clamp_min(1e-6)))
    return torch.cat(parts)


def find_alike(values: Tensor, y: Sequence[str]) -> np.ndarray:
    """Group near-duplicates.

    Parameters
    ----------
    values : uint8 (N, 3, S, S)
    y : sequence of str, N
        Classes: each must be left in two groups at least, or only equal images count.

    Returns
    -------
    int64 (N,)
        Group numbers, -1 for an image that has no like.
    """
    equal = _equal(values)
    if len(values) > MOST_COMPARED:
        return _numbered(equal)
    small = thumbnails(values)
    for least in ALIKE_AT:
        found = _joined(len(values), [*_pairs(small, least), *enumerate(equal.tolist())])
        if _is_telling(found, y):
            return _numbered(found)
    return _numbered(equal)


def _equal(values: Tensor) -> np.ndarray:
    """The first image that each is equal to, int64 (N,)."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(image.numpy().tobytes(), i) for i, image in enumerate(values)], dtype=np.int64)


def _pairs(small: Tensor, least: float) -> Iterable[tuple[int, int]]:
    """Pairs of images whose thumbnails correlate by at least so much."""
    for start in range(0, len(small), _CHUNK):
        likeness = small[start : start + _CHUNK] @ small[start:].T
        rows, columns = torch.nonzero(likeness >= least, as_tuple=True)
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
            if i < j:
                yield start + i, start + j


def _joined(n: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Connected components, int64 (N,): the number of their first image."""
    root = list(range(n))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in pairs:
        low, high = sorted((find(i), find(j)))
        root[high] = low
    return np.array([find(i) for i in range(n)], dtype=np.int64)


def _is_telling(group: np.ndarray, y: Sequence[str]) -> bool:
    """Whether groups are of single images, and not of a scene that all of them show."""
    largest = np.bincount(group).max(initial=0)
    if largest > max(FEW, MOST_OF_ALL * len(group)):
        return False
    labels = np.asarray(y, dtype=object)
    return all(
        (labels == label).sum() < 2 or len(np.unique(group[labels == label])) > 1 for label in dict.fromkeys(labels)
    )


def _numbered(group: np.ndarray) -> np.ndarray:
    """Group numbers, -1 for those alone in theirs."""
    found: np.ndarray = np.where(np.bincount(group, minlength=len(group))[group] > 1, group, -1).astype(np.int64)
    return found


def alike_split(read: LabelledImages, column: str) -> tuple[Split | None, list[str]]:
    """Return what ties near-duplicates together, and the words about them; none where there are none.

    Parameters
    ----------
    column : str
        Of the frame, the images' places.
    """
    keys = find_alike(read.rows.values, read.cells.tolist())
    copies = int((keys >= 0).sum()) - len(np.unique(keys[keys >= 0]))
    if not copies:
        return None, []
    of = "a near-duplicate of another" if copies == 1 else "near-duplicates of others"
    note = f"{copies:,} of {len(keys):,} images {'is' if copies == 1 else 'are'} {of}, and kept in one fold with it."
    notes = [note if copies == 1 else note.replace("with it.", "with them.")]
    places = read.frame[column].tolist()
    groups: dict[int, list[int]] = {}
    for i in np.flatnonzero(keys >= 0).tolist():
        groups.setdefault(int(keys[i]), []).append(i)
    notes += contradictions(
        [[(places[i], str(read.cells[i])) for i in some] for some in groups.values()], "Almost equal"
    )
    return Split(ALIKE, keys), notes


def tell(notes: Sequence[str]) -> None:
    """Warn of near-duplicates and of what their labels contradict."""
    for note in notes:
        log.warning("%s", note)
