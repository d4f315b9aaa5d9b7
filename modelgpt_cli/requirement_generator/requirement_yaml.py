"""The YAML of the requirement file: read without guessing types, written with one column per line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.yaml_text import parse_yaml

# libyaml, where PyYAML was built with it, reads a wide table's requirement several times faster.
_Base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Loader(_Base):  # type: ignore[misc]  # one of two classes
    """Keeps every scalar as the text that was typed: a class called ``no`` or ``2024`` stays one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise UsageError(f"A key must be a word; {key!r} is not."[:200])
            if key in values:
                raise UsageError(f"The key {key!r} is there twice.", hint="Keep one of the two.")
            values[key] = self.construct_object(value_node, deep=True)
        return values


class _Dumper(yaml.SafeDumper):
    """Quotes what a YAML reader would take for something else than text."""


class _OneLine(dict[str, Any]):
    """A mapping that is written on one line."""


def _one_line(dumper: yaml.SafeDumper, data: _OneLine) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)


def _string(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # Single quotes would fold line breaks of any kind; double quotes escape them.
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(_OneLine, _one_line)
_Dumper.add_representer(str, _string)


def load_yaml(text: str) -> Mapping[str, Any]:
    """Read the part below ``---``: mappings, lists and text only.

    Raises
    ------
    UsageError
        If it is not YAML, or not a mapping.
    """
    try:
        values = parse_yaml(text, _Loader)  # a BaseLoader builds nothing but text
    except yaml.YAMLError as error:
        raise UsageError("The part below --- is not YAML.", _where(error), "Each line there is a key: value.") from None
    if values is None or values == "":
        return {}
    if not isinstance(values, dict):
        raise UsageError("The part below --- is not YAML with keys.", hint="Each line there is a key: value.")
    return values


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write `values`; a list of mappings gets one line each."""
    plain = {
        key: [_OneLine(item) if isinstance(item, dict) else item for item in value]
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


def _where(error: Exception) -> str:
    """Say where the YAML breaks; line 1 is the line after ``---``."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{problem} (line {mark.line + 1} after the ---)." if mark else f"{problem}."
