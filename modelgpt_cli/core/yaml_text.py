"""YAML from elsewhere: its faults are all of one kind, and its anchors can't make much out of little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import yaml

MOST_COPIES = 100_000
"""Nodes that the aliases of a document may stand for, in all: nested anchors make billions of a few lines."""


def parse_yaml(text: str | bytes | IO[str], loader: Any = yaml.SafeLoader) -> Any:
    """Parse a YAML document.

    Parameters
    ----------
    text : str, bytes or file
    loader : type
        One of PyYAML's that build nothing but plain data.

    Raises
    ------
    yaml.YAMLError
        It is none, it is nested too deeply, a value can't be, or its aliases stand for too much.

    Examples
    --------
    >>> parse_yaml("a: [1, 2]")
    {'a': [1, 2]}
    """
    return next(parse_documents(text, loader), None)


def parse_documents(text: str | bytes | IO[str], loader: Any = yaml.SafeLoader) -> Iterator[Any]:
    """Yield the documents of a YAML text; see `parse_yaml`."""
    try:
        opened = loader(text)
        try:
            while opened.check_node():
                node = opened.get_node()
                _check_copies(node)
                yield opened.construct_document(node)
        finally:
            opened.dispose()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, OverflowError, TypeError) as error:  # such as a date that there is not, or a list as a key
        if isinstance(error, UnicodeDecodeError):
            raise
        raise yaml.YAMLError(" ".join(str(error).split())[:300]) from None


def _check_copies(root: yaml.Node) -> None:
    """Refuse a document whose aliases stand for more than `MOST_COPIES` nodes, or for what they are a part of."""
    sizes: dict[int, int] = {}
    under_way: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        parts = list(_parts(node))
        if done:
            under_way.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            continue
        if id(node) in under_way:
            raise yaml.YAMLError("an alias stands for what it is a part of")
        if id(node) in sizes:
            continue
        if not parts:
            sizes[id(node)] = 1
            continue
        under_way.add(id(node))
        stack.append((node, True))
        stack += [(part, False) for part in parts if id(part) not in sizes]
    if sizes[id(root)] - len(sizes) > MOST_COPIES:
        raise yaml.YAMLError("its aliases (*name) stand for too much")


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
