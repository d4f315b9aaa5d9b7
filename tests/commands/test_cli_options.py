"""Where an option's value comes from: command line, environment, configuration file, default, in this order."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelgpt_cli import api
from modelgpt_cli.cli import main
from modelgpt_cli.commands.output import metrics_table
from modelgpt_cli.core.requirement import Requirement

REPORT: dict[str, Any] = {"path": "m.onnx", "size_bytes": 123_456, "seconds": 1.84, "n_rows": 150, "data_used": True}
REPORT |= {"total_seconds": 4.0, "requirement": None}
METRICS = {"model": {"accuracy": 0.95, "log_loss": 0.12345}, "majority": {"accuracy": 1 / 3, "log_loss": None}}


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of the user's; the logger as it was, afterwards."""
    for name in ("MODELGPT_SEED", "MODELGPT_CONFIG", "MODELGPT_LLM", "MODELGPT_BUILD_MEMBERS", "MODELGPT_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("modelgpt")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Stand in for `build`: keep what it was called with. There are two requirement files, which say their names."""
    calls: list[dict[str, Any]] = []
    monkeypatch.chdir(tmp_path)
    for name in ("r.txt", "from-file.txt"):
        (tmp_path / name).write_text(name)

    def build(requirement: Requirement, **options: Any) -> SimpleNamespace:
        calls.append({"req": requirement.sentence, **options})
        logging.getLogger("modelgpt").warning("mind the gap")
        logging.getLogger("modelgpt").info("a word")
        logging.getLogger("modelgpt").debug("a detail")
        return SimpleNamespace(
            **REPORT,
            metrics=METRICS,
            notes=[],
            interval={},
            validated="",
            to_dict=lambda: {**REPORT, "metrics": METRICS},
        )

    monkeypatch.setattr(api, "build", build)
    return calls


def yaml(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


BUILD = ["build", "--req", "r.txt", "-o", "m.onnx"]


def test_the_order_of_sources(built: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml(tmp_path / "c.yaml", "seed: 1\nbuild: {seed: 2, members: 4}\n")
    top = yaml(tmp_path / "d.yaml", "seed: 1\nllm: other\n")

    def seed(*args: str) -> int:
        assert main(list(args)) == 0
        return int(built[-1]["seed"])

    assert seed(*BUILD) == 0
    assert seed(*BUILD, "--config", top) == 1
    assert seed(*BUILD, "--config", config) == 2
    assert built[-1]["members"] == 4
    monkeypatch.setenv("MODELGPT_SEED", "3")
    assert seed(*BUILD, "--config", config) == 3
    monkeypatch.setenv("MODELGPT_BUILD_SEED", "4")
    assert seed(*BUILD, "--config", config) == 4
    assert seed(*BUILD, "--config", config, "--seed", "5") == 5
    monkeypatch.setenv("MODELGPT_MEMBERS", "7")
    monkeypatch.setenv("MODELGPT_DATA", "/some/folder")
    assert seed(*BUILD) == 4
    assert (built[-1]["members"], built[-1]["data"]) == (None, None), "only shared options have a short variable"
    monkeypatch.setenv("MODELGPT_BUILD_MERGE_LABELS", "true")
    monkeypatch.setenv("MODELGPT_BUILD_MEMBERS", "8")
    assert seed(*BUILD) == 4
    assert (built[-1]["members"], built[-1]["merge_labels"]) == (8, True)


def test_config_before_the_command_after_it_and_in_the_environment(
    built: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = yaml(
        tmp_path / "1.yaml", "build:\n  req: from-file.txt\n  output: o.onnx\n  merge-labels: true\n  members: 1\n"
    )
    two = yaml(tmp_path / "2.yaml", "{members: 2}")
    assert main(["--config", one, "build"]) == 0
    assert built[-1]["req"] == "from-file.txt"
    assert built[-1]["merge_labels"] is True
    assert main(["build", "--config", one]) == 0
    assert built[-1]["output"] == "o.onnx"
    monkeypatch.setenv("MODELGPT_CONFIG", one)
    assert main(["build"]) == 0
    assert built[-1]["members"] == 1
    assert main([*BUILD, "--config", two]) == 0
    assert built[-1]["members"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sead: 1", ["unknown key 'sead'", "Did you mean 'seed'?", "merge-labels"]),
        ("build: {steps: 1}", ["unknown key 'build: steps'", "members"]),
        ("build: 3", ["'build' must hold"]),
        ("seed: [1, 2]", ["'seed' must have one value"]),
        ("- seed", ["must hold 'option: value' lines"]),
        ("seed: [1", ["not valid YAML"]),
        ("seed: one", ["--seed", "'one' is not a valid integer"]),
        ("config: x.yaml\nbuild: {config: x.yaml}", ["unknown key 'build: config'"]),
    ],
)
def test_a_wrong_configuration_is_a_usage_error(
    built: list[dict[str, Any]], tmp_path: Path, text: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BUILD, "--config", yaml(tmp_path / "c.yaml", text)]) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert not built


def test_meta_train_has_a_config_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[dict[str, Any]] = []

    def meta_train(**options: Any) -> SimpleNamespace:
        calls.append(options)
        return SimpleNamespace(
            out="runs/x",
            steps=10,
            seconds=90.0,
            tasks_per_second=55.5,
            validation_loss=0.5,
            best_step=7,
            waited=0.1,
            validation={},
        )

    monkeypatch.setattr(api, "meta_train", meta_train)
    options = yaml(tmp_path / "c.yaml", "meta-train: {steps: 10, update: delta}")
    recipe = yaml(tmp_path / "recipe.yaml", "batch: 4")
    assert main(["--config", options, "meta-train", "--config", recipe]) == 0
    assert calls[-1]["config"] == recipe
    assert calls[-1]["steps"] == 10
    assert calls[-1]["update"] == "delta"
    out, err = capsys.readouterr()
    assert out == "runs/x\n"
    assert "10 steps in 1 min 30 s" in err
    assert main(["meta-train", "--steps", "1", "--minutes", "1"]) == 2


def test_stdout_has_the_result_alone(built: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(BUILD) == 0
    out, err = capsys.readouterr()
    assert out == "m.onnx\n"
    for words in (
        "Warning: mind the gap",
        "\na word\n",
        "150 rows",
        "majority",
        "0.1235",
        "1.8 s (4.0 s with loading), 123 kB",
    ):
        assert words in err
    assert "a detail" not in err
    assert main([*BUILD, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {**REPORT, "metrics": METRICS}
    assert "majority" not in err


@pytest.mark.parametrize("place", [0, len(BUILD)])
def test_quiet_and_verbose_work_before_and_after_the_command(
    built: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], place: int
) -> None:
    assert main([*BUILD[:place], "-q", *BUILD[place:]]) == 0
    assert capsys.readouterr() == ("m.onnx\n", "Warning: mind the gap\n")
    assert main([*BUILD[:place], "-v", *BUILD[place:]]) == 0
    assert "a detail" in capsys.readouterr().err


def test_describe_prints_text_path_or_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").touch()
    calls: list[dict[str, Any]] = []

    def describe(path: str, **options: Any) -> SimpleNamespace:
        calls.append(options)
        requirement = SimpleNamespace(sentence="Classify.")
        return SimpleNamespace(
            text="Classify.\n", path=options["output"], prompt="[...]", requirement=requirement, contact_sheet=None
        )

    monkeypatch.setattr(api, "describe", describe)
    assert main(["describe", "d.csv"]) == 0
    assert capsys.readouterr() == ("Classify.\n", "")
    assert main(["describe", "d.csv", "-o", "req.txt"]) == 0
    assert capsys.readouterr() == ("req.txt\n", "Classify.\n")
    assert main(["describe", "d.csv", "-o", "req.txt", "--dry-run"]) == 0
    assert capsys.readouterr().out == "[...]\n"
    assert calls[-1]["output"] is None
    monkeypatch.setenv("MODELGPT_LLM", "some-model")
    main(["describe", "d.csv"])
    assert calls[-1]["llm"] == "some-model"


def test_json_is_valid_json_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    from modelgpt_cli.commands.output import result_json

    result_json({"a": np.float32(0.5), "b": float("nan"), "c": [np.inf, Path("x")], "d": {1: np.arange(2)}})
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail) == {"a": 0.5, "b": None, "c": [None, "x"], "d": {"1": [0, 1]}}


def test_the_numbers_of_a_metric_have_the_same_decimals() -> None:
    metrics = {"model": {"r2": 0.81234, "rmse": 57.1}, "mean": {"r2": -0.0001115, "rmse": 1234.5, "coverage": None}}
    lines = [line.split() for line in metrics_table(metrics).splitlines()]
    assert lines[1:] == [["model", "0.8123", "57.1", "-"], ["mean", "-0.0001", "1234.5", "-"]]
    assert metrics_table({"mean": {"r2": -0.00001}}).split() == ["r2", "mean", "0.0000"]  # no minus before a zero
