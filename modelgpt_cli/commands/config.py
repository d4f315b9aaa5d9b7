"""The configuration file: option names at the top level for any command, or under a command's name. Strict keys."""

from __future__ import annotations

import difflib
from typing import Any

import click

from modelgpt_cli.commands.registry import COMMANDS
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.paths import read_yaml
from modelgpt_cli.llm.keys import refuse_secret


def defaults(ctx: click.Context, path: str) -> dict[str, Any]:
    """Read the configuration file `path` and return the values in it for the parameters of the command of `ctx`.

    Raises
    ------
    UsageError
        The file can't be read, or holds a key that is no option, or a secret.
    """
    assert ctx.parent is not None
    command = ctx.info_name or ""
    known = {name: _options(ctx.parent, name) for name in COMMANDS}
    everywhere = {option for options in known.values() for option in options}
    values: dict[str, Any] = {}
    section: dict[str, Any] = {}
    for key, value in _read(path).items():
        refuse_secret(path, key, value)
        if key in COMMANDS:
            checked = _section(path, key, value, known[key])
            section = checked if key == command else section
        elif _plain(key) not in everywhere:
            raise _unknown(path, key, sorted({*everywhere, *COMMANDS}))
        elif _plain(key) in known[command]:
            values[_plain(key)] = _scalar(path, key, value)
    return {known[command][name]: value for name, value in {**values, **section}.items()}


def _read(path: str) -> dict[str, Any]:
    """Read the YAML mapping."""
    content = read_yaml(path, "configuration file")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"The configuration file {path} must hold 'option: value' lines.")
    return {str(key): value for key, value in content.items()}


def _section(path: str, command: str, value: Any, known: dict[str, str]) -> dict[str, Any]:
    """Check one command's section."""
    if not isinstance(value, dict):
        raise UsageError(f"{path}: '{command}' must hold 'option: value' lines.")
    for key, item in value.items():
        refuse_secret(path, str(key), item, section=command)
        if _plain(key) not in known:
            raise _unknown(path, f"{command}: {key}", sorted(known), _plain(key))
    return {_plain(key): _scalar(path, f"{command}: {key}", item) for key, item in value.items()}


def _scalar(path: str, key: str, value: Any) -> Any:
    """Bring a value into the form in which it would stand on the command line."""
    if isinstance(value, (dict, list)) or value is None:
        raise UsageError(f"{path}: '{key}' must have one value.", f"It has {value!r}.")
    return value if isinstance(value, bool) else str(value)


def _options(parent: click.Context, command: str) -> dict[str, str]:
    """Map a command's option names, as users know them, to its parameters' names."""
    from modelgpt_cli.commands.options import Option

    assert isinstance(parent.command, click.Group)
    found = parent.command.get_command(parent, command)
    assert found is not None
    params = found.get_params(click.Context(found, parent=parent, info_name=command))
    return {o.long_name: o.name or "" for o in params if isinstance(o, Option) and (o.expose_value or o.is_flag)}


def _plain(key: Any) -> str:
    return str(key).replace("-", "_")


def _unknown(path: str, key: str, known: list[str], name: str | None = None) -> UsageError:
    """Make the error for a key that nobody knows: name the known ones, nearest first where one is near."""
    near = difflib.get_close_matches(name or _plain(key), known, n=1)
    return UsageError(
        f"{path}: unknown key '{key}'.",
        f"Known are: {', '.join(k.replace('_', '-') for k in known)}.",
        f"Did you mean '{near[0].replace('_', '-')}'?" if near else "",
    )
