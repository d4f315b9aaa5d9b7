"""``modelgpt mcp``: one round of the tools over the protocol, the folder that they are held to, and a clean stdout."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bad_input import Bench
from conftest import Cli, Start
from tiny_models import tiny_model

from modelgpt_cli.agents import server as served
from modelgpt_cli.agents.root import Root
from modelgpt_cli.agents.tools import Tools
from modelgpt_cli.core.errors import UsageError

Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a small table and a model."""
    folder = tmp_path / "work"
    folder.mkdir()
    rows = [
        {"length": i % 7, "colour": "red" if i % 7 > 3 else "blue", "kind": "big" if i % 7 > 3 else "small"}
        for i in range(42)
    ]
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    tiny_model(folder / "m.onnx", {"size": "numeric"}, labels=("a", "b"), weight={"size": [1.0, -1.0]})
    return folder


def converse(root: Path, talk: Callable[[Any], Awaitable[None]]) -> None:
    """Let a client in this process talk to a server of the folder."""
    pytest.importorskip("mcp")
    from mcp.client import Client

    async def run() -> None:
        async with Client(served.make_server(Tools(Root(root)))) as client:
            await talk(client)

    asyncio.run(run())


def test_one_round_from_data_to_answers(root: Path) -> None:
    async def talk(client: Any) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"describe", "parse", "build", "predict", "evaluate", "inspect"}
        assert "labelled data" in tools["build"].description

        async def call(name: str, **arguments: Any) -> dict[str, Any]:
            done = await client.call_tool(name, arguments)
            assert not done.is_error, done.content
            assert json.loads(done.content[0].text) == done.structured_content
            found: dict[str, Any] = done.structured_content
            return found

        described = await call("describe", data="train.csv", target="kind", output="req.txt")
        assert described["classes"] == ["big", "small"]
        assert described["path"] == "req.txt"
        built = await call("build", source="req.txt", output="kind.onnx", members=1)
        assert built["path"] == "kind.onnx"
        assert built["metrics"]["model"]["accuracy"] > 0.9
        rows = [{"length": 6, "colour": "red"}, {"length": 0, "colour": "green"}]
        answered = await call("predict", model="kind.onnx", rows=rows, proba=True)
        assert [one["label"] for one in answered["answers"]] == ["big", "small"]
        assert "green" in json.dumps(answered["findings"])
        assert any("green" in one for one in answered["warnings"])
        written = await call("predict", model="kind.onnx", data="train.csv", output="answers.csv")
        assert (written["rows"], written["path"]) == (42, "answers.csv")
        assert len(pd.read_csv(root / "answers.csv")) == 42
        measured = await call("evaluate", model="kind.onnx", data="train.csv")
        assert measured["metrics"]["accuracy"] > 0.9
        card = await call("inspect", model="kind.onnx")
        assert (card["labels"], card["file"]["path"]) == (["big", "small"], "kind.onnx")

    converse(root, talk)


def test_errors_are_the_tools_own(root: Path) -> None:
    async def talk(client: Any) -> None:
        async def fails(name: str, **arguments: Any) -> str:
            done = await client.call_tool(name, arguments)
            assert done.is_error
            text: str = done.content[0].text
            return text

        assert "no target column 'sort'" in await fails("describe", data="train.csv", target="sort")
        assert "already exists" in await fails("build", source="train.csv", output="m.onnx")
        assert "is outside" in await fails("inspect", model="../other.onnx")
        assert "either data or rows" in await fails("predict", model="m.onnx")
        assert "limit can't be 0" in await fails("predict", model="m.onnx", rows=[{"size": 1}], limit=0)
        words = await client.call_tool("parse", {"request": "Sort mails into spam and ham, under 2 MB."})
        assert words.structured_content["limits"]["size"] == 2_000_000

    converse(root, talk)


def test_no_path_leads_out_of_the_root(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret dir" / "data.csv"
    secret.parent.mkdir()
    secret.write_text((root / "train.csv").read_text())
    (root / "link.csv").symlink_to(secret)
    (root / "req.txt").write_text(f"Tell kinds apart.\n---\ntarget: kind\ndata: {secret}\n")
    tools = Tools(Root(root))
    outside: list[Callable[[], Any]] = [
        lambda: tools.describe(str(secret)),
        lambda: tools.describe("link.csv"),
        lambda: tools.describe(f"{secret}#header=1"),
        lambda: tools.describe("train.csv", description=f"@{secret}"),
        lambda: tools.describe("train.csv", output="../req.txt"),
        lambda: tools.parse(str(secret)),
        lambda: tools.build(str(secret), "o.onnx"),
        lambda: tools.build("req.txt", "o.onnx"),
        lambda: tools.build("train.csv", "/tmp/o.onnx"),
        lambda: tools.build("tell kinds apart", "o.onnx", data=str(secret)),
        lambda: tools.predict("m.onnx", str(secret)),
        lambda: tools.predict("m.onnx", "train.csv", output="../p.csv"),
        lambda: tools.evaluate("m.onnx", str(secret)),
        lambda: tools.inspect("../m.onnx"),
    ]
    for attempt in outside:
        with pytest.raises(UsageError, match="is outside"):
            attempt()
    monkeypatch.chdir(secret.parent)
    with pytest.raises(UsageError, match="There is no"):
        tools.parse("data.csv")  # what it is called from here is no way in
    assert Root(root).path("train.csv#header=1") == f"{root}/train.csv#header=1"
    assert Root(root).words_or_path("sort mails into spam and ham") == ("sort mails into spam and ham", False)


def test_what_is_missing_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "find_spec", lambda name: None)
    bench.refuse(1, 'pip install "modelgpt-cli[mcp]"', "mcp")
    monkeypatch.undo()


def test_nothing_but_the_protocol_is_on_stdout(root: Path, start: Start, cli: Cli) -> None:
    pytest.importorskip("mcp")
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    asked = {"name": "describe", "arguments": {"data": "train.csv", "target": "kind"}}
    running = start("mcp", "--root", root)
    assert running.stdin is not None
    assert running.stdout is not None
    replies = []
    for message in (
        {"method": "initialize", "id": 1, "params": about},
        {"method": "notifications/initialized"},
        {"method": "tools/call", "id": 2, "params": asked},
    ):
        running.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        running.stdin.flush()
        if "id" in message:
            replies.append(json.loads(running.stdout.readline()))
    assert [reply["id"] for reply in replies] == [1, 2]
    assert replies[1]["result"]["structuredContent"]["target"] == "kind"
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, ""), err
    assert cli("mcp", "--root", root / "none").returncode == 2
