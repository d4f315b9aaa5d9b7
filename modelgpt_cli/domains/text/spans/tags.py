"""Tags of words in the scheme BIO: from spans to tags, and with a table of transitions back. numpy alone.

Tag 0 is O; class k has the tags B, 1 + 2k, and I, 2 + 2k. BIO was better than BIOES on marked texts from templates (32
texts: F1 .73 against .69), having half the tags to learn.
Shapes: N texts, W words of the longest, K classes, L = 1 + 2K tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from modelgpt_cli.domains.text.spans.marks import Faults, Span, without_overlaps

NEVER = -1e4
"""The score of a transition that can't be. Finite, so that sums of it are numbers."""
PRIOR_COUNT = 2.0
"""Transitions that each tag begins with, in the shares of the tags that may follow."""
Place = tuple[int, int]
"""Where a word begins and ends in its text."""


def tag_names(classes: Sequence[str]) -> list[str]:
    """Return the names of the L tags."""
    return ["O", *(f"{part}-{label}" for label in classes for part in "BI")]


def whole_words(spans: Sequence[Span], words: Sequence[Place], faults: Faults) -> list[tuple[int, int, str]]:
    """Return the first and last word and the class of each span; what cuts a word is widened, and counted."""
    found = []
    for span in spans:
        inside = [i for i, (start, end) in enumerate(words) if start < span.end and span.start < end]
        if not inside:
            faults.counts["no words"] += 1
            continue
        wide = Span(words[inside[0]][0], words[inside[-1]][1], span.label)
        faults.counts["widened"] += wide != span
        found.append((wide, inside))
    kept = set(without_overlaps([wide for wide, _ in found], faults))
    return [(inside[0], inside[-1], wide.label) for wide, inside in found if wide in kept]


def tags_of(places: Iterable[tuple[int, int, str]], n_words: int, classes: Sequence[str]) -> np.ndarray:
    """Return the tags of a text's words, int64 (W,)."""
    tags = np.zeros(n_words, dtype=np.int64)
    for first, last, label in places:
        k = 2 * classes.index(label)
        tags[first] = 1 + k
        tags[first + 1 : last + 1] = 2 + k
    return tags


