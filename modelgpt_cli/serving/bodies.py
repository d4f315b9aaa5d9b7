"""A request's body as rows: JSON, CSV, lines of text, files. What a client sends is never taken for a path."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.data.encoding import decode_lines
from modelgpt_cli.data.json_file import flatten
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.runtime.texts import only_text
from modelgpt_cli.serving.errors import RequestError
from modelgpt_cli.serving.jobs import CsvJob, FilesJob, Job, RowsJob

ROWS = "rows"
"""The key of an object that holds a list of rows."""
BASE64 = "b64"
"""The key of an object that holds a file's content."""
UNNAMED = "body"
"""What a file is called that comes without a name."""
_EACH_ROW = 'Each row is an object: {"column": value}.'
_CSV_TYPES = ("text/csv", "application/csv", "text/tab-separated-values")
_JSON_TYPES = ("application/json", "text/json", "application/x-ndjson", "application/jsonl")
_KINDS = {str: "str", bool: "bool", int: "number", float: "number", type(None): ""}
_BINARY = (b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0", b"%PDF")
"""How archives, workbooks and the like begin, which no CSV is."""


def read_body(model: Model, kind: str, content: bytes, name: str = UNNAMED) -> Job:
    """Read a body, or a part of one.

    Parameters
    ----------
    model : Model
    kind : str
        Its media type, without parameters, in lower case; "" where none is given.
    content : bytes
    name : str
        The file's, where it has one.

    Raises
    ------
    RequestError
        It is empty, broken, or of a kind that the model doesn't take.
    ModelGPTError
        It holds no rows for the model.
    """
    if not content.strip():
        raise RequestError(400, "The body is empty.", hint="Send rows: see / for what the model takes.")
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if kind in ("", "application/x-www-form-urlencoded") and start in (b"{", b"["):  # what curl -d says of any body
        kind = "application/json"
    if kind in _JSON_TYPES or kind.endswith("+json"):
        return read_json(model, content, lines="ndjson" in kind or "jsonl" in kind)
    if model.feeds.FILES and (kind.startswith(("image/", "audio/", "video/")) or kind == "application/octet-stream"):
        return FilesJob([(name, content)])
    if kind in _CSV_TYPES and not model.feeds.FILES:
        if content.startswith(_BINARY) or b"\0" in content[:1024]:
            raise RequestError(415, "The body is no CSV.", "It begins as a binary file does.", "Send text.")
        return CsvJob(content)
    if kind == "text/plain" and only_text(model) is not None:
        return _text_lines(model, content)
    raise RequestError(
        415,
        f"{model.domain.title.capitalize()} can't be read from a body of type {kind or 'unknown'}.",
        "",
        f"Set Content-Type to {_taken(model)}.",
    )


def _taken(model: Model) -> str:
    """The media types that a model takes."""
    if model.feeds.FILES:
        return "the file's type, multipart/form-data, or application/json"
    plain = ", text/plain" if only_text(model) is not None else ""
    return f"application/json, text/csv{plain} or multipart/form-data"


def read_json(model: Model, content: bytes, *, lines: bool = False) -> Job:
    """Read rows as JSON: an object, a list of objects, or ``{"rows": [...]}``; of single texts also strings.

    Parameters
    ----------
    lines : bool
        Whether each line is a row.
    """
    try:
        if lines:
            return json_rows(model, [parse_json(line) for line in content.split(b"\n") if line.strip()])
        return json_rows(model, parse_json(content))
    except RecursionError:
        raise RequestError(400, "The body is nested too deeply.") from None
    except ValueError as error:
        raise RequestError(400, "The body is not valid JSON.", str(error), "Mend it.") from error


def json_rows(model: Model, content: Any) -> Job:
    """Make a job of rows as JSON has them; see `read_json`."""
    if isinstance(content, Mapping) and list(content) == [ROWS] and isinstance(content[ROWS], list):
        content = content[ROWS]
    rows = content if isinstance(content, list) else [content]
    if not rows:
        raise RequestError(422, "There are no rows.", "The list is empty.", _EACH_ROW)
    if model.feeds.FILES:
        return FilesJob([_file(row, f"{UNNAMED} {k}" if len(rows) > 1 else UNNAMED) for k, row in enumerate(rows, 1)])
    column = only_text(model)
    if column is not None and all(isinstance(row, str) for row in rows):
        return RowsJob({column: rows}, len(rows), {column: "str"})
    for k, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            where = f"Item {k} is" if isinstance(content, list) else "The body is"
            raise RequestError(422, f"{where} not a JSON object.", "", _EACH_ROW)
    return rows_job([flatten(row) for row in rows])


def rows_job(rows: Sequence[Mapping[str, Any]]) -> RowsJob:
    """Make a job of rows, each a mapping of column to cell."""
    if len(rows) == 1:
        columns = {name: [cell] for name, cell in rows[0].items()}
    else:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
    if not columns:
        raise RequestError(422, "The rows have no columns.", "", _EACH_ROW)
    return RowsJob(columns, len(rows), kinds_of(columns))


def kinds_of(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, str] | None:
    """Return `RowsJob.kinds` of columns."""
    kinds = {}
    for name, cells in columns.items():
        found = {_KINDS.get(type(cell), "other") for cell in cells} - {""}
        if len(found) > 1 or "other" in found:
            return None
        kinds[name] = found.pop() if found else ""
    return kinds


def _file(row: Any, name: str) -> tuple[str, bytes]:
    """A file out of ``{"b64": "..."}``, which may lie under a name."""
    held = row
    if isinstance(row, Mapping) and BASE64 not in row and len(row) == 1:
        held = next(iter(row.values()))
    text = held.get(BASE64) if isinstance(held, Mapping) else None
    if not isinstance(text, str):
        raise RequestError(
            422, f"A row holds no file: {name}.", "", f'Send files as they are, or as {{"{BASE64}": "<base64>"}}.'
        )
    return name, decode_base64(text, name)


def decode_base64(text: str, name: str) -> bytes:
    """Return what a text in base64 stands for."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, f"{name} is not valid base64.", str(error), "Encode the file's bytes.") from error


def _text_lines(model: Model, content: bytes) -> RowsJob:
    """Lines, each a text, as `predict` reads them from stdin."""
    column = only_text(model)
    assert column is not None
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    texts, _ = decode_lines(lines[:-1] if not lines[-1] else lines, "utf-8")
    cells = [text.strip("\r") for text in texts]
    return RowsJob({column: cells}, len(cells), {column: "str"})
