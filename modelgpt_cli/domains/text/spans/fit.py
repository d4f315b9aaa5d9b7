"""A model of marked texts solved: the posterior head on the words' inputs, the transitions, and how good both are.

The encoder is frozen, so a word's inputs are the same whatever texts are held out: cross-validation solves the head
anew for each fold of texts, counts transitions in the others, and finds spans in those held out.
Shapes: n words, W words of a text, P head inputs, L tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.text.spans.marks import Span
from modelgpt_cli.domains.text.spans.model import tag_scores
from modelgpt_cli.domains.text.spans.scores import span_scores
from modelgpt_cli.domains.text.spans.tags import Place, decode, log_likelihood, spans_of, transitions, weighed
from modelgpt_cli.parameter_generator.logistic import (
    MOST_STEPS,
    multipliers,
    posterior_rows,
    posterior_weights,
    threads_for,
)

PRECISIONS = (0.003, 0.01)
WEIGHTS = (0.0, 0.15, 0.3, 0.6)
"""Precisions of the head's prior and weights of the transitions that held-out texts choose from; the first serve
where there are too few. With weight 0 transitions only forbid: at 8 texts counted shares did harm (F1 .58 without, .56
with .3), at 128 they helped (.82, .835). Around what names say the same precisions do: at 8 texts F1 was .767 with .003
and .750 with .1, at 128 .880 and .866; around zero .565 and .830."""
GAIN = 0.005
"""So much more F1 on held-out texts than the first choice's has another choice to reach."""
BIAS_PRECISION = 1e-3
CHOICE_STEPS = 50
"""Of heads that are only compared; the one that is kept takes as many as it needs."""
LEAST_TEXTS = 8
FOLDS, MANY_WORDS = 5, 4000
"""Above so many words three folds say as much, and the first precision serves."""
UNSEEN = -12.0
"""The bias of a tag that no word has."""
SHARPNESS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What scores are multiplied by, as held-out texts are most probable: it changes no span, but the spans' scores."""
SCORED_TEXTS = 300
LOOKUP, MODEL = "word look-up", "model"


@dataclass
class Words:
    """The words of marked texts.

    Attributes
    ----------
    inputs : list of float32 (W, P)
        Of each text.
    tags : list of int64 (W,)
    places : list of list of (start, end)
    spans : list of list of Span
    texts : list of str
    """

    inputs: list[Tensor]
    tags: list[np.ndarray]
    places: list[list[Place]]
    spans: list[list[Span]]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass
class SpanFit:
    """The solved parts.

    Attributes
    ----------
    weight : float32 (P, L + H)
    bias : float32 (L + H,)
        Of H tags of kinds that are none of the classes, where the head was solved around what names say.
    table : float32 (L + 1, L + 1)
        Weighed transitions.
    named : bool
        Whether the head was solved around what the names of classes say.
    metrics : dict
        Of the model and of a look-up of words, on held-out texts.
    """

    weight: Tensor
    bias: Tensor
    table: np.ndarray
    precision: float
    transition_weight: float
    named: bool = False
    sharpness: float = 1.0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


@torch.inference_mode()
def fit_spans(
    words: Words, classes: Sequence[str], groups: np.ndarray, seed: int, prior: Tensor | None = None
) -> SpanFit:
    """Solve head and transitions, by what held-out texts say where there are enough.

    Parameters
    ----------
    groups : int64 (N,)
        Texts of one number are held out together.
    prior : Tensor (P + 1, L + H), optional
        What the names of classes say; its last row are biases. Held-out texts choose between it and zero. Where there
        are more words than head inputs, these say by themselves what is in no span, and H is 0.
    """
    n_tags = 1 + 2 * len(classes)
    if prior is not None and sum(map(len, words.tags)) > len(prior):
        prior = prior[:, :n_tags]
    first = choice = (prior is not None, PRECISIONS[0], WEIGHTS[0])
    sharpness = 1.0
    metrics: dict[str, dict[str, float]] = {}
    if len(np.unique(groups)) >= LEAST_TEXTS:
        many = sum(map(len, words.tags)) > MANY_WORDS
        folds = _folds(groups, 3 if many else FOLDS, seed)
        precisions = PRECISIONS[:1] if many else PRECISIONS
        tables = {
            k: transitions([t for t, fold in zip(words.tags, folds, strict=True) if fold != k], n_tags)
            for k in range(int(folds.max()) + 1)
        }
        held = _held_out(words, folds, precisions, n_tags, [None] if prior is None else [prior, None])
        found = {}
        for (named, p), scores in held.items():
            for w in WEIGHTS:
                answers = _answers(scores, [weighed(tables[k], w) for k in folds], words, classes)
                found[named, p, w] = span_scores(words.spans, answers, classes)[0]
        rank = {key: (values["f1"] or 0.0) - GAIN * (key != first) for key, values in found.items()}
        choice = max(rank, key=lambda key: rank[key])
        sharpness = _sharpness(held[choice[:2]], [weighed(tables[k], choice[2]) for k in folds], words.tags)
        metrics[MODEL] = _figures(found[choice])
        metrics[LOOKUP] = _figures(span_scores(words.spans, look_up_held_out(words, folds), classes)[0])
    named, precision, weight = choice
    head, bias = solve(words.inputs, words.tags, precision, n_tags, prior if named else None)
    table = weighed(transitions(words.tags, n_tags), weight)
    return SpanFit(head, bias, table, precision, weight, named, sharpness, metrics)


