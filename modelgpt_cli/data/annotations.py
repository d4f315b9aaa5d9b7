"""JSON as tools for annotating texts and images write it: records with a class, or with classes. Behind `json_file`.

spaCy, Label Studio, Prodigy and doccano keep labels in objects and lists of their own; here these become one column,
of a class each, or of lists where a row may have several. Spans within a text are no classes: where no domain has read
them before, they are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import FREE_TEXT

log = logging.getLogger("modelgpt")

Record: TypeAlias = dict[str, Any]
Labels: TypeAlias = dict[str, list[str]]
"""Column → the labels of a row; none where they aren't known."""
Parts: TypeAlias = tuple[Record, Labels] | None
"""What isn't the labels, and the labels; None where a row is to be left out."""

PROBE = 200
"""Records by which a tool is known."""
LABEL = "label"
_ANSWERS = frozenset({"accept", "reject", "ignore"})
_PRODIGY_NOTES = frozenset({"label", "answer", "accept", "options", "meta", "spans", "tokens", "priority", "score"})
_STUDIO_NOTES = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"})
_STARTS, _ENDS = frozenset({"start", "start_offset"}), frozenset({"end", "end_offset"})
_SPAN_LABELS = frozenset({"label", "labels", "entity", "tag"})
_TAGS = frozenset({"ner_tags", "bio_tags", "iob_tags"})
_SPAN_SHARE = 0.5
_YES = 0.5


@dataclass
class Annotations:
    """A tool's records, and how they become rows.

    Attributes
    ----------
    tool : str
    parts : callable
        Takes a record apart.
    several : set of str
        Columns of labels of which some row has several, as far as `look` has seen.
    """

    tool: str
    parts: Callable[[Record], Parts]
    several: set[str] = field(default_factory=set)
    _told: bool = False

    def look(self, record: Record) -> None:
        """Take note of a record with several labels."""
        found = self.parts(record)
        if found is not None:
            self.several |= {name for name, labels in found[1].items() if len(labels) > 1}

    def records(self, raw: Iterator[Record], name: str) -> Iterator[Record]:
        """Yield rows.

        Raises
        ------
        ModelGPTError
            A row has several labels that `look` hasn't seen.
        """
        left_out = 0
        for record in raw:
            found = self.parts(record)
            if found is None:
                left_out += 1
                continue
            rest, columns = found
            late = next((c for c, labels in columns.items() if len(labels) > 1 and c not in self.several), None)
            if late is not None:
                raise ModelGPTError(
                    f"{name}: a late row has several labels in {late!r}: {', '.join(columns[late])[:80]}.",
                    "The first 10,000 rows have one each.",
                    "Put a row with several among the first.",
                )
            yield rest | {c: labels if c in self.several else next(iter(labels), None) for c, labels in columns.items()}
        if left_out and not self._told:
            self._told = True
            rows = "1 row that was" if left_out == 1 else f"{left_out:,} rows that were"
            log.warning("%s: left out %s ignored, rejected or cancelled in %s.", name, rows, self.tool)


def find_annotations(first: Sequence[Record], name: str) -> Annotations | None:
    """Find out which tool wrote records; None where they are rows as they are.

    Raises
    ------
    ModelGPTError
        They hold spans.
    """
    found = _annotations(first)
    if found is None or not any(map(found.parts, first)):
        _refuse_spans(first, name)
        return found
    log.info("%s: read as records of %s.", name, found.tool)
    return found


def find_tool(first: Sequence[Record]) -> Annotations | None:
    """Find out which tool wrote records with classes; None where none did."""
    found = _annotations(first)
    return found if found is not None and any(map(found.parts, first)) else None


def _annotations(first: Sequence[Record]) -> Annotations | None:
    finders = (_label_studio, _label_studio_min, _prodigy, _spacy, _doccano)
    return next((found for finder in finders if (found := finder(first)) is not None), None)


def _label_studio(first: Sequence[Record]) -> Annotations | None:
    """Tasks with annotations, whose results are choices (or ratings) by the name of a control."""
    if not all(isinstance(r.get("data"), dict) and _studio_results(r) is not None for r in first):
        return None
    results = [result for r in first for result in _studio_results(r) or []]
    names = list(dict.fromkeys(str(result.get("from_name")) for result in results if _choices(result)))
    if not names:
        return None

    def parts(record: Record) -> Parts:
        found = _studio_results(record) or []
        given = {str(result.get("from_name")): _choices(result) for result in reversed(found)}
        cancelled = not found and any(a.get("was_cancelled") for a in record.get("annotations") or [])
        return None if cancelled else (dict(record["data"]), {name: given.get(name, []) for name in names})

    return Annotations("Label Studio", parts)


def _studio_results(record: Record) -> list[Record] | None:
    """The results of a task's first annotation that wasn't cancelled; None where it is no task."""
    given = record.get("annotations", record.get("completions"))
    if not isinstance(given, list) or not all(isinstance(one, dict) and "result" in one for one in given):
        return None
    kept = [one["result"] for one in given if not one.get("was_cancelled")]
    return [result for result in kept[0] if isinstance(result, dict)] if kept else []