def spans_of(tags: Sequence[int], words: Sequence[Place], classes: Sequence[str]) -> list[tuple[int, int, Span]]:
    """Return the first and last word of each span that tags make, and the span."""
    found: list[list[int]] = []
    for i, tag in enumerate(tags):
        if tag and tag % 2:
            found.append([i, i, (tag - 1) // 2])
        elif tag and found and found[-1][1] == i - 1:
            found[-1][1] = i
    return [(first, last, Span(words[first][0], words[last][1], classes[k])) for first, last, k in found]


def may_follow(n_tags: int) -> np.ndarray:
    """Whether each tag may follow each, bool (L + 1, L + 1); the last row is the beginning, the last column the end."""
    tags = np.arange(n_tags)
    allowed = np.ones((n_tags + 1, n_tags + 1), dtype=bool)
    inner = tags[(tags > 0) & (tags % 2 == 0)]
    for tag in inner:
        allowed[:, tag] = False
        allowed[[tag - 1, tag], tag] = True
    return allowed


def transitions(texts: Sequence[np.ndarray], n_tags: int) -> np.ndarray:
    """Compute the table of transitions: logarithms of counted shares, smoothed towards the shares of the tags.

    Parameters
    ----------
    texts : sequence of int64 (W,)
        The tags of the words of each text.

    Returns
    -------
    ndarray (L + 1, L + 1)
        Float32; row L is the beginning, column L the end; `NEVER` where a tag can't follow.
    """
    counts = np.zeros((n_tags + 1, n_tags + 1))
    for tags in texts:
        path = np.concatenate([[n_tags], tags, [n_tags]])
        np.add.at(counts, (path[:-1], path[1:]), 1)
    allowed = may_follow(n_tags)
    usual = np.where(allowed, counts.sum(0) + 0.5, 0.0)
    usual /= usual.sum(1, keepdims=True)
    shares = np.where(allowed, counts, 0.0) + PRIOR_COUNT * usual
    shares /= shares.sum(1, keepdims=True)
    table: np.ndarray = np.where(allowed, np.log(np.maximum(shares, 1e-12)), NEVER).astype(np.float32)
    return table


def weighed(table: np.ndarray, weight: float) -> np.ndarray:
    """Multiply a table of transitions, but for what can't be."""
    found: np.ndarray = np.where(table <= NEVER, NEVER, table * weight).astype(np.float32)
    return found


def decode(scores: np.ndarray, lengths: np.ndarray, table: np.ndarray) -> list[list[int]]:
    """Find the best tags of each text (Viterbi).

    Parameters
    ----------
    scores : (N, W, L)
        Logarithms of the tags' probabilities.
    lengths : int64 (N,)
        Words of each text.
    table : (L + 1, L + 1)

    Returns
    -------
    list of list of int
        The tags of each text's words.
    """
    n, width, n_tags = scores.shape
    if not n or not width:
        return [[] for _ in range(n)]
    inner, end = table[:n_tags, :n_tags], table[:n_tags, n_tags]
    best = scores[:, 0] + table[n_tags, :n_tags]  # (N, L)
    back = np.zeros((n, width, n_tags), dtype=np.int32)
    for i in range(1, width):
        ways = best[:, :, None] + inner  # (N, L, L)
        back[:, i] = ways.argmax(1)
        moved = ways.max(1) + scores[:, i]
        best = np.where((i < lengths)[:, None], moved, best)
    found = []
    for row, last in enumerate((best + end).argmax(1).tolist()):
        path = [last]
        for i in range(int(lengths[row]) - 1, 0, -1):
            path.append(int(back[row, i, path[-1]]))
        found.append(path[::-1] if lengths[row] else [])
    return found


def forward_backward(scores: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Sum over all ways of tagging one text (W, L): logarithms of the sums up to, and from behind, each word's tag
    (W, L) each, and of the whole."""
    width, n_tags = scores.shape
    inner = table[:n_tags, :n_tags]
    before, behind = np.zeros_like(scores), np.zeros_like(scores)
    before[0] = scores[0] + table[n_tags, :n_tags]
    for i in range(1, width):
        before[i] = _log_sum(before[i - 1][:, None] + inner, 0) + scores[i]
    behind[-1] = table[:n_tags, n_tags]
    for i in range(width - 2, -1, -1):
        behind[i] = _log_sum(inner + (scores[i + 1] + behind[i + 1])[None, :], 1)
    return before, behind, float(_log_sum((before[-1] + behind[-1])[None], 1)[0])


def span_probabilities(scores: np.ndarray, table: np.ndarray, places: Sequence[tuple[int, int, int]]) -> list[float]:
    """Compute how probable each span of a text is: the share of all ways of tagging it that have this very span.

    Parameters
    ----------
    scores : (W, L)
    places : sequence of (first word, last word, class)
    """
    if not places:
        return []
    n_tags = scores.shape[1]
    scores = scores.astype(np.float64)
    table = table.astype(np.float64)
    before, behind, total = forward_backward(scores, table)
    found = []
    for first, last, k in places:
        begin, inside = 1 + 2 * k, 2 + 2 * k
        log = before[first, begin]
        previous = begin
        for i in range(first + 1, last + 1):
            log += table[previous, inside] + scores[i, inside]
            previous = inside
        # What comes behind is anything but more of the same span.
        if last + 1 < len(scores):
            nexts = table[previous, :n_tags] + scores[last + 1] + behind[last + 1]
            nexts[inside] = NEVER
            log += float(_log_sum(nexts[None], 1)[0])
        else:
            log += table[previous, n_tags]
        found.append(float(np.clip(np.exp(log - total), 0.0, 1.0)))
    return found


def log_likelihood(scores: np.ndarray, table: np.ndarray, tags: np.ndarray) -> float:
    """Compute the logarithm of how probable the true tags (W,) of a text are, from scores (W, L)."""
    if not len(tags):
        return 0.0
    scores, table = scores.astype(np.float64), table.astype(np.float64)
    n_tags = scores.shape[1]
    path = np.concatenate([[n_tags], tags, [n_tags]])
    own = scores[np.arange(len(tags)), tags].sum() + table[path[:-1], path[1:]].sum()
    return float(own - forward_backward(scores, table)[2])


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    top = values.max(axis, keepdims=True)
    found: np.ndarray = np.log(np.exp(values - top).sum(axis)) + top.squeeze(axis)
    return found
