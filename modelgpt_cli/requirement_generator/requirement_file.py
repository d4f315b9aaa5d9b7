"""The requirement's file: read and written. Plain text: one sentence, then optionally a line ``---`` and YAML.

A bare sentence is a valid requirement. Between `describe` and `parse`, which write it, and `build`, which reads it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.domain import all_domains, default_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.reading import ReadingRule
from modelgpt_cli.core.requirement import FILE_HINT, Requirement
from modelgpt_cli.core.schema import DROPPED_TYPES, FREE_TEXT, USED_TYPES, Column, column_types
from modelgpt_cli.requirement_generator.requirement_yaml import dump_yaml, load_yaml

MAX_SENTENCE = 2000
MAX_BYTES = 32_000_000


def parse_requirement(text: str) -> Requirement:
    """Read a requirement file's text.

    Raises
    ------
    UsageError
        If there is no sentence, or the part below ``---`` has an unknown key or a bad value; names the key.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    cut = next((i for i, line in enumerate(lines) if line.rstrip() == "---"), len(lines))
    sentence = " ".join(" ".join(lines[:cut]).split())
    if len(sentence) > MAX_SENTENCE or "\0" in sentence:
        raise UsageError("This is not a requirement file.", "It does not begin with a sentence.", FILE_HINT)
    values = load_yaml("\n".join(lines[cut + 1 :]))
    _known("below the ---: ", values, [f.name for f in fields(Requirement) if f.name != "sentence"])
    return Requirement(
        sentence=sentence,
        task=_text("task", values.get("task")),  # checked by the dataclass
        target=_text("target", values.get("target")),
        classes=_texts("classes", values.get("classes")),
        multi_label=_flag("multi_label", values.get("multi_label")),
        columns=_columns(values.get("columns")),
        data=_text("data", values.get("data")),
        fingerprint=_text("fingerprint", values.get("fingerprint")),
        limits=Limits.from_mapping(_mapping("limits", values.get("limits"))),
        quality=Quality.from_mapping(_mapping("quality", values.get("quality"))),
        deploy=Deploy.from_mapping(_mapping("deploy", values.get("deploy"))),
        author=_text("author", values.get("author")),
        domain=_text("domain", values.get("domain")),
        target_mean=_optional_number("target_mean", values.get("target_mean"), float("-inf")),
        target_std=_optional_number("target_std", values.get("target_std"), 0.0),
        target_reading=_rule("target_", values.get("target_reading")),
    )


