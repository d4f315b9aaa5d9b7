"""``modelgpt mcp``: the verbs as tools for an agent."""

from __future__ import annotations

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import McpOptions


@o.command("mcp", "modelgpt mcp --root ./work", McpOptions)
def mcp(root: str) -> None:
    """Offer describe, parse, build, predict, evaluate and inspect as tools to an agent, over the Model Context Protocol
    on stdin and stdout.

    An agent's program starts it: see docs/agents.md. It reads and writes below --root alone, and asks no LLM: data
    stay on this machine, but for what a tool answers. Needs pip install "modelgpt-cli[mcp]".
    """
    from modelgpt_cli.agents.server import serve_tools

    serve_tools(root)
