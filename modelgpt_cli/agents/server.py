"""``modelgpt mcp``: the tools over the Model Context Protocol, on stdin and stdout. Needs the extra ``mcp``."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from modelgpt_cli.agents.root import Root
from modelgpt_cli.agents.tools import Tools
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.json_text import plain
from modelgpt_cli.core.version import __version__

logger = logging.getLogger("modelgpt")
_MOST_WARNINGS = 20
_ABOUT = (
    "ModelGPT makes small ONNX models from labelled data or from words, in seconds, on this machine. Usually: describe "
    "the data, build a model.onnx, then predict or evaluate. Paths are relative to {root}, and none may lead out of it."
)


def serve_tools(root: str | os.PathLike[str]) -> None:
    """Answer an agent on stdin and stdout until it closes stdin.

    Parameters
    ----------
    root : path-like
        The folder that all paths are held to.

    Raises
    ------
    ModelGPTError
        The library ``mcp`` is not installed.
    UsageError
        There is no such folder.
    """
    check_library()
    make_server(Tools(Root(root))).run("stdio")  # which sends to stderr whatever a library prints


def check_library() -> None:
    """Make sure that the protocol's library is here; raises `ModelGPTError`."""
    if find_spec("mcp") is None:
        raise ModelGPTError(
            "Serving agents needs mcp, which is not installed.", "", 'Install it: pip install "modelgpt-cli[mcp]"'
        )


def make_server(tools: Tools) -> Any:
    """Return the server of some tools, an ``mcp.server.MCPServer``."""
    from anyio import CapacityLimiter
    from mcp.server import MCPServer

    one_at_a_time = CapacityLimiter(1)
    about = _ABOUT.format(root=tools.root.folder)
    server = MCPServer("modelgpt", instructions=about, version=__version__, log_level="WARNING")
    for tool in tools.all():
        server.add_tool(_in_turn(tool, one_at_a_time))
    return server


def _in_turn(tool: Callable[..., dict[str, Any]], limiter: Any) -> Callable[..., Any]:
    """Run a tool in a thread, one at a time, so that the server goes on listening; give its errors as a tool's."""
    from anyio.to_thread import run_sync

    @functools.wraps(tool)
    async def run(**arguments: Any) -> dict[str, Any]:
        return await run_sync(functools.partial(_call, tool, arguments), limiter=limiter)

    return run


def _call(tool: Callable[..., dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    from mcp.server.mcpserver.exceptions import ToolError

    with _kept_warnings() as warnings:
        try:
            found: dict[str, Any] = plain(tool(**arguments))
        except ModelGPTError as error:
            raise ToolError(str(error)) from error
        except OSError as error:
            raise ToolError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error
    return found | ({"warnings": warnings} if warnings else {})


@contextlib.contextmanager
def _kept_warnings() -> Iterator[list[str]]:
    """Collect what is warned of, for the agent: nobody may be reading stderr."""
    kept: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(kept) < _MOST_WARNINGS:
                kept.append(record.getMessage())

    keeper = Keeper(logging.WARNING)
    logger.addHandler(keeper)
    try:
        yield kept
    finally:
        logger.removeHandler(keeper)
