"""The requests of a batch: a JSON object a line, checked whole before the first model is built."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.errors import ModelGPTError, UsageError
from modelgpt_cli.requirement_generator.describe import read_description

WORDS = ("requirement", "req", "description")
"""What is wanted: words or a requirement file's text; the name of such a file; more words."""
PATHS = ("req", "data", "types", "backbone_weights")
"""Files and folders; a request's are found from where its file is."""
OPTIONS: dict[str, type] = {
    "requirement": str, "req": str, "data": str, "description": str, "target": str, "text": str, "text_pair": str,
    "members": int, "one_pass": bool, "coverage": float, "text_columns": str, "all_rows": bool, "words": bool,
    "generator": str, "encoder": str, "backbone": str, "backbone_weights": str, "max_tokens": int, "rows": int,
    "tokenizer_in_graph": bool, "card": str, "best_effort": bool, "types": str, "merge_labels": bool, "device": str,
    "seed": int,
}  # fmt: skip
"""What a request may say, by the type of its value: `build`'s options, for this model alone."""
_OWN = {"id", "format"}
FORMATS = ("onnx", "safetensors")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HINT = 'A line is a JSON object, such as {"id": "store-17", "data": "store-17.csv", "target": "sold"}.'


@dataclass(frozen=True)
class Request:
    """One model to be built.

    Attributes
    ----------
    id : str
        Names the model's file.
    options : dict
        See `OPTIONS`; what the whole batch is given is in here as well. Paths are absolute.
    format : {"onnx", "safetensors"}
    """

    id: str
    options: Mapping[str, Any]
    format: str = "onnx"

    @property
    def file(self) -> str:
        """The model's file name."""
        return f"{self.id}.{self.format}"

    def key(self) -> str:
        """What the model depends on, hashed: the options, and the files' sizes and dates; not the installed version."""
        files = {name: _state(Path(self.options[name])) for name in PATHS if name in self.options}
        whole = json.dumps([self.format, dict(self.options), files], sort_keys=True, default=str)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


def read_requests(path: str | Path, shared: Mapping[str, Any]) -> list[Request]:
    """Read a file of requests; ``-`` for stdin.

    Parameters
    ----------
    shared : mapping
        Options of all requests; what a request says goes before. A requirement of its own takes the place of a shared
        one, whichever way either is given.

    Raises
    ------
    UsageError
        A line is no request, or an id comes twice; names the line.
    ModelGPTError
        The file can't be read.
    """
    if shared.get("req") == "-" or shared.get("data") == "-":
        raise UsageError("A batch reads no requirement and no data from stdin.", hint="Name a file.")
    shared = _resolved(shared, Path.cwd())
    name = "stdin" if str(path) == "-" else str(path)
    folder = Path.cwd() if str(path) == "-" else Path(path).resolve().parent
    requests: dict[str, Request] = {}
    for number, line in enumerate(_lines(path, name), 1):
        if not line.strip():
            continue
        try:
            request = _request(line, number, folder, shared)
            if request.id.lower() in requests:  # also where files' names don't tell case
                raise UsageError(f"There is a request {request.id!r} before it.", hint="Give each an id of its own.")
        except UsageError as error:
            raise UsageError(f"{name}, line {number}: {error.problem}", error.cause, error.hint) from None
        requests[request.id.lower()] = request
    if not requests:
        raise UsageError(f"There are no requests in {name}.", hint=_HINT)
    return list(requests.values())


def _lines(path: str | Path, name: str) -> list[str]:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UsageError(f"There is no file {name}.", hint="--batch takes a file of requests, one a line.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not a file of requests.", "It is not UTF-8 text.", _HINT) from None
    except OSError as error:
        raise ModelGPTError(f"Can't read {name}.", error.strerror or "") from error


def _request(line: str, number: int, folder: Path, shared: Mapping[str, Any]) -> Request:
    """One line."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise UsageError("This is not JSON.", str(error), _HINT) from None
    if not isinstance(values, dict):
        raise UsageError("This is not a request.", "", _HINT)
    if unknown := [key for key in values if key not in OPTIONS and key not in _OWN]:
        raise UsageError(f"There is no option {unknown[0]!r}.", f"There are {', '.join(['id', 'format', *OPTIONS])}.")
    named = values.pop("id", f"{number:06d}")
    if not isinstance(named, str | int) or not _ID.fullmatch(str(named)):
        raise UsageError(
            f"The id {named!r} can't name a file.", "It is made of letters, digits, '-', '_' and '.', 100 at most."
        )
    form = values.pop("format", "onnx")
    if form not in FORMATS:
        raise UsageError(f"format can't be {form!r}.", f"It is one of {', '.join(FORMATS)}.")
    own = {key: _checked(key, value) for key, value in values.items() if value is not None}
    if "requirement" in own and "req" in own:
        raise UsageError("requirement and req both say what is wanted.", hint="Leave one of them out.")
    own = _resolved(own, folder)
    if "requirement" in own or "req" in own:
        shared = {key: value for key, value in shared.items() if key not in ("requirement", "req")}
    options = {**shared, **own}
    if not {"requirement", "req", "data"} & set(options):
        raise UsageError("There are neither words nor data.", "A request has a requirement, a req or data.", _HINT)
    return Request(str(named), options, form)


def _resolved(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options with paths as seen from anywhere, and the words of a description that names a file."""
    found = dict(options)
    found |= {key: str(folder / Path(found[key]).expanduser()) for key in PATHS if key in found}
    words = found.get("description", "")
    if words.startswith("@"):
        found["description"] = read_description(f"@{folder / words[1:]}")
    return found


def _checked(key: str, value: object) -> Any:
    """A value of the option's type."""
    wanted = OPTIONS[key]
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        kinds = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise UsageError(f"{key} can't be {json.dumps(value)}.", f"It is {kinds[wanted]}.")
    if (key == "members" and value < 1) or (key == "rows" and value < 1):  # type: ignore[operator]  # ints here
        raise UsageError(f"{key} can't be {value}.", "It is at least 1.")
    return value


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and dates of a file, or of all in a folder; nothing of what is not there."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [(file, file.stat()) for file in files if file.is_file()]
    return [(file.name, state.st_size, state.st_mtime_ns) for file, state in found]