def _choices(result: Record) -> list[str]:
    value = result.get("value")
    if not isinstance(value, dict):
        return []
    if result.get("type") == "rating":
        return [str(value.get("rating"))]
    return [str(choice) for choice in value.get("choices", [])]


def _label_studio_min(first: Sequence[Record]) -> Annotations | None:
    """Rows with notes on the annotation, and choices under the names of controls."""
    if not all("annotation_id" in r and "lead_time" in r for r in first) or any(map(_spans, first)):
        return None
    names = [name for name in first[0] if name not in _STUDIO_NOTES]
    several = [name for name in names if any(isinstance(r.get(name), dict) and "choices" in r[name] for r in first)]

    def parts(record: Record) -> Parts:
        rest = {k: v for k, v in record.items() if k not in _STUDIO_NOTES and k not in several}
        return rest, {name: _list_of(record.get(name)) for name in several}

    return Annotations("Label Studio", parts)


def _list_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("choices")
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _prodigy(first: Sequence[Record]) -> Annotations | None:
    """Examples with an answer: accepted choices; or one label that was accepted or rejected."""
    if not all(r.get("answer") in _ANSWERS and ("_task_hash" in r or _is_one_string(_inputs(r))) for r in first):
        return None
    choices = all(isinstance(r.get("accept"), list) for r in first)
    labels = {str(r[LABEL]) for r in first if isinstance(r.get(LABEL), (str, int))}
    if not choices and not all(isinstance(r.get(LABEL), (str, int)) for r in first):
        return None
    only = next(iter(labels)) if len(labels) == 1 else None

    def parts(record: Record) -> Parts:
        answer = record.get("answer")
        rest = _inputs(record)
        if choices:
            return (rest, {LABEL: [str(one) for one in record.get("accept") or []]}) if answer == "accept" else None
        if answer == "ignore" or (answer == "reject" and only is None):
            return None
        return rest, {LABEL: [str(record[LABEL]) if answer == "accept" else f"not {record[LABEL]}"]}

    return Annotations("Prodigy", parts)


def _inputs(record: Record) -> Record:
    """What an example of Prodigy shows, without answers and notes."""
    return {key: value for key, value in record.items() if key not in _PRODIGY_NOTES and key[:1] != "_"}


def _is_one_string(record: Record) -> bool:
    return len(record) == 1 and all(isinstance(value, str) for value in record.values())


def _spacy(first: Sequence[Record]) -> Annotations | None:
    """Texts with scores of categories."""
    if not all(isinstance(r.get("cats"), dict) and r["cats"] and _are_scores(r["cats"]) for r in first):
        return None
    names = {name for r in first for name in r["cats"]}
    only = next(iter(names)) if len(names) == 1 else None

    def parts(record: Record) -> Parts:
        rest = {k: v for k, v in record.items() if k not in ("cats", "entities", "ents", "links", "tokens", "spans")}
        cats: Mapping[str, float] = record.get("cats") or {}
        given = [name for name, score in cats.items() if score >= _YES]
        return rest, {LABEL: [f"not {only}"] if only and cats and not given else given}

    return Annotations("spaCy", parts)


def _are_scores(cats: Mapping[str, Any]) -> bool:
    return all(isinstance(score, (bool, int, float)) and 0 <= score <= 1 for score in cats.values())


def _doccano(first: Sequence[Record]) -> Annotations | None:
    """Texts with a list of labels each."""
    key = next((key for key in (LABEL, "labels") if all(isinstance(r.get(key), list) for r in first)), None)
    body = next((key for key in (FREE_TEXT, "data") if all(isinstance(r.get(key), str) for r in first)), None)
    if key is None or body is None or not {*first[0]} <= {"id", body, key, "Comments", "comments", "meta"}:
        return None
    if not all(isinstance(label, str) for r in first for label in r[key]) or not any(r[key] for r in first):
        return None

    def parts(record: Record) -> Parts:
        return {body: record.get(body)}, {key: _list_of(record.get(key))}

    return Annotations("doccano", parts)


def _spans(record: Record) -> list[str]:
    """The names of a record's values that are spans, or tags of tokens."""
    found = [key for key, value in record.items() if isinstance(value, list) and value and all(map(_is_span, value))]
    found += [key for key in record if key in _TAGS]
    results = _studio_results(record)
    return [*found, *(["annotations"] if results and any(_is_span(r.get("value")) for r in results) else [])]


def _is_span(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(_STARTS & value.keys() and _ENDS & value.keys() and _SPAN_LABELS & value.keys())
    if not isinstance(value, list) or len(value) != 3:
        return False
    return all(type(place) is int for place in value[:2]) and isinstance(value[2], str)


def _refuse_spans(first: Sequence[Record], name: str) -> None:
    """Refuse records that have nothing but spans.

    Raises
    ------
    ModelGPTError
        They do.
    """
    found = [keys[0] for record in first if (keys := _spans(record))]
    if len(found) > _SPAN_SHARE * len(first) and not any(isinstance(r.get(LABEL), (str, int)) for r in first):
        raise ModelGPTError(
            f"{name} holds spans: parts of each text that have a label, in {found[0]!r}.",
            "They are in no form that is known, or without a text.",
            'Give text and spans: {"text": "Ann is in", "spans": [{"start": 0, "end": 3, "label": "name"}]}.',
        )