def read_requirement(path: str | os.PathLike[str]) -> Requirement:
    """Read a requirement file, or stdin if `path` is ``-``; a relative `data` is resolved against the file's folder.

    Raises
    ------
    UsageError
        If there is no such file, or it is not a requirement file; names the file.
    """
    stdin = str(path) == "-"
    try:
        if stdin:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"There is no file {path}.", hint="Write one with modelgpt describe DATA -o req.txt."
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder.", "A requirement file is needed.", FILE_HINT) from None
    except OSError as error:
        raise ModelGPTError(f"Can't read {path}.", error.strerror or "", FILE_HINT) from error
    name = "stdin" if stdin else str(path)
    try:
        if len(raw) > MAX_BYTES:
            raise UsageError("This is not a requirement file.", f"It has more than {MAX_BYTES:,} bytes.", FILE_HINT)
        requirement = parse_requirement(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise UsageError(f"{name}: This is not a requirement file.", "It is not UTF-8 text.", FILE_HINT) from None
    except UsageError as error:
        raise UsageError(f"{name}: {error.problem}", error.cause, error.hint) from None
    if requirement.data is None:
        return requirement
    folder = Path.cwd() if stdin else Path(path).resolve().parent
    values = {f.name: getattr(requirement, f.name) for f in fields(requirement)}
    return Requirement(**{**values, "data": os.path.normpath(folder / requirement.data)})


def format_requirement(requirement: Requirement) -> str:
    """Write a requirement as its file's text, leaving defaults out; `parse_requirement` reads it back."""
    is_said = requirement.domain == default_domain() and (requirement.columns or requirement.data)
    values: dict[str, Any] = {
        "domain": None if is_said else requirement.domain,
        "task": requirement.task,
        "target": requirement.target,
        "target_reading": requirement.target_reading.to_mapping(),
        "target_mean": _rounded(requirement.target_mean),
        "target_std": _rounded(requirement.target_std),
        "classes": list(requirement.classes),
        "multi_label": requirement.multi_label or None,
        "columns": [_column_mapping(column) for column in requirement.columns],
        "data": requirement.data,
        "fingerprint": requirement.fingerprint,
        "limits": requirement.limits.to_mapping(),
        "quality": requirement.quality.to_mapping(),
        "deploy": requirement.deploy.to_mapping(),
        "author": requirement.author,
    }
    values = {key: value for key, value in values.items() if value not in (None, [], {})}
    sentence = " ".join(requirement.sentence.split())
    return sentence + "\n" + (f"---\n{dump_yaml(values)}" if values else "")


def _known(where: str, values: Mapping[str, Any], known: list[str]) -> None:
    unknown = [key for key in values if key not in known]
    if unknown:
        raise UsageError(f"{where}there is no key called {unknown[0]!r}.", f"The keys are {', '.join(known)}.")


def _mapping(key: str, value: object) -> Mapping[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} must be a list of name: value pairs.", f"It is {value!r}."[:200])
    return value


def _text(key: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UsageError(f"{key} must be one value.", f"It is {value!r}."[:200])
    return value


def _flag(key: str, value: object) -> bool:
    known = {True: True, "true": True, "yes": True, False: False, "false": False, "no": False, None: False, "": False}
    text = value.lower() if isinstance(value, str) else value
    if not isinstance(text, (str, bool, type(None))) or text not in known:
        raise UsageError(f"{key} can't be {value!r}."[:200], "It is true or false.")
    return known[text]


def _texts(key: str, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{key} must be a list, such as [yes, no].", f"It is {value!r}."[:200])
    return tuple(value)


def _number(key: str, value: object, low: float, high: float) -> float:
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None or not low <= number <= high or number in (float("inf"), float("-inf")):
        between = f" between {low:g} and {high:g}" if high < float("inf") else " of 0 or more" if low == 0 else ""
        raise UsageError(f"{key} can't be {value!r}."[:200], f"It is a number{between}.")
    return number


def _optional_number(key: str, value: object, low: float) -> float | None:
    return None if value is None or value == "" else _number(key, value, low, float("inf"))


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")


def _columns(value: object) -> tuple[Column, ...]:
    """Read the columns: a list of mappings, or a short mapping of names to types."""
    if isinstance(value, Mapping):
        value = [{"name": name, "type": kind} for name, kind in value.items()]
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UsageError(
            "columns must be a list of columns, or a short list of name: type pairs.",
            hint="For instance: columns: {age: numeric, job: categorical}",
        )
    return tuple(_column(item) for item in value)


_COLUMN_KEYS = [f.name for f in fields(Column) if f.name != "components"]
"""What a requirement may say of a column; how a text is reduced is the build's business."""
_FORMAT = "format"
"""Up to version 0.2 a key of the column; now one of its `reading`."""


def _old_format(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file of before says of a column's dates, as a part of its reading rule."""
    return {_FORMAT: item[_FORMAT]} if _FORMAT in item else {}


def _rule(where: str, value: object) -> ReadingRule:
    """Read how a column is written."""
    try:
        return ReadingRule.from_mapping(_mapping(f"{where}reading", value))
    except UsageError as error:
        raise UsageError(f"{where}{error.problem}", error.cause, error.hint) from None


def _column(item: Mapping[str, Any]) -> Column:
    name = item.get("name")
    if not isinstance(name, str):
        _known("columns: ", item, _COLUMN_KEYS)
        raise UsageError("columns: a column has no name.", f"It is {dict(item)!r}."[:200])
    where = f"columns: {name}: "
    _known(where, item, [*_COLUMN_KEYS, _FORMAT])
    kind = _text(where + "type", item.get("type"))
    if kind not in column_types():
        raise UsageError(f"{where}type can't be {kind!r}.", f"It is one of {', '.join(column_types())}.")
    levels = _texts(where + "levels", item.get("levels"))
    words = {key: _text(where + key, item.get(key)) or "" for key in ("description", "note", "role")}
    usual_first = sorted(all_domains(), key=lambda domain: bool(domain.task))
    roles = {role: of for domain in usual_first for role, of in domain.roles.items()}
    if kind not in (*USED_TYPES, FREE_TEXT, *DROPPED_TYPES):  # a domain's own type, which says the role
        words["role"] = words["role"] or next(role for role, of in roles.items() if of == kind)
    if words["role"] not in ("", *roles):
        raise UsageError(f"{where}role can't be {words['role']!r}.", f"It is one of {', '.join(roles)}.")
    numbers = {
        key: _number(where + key, item[key], low, high)
        for key, low, high in (
            ("mean", float("-inf"), float("inf")),
            ("std", 0.0, float("inf")),
            ("low", float("-inf"), float("inf")),
            ("high", float("-inf"), float("inf")),
            ("missing", 0.0, 1.0),
            ("n_levels", 0.0, float("inf")),
        )
        if key in item
    }
    n_levels = numbers.pop("n_levels", len(levels))
    if n_levels != int(n_levels):
        raise UsageError(f"{where}n_levels can't be {item['n_levels']!r}.", "It is a whole number.")
    return Column(
        name=name,
        type=kind,
        levels=levels,
        n_levels=int(n_levels),
        reading=_rule(where, dict(_mapping(f"{where}reading", item.get("reading"))) | _old_format(item)),
        **words,  # type: ignore[arg-type]
        **numbers,  # type: ignore[arg-type]
    )


def _column_mapping(column: Column) -> dict[str, Any]:
    """Give a column as the file has it: name and type, then whatever differs from its default."""
    values: dict[str, Any] = {"name": column.name, "type": column.type}
    for f in fields(Column)[2:]:
        if f.name not in _COLUMN_KEYS:
            continue
        value = getattr(column, f.name)
        if isinstance(value, ReadingRule):
            if rule := value.to_mapping():
                values[f.name] = rule
            continue
        if isinstance(value, float):
            value = _rounded(value)
        if value != f.default and value == value:  # NaN differs from itself, and says nothing
            values[f.name] = list(value) if isinstance(value, tuple) else value
    if values.get("n_levels") == len(column.levels):
        del values["n_levels"]
    return values
