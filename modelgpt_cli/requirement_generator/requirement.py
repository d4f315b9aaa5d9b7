"""The requirement and its file: what the requirement generator hands to the model generator.

The file is plain text: one sentence, then optionally a line ``---`` and YAML. A bare sentence is a valid requirement.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.schema import COLUMN_TYPES, DOMAINS, ROLES, TASK_TYPES, TEXT_ROLES, Column, TaskType
from modelgpt_cli.requirement_generator.document import dump_yaml, load_yaml

BLOCKS: tuple[type[Limits] | type[Quality] | type[Deploy], ...] = (Limits, Quality, Deploy)
"""What a requirement promises of a model, each under its name."""
MAX_SENTENCE = 2000
MAX_BYTES = 32_000_000
_HINT = "A requirement file is one sentence, then optionally a line --- and YAML; modelgpt describe writes one."


@dataclass(frozen=True)
class Requirement:
    """What is wanted, in words, and what is known of the data it is wanted for.

    Raises
    ------
    UsageError
        If the parts contradict each other; names the key.
    """

    sentence: str
    task: TaskType | None = None
    """Follows from `classes` where only these are given."""
    target: str | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    data: str | None = None
    """Path of the data. In the file, relative to it; `read_requirement` makes it absolute."""
    fingerprint: str | None = None
    limits: Limits = field(default_factory=Limits)
    quality: Quality = field(default_factory=Quality)
    deploy: Deploy = field(default_factory=Deploy)
    author: str | None = None
    """The LLM that wrote the sentence, or "offline"."""
    domain: str | None = None
    """"tabular", "text" or "image"; where it is not given, the columns and the data say it (`is_text`, `is_image`)."""
    target_mean: float | None = None
    """Regression on texts: mean of the target, so that a model made without data can speak in its units."""
    target_std: float | None = None
    """Regression on texts: standard deviation of the target."""

    @property
    def is_text(self) -> bool:
        """Whether this is about texts, as far as it can be told from the requirement alone.

        A sentence without columns and data, with or without classes, can't be about a table. Where data come from
        elsewhere, they decide: `load_dataset` with `domain`.
        """
        if self.domain is not None:
            return self.domain == "text"
        return any(column.role in TEXT_ROLES for column in self.columns) or (not self.columns and self.data is None)

    @property
    def is_image(self) -> bool:
        """Whether this is about images, as far as it can be told from the requirement alone."""
        if self.domain is not None:
            return self.domain == "image"
        return any(column.role == "image" for column in self.columns)

    def __post_init__(self) -> None:
        if not self.sentence.strip():
            raise UsageError("The requirement has no sentence.", hint=_HINT)
        if self.classes and self.task is None:
            object.__setattr__(self, "task", "classification")
        if self.task is not None and self.task not in TASK_TYPES:
            raise UsageError(f"task can't be {self.task!r}.", f"It is one of {', '.join(TASK_TYPES)}.")
        if self.classes and self.task == "regression":
            raise UsageError("classes: a regression has none.", hint="Leave classes out, or set task: classification.")
        if len(self.classes) == 1:
            raise UsageError(f"classes: one class, {self.classes[0]!r}, leaves nothing to tell apart.")
        names = [column.name for column in self.columns]
        for key, values in (("classes", list(self.classes)), ("columns", names)):
            if len(set(values)) < len(values):
                repeated = next(value for i, value in enumerate(values) if value in values[:i])
                raise UsageError(f"{key}: {repeated!r} is there twice.", hint="Keep one of the two.")
        if self.target is not None and self.target in names:
            raise UsageError(f"columns: {self.target!r} is the target, so it can't be an input too.")
        self.quality.check_task(self.task)
        self._check_domain()

    def _check_domain(self) -> None:
        """Check what is said of the text and image domains."""
        if self.domain is not None and self.domain not in DOMAINS:
            raise UsageError(f"domain can't be {self.domain!r}.", f"It is one of {', '.join(DOMAINS)}.")
        roles = [column.role for column in self.columns if column.role]
        for column in self.columns:
            if column.role and column.type != ("image" if column.role == "image" else "text"):
                raise UsageError(
                    f"columns: {column.name}: a {column.type} column has no role {column.role}.",
                    "Text has the role text or pair, an image the role image.",
                )
        of = "image" if "image" in roles else "text"
        if roles and self.domain not in (None, of):
            raise UsageError(
                f"columns: the role {roles[0]} is for the {of} domain, and domain is {self.domain}.",
                hint="Drop one of them.",
            )
        if roles and sorted(roles) not in (["text"], ["pair", "text"], ["image"]):
            raise UsageError(
                "columns: one column has the role text, and at most one other the role pair; or one alone the role "
                "image.",
                f"The roles here: {', '.join(roles)}.",
            )
        if self.is_image and self.task == "regression":
            raise UsageError("task can't be regression: models of images tell classes apart.", "domain is image.")
        if (self.target_mean is None) != (self.target_std is None):
            raise UsageError("target_mean and target_std go together.", hint="Give both, or leave both out.")
        if self.target_std is not None and (self.task == "classification" or self.target_std <= 0):
            why = "A classification has no such number." if self.task == "classification" else "It is more than 0."
            raise UsageError(f"target_std can't be {self.target_std:g}.", why)


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
        raise UsageError("This is not a requirement file.", "It does not begin with a sentence.", _HINT)
    values = load_yaml("\n".join(lines[cut + 1 :]))
    _known("below the ---: ", values, [f.name for f in fields(Requirement) if f.name != "sentence"])
    return Requirement(
        sentence=sentence,
        task=_text("task", values.get("task")),  # type: ignore[arg-type]  # checked by the dataclass
        target=_text("target", values.get("target")),
        classes=_texts("classes", values.get("classes")),
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
        raise UsageError(f"{path} is a folder.", "A requirement file is needed.", _HINT) from None
    except OSError as error:
        raise ModelGPTError(f"Can't read {path}.", error.strerror or "", _HINT) from error
    name = "stdin" if stdin else str(path)
    try:
        if len(raw) > MAX_BYTES:
            raise UsageError("This is not a requirement file.", f"It has more than {MAX_BYTES:,} bytes.", _HINT)
        requirement = parse_requirement(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise UsageError(f"{name}: This is not a requirement file.", "It is not UTF-8 text.", _HINT) from None
    except UsageError as error:
        raise UsageError(f"{name}: {error.problem}", error.cause, error.hint) from None
    if requirement.data is None:
        return requirement
    folder = Path.cwd() if stdin else Path(path).resolve().parent
    values = {f.name: getattr(requirement, f.name) for f in fields(requirement)}
    return Requirement(**{**values, "data": os.path.normpath(folder / requirement.data)})


def format_requirement(requirement: Requirement) -> str:
    """Write a requirement as its file's text, leaving defaults out; `parse_requirement` reads it back."""
    is_said = requirement.domain == "tabular" and (requirement.columns or requirement.data)
    values: dict[str, Any] = {
        "domain": None if is_said else requirement.domain,
        "task": requirement.task,
        "target": requirement.target,
        "target_mean": _rounded(requirement.target_mean),
        "target_std": _rounded(requirement.target_std),
        "classes": list(requirement.classes),
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


def _column(item: Mapping[str, Any]) -> Column:
    name = item.get("name")
    if not isinstance(name, str):
        _known("columns: ", item, _COLUMN_KEYS)
        raise UsageError("columns: a column has no name.", f"It is {dict(item)!r}."[:200])
    where = f"columns: {name}: "
    _known(where, item, _COLUMN_KEYS)
    kind = _text(where + "type", item.get("type"))
    if kind not in COLUMN_TYPES:
        raise UsageError(f"{where}type can't be {kind!r}.", f"It is one of {', '.join(COLUMN_TYPES)}.")
    levels = _texts(where + "levels", item.get("levels"))
    words = {key: _text(where + key, item.get(key)) or "" for key in ("description", "note", "format", "role")}
    words["role"] = words["role"] or ("image" if kind == "image" else "")
    if words["role"] not in ("", *ROLES):
        raise UsageError(f"{where}role can't be {words['role']!r}.", f"It is one of {', '.join(ROLES)}.")
    numbers = {
        key: _number(where + key, item[key], low, high)
        for key, low, high in (
            ("mean", float("-inf"), float("inf")),
            ("std", 0.0, float("inf")),
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
        type=kind,  # type: ignore[arg-type]  # one of COLUMN_TYPES
        levels=levels,
        n_levels=int(n_levels),
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
        if isinstance(value, float):
            value = _rounded(value)
        if value != f.default and value == value:  # NaN differs from itself, and says nothing
            values[f.name] = list(value) if isinstance(value, tuple) else value
    if values.get("n_levels") == len(column.levels):
        del values["n_levels"]
    return values
