"""What a refusal says: which parameters a server lacks, that a request is too long, that a model sees no images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

RENAMED = "max_completion_tokens"
"""What some models want `max_tokens` to be called."""
BOUNDS = ("maxItems", "maxLength")
"""What some servers refuse in a schema."""
_FORM = "response_format"
_OPTIONAL = ("seed", "temperature", "stream_options", "stream", "max_tokens", _FORM)
_SAID = {_FORM: r"response_format|json_schema|json_object|structured|grammar|schema"}
_ALL_AT_ONCE = (_FORM, "seed", "stream_options")
"""What is left out where the server doesn't say what it refuses; the others are known wherever there is a chat."""


_TOO_LONG = re.compile(
    r"context (?:size|length|window)|maximum context|n_ctx|prompt is too long|too many tokens|input is too long"
    r"|exceeds? (?:the )?(?:available |maximum )?(?:context|number of tokens)|context_length_exceeded",
    re.IGNORECASE,
)
_BLIND = re.compile(
    r"(?:image|vision|multi-?modal|mmproj|image_url).{0,80}(?:not|n't|unsupported|need|only|must be|invalid|unknown)"
    r"|(?:not|n't|unsupported|only|invalid|unknown|must be|should be|expected).{0,80}"
    r"(?:image|vision|multi-?modal|string)",
    re.IGNORECASE | re.DOTALL,
)


def is_too_long(message: str) -> bool:
    """Whether a server says that a request is longer than its model can read."""
    return _TOO_LONG.search(message) is not None


def is_blind(message: str, request: dict[str, Any]) -> bool:
    """Whether a server says that its model sees no images, of a request that has some."""
    shown = any(isinstance(message["content"], list) for message in request["messages"])
    return shown and _BLIND.search(message) is not None


def refused_parameters(request: dict[str, Any], message: str) -> frozenset[str]:
    """Return what to leave out of a request that a server turned down with a message; empty where that can't help."""
    for name in BOUNDS:
        if name.lower() in message.lower() and _has(name, request.get(_FORM)):
            return frozenset({name})
    if RENAMED in message and "max_tokens" in request:
        return frozenset({RENAMED})
    for name in _OPTIONAL:
        said = _SAID.get(name, name)
        if name in request and re.search(rf"(?<![a-z_])(?:{said})(?![a-z_])", message, re.IGNORECASE):
            return frozenset({name})
    return frozenset(name for name in _ALL_AT_ONCE if name in request)


def without(request: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a request without what a server refused."""
    names = set(names)
    if "stream" in names:
        names.add("stream_options")
    kept = {key: value for key, value in request.items() if key not in names}
    if RENAMED in names and "max_tokens" in kept:
        kept[RENAMED] = kept.pop("max_tokens")
    if names & {*BOUNDS} and _FORM in kept:
        kept[_FORM] = _without(names & {*BOUNDS}, kept[_FORM])
    return kept


def _has(name: str, value: Any) -> bool:
    """Whether a key is anywhere in a schema."""
    if isinstance(value, dict):
        return name in value or any(_has(name, inner) for inner in value.values())
    return isinstance(value, list) and any(_has(name, inner) for inner in value)


def _without(names: set[str], value: Any) -> Any:
    """A schema without some keys."""
    if isinstance(value, dict):
        return {key: _without(names, inner) for key, inner in value.items() if key not in names}
    return [_without(names, inner) for inner in value] if isinstance(value, list) else value
