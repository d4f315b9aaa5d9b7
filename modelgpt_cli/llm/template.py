"""Prompt templates: what is said to an LLM stands in `prompts/`, in YAML; here it is read, checked and filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from string import Template
from typing import Any

import yaml

from modelgpt_cli.errors import ModelGPTError

Message = dict[str, Any]
_WORDS = ("system", "user", "retry")


@dataclass(frozen=True)
class Prompt:
    """A prompt template."""

    name: str
    """The file's, without its ending."""
    system: str
    user: str
    schema: dict[str, Any]
    """JSON schema of the answer: an object."""
    retry: str

    def messages(self, **values: str) -> list[Message]:
        """Fill in the gaps of `user`."""
        return [
            {"role": "system", "content": self.system.strip()},
            {"role": "user", "content": _fill(self.user, values)},
        ]

    def again(self, messages: list[Message], answer: str, reason: str) -> list[Message]:
        """Give the messages that ask once more, saying what was wrong."""
        retry = _fill(self.retry, {"reason": reason})
        return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": retry}]

    def response_format(self) -> dict[str, Any]:
        """Give the Chat Completions `response_format` that asks for the schema."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": self.schema}}


def read_prompt(path: Path, gaps: frozenset[str]) -> Prompt:
    """Read a template and hold it to its form.

    Parameters
    ----------
    path : Path
        YAML with the keys of `Prompt` but its name.
    gaps : frozenset of str
        What `user` is filled with: it must use each of these, ``$name``, and no other. `retry` must use ``$reason``
        and no other, `system` has no gaps.

    Raises
    ------
    ModelGPTError
        If it has another form.
    """
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = {field.name for field in fields(Prompt)} - {"name"}
    if not isinstance(values, dict) or set(values) != keys:
        raise _wrong(path, f"Its keys must be exactly {', '.join(sorted(keys))}.")
    for key in _WORDS:
        if not isinstance(values[key], str) or not values[key].strip():
            raise _wrong(path, f"Its {key} must be words.")
        wanted = {"system": frozenset[str](), "user": gaps, "retry": frozenset({"reason"})}[key]
        found = _gaps(path, key, values[key])
        if found != wanted:
            raise _wrong(path, f"The gaps of its {key} must be {_listed(wanted)}, and are {_listed(found)}.")
    schema = values["schema"]
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or not schema.get("properties"):
        raise _wrong(path, "Its schema must be a JSON schema of an object with properties.")
    return Prompt(name=path.stem, **values)


def _gaps(path: Path, key: str, text: str) -> frozenset[str]:
    found = set()
    for match in Template.pattern.finditer(text):
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            raise _wrong(path, f"Its {key} has a lone $; a literal one is $$.")
        found |= {name} if name else set()
    return frozenset(found)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return Template(template).substitute(values).strip()


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names)) or "none"


def _wrong(path: Path, cause: str) -> ModelGPTError:
    return ModelGPTError(f"{path} is not a prompt template.", cause)
