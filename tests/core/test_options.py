"""Options stand in one place: a field that a domain adds is everywhere, without a change in shared code."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner
from fake_llm import FakeLLM, sentence

from modelgpt_cli import api
from modelgpt_cli.batch.requests import read_requests
from modelgpt_cli.cli import main
from modelgpt_cli.commands.group import cli
from modelgpt_cli.commands.registry import COMMANDS
from modelgpt_cli.core import domain
from modelgpt_cli.core.domain import all_domains, find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.option_fields import known_options, make_options, options_of
from modelgpt_cli.core.options import BuildOptions, DescribeOptions, GenerateOptions
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.model_generator.source import begin

OPTIONS = """
from __future__ import annotations
from dataclasses import dataclass
from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option

@dataclass(frozen=True)
class BuildOptions(options.BuildOptions):
    tempo: int | None = option("Beats per minute.", least=20, most=300, shown="90")
    score: str | None = option("Sheet music.", metavar="FILE", path="path")
    mode: str = option("Scale.", "major", choices=("major", "minor"))
    swing: bool = option("Play with swing.", False)
"""
INIT = """
from modelgpt_cli.core.domain import Domain
DOMAIN = Domain(name="melody", title="melodies", rows="tunes", package=__name__)
"""


def _commands() -> Iterator[tuple[str, click.Option]]:
    root = click.Context(cli, **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        for param in command.get_params(click.Context(command, parent=root)):
            if isinstance(param, click.Option):
                yield name, param


def test_every_number_has_bounds() -> None:
    numbers = 0
    for name, param in _commands():
        where = f"{name} {param.opts[-1]}"
        assert param.type.name not in ("integer", "float"), f"{where} has no range"
        if isinstance(param.type, (click.IntRange, click.FloatRange)):
            numbers += 1
            assert param.type.min is not None, where
            assert param.type.max is not None, where
    assert numbers > 40


@pytest.mark.parametrize("value", [-1, 2**32, 10**400, float("inf"), float("nan"), "7", True])
def test_a_seed_beyond_its_bounds_is_a_usage_error(value: Any) -> None:
    with pytest.raises(UsageError, match="--seed can't be"):
        BuildOptions(seed=value)


@pytest.mark.parametrize("value", ["a\0b", "x" * 300, "dir/" + "ü" * 200, "a/" * 3000])
def test_a_path_that_none_can_be_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError, match="--data"):
        BuildOptions(data=value)


@pytest.fixture
def melodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registered domain with options of its own, in a package of its own."""
    package = tmp_path / "packages" / "whistled"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(INIT)
    (package / "options.py").write_text(OPTIONS)
    (package / "read.py").write_text("OPTIONS = {}\n\n\ndef detect(source):\n    return False\n")
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.invalidate_caches()
    domain.register("melody", "whistled")
    yield
    domain.unregister("melody")
    for name in [name for name in sys.modules if name.partition(".")[0] == "whistled"]:
        del sys.modules[name]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Stand in for `build`; keeps what it is called with."""
    calls: list[dict[str, Any]] = []
    report: dict[str, Any] = {"path": "m.onnx", "size_bytes": 1, "seconds": 1.0, "total_seconds": 1.0, "metrics": {}}

    def build(source: Any, **options: Any) -> SimpleNamespace:
        calls.append({"source": source, **options})
        return SimpleNamespace(**report, interval={}, validated="", requirement=None)

    monkeypatch.setattr(api, "build", build)
    monkeypatch.chdir(tmp_path)
    for name in ("MODELGPT_LLM", "MODELGPT_CONFIG", "MODELGPT_PROVIDER", "MODELGPT_OFFLINE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return calls


def sections(command: str, columns: int) -> dict[str, list[str]]:
    """The options in a command's help, as lines, by their heading."""
    text = CliRunner().invoke(cli, [command, "-h"], terminal_width=columns - 2).output  # as Click leaves two free
    found: dict[str, list[str]] = {}
    for line in text[text.index("\nOptions:") : text.index("\n  Example")].splitlines():
        if re.fullmatch(r"\w.*:", line):
            found[line[:-1]] = []
        elif line.strip():
            found[list(found)[-1]].append(line)
    return found


# A field of a domain's ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("melodies")
def test_it_is_in_the_help_under_its_domain() -> None:
    found = sections("build", 100)
    assert [line.split() for line in found["Melodies"]] == [
        ["--tempo", "N", "Beats", "per", "minute.", "[default:", "90]"],
        ["--score", "FILE", "Sheet", "music."],
        ["--mode", "major|minor", "Scale.", "[default:", "major]"],
        ["--swing", "Play", "with", "swing."],
    ]
    assert "--tempo" not in "".join(sections("describe", 100)["Options"])


def test_a_domain_that_is_gone_has_no_options_left() -> None:
    assert "Melodies" not in sections("build", 100)
    assert "tempo" not in known_options(BuildOptions)


@pytest.mark.usefixtures("melodies")
def test_a_batch_checks_it(tmp_path: Path) -> None:
    def read(**options: Any) -> dict[str, Any]:
        path = tmp_path / "r.jsonl"
        path.write_text(json.dumps({"data": "a.csv", **options}))
        return dict(read_requests(path, {})[0].options)

    assert read(tempo=120, score="b.ly", mode="major", swing=False) == {
        "data": str(tmp_path / "a.csv"),
        "tempo": 120,
        "score": str(tmp_path / "b.ly"),
    }
    for options, words in (
        ({"tempo": "fast"}, "line 1: tempo can't be 'fast'"),
        ({"tempo": 10}, "line 1: tempo can't be 10"),
        ({"mode": "dorian"}, "line 1: mode can't be 'dorian'"),
        ({"swing": 1}, "line 1: swing can't be 1"),
    ):
        with pytest.raises(UsageError, match=words):
            read(**options)


