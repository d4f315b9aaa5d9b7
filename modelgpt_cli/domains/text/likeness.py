"""Texts that are there more than once: word for word, or but for case, signs and a word or two. Beside `tokens`.

A build and tuning keep such texts in one fold, as a model that has seen one knows the other.
Shapes: N texts, S shingles of all of them, H hashes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from modelgpt_cli.domains.shared.alike import alike_note, connected, contradictions, is_telling, like_rows, numbered
from modelgpt_cli.domains.shared.folds import ALIKE, Split

ALIKE_AT = 0.8
"""Jaccard index of two texts' shingles from which they are near-duplicates. Of up to 4,096 texts each of 15 public sets
it joins 0 to 67 that are not equal, all that were looked at one text reworded, or a template with another figure."""
_WIDTH = 4
_CHARS = 2_000
"""Of longer texts the beginning says it."""
_BANDS, _ROWS = 16, 5
"""MinHash of 80 hashes: a pair at .8 is compared with probability .998, one at .5 with .4, one at .3 with .04."""
_SHOWN_CHARS = 60
_SIGNS = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """Return a text's letters and figures, in lower case, one blank for what is between them; else its signs."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SIGNS.sub(" ", folded).strip() or " ".join(folded.split())


def find_alike(columns: Sequence[Sequence[str]], y: Sequence[str] | None) -> np.ndarray:
    """Group near-duplicates.

    Parameters
    ----------
    columns : sequence of sequences of str, each N
        The texts; of pairs, both, and both have to be alike.
    y : sequence of str, N, optional
        Classes, where there are any: if near-duplicates leave one of them in one group, only equal texts count.

    Returns
    -------
    int64 (N,)
        Group numbers, -1 for a text that has no like, or is empty.
    """
    folded = list(zip(*([plain(text) for text in column] for column in columns), strict=True))
    distinct = {texts: i for i, texts in enumerate(dict.fromkeys(folded))}
    equal = np.array([distinct[texts] for texts in folded], dtype=np.int64)
    near = _joined(list(distinct))[equal]
    group = near if is_telling(near, [""] * len(folded) if y is None else y) else equal
    empty = np.array([not any(texts) for texts in folded], dtype=bool)
    return np.where(empty, -1, numbered(group))


def _joined(rows: Sequence[tuple[str, ...]]) -> np.ndarray:
    """The connected components of different rows that are near-duplicates, int64 (N,)."""
    n = len(rows)
    shingles = [[_shingles(text[:_CHARS]) for text in texts] for texts in rows]
    candidates = _candidates(_signatures([np.unique(np.concatenate(parts)) for parts in shingles]))
    pairs = [
        (a, b)
        for a, b in candidates
        if all(_jaccard(one, other) >= ALIKE_AT for one, other in zip(shingles[a], shingles[b], strict=True))
    ]
    first, second = (np.array([pair[k] for pair in pairs], dtype=np.int64) for k in range(2))
    return connected(first, second, n)


def _shingles(text: str) -> np.ndarray:
    """Hashes of a text's runs of four characters, each once, uint64 (S,); of a shorter text's end too."""
    codes = np.frombuffer(f"{text:<{_WIDTH}}".encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, _WIDTH)
    factors = np.random.default_rng(7).integers(1, 2**63, _WIDTH, dtype=np.uint64) | np.uint64(1)
    return np.unique((windows * factors).sum(1, dtype=np.uint64))


def _signatures(shingles: Sequence[np.ndarray]) -> np.ndarray:
    """MinHash (Broder, 1997): the least of each of H hashes over a text's shingles, uint64 (N, H)."""
    flat = np.concatenate(shingles)
    starts = np.cumsum([0, *map(len, shingles[:-1])])
    rng = np.random.default_rng(11)
    found = np.empty((len(shingles), _BANDS * _ROWS), dtype=np.uint64)
    for h in range(found.shape[1]):
        factor, mask = rng.integers(1, 2**63, 2, dtype=np.uint64)
        mixed = (flat ^ mask) * (factor | np.uint64(1))
        found[:, h] = np.minimum.reduceat((mixed >> np.uint64(29)) ^ mixed, starts)
    return found


def _candidates(signatures: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of texts that agree in a band of their signatures: each with the first of its bucket and with the last."""
    pairs: set[tuple[int, int]] = set()
    for band in np.split(signatures, _BANDS, axis=1):
        first: dict[bytes, int] = {}
        last: dict[bytes, int] = {}
        for i, row in enumerate(band):
            key = row.tobytes()
            if key in first:
                pairs |= {(first[key], i), (last[key], i)}
            last[key] = i
            first.setdefault(key, i)
    return pairs


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def alike_split(columns: Sequence[Sequence[str]], labels: Sequence[str] | None) -> tuple[Split | None, list[str]]:
    """Return what ties near-duplicates together, and the words about them; none where there are none.

    Parameters
    ----------
    columns : sequence of sequences of str, each N
        As in `find_alike`.
    labels : sequence of str, N, optional
        Classes, where there are any.
    """
    keys = find_alike(columns, labels)
    note = alike_note(keys, "texts" if len(columns) == 1 else "pairs")
    if not note:
        return None, []
    told = [] if labels is None else _near_contradictions(columns, labels, keys)
    return Split(ALIKE, keys), [note, *told]


def _near_contradictions(columns: Sequence[Sequence[str]], labels: Sequence[str], keys: np.ndarray) -> list[str]:
    """The words about near-duplicates that have more than one label, but for equal ones, which are told when read."""
    groups = []
    for rows in like_rows(keys):
        different = {tuple(plain(column[i]) for column in columns): i for i in reversed(rows)}
        groups.append([(_shown([column[i] for column in columns]), str(labels[i])) for i in different.values()])
    return contradictions(groups, "Almost equal texts", "Check them.")


def equal_contradictions(columns: Sequence[Sequence[str]], labels: Sequence[str]) -> list[str]:
    """Return the words about equal texts that have more than one label; for `columns` see `find_alike`."""
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for *texts, label in zip(*columns, labels, strict=True):
        if any(text.strip() for text in texts):
            groups.setdefault(tuple(map(plain, texts)), []).append((_shown(texts), str(label)))
    return contradictions(list(groups.values()), "Equal texts")


def _shown(texts: Sequence[str]) -> str:
    """A text, or a pair, as messages quote it."""
    lines = (" ".join(text.split()) for text in texts)
    return " / ".join(repr(f"{line[:_SHOWN_CHARS]}…" if len(line) > _SHOWN_CHARS else line) for line in lines)
