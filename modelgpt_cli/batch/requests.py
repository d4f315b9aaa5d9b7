"""The requests of a batch: a JSON object a line, checked whole before the first model is built."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

from modelgpt_cli.core.deploy import FORMATS
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.option_fields import About, Known, known_options
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.paths import expand
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.address import without_place
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement, read_requirement

_REQUIREMENTS = {
    "requirement": Known("requirement", str, None, About("What is wanted, in words.")),
    "req": Known("req", str, None, About("A requirement file.", path="path")),
}
"""What a request may say beside the options of `build`."""
_DEFAULT_FORMAT = next(iter(FORMATS))
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HINT = 'A line is a JSON object, such as {"id": "store-17", "data": "store-17.csv", "target": "sold"}.'

FileStates = Callable[[Path], list[tuple[str, int, int]]]


@dataclass(frozen=True)
class Request:
    """One model to be built.

    Attributes
    ----------
    id : str
        Names the model's file.
    options : dict
        See `known`; what the whole batch is given is in here as well. Paths are absolute.
    folder : str
        From where data are found that the words of `requirement` name.
    format : str
        One of `FORMATS`.
    lenient : sequence of str
        Names of options that the whole batch is given, and not this request alone: a domain that doesn't understand
        one passes it over.
    """

    id: str
    options: Mapping[str, Any]
    folder: str
    format: str = _DEFAULT_FORMAT
    lenient: Sequence[str] = ()

    @property
    def file(self) -> str:
        """The model's file name."""
        return f"{self.id}.{self.format}"

    def wanted(self) -> Requirement | None:
        """What is wanted, where the request says it in words or names their file; raises as `read_requirement` does."""
        if "req" in self.options:
            return read_requirement(self.options["req"])
        if "requirement" not in self.options:
            return None
        wanted = parse_requirement(self.options["requirement"])
        return wanted if wanted.data is None else replace(wanted, data=os.path.normpath(Path(self.folder, wanted.data)))

    def key(self, states: FileStates) -> str:
        """What the model depends on, hashed: the options, and the files' sizes and dates; not the installed version."""
        paths = [name for name, option in known().items() if option.about.path and name in self.options]
        files = {name: states(Path(without_place(self.options[name]))) for name in paths}
        if "data" not in self.options:
            try:
                wanted = self.wanted()
            except ModelGPTError:
                wanted = None  # the build will say it
            if wanted is not None and wanted.data is not None:
                files["data"] = states(Path(without_place(wanted.data)))
        whole = json.dumps([self.format, dict(self.options), files], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class BadLine:
    """A line that is no request."""

    number: int
    error: UsageError

    @property
    def id(self) -> str:
        """What the manifest calls it; no request's id has a blank."""
        return f"line {self.number}"


def known() -> dict[str, Known]:
    """Return what a request may say, beside its id and format, by name: a requirement, and `build`'s options."""
    return {**_REQUIREMENTS, **known_options(BuildOptions)}


def file_states() -> FileStates:
    """What tells whether a file, or one in a folder, has changed since: names, sizes and dates; each looked up once."""
    return cache(_states)


def _states(path: Path) -> list[tuple[str, int, int]]:
    if not path.is_dir():
        files = [path] if path.is_file() else []
    else:
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    found = [(str(file), file.stat()) for file in files]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in found]


def read_requests(path: str | Path, shared: Mapping[str, Any], bad: list[BadLine] | None = None) -> list[Request]:
    """Read a file of requests; ``-`` for stdin.

    Parameters
    ----------
    shared : mapping
        Options of all requests; what a request says goes before. A requirement of its own takes the place of a shared
        one, whichever way either is given.
    bad : list of BadLine, optional
        Takes the lines that are no requests, as long as there is one that is.

    Raises
    ------
    UsageError
        A line is no request, or an id comes twice, and there is no `bad`; names the line.
    ModelGPTError
        The file can't be read.
    """
    name = "stdin" if str(path) == "-" else str(path)
    folder = Path.cwd() if str(path) == "-" else Path(path).resolve().parent
    shared = _shared(shared)
    requests: dict[str, Request] = {}
    for number, line in enumerate(_lines(path, name), 1):
        if not line.strip():
            continue
        try:
            request = _request(line, number, folder, shared)
            if request.id.lower() in requests:  # also where files' names don't tell case
                raise UsageError(f"There is a request {request.id!r} before it.", hint="Give each an id of its own.")
        except ModelGPTError as error:
            wrong = UsageError(f"{name}, line {number}: {error.problem}", error.cause, error.hint)
            if bad is None:
                raise wrong from None
            bad.append(BadLine(number, wrong))
            continue
        requests[request.id.lower()] = request
    if bad and not requests:
        raise bad[0].error
    if not requests:
        raise UsageError(f"There are no requests in {name}.", hint=_HINT)
    return list(requests.values())