@pytest.mark.usefixtures("melodies")
def test_the_environment_and_the_configuration_set_it(
    built: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["build", "Whistle a tune.", "-o", "m.onnx"]
    config = tmp_path / "c.yaml"
    config.write_text("build: {tempo: 80, mode: minor}\n")
    assert main(command) == 0
    assert {key: built[-1][key] for key in ("tempo", "mode", "swing")} == {
        "tempo": None,
        "mode": "major",
        "swing": False,
    }
    assert main([*command, "--config", str(config)]) == 0
    assert (built[-1]["tempo"], built[-1]["mode"]) == (80, "minor")
    monkeypatch.setenv("MODELGPT_BUILD_TEMPO", "90")
    assert main([*command, "--config", str(config)]) == 0
    assert built[-1]["tempo"] == 90
    assert main([*command, "--tempo", "100"]) == 0
    assert built[-1]["tempo"] == 100
    monkeypatch.setenv("MODELGPT_BUILD_TEMPO", "10")
    assert main(command) == 2
    config.write_text("build: {tempi: 80}\n")
    assert main([*command, "--config", str(config)]) == 2
    assert "Did you mean 'tempo'?" in capsys.readouterr().err


@pytest.mark.usefixtures("melodies")
def test_other_domains_refuse_it(iris_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    melody = find_domain("melody")
    assert make_options(BuildOptions, melody, {"tempo": 90}).given() == {"tempo": 90}
    for other in all_domains():
        if other.name != "melody":
            with pytest.raises(UsageError, match="--tempo is for melodies"):
                make_options(BuildOptions, other, {"tempo": 90})
            make_options(BuildOptions, other, {"mode": "major"})  # its default says nothing
    with pytest.raises(UsageError, match="--members is for tables"):
        make_options(BuildOptions, melody, {"members": 2})
    assert main(["build", str(iris_csv), "--offline", "--tempo", "90", "-o", str(tmp_path / "m.onnx")]) == 2
    assert "--tempo is for melodies.\n  This is about tables." in capsys.readouterr().err


# The help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_is_a_line(command: str) -> None:
    for heading, lines in sections(command, 100).items():
        for line in lines:
            assert line.startswith("  -"), f"{command}, {heading}: {line!r} is more than a line"


def test_headings_go_from_what_all_need_to_what_few_need() -> None:
    headings = list(sections("build", 80))
    assert headings[:6] == ["Options", "Data", "Limits", "Model", "LLM", "Batch"]
    assert headings[6:9] == ["Tables", "Texts", "Images"]
    assert "Texts and images" in headings[9:]
    assert headings[-1] == "Global options"


# Fields and flags -----------------------------------------------------------------------------------------------------


def test_an_option_like_another_differs_where_it_says_so() -> None:
    one, other = options_of(BuildOptions)["target"], options_of(DescribeOptions)["target"]
    assert (one.about.help, one.about.short) == (other.about.help, other.about.short)
    assert (one.about.shown, other.about.shown) == ("the requirement's", "guessed")
    assert options_of(GenerateOptions)["seed"] == options_of(BuildOptions)["seed"]


def test_an_option_without_a_default_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(GenerateOptions)["rows"].required
    assert main(["generate", "--req", "r.txt", "-o", "rows.csv"]) == 2
    assert "Missing option '-n' / '--rows'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--rows can't be 0"):
        GenerateOptions(rows=0)


def test_flags_that_turn_off(built: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["build", "Sort mails.", "-o", "m.onnx"]
    assert main(command) == 0
    assert (built[-1]["cache"], built[-1]["keep_requirement"]) == (True, True)
    assert main([*command, "--no-cache", "--no-req"]) == 0
    assert (built[-1]["cache"], built[-1]["keep_requirement"]) == (False, False)
    monkeypatch.setenv("MODELGPT_NO_CACHE", "1")
    assert main(command) == 0
    assert built[-1]["cache"] is False


# The LLM of a build in one step ---------------------------------------------------------------------------------------


def test_the_command_gives_its_llm_to_a_build_from_data(built: list[dict[str, Any]], iris_csv: Path) -> None:
    command = ["build", str(iris_csv), "-o", "m.onnx", "--llm", "wise", "--base-url", "http://localhost:1/v1"]
    assert main([*command, "--timeout", "5", "--redact"]) == 0
    assert built[-1]["llm"] == LLM("wise", base_url="http://localhost:1/v1", timeout=5.0)
    assert built[-1]["redact"] is True
    assert main(["build", "--data", str(iris_csv), *command[2:]]) == 0
    assert (built[-1]["source"], built[-1]["data"], built[-1]["llm"].model) == (str(iris_csv), None, "wise")
    assert main([*command, "--offline"]) == 0
    assert (built[-1]["llm"], built[-1]["offline"]) == (None, True)


def test_a_build_from_data_asks_it(iris_csv: Path) -> None:
    words = "Classify each iris flower as setosa, versicolor or virginica from its sepals and petals."
    with FakeLLM(sentence(words)) as server:
        llm = LLM("wise", base_url=server.url)
        asking: dict[str, Any] = {"llm": llm, "cache": False, "redact": False}
        asked = begin(iris_csv, {}, beside=None, force=False, offline=False, **asking)
        offline = begin(iris_csv, {}, beside=None, force=False, offline=True, **asking)
        assert len(server.requests) == 1
    assert (asked.requirement.author, asked.requirement.sentence) == ("wise", words)
    assert offline.requirement.author == "offline"
