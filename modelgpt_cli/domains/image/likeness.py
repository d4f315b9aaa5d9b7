"""Images that are there more than once: the same file under two names, or the same image stored, sized or lit anew.

Beside `rows`: a build and tuning keep such images in one fold, as a model that has seen one knows the other.
Shapes: N images, S pixels a side, T thumbnail pixels a side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.image.copies import contradictions
from modelgpt_cli.domains.image.rows import LabelledImages
from modelgpt_cli.domains.shared.alike import alike_note, connected, is_telling, like_rows, most_alike, numbered
from modelgpt_cli.domains.shared.folds import ALIKE, Split

THUMBNAIL = 16
ALIKE_AT = (0.99, 0.998)
"""Correlation of the thumbnails' colours from which two images are near-duplicates. Of 6,600 images of ten public sets,
22 pairs reach .99, each of them one photograph twice (of 1,797 digits of 8 x 8 pixels 9 pairs); of the same images
stored anew as JPEG or WebP, halved, or lit by a tenth more, 99 in 100 reach it; cropped by 3 %, 21 in 100. A difference
hash of 256 bits parts them worse: at 20 bits, which one in ten JPEGs of quality 50 exceeds, it takes 255 pairs of
different letters, drawn on white, for the same. The second value is for images of one scene, all of which reach the
first."""
MOST_COMPARED = 10_000
"""Of more images only equal ones are found: the comparison takes a product of N x N."""
_CHUNK, _POOLED = 2048, 64
_FLAT = 1.0
"""Mean deviation of the thumbnail's values, of 255, below which an image has nothing to compare but noise."""


def thumbnails(values: Tensor) -> Tensor:
    """Return the mean colours of parts of each image: float32 (N, 3 · T · T) of uint8 (N, 3, S, S)."""
    pooled = torch.nn.functional.adaptive_avg_pool2d
    return torch.cat([pooled(part.float(), THUMBNAIL).flatten(1) for part in values.split(_POOLED)])


def comparable(small: Tensor) -> Tensor:
    """Return thumbnails of mean 0 and length 1, whose products are correlations; 0 for an image of one tone."""
    centred = small - small.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    flat = length < _FLAT * centred.shape[1] ** 0.5
    return torch.where(flat, 0.0, centred / length.clamp_min(1e-6))


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
    thumbs = thumbnails(values)
    equal = _equal(thumbs)
    if len(values) > MOST_COMPARED:
        return numbered(equal)
    small = comparable(thumbs)
    for least in ALIKE_AT:
        found = _joined(small, least, equal)
        if found is not None and is_telling(found, y):
            return numbered(found)
    return numbered(equal)


def _equal(thumbs: Tensor) -> np.ndarray:
    """The first image that each is equal to, int64 (N,)."""
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in thumbs.numpy())
    return np.array([first.setdefault(digest, i) for i, digest in enumerate(digests)], dtype=np.int64)


def _joined(small: Tensor, least: float, equal: np.ndarray) -> np.ndarray | None:
    """The connected components of images that are equal or correlate so much, int64 (N,).

    None where an image has so many likes that they tell of the scene alone.
    """
    n = len(small)
    pairs = [(np.arange(n), equal)]
    for start in range(0, n, _CHUNK):
        likeness = small[start : start + _CHUNK] @ small[start:].T >= least
        if int(likeness.sum(1).max()) > most_alike(n):
            return None
        first, second = torch.nonzero(likeness, as_tuple=True)
        pairs.append((first.numpy() + start, second.numpy() + start))
    rows, columns = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    if np.array_equal(rows, columns):  # as usual: SciPy's graphs take longer to import than all this to find
        return rows[:n]
    return connected(rows, columns, n)


def alike_split(read: LabelledImages, column: str) -> tuple[Split | None, list[str]]:
    """Return what ties near-duplicates together, and the words about them; none where there are none.

    Parameters
    ----------
    column : str
        Of the frame, the images' places.
    """
    keys = find_alike(read.rows.values, read.cells.tolist())
    note = alike_note(keys, "images")
    if not note:
        return None, []
    places = read.frame[column].tolist()
    like = [[(places[i], str(read.cells[i])) for i in some] for some in like_rows(keys)]
    notes = [note, *contradictions(like, "Almost equal")]
    return Split(ALIKE, keys), notes
