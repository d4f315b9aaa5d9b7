"""JSON as frames of raw cells: lines, records, columns. First step on the way of the data, beside `csv_file`."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.data.annotations import PROBE, find_annotations
from modelgpt_cli.data.encoding import open_bytes, read_facts

log = logging.getLogger("modelgpt")

_KEY_LINES = 10_000
_FRAME_BYTES = 256 << 20
_TWO_OBJECTS = "Give a file with at least two JSON objects."


class JsonRecords:
    """The objects of a JSON file, as they stand in it; see `JsonFile` for its forms."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        facts = read_facts(path, name)
        self.encoding = facts.encoding
        self._unnamed = False
        self._lines = name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))
        self.expected_rows = facts.lines if self._lines else None

    def raw(self) -> Iterator[dict[str, Any]]:
        """Yield the objects, from the first at each call."""
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace") as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            number, first = next(lines, (0, ""))
            if not first:
                raise ModelGPTError(f"{self.name} is empty.", "", _TWO_OBJECTS)
            second = next(lines, None)
            if first.lstrip().startswith("[") or (not self._lines and (second is None or not _is_json(first))):
                text = first + (second[1] if second else "") + file.read()
                yield from self._whole(text)
                return
            yield self._object(first, number)
            if second is not None:
                yield self._object(second[1], second[0])
            for number, line in lines:
                yield self._object(line, number)

    def _whole(self, text: str) -> Iterator[dict[str, Any]]:
        """The records of one JSON text."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelGPTError(f"{self.name} is not valid JSON.", str(error), "Mend the file.") from error
        if isinstance(content, dict):
            content = records_of(content)
        elif content and all(map(_is_list, content)) and len({len(row) for row in content}) == 1:
            self._unnamed = not all(map(_is_annotated, content))
            content = [_named(row) for row in content]
        for number, record in enumerate(content, 1):
            if not isinstance(record, dict):
                raise ModelGPTError(
                    f"{self.name}: item {number} is not a JSON object.", "", 'Each row is an object: {"column": value}.'
                )
            yield record

    def _object(self, line: str, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            cause = f"{error.msg} at character {error.pos + 1}: {line.strip()[:80]}"
            hint = 'Each line is one object: {"column": value, …}.'
            raise ModelGPTError(f"{self.name}: line {number} is not valid JSON.", cause, hint) from error
        if not isinstance(record, dict):
            raise ModelGPTError(
                f"{self.name}: line {number} is not a JSON object.",
                f"It reads: {line.strip()[:80]}",
                'Each line is one object: {"column": value, …}.',
            )
        return record


class JsonFile(JsonRecords):
    """JSON lines (an object per line), or one JSON text that holds records or columns; keys are the columns.

    One JSON text is an array of objects; an object of columns, each an array or, as pandas writes it, an object by row;
    rows by name; or an object one of whose values is the array of records. Objects within a record become columns with
    dotted names; see `annotations` for what is unpacked further. The columns are the keys of the first 10,000 records;
    one that first appears later is left out with a warning.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self._reported = False
        keys: dict[str, None] = {}
        raw = self.raw()
        first = list(islice(raw, PROBE))
        self._annotations = find_annotations(first, name) if first else None
        records = islice(chain(first, raw), _KEY_LINES)
        if self._annotations is not None:
            for record in records:
                self._annotations.look(record)
            records = islice(self._records(), _KEY_LINES)
        for record in map(flatten, records):
            keys.update(dict.fromkeys(record))
        if self._unnamed:
            log.warning("%s: its rows are arrays without names: the columns are called column_1 and so on.", name)
        if not keys:
            raise ModelGPTError(f"{name} is empty.", "It holds no object with a key.", _TWO_OBJECTS)
        self.columns = list(keys)

    def _records(self) -> Iterator[dict[str, Any]]:
        raw = self.raw()
        return map(flatten, raw if self._annotations is None else self._annotations.records(raw, self.name))

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB of text; an absent key is a missing cell."""
        records = self._records()
        known = set(self.columns)
        while chunk := _take(records, rows):
            late = {key for record in chunk for key in record if key not in known}
            if late and not self._reported:
                self._reported = True
                log.warning(
                    "%s: left out %s, which first appear after line %d.", self.name, ", ".join(sorted(late)), _KEY_LINES
                )
            yield pd.DataFrame({name: pd.Series([r.get(name) for r in chunk], dtype=object) for name in columns})


def _take(records: Iterator[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """The next `rows` records, fewer where they hold very long texts."""
    taken: list[dict[str, Any]] = []
    size = 0
    for record in islice(records, rows):
        taken.append(record)
        size += sum(len(cell) for cell in record.values() if type(cell) is str)
        if size > _FRAME_BYTES:
            break
    return taken


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a record in which objects within it are columns with dotted names."""
    if not any(type(value) is dict for value in record.values()) and not prefix:
        return record
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if type(value) is dict and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def records_of(content: dict[str, Any]) -> list[Any]:
    """Return the records that one JSON object stands for: columns, rows by name, wrapped records, or itself."""
    values = list(content.values())
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):  # pandas' "split"
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    wrapped = [value for value in values if _is_list(value) and value and all(type(item) is dict for item in value)]
    if len(wrapped) == 1:
        return list(wrapped[0])
    if values and all(map(_is_list, values)) and len({len(value) for value in values}) == 1:
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(type(value) is dict and value for value in values):
        inner = list(values[0])
        if all(list(value) == inner for value in values):
            if all(key.isdigit() for key in inner):
                return [{name: column[key] for name, column in content.items()} for key in inner]
            if all(key.isdigit() for key in content) or len(content) > len(inner):
                return values
            if len(content) > 1 and not any(type(cell) in (dict, list) for value in values for cell in value.values()):
                return [{name: column[key] for name, column in content.items()} for key in inner]
    return [content]


def _is_annotated(row: list[Any]) -> bool:
    """Whether an array is a text and what was annotated, as spaCy writes it."""
    return len(row) == 2 and type(row[0]) is str and type(row[1]) is dict


def _named(row: list[Any]) -> dict[str, Any]:
    """An array as a record."""
    if _is_annotated(row):
        return {FREE_TEXT: row[0], **row[1]}
    return {f"column_{j}": cell for j, cell in enumerate(row, 1)}


def _is_list(value: Any) -> bool:
    return type(value) is list
