"""Prompt templates: what is said to an LLM stands in `prompts/`, in YAML; here it is read, checked and filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Template
from typing import Any

import yaml

from modelgpt_cli.core.errors import ModelGPTError

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
    more: Mapping[str, Any] = field(default_factory=dict)
    """What a template of its kind has beside the rest; whoever reads it checks it."""

    def messages(self, **values: str) -> list[Message]:
        """Fill in the gaps of `user`."""
        return [
            {"role": "system", "content": self.system.strip()},
            {"role": "user", "content": fill(self.user, values)},
        ]

    def again(self, messages: list[Message], answer: str, reason: str) -> list[Message]:
        """Give the messages that ask once more, saying what was wrong."""
        retry = fill(self.retry, {"reason": reason})
        return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": retry}]

    def response_format(self) -> dict[str, Any]:
        """Give the Chat Completions `response_format` that asks for the schema."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": self.schema}}


def read_prompt(path: Path, gaps: frozenset[str], more: frozenset[str] = frozenset()) -> Prompt:
    """Read a template and hold it to its form.

    Parameters
    ----------
    path : Path
        YAML with the keys of `Prompt` but its name.
    gaps : frozenset of str
        What `user` is filled with: it must use each of these, ``$name``, and no other. `retry` must use ``$reason``
        and no other, `system` has no gaps.
    more : frozenset of str
        Keys of `Prompt.more`.

    Raises
    ------
    ModelGPTError
        If it has another form.
    """
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = {field.name for field in fields(Prompt)} - {"name", "more"}
    if not isinstance(values, dict) or set(values) != keys | more:
        raise wrong_template(path, f"Its keys must be exactly {', '.join(sorted(keys | more))}.")
    for key in _WORDS:
        check_words(path, key, values[key], {"user": gaps, "retry": frozenset({"reason"})}.get(key, frozenset()))
    schema = values["schema"]
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or not schema.get("properties"):
        raise wrong_template(path, "Its schema must be a JSON schema of an object with properties.")
    return Prompt(name=path.stem, **{key: values[key] for key in keys}, more={key: values[key] for key in more})


def check_words(path: Path, key: str, words: Any, wanted: frozenset[str]) -> None:
    """Make sure that a part of a template is words with exactly these gaps.

    Raises
    ------
    ModelGPTError
        If not.
    """
    if not isinstance(words, str) or not words.strip():
        raise wrong_template(path, f"Its {key} must be words.")
    found = _gaps(path, key, words)
    if found != wanted:
        raise wrong_template(path, f"The gaps of its {key} must be {_listed(wanted)}, and are {_listed(found)}.")


def _gaps(path: Path, key: str, text: str) -> frozenset[str]:
    found = set()
    for match in Template.pattern.finditer(text):
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            raise wrong_template(path, f"Its {key} has a lone $; a literal one is $$.")
        found |= {name} if name else set()
    return frozenset(found)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill in the gaps of words from a template."""
    return Template(template).substitute(values).strip()


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names)) or "none"


def wrong_template(path: Path, cause: str) -> ModelGPTError:
    """The error for a template of another form."""
    return ModelGPTError(f"{path} is not a prompt template.", cause)
