"""Records with marked texts, as tools for annotating, Hugging Face's data sets and `predict` write them.

First step on the way of marked texts, beside `conll`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.text.spans.conll import TAG, Marked, from_tokens, unknown_tag
from modelgpt_cli.domains.text.spans.marks import Faults, fits, in_code_points, is_astral, parse_spans

Record = Mapping[str, Any]
TEXT_NAMES = ("text", "sentence", "content", "body", "data", "document")
SPAN_NAMES = ("spans", "entities", "ents", "label", "labels", "annotations")
TAG_NAMES = ("ner_tags", "bio_tags", "iob_tags", "tags", "ner")
TOKEN_NAMES = ("tokens", "words")
SHARE = 0.5
"""Share of the first records that must have spans, or an empty list where others have some."""


class Form:
    """Where a tool's records have text and spans.

    Attributes
    ----------
    tool : str
    text : str
        What the column of texts is called.
    """

    def __init__(self, tool: str, text: str, take: Callable[[Record], tuple[Any, Any] | None]) -> None:
        self.tool, self.text = tool, text
        self._take = take

    def __call__(self, record: Record) -> tuple[Any, Any] | None:
        """Return a record's text, or its tokens, and its spans, or their tags; None where it is to be left out."""
        return self._take(record)


def find_form(first: Sequence[Record]) -> Form | None:
    """Find out where records have marked texts; None where they hold none."""
    finders = (_label_studio, _tokens, _plain)
    return next((form for finder in finders if (form := finder(first)) is not None), None)


def read_records(records: Iterable[Record], form: Form, name: str, faults: Faults) -> list[Marked]:
    """Read all records; those that were rejected, ignored or cancelled are left out, and told.

    Raises
    ------
    ModelGPTError
        A record has tags of no known kind, or not one a token.
    """
    found: list[Marked] = []
    left_out = odd = 0
    for number, record in enumerate(records, 1):
        taken = form(record)
        if taken is None:
            left_out += 1
            continue
        text, marks = taken
        if isinstance(text, list):
            found.append(_tagged(text, marks, f"{name}: record {number}", faults))
            continue
        spans = parse_spans(marks) if marks is not None else []
        if not isinstance(text, str) or spans is None:
            odd += 1
            continue
        found.append(Marked(text, spans))
    for n, why in (
        (left_out, f"rejected, ignored or cancelled in {form.tool}"),
        (odd, "without a text or list of spans"),
    ):
        if n:
            faults.told.append(f"{name}: left out {'1 record' if n == 1 else f'{n:,} records'} {why}.")
    return _in_characters(found, name, faults)


def _in_characters(texts: list[Marked], name: str, faults: Faults) -> list[Marked]:
    """Return the texts with spans counted in characters, where a tool counted UTF-16 units, as JavaScript does.

    doccano and Label Studio have done so, and have not; only texts with characters beyond the Basic Multilingual Plane,
    such as emoji, tell. Their spans are read as they fit words, or the text that is kept with them, better.
    """
    telling = [one for one in texts if one.spans and is_astral(one.text)]
    if not telling:
        return texts
    as_they_are = sum(fits(one.text, one.spans) for one in telling)
    turned = sum(fits(one.text, in_code_points(one.text, one.spans)) for one in telling)
    if turned <= as_they_are:
        return texts
    n = len(telling)
    faults.told.append(
        f"{name}: the spans of {'1 text' if n == 1 else f'{n:,} texts'} with emoji count these as two characters, "
        "as JavaScript does, and were read so."
    )
    return [Marked(one.text, in_code_points(one.text, one.spans), one.document) for one in texts]


def _tagged(tokens: list[Any], tags: Any, where: str, faults: Faults) -> Marked:
    if not isinstance(tags, list) or len(tags) != len(tokens):
        raise ModelGPTError(f"{where}: it doesn't have one tag for each of its {len(tokens):,} tokens.")
    for tag in tags:
        if isinstance(tag, int):
            raise ModelGPTError(
                f"{where}: its tags are numbers, whose names the file doesn't tell.",
                "",
                "Write the names, such as B-PER, in their place.",
            )
        if not isinstance(tag, str) or not TAG.fullmatch(tag):
            raise unknown_tag(where, tag)
    return from_tokens([str(token) for token in tokens], tags, faults)


def _label_studio(first: Sequence[Record]) -> Form | None:
    """Tasks with annotations, whose results are labels of parts of a text."""
    if not all(isinstance(r.get("data"), dict) and _results(r) is not None for r in first):
        return None
    if not any(parse_spans(_values(r)) for r in first):
        return None
    texts = _longest(first, lambda record: record["data"])

    def take(record: Record) -> tuple[Any, Any] | None:
        results = _results(record)
        if not results and any(a.get("was_cancelled") for a in record.get("annotations") or []):
            return None
        return record["data"].get(texts), _values(record)

    return Form("Label Studio", texts, take)


def _results(record: Record) -> list[Any] | None:
    """The results of a task's first annotation that wasn't cancelled; None where it is no task."""
    given = record.get("annotations", record.get("completions"))
    if not isinstance(given, list) or not all(isinstance(one, dict) and "result" in one for one in given):
        return None
    kept = [one["result"] for one in given if not one.get("was_cancelled")]
    return list(kept[0]) if kept else []


def _values(record: Record) -> list[Any]:
    """The labels of parts of a text among a task's results; relations and choices are none."""
    values = [result.get("value") for result in _results(record) or [] if isinstance(result, dict)]
    return [value for value in values if isinstance(value, dict) and "labels" in value]


def _tokens(first: Sequence[Record]) -> Form | None:
    """Lists of tokens, and of their tags."""
    tokens = next((key for key in TOKEN_NAMES if all(_is_texts(r.get(key)) for r in first)), None)
    tags = next((key for key in TAG_NAMES if all(isinstance(r.get(key), list) for r in first)), None)
    if tokens is None or tags is None or not any(r[tags] for r in first):
        return None
    return Form("", "text", lambda record: (record.get(tokens), record.get(tags)))


def _plain(first: Sequence[Record]) -> Form | None:
    """A text, and a list of spans under some name."""
    names = Counter(key for record in first for key, value in record.items() if _has_spans(value))
    if not names:
        return None
    known = [name for name in SPAN_NAMES if name in names]
    name = known[0] if known else names.most_common(1)[0][0]
    with_list = sum(parse_spans(record.get(name)) is not None for record in first)
    if with_list <= SHARE * len(first):
        return None
    texts = _longest(first, lambda record: {key: value for key, value in record.items() if key != name})
    if not texts:
        return None
    tool = "Prodigy" if any("answer" in record for record in first) else "doccano"

    def take(record: Record) -> tuple[Any, Any] | None:
        return None if record.get("answer") in ("reject", "ignore") else (record.get(texts), record.get(name))

    return Form(tool, texts, take)


def _longest(first: Sequence[Record], of: Callable[[Record], Record]) -> str:
    """The name of the texts: a usual one, else that of the longest."""
    sizes: Counter[str] = Counter()
    for record in first:
        sizes.update({key: len(value) for key, value in of(record).items() if isinstance(value, str)})
    usual = [name for name in TEXT_NAMES if name in sizes]
    return usual[0] if usual else (sizes.most_common(1)[0][0] if sizes else "")


def _has_spans(value: Any) -> bool:
    return bool(value) and bool(parse_spans(value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