def _shared(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the whole batch, checked; paths are seen from where the command runs."""
    values = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in given.items() if v is not None}
    if values.get("req") == "-" or values.get("data") == "-":
        raise UsageError("A batch reads no requirement and no data from stdin.", hint="Name a file.")
    return _resolved(_checked(values), Path.cwd())


def _lines(path: str | Path, name: str) -> list[str]:
    """The lines of a file; JSON's strings may hold what Python, too, takes for the end of one."""
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UsageError(f"There is no file {name}.", hint=_HINT) from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder.", hint=_HINT) from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not a file of requests.", "It is not UTF-8 text.", _HINT) from None
    except OSError as error:
        raise ModelGPTError(f"Can't read {name}.", error.strerror or "") from error


def _request(line: str, number: int, folder: Path, shared: Mapping[str, Any]) -> Request:
    """One line."""
    try:
        values = parse_json(line)
    except ValueError as error:
        raise UsageError("This is not JSON.", str(error), _HINT) from None
    if not isinstance(values, dict):
        raise UsageError("This is not a request.", "", _HINT)
    named = values.pop("id", f"{number:06d}")
    if isinstance(named, bool) or not isinstance(named, str | int) or not _ID.fullmatch(str(named)):
        raise UsageError(
            f"The id {named!r} can't name a file.",
            "It begins with a letter from a to z or a digit, and may go on with '-', '_' and '.' too; 100 at most.",
        )
    form = values.pop("format", _DEFAULT_FORMAT)
    if form not in FORMATS:
        raise UsageError(f"format can't be {form!r}.", f"It is one of {', '.join(FORMATS)}.")
    own = _resolved(_checked(values, "id", "format"), folder)
    if own.get("requirement") is not None and own.get("req") is not None:
        raise UsageError("requirement and req both say what is wanted.", hint="Leave one of them out.")
    if own.get("requirement") is not None or own.get("req") is not None:
        shared = {key: value for key, value in shared.items() if key not in ("requirement", "req")}
    # To give a default is to give nothing.
    options = {key: value for key, value in {**shared, **own}.items() if value not in (None, known()[key].default)}
    if not {"requirement", "req", "data"} & set(options):
        raise UsageError("There are neither words nor data.", "A request has a requirement, a req or data.", _HINT)
    lenient = [key for key in options if own.get(key) is None]
    return Request(str(named), options, str(folder), form, lenient)


def _checked(values: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Options, each of its type and range, or None; `others` are further keys that a line may have."""
    options = known()
    if unknown := [key for key in values if key not in options]:
        raise UsageError(f"There is no option {unknown[0]!r}.", f"There are {', '.join([*others, *options])}.")
    for key, value in values.items():
        if options[key].about.any_object and not isinstance(value, (str, NoneType)):
            raise UsageError(f"{key} can't be {type(value).__name__}.", "In a batch it is a text.")
    return {key: options[key].check(value, key) for key, value in values.items()}


def _resolved(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options with paths as seen from anywhere, and the words of a description that names a file."""
    found = {key: value for key, value in given.items() if value is not None}
    options = known()
    for key in found:
        kind = options[key].about.path
        if kind == "path" or (kind == "place" and (folder / expand(found[key])).exists()):
            found[key] = os.path.normpath(folder / expand(found[key]))
    words = found.get("description", "")
    if words.startswith("@"):
        found["description"] = read_description(f"@{folder / words[1:]}")
    return {**given, **found}
