"""Precision, recall and F1 of spans, by the definitions of seqeval: a span is right if class and both ends are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from modelgpt_cli.core.metrics import scores_of_counts
from modelgpt_cli.domains.text.spans.marks import Span

TITLES = {
    "f1": "F1 (micro)",
    "precision": "precision (micro)",
    "recall": "recall (micro)",
    "macro_f1": "F1 (mean of the classes)",
    "texts_right": "texts without an error",
}


def span_scores(
    true: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], classes: Sequence[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Measure found spans.

    Parameters
    ----------
    true, found : sequence of sequences of Span
        Of each text.

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``f1`` over all spans, ``macro_f1``, the mean F1 of the classes that are among the
        true ones, and ``texts_right``. None where nothing was found, or is true.
    dict
        Recall, precision, F1 and number of true spans of each class.
    """
    in_truth, in_answers, right = Counter[str](), Counter[str](), Counter[str]()
    whole = 0
    for a, b in zip(true, found, strict=True):
        ours, theirs = set(a), set(b)
        whole += ours == theirs
        in_truth.update(span.label for span in ours)
        in_answers.update(span.label for span in theirs)
        right.update(span.label for span in ours & theirs)
    names = [*classes, *sorted(set(in_truth) - set(classes))]
    by_class = {name: scores_of_counts(in_truth[name], in_answers[name], right[name]) for name in names}
    total = scores_of_counts(in_truth.total(), in_answers.total(), right.total())
    means = [values["f1"] or 0.0 for name, values in by_class.items() if in_truth[name]]
    metrics: dict[str, float | None] = {key: total[key] for key in ("f1", "precision", "recall")}
    metrics["macro_f1"] = sum(means) / len(means) if means else None
    metrics["texts_right"] = whole / len(true) if len(true) else None
    return metrics, by_class
