"""What comes from files of others: YAML whose anchors make much of little, JSON that is deep, cards that lie."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_input import Bench
from tiny_models import tiny_model

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.card_schema import card_fault
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.yaml_text import parse_documents, parse_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGES = "a0: &a0 {k0: 1, k1: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
)
CARD: dict[str, Any] = {
    "format": 1,
    "domain": "tabular",
    "task": "classification",
    "target": "y",
    "labels": ["a", "b"],
    "inputs": [{"name": "x", "type": "numeric"}],
}


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(
    "text", [BOMB, MERGES, "&a [*a]", "a: &a {b: *a}", "[" * 100_000, "- " * 15_000, "d: 2024-02-30", "? [a]\n: b\n"]
)
def test_hostile_yaml_is_an_error_of_its_own_kind(text: str, loader: Any) -> None:
    start = time.process_time()
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text, loader)
    assert time.process_time() - start < 10


def test_anchors_are_fine() -> None:
    assert parse_yaml("a: &a {k: [1, 2]}\nb: *a\nc: {<<: *a, d: 3}") == {
        "a": {"k": [1, 2]},
        "b": {"k": [1, 2]},
        "c": {"k": [1, 2], "d": 3},
    }
    assert list(parse_documents("a: 1\n---\n- 2\n")) == [{"a": 1}, [2]]
    assert parse_yaml("") is None


@pytest.mark.parametrize("suffix", ["txt", "yaml"])
def test_a_bomb_in_a_requirement_or_a_configuration(bench: Bench, suffix: str) -> None:
    path = bench.write(f"bomb.{suffix}", "Sort mails.\n---\n" + BOMB if suffix == "txt" else BOMB)
    args = ["parse", path, "--offline"] if suffix == "txt" else ["--config", path, "inspect", "m.onnx"]
    assert "stand for too much" in bench.refuse(2, "YAML", *args).err


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, b"\xff", "", "{"])
def test_hostile_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # that it is one is the point
        parse_json(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "ranking"}, "['task'] is 'ranking'"),
        ({"labels": []}, "a classifier of 0 classes"),
        ({"labels": ["a", "a"]}, "two of its labels are the same"),
        ({"labels": ["a", 3]}, "['labels'][1] is 3, not str"),
        ({"inputs": [{"name": "x"}]}, "['type'] is missing"),
        ({"inputs": [{"name": "x", "type": "numeric"}] * 2}, "two of its inputs are of one name"),
        ({"inputs": {"x": "numeric"}}, "['inputs']"),
        ({"inputs": [{"name": "x", "type": "numeric", "levels": "abc"}]}, "['levels']"),
        ({"interval": {"coverage": 3}}, "covers 3"),
        ({"max_tokens": 10**12}, "['max_tokens']"),
        ({"metrics": {"model": [1]}}, "['metrics']"),
    ],
)
def test_a_card_that_lies_is_told_by_its_place(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert card_fault(CARD) is None
    assert words in (card_fault(CARD | change) or "")


@pytest.mark.parametrize(
    "change",
    [
        {"columns": 3},
        {"labels": [1]},
        {"architecture": {"members": 10**9}},
        {"architecture": {"hidden": "x"}},
        {"task": ""},
    ],
)
def test_a_blueprint_that_lies(change: dict[str, Any]) -> None:
    good = Blueprint("classification", "y", ("a", "b"), (), "Tell a from b.").to_dict()
    assert Blueprint.from_dict(good).labels == ("a", "b")
    with pytest.raises(ModelGPTError, match=r"blueprint is damaged"):
        Blueprint.from_dict(good | change)


def test_a_graph_with_other_classes_than_its_card(bench: Bench) -> None:
    model = tiny_model(
        bench.folder / "m.onnx", {"a": "numeric"}, labels=["x", "y"], metadata={"labels": ["x", "y", "z"]}
    )
    data = bench.write("d.csv", "a\n1\n")
    bench.refuse(1, "Its card names 3 classes, and its graph has 2.", "predict", model, data, "-o", "out.csv")
