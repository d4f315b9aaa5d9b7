"""Results with some structure, laid out for a person: a model's card, an evaluation, the doctor's checks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelgpt_cli.commands.output import metrics_table, number, paint, size, table
from modelgpt_cli.core.domain import domain_names, find_domain
from modelgpt_cli.core.label_metrics import LABEL_TITLES
from modelgpt_cli.core.metrics import METRICS

if TYPE_CHECKING:
    from modelgpt_cli.core.checks import Check
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Feeds
    from modelgpt_cli.runtime.importance import Importance

_MAX_CONFUSION = 12


def evaluation_text(done: Evaluation) -> str:
    """Lay out the metrics and, for few classes, the confusion matrix."""
    titles: Mapping[str, str] = done.titles or {name: metric.title for name, metric in METRICS.items()}
    titles = LABEL_TITLES if done.multi_label else titles
    rows = [[titles[name], value] for name, value in done.metrics.items()]
    for row in rows:
        if row[0] == "ROC AUC" and done.roc_auc_kind != "binary":
            row[0] += f" ({done.roc_auc_kind})"
        if row[0] == "interval coverage" and done.coverage is not None:
            row[0] += f" (made for {done.coverage:.4g})"
    lines = [f"{done.rows:,} {done.unit}, target '{done.target}'", "", table(["", "value"], rows)]
    if done.classes:
        names = list(next(iter(done.classes.values())))
        cells = [[label, *(values[name] for name in names)] for label, values in done.classes.items()]
        heads = {"f1": "F1", "iou": "IoU", "rows": done.counted or done.unit}
        lines += [
            "",
            table(
                ["label" if done.multi_label else "class", *(heads.get(name, name) for name in names)],
                cells,
            ),
        ]
    if done.confusion and len(done.true_labels) <= _MAX_CONFUSION:
        matrix = [[label, *counts] for label, counts in zip(done.true_labels, done.confusion, strict=True)]
        lines += ["", "Confusion matrix:", "", table(["true \\ predicted", *done.predicted_labels], matrix)]
    elif done.confusion:
        lines += ["", f"The confusion matrix of {len(done.true_labels)} classes is in --json."]
    if done.importance is not None:
        lines += ["", importance_text(done.importance)]
    return "\n".join(lines)


def importance_text(found: Importance) -> str:
    """Lay out what each column is worth."""
    metric = METRICS[found.metric]
    worse = f"{'rise' if metric.is_error else 'drop'} of {metric.title}"
    rows = [[name, mean, sd] for name, (mean, sd) in found.columns.items()]
    head = f"Permutation importance ({found.rows:,} rows, {found.repeats} shuffles a column):"
    return f"{head}\n\n{table(['column', worse, '±'], rows)}"


def card_text(card: Mapping[str, Any]) -> str:
    """Lay out a model's card."""
    about = card["file"]
    parts = [card.get("requirement") or "(no requirement)"]
    facts = [["file", f"{about['path']} ({about['kind']}, {size(about['size_bytes'])})"]]
    task = "multi-label classification" if card.get("multi_label") else card["task"]
    facts.append(["task", f"{task} of '{card['target']}'"])
    if card.get("labels"):
        facts.append(["labels", _listed([str(label) for label in card["labels"]])])
    if card.get("nearest"):
        named = [
            f"{label} ≈ {_flat(near['concept'])} ({near['likeness']:.2f})" for label, near in card["nearest"].items()
        ]
        facts.append(["by name", _listed(named)])
    if card.get("backbone"):
        facts.append(["backbone", _flat(card["backbone"])])
    if reads := _reads(card):
        facts.append(["reads", reads])
    facts += [[name, _flat(card[name])] for name in ("limits", "quality", "deploy", "provenance") if card.get(name)]
    if transform := card.get("transform"):
        ends = [f"from {transform['lower']:g}"] if "lower" in transform else []
        ends += [f"to {transform['upper']:g}"] if "upper" in transform else []
        learned = [f"learned as {_flat(transform['words'])}"] if "words" in transform else []
        facts.append(["answers", ", ".join([*learned, *([" ".join(ends)] if ends else [])])])
    if card.get("interval"):
        facts.append(["interval", f"lower to upper, {card['interval']['coverage']:.4g} of the true values"])
    parts.append("\n".join(f"{name + ':':<12}{value}" for name, value in facts))
    inputs = [[i["name"], i.get("role") or i["type"], _input_note(i)] for i in card["inputs"]]
    parts.append(f"{len(inputs)} input{'s' if len(inputs) > 1 else ''}:\n{_left(inputs)}")
    if card.get("dropped"):
        parts.append("Not used:\n" + _left([[d["name"], d["type"], d.get("note", "")] for d in card["dropped"]]))
    if card.get("metrics"):
        how = f" {card['validated']}" if card.get("validated") else ""
        parts.append(f"Cross-validated{how} when it was built:\n" + metrics_table(card["metrics"]))
    if card.get("notes"):
        parts.append("\n".join(f"* {note}" for note in card["notes"]))
    return "\n\n".join(parts)


def checks_text(checks: Sequence[Check]) -> str:
    """Lay out the doctor's checks, one a line, a hint below what is broken."""
    colours = {"broken": "red", "warning": "yellow"}
    width = max(len(c.name) for c in checks)
    lines = []
    for check in checks:
        word = f"{check.status:<8}"
        if check.status in colours:
            word = paint(word, colours[check.status], stream=sys.stdout)
        lines.append(f"{word}  {check.name:<{width}}  {check.detail}".rstrip())
        if check.hint:
            lines.append(f"{'':<8}  {'':<{width}}  {check.hint}")
    return "\n".join(lines)


def _reads(card: Mapping[str, Any]) -> str:
    """What a model takes, where the list of its inputs doesn't say all."""
    if card["domain"] not in domain_names():
        return ""
    feeds: Feeds = find_domain(card["domain"]).part("feed")
    return feeds.reads(card)


def _input_note(i: Mapping[str, Any]) -> str:
    levels = _listed([str(level) for level in i.get("levels") or ()], most=6)
    return "; ".join(part for part in (i.get("description") or "", levels) if part)


def _listed(words: Sequence[str], most: int = 20) -> str:
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _left(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of words, all columns left."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _is_long(value: Any) -> bool:
    """Whether a value is a list of entries of several parts, which --json has and no line holds."""
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _flat(value: Any) -> str:
    """Lay out nested data on one line."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} ({_flat(item)})" if isinstance(item, Mapping) else f"{key} {_flat(item)}"
            for key, item in value.items()
            if item is not None and not _is_long(item)
        )
    text = number(value) if isinstance(value, float) else str(value)
    # Checksums are in --json; here their beginning tells two of them apart.
    return text[:12] + "…" if len(text) >= 64 and " " not in text else text