def _figures(values: dict[str, float | None]) -> dict[str, float]:
    return {key: float(values[key] or 0.0) for key in ("f1", "precision", "recall")}


def _folds(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each text, int64 (N,): groups whole, about as many texts in each."""
    rng = np.random.default_rng([seed, 41])
    names, sizes = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load = np.zeros(count)
    fold = {}
    for i in order:
        k = int(load.argmin())
        fold[names[i]] = k
        load[k] += sizes[i]
    return np.array([fold[group] for group in groups], dtype=np.int64)


def _parts(folds: np.ndarray) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield each fold with the texts to learn from and those held out."""
    for k in range(int(folds.max()) + 1):
        yield k, np.flatnonzero(folds != k).tolist(), np.flatnonzero(folds == k).tolist()


def _held_out(
    words: Words,
    folds: np.ndarray,
    precisions: Sequence[float],
    n_tags: int,
    priors: Sequence[Tensor | None],
) -> dict[tuple[bool, float], list[np.ndarray]]:
    """Scores (W, L) of each text by the head of the other folds, by whether there is a prior, and the precision."""
    phi, tags = torch.cat(words.inputs), torch.from_numpy(np.concatenate(words.tags))
    ends = np.cumsum([0, *map(len, words.tags)])
    fold_of = torch.from_numpy(np.repeat(folds, np.diff(ends)))
    said = [None if prior is None else phi @ prior[:-1] + prior[-1] for prior in priors]
    tried = [(*pair, p) for pair in zip(priors, said, strict=True) for p in precisions]
    found = {(prior is not None, p): torch.zeros(len(phi), n_tags) for prior, _, p in tried}
    # The words' products serve all folds, priors and precisions, where there are fewer words than inputs.
    products = phi @ phi.T if len(phi) <= phi.shape[1] else None
    with progress("cross-validate", int(folds.max()) + 1, "folds") as advance, threads_for(len(phi) ** 2 * n_tags):
        for k in range(int(folds.max()) + 1):
            used, held = torch.where(fold_of != k)[0], torch.where(fold_of == k)[0]
            for prior, alone, p in tried:
                if products is None:
                    weight, bias = solve([phi[used]], [tags[used].numpy()], p, n_tags, prior, steps=CHOICE_STEPS)
                    scores = tag_scores(phi[held] @ weight + bias, n_tags)
                else:
                    scores = _scores_by_products(products, used, held, tags[used], p, n_tags, alone)
                found[prior is not None, p][held] = scores
            advance(1)
    lengths = np.diff(ends).tolist()
    return {key: [part.numpy() for part in scores.split(lengths)] for key, scores in found.items()}


def _scores_by_products(
    products: Tensor, used: Tensor, held: Tensor, tags: Tensor, precision: float, n_tags: int, said: Tensor | None
) -> Tensor:
    """Scores of held-out words by the posterior head of the used ones, as `solve` gives it, from products (n, n).

    Parameters
    ----------
    said : Tensor (n, L + H), optional
        What the prior alone gives each word.
    """
    target, given = _targets(tags, n_tags, None if said is None else said[used])
    gram = products[used][:, used].double() / precision + 1 / BIAS_PRECISION
    offset = torch.zeros(len(used), int(given.sum())) if said is None else said[used]
    dual = multipliers(gram.float(), gram, offset, target[:, given], False, CHOICE_STEPS)
    moved = (products[held][:, used] / precision + 1 / BIAS_PRECISION) @ dual
    if said is not None:
        return tag_scores(said[held] + moved, n_tags)
    scores = torch.full((len(held), n_tags), UNSEEN)
    scores[:, given] = moved
    return tag_scores(scores, n_tags)


def _targets(tags: Tensor, n_tags: int, said: Tensor | None) -> tuple[Tensor, Tensor]:
    """What words are taken for, (n, L + H), and which columns are solved, bool (L + H,).

    A word in no span may be one of another kind, which isn't marked: it is shared between that tag and the H others as
    the prior has it. At 8 marked texts F1 was .768 so and .762 without the others, at 32 .852 and .845; in real news
    .75 and .70, .80 and .79.
    """
    if said is None:
        target = F.one_hot(tags, n_tags).float()
        return target, target.sum(0) > 0
    target = F.one_hot(tags, said.shape[1]).float()
    free = [0, *range(n_tags, said.shape[1])]
    outside = torch.where(tags == 0)[0]
    target[outside[:, None], torch.tensor(free)] = said[outside][:, free].softmax(1)
    return target, torch.ones(said.shape[1], dtype=torch.bool)


def solve(
    inputs: Sequence[Tensor],
    tags: Sequence[np.ndarray],
    precision: float,
    n_tags: int,
    prior: Tensor | None = None,
    *,
    steps: int = MOST_STEPS,
) -> tuple[Tensor, Tensor]:
    """The posterior head of all words of some texts: (P, L + H) and (L + H,).

    Parameters
    ----------
    prior : Tensor (P + 1, L + H), optional
        What it is solved around; else around zero, and a tag that no word has is never given.
    """
    phi = F.pad(torch.cat(list(inputs)), (0, 1), value=1.0)
    given_tags = torch.from_numpy(np.concatenate(list(tags)))
    target, given = _targets(given_tags, n_tags, None if prior is None else phi @ prior)
    weight = torch.zeros(phi.shape[1], n_tags) if prior is None else prior.clone()
    strength = torch.full((phi.shape[1],), precision)
    strength[-1] = BIAS_PRECISION
    find = posterior_rows if phi.shape[0] < phi.shape[1] else posterior_weights
    with threads_for(phi.shape[0] * min(phi.shape) * n_tags):
        weight[:, given] = find(phi, target[:, given], weight[:, given], strength, regression=False, steps=steps)
    weight[-1, ~given] = UNSEEN
    return weight[:-1].clone(), weight[-1].clone()


def _answers(
    scores: Sequence[np.ndarray], tables: Sequence[np.ndarray], words: Words, classes: Sequence[str]
) -> list[list[Span]]:
    """The spans of each text, by the transitions of its fold."""
    found = []
    for own, table, places in zip(scores, tables, words.places, strict=True):
        tags = decode(own[None], np.array([len(own)]), table)[0] if len(own) else []
        found.append([span for _, _, span in spans_of(tags, places, classes)])
    return found


def _sharpness(scores: Sequence[np.ndarray], tables: Sequence[np.ndarray], tags: Sequence[np.ndarray]) -> float:
    """The factor with which the true tags of held-out texts are most probable."""
    rows = [i for i in range(len(scores)) if len(tags[i])][:SCORED_TEXTS]

    def total(factor: float) -> float:
        return sum(log_likelihood(scores[i] * factor, tables[i] * factor, tags[i]) for i in rows)

    return max(SHARPNESS, key=total)


def look_up_held_out(words: Words, folds: np.ndarray) -> list[list[Span]]:
    """Spans of held-out texts by a look-up of those of the others."""
    found: list[list[Span]] = [[] for _ in range(len(words))]
    for _, used, held in _parts(folds):
        known = known_spans([(words.texts[i], words.spans[i]) for i in used])
        for i in held:
            found[i] = look_up(words.texts[i], words.places[i], known)
    return found


def known_spans(marked: Sequence[tuple[str, Sequence[Span]]]) -> dict[str, str]:
    """The class that each marked string has most often, by the string in lower case."""
    counts: dict[str, Counter[str]] = {}
    for text, spans in marked:
        for span in spans:
            counts.setdefault(text[span.start : span.end].lower(), Counter())[span.label] += 1
    return {string: labels.most_common(1)[0][0] for string, labels in counts.items()}


def look_up(text: str, places: Sequence[Place], known: dict[str, str], longest: int = 8) -> list[Span]:
    """Find known strings in a text, the longest first, from left to right."""
    found, i = [], 0
    while i < len(places):
        for j in range(min(len(places), i + longest) - 1, i - 1, -1):
            label = known.get(text[places[i][0] : places[j][1]].lower())
            if label is not None:
                found.append(Span(places[i][0], places[j][1], label))
                i = j
                break
        i += 1
    return found
