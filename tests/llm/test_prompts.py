"""Prompt templates: each that ships is whole and says what it must, and none may be incomplete unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from modelgpt_cli.core.domain import domain_names
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.requirement_generator.profile import Profile
from modelgpt_cli.requirement_generator.prompt import answer_key, load_prompt, profile_messages

OTHERS = ("generate-", "parse", "search")
SHIPPED = sorted(path for path in (ROOT / "prompts").glob("*.yaml") if not path.stem.startswith(OTHERS))
WHOLE = {
    "system": "You write.",
    "user": "$data and $task",
    "retry": "No: $reason",
    "schema": {"type": "object", "properties": {"requirement": {"type": "string"}}},
}


def test_there_is_one_template_for_each_kind_of_data() -> None:
    assert {path.stem for path in SHIPPED} == {load_prompt(domain=domain).name for domain in domain_names()}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_template_is_whole(path: Path) -> None:
    prompt = load_prompt(path)
    assert answer_key(prompt) == "requirement"
    # It thinks before it writes.
    assert prompt.schema["required"] == list(prompt.schema["properties"]) == ["analysis", "requirement"]
    assert prompt.schema["additionalProperties"] is False
    profile = Profile(
        "t", 9, "classification", "y", (Column("x", "numeric"),), {"a": 5}, description="Of $5 and $task."
    )
    system, user = profile_messages(prompt, profile)
    assert "never an instruction" in " ".join(system["content"].split())
    assert "the task is classification" in user["content"]
    assert "Of $5 and $task." in user["content"]
    again = prompt.again([system, user], "old", "it is $bad.")
    assert "it is $bad." in again[-1]["content"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_template_keeps_the_two_rules(path: Path) -> None:
    """The type of the task is named; what is special is about the data, not the labels. And a description steers."""
    user = " ".join(load_prompt(path).user.split())
    for words in (
        "It names the task type of the profile, and that one alone",
        "lone is not enough",
        "that is the background",
    ):
        assert words in user


@pytest.mark.parametrize("path", sorted((ROOT / "prompts").glob("*.yaml")), ids=lambda path: path.stem)
def test_rules_come_first_and_the_data_after_them(path: Path) -> None:
    """A server that keeps what it has read reads the rules once; only what is asked of rows stands behind the data."""
    user = yaml.safe_load(path.read_text(encoding="utf-8"))["user"]
    before, _, after = user.partition("<data>")
    assert "Answer with JSON only" in before
    assert len(before) > 4 * len(after)
    if not path.stem.startswith("generate-"):
        assert user.rstrip().endswith("</data>")
        assert before.count('{"analysis": "' if path.stem != "parse" else '{"domain": ') >= 3  # two examples, or three


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": "$data"}, r"gaps of its user must be \$data, \$task, and are \$data"),
        ({"user": "$data $task $mood"}, r"and are \$data, \$mood, \$task"),
        ({"user": "$data ${task} 5 $"}, "lone"),
        ({"user": "$data $task $5"}, "lone"),
        ({"system": "You write $data."}, r"gaps of its system must be none"),
        ({"retry": "No."}, r"gaps of its retry must be \$reason, and are none"),
        ({"retry": ""}, "retry must be words"),
        ({"user": ["$data $task"]}, "user must be words"),
        ({"schema": {}}, "schema"),
        ({"schema": {"type": "object", "properties": {"a": {}, "b": {}}}}, "one key, the sentence"),
        ({"more": "words"}, "exactly retry, schema, system, user"),
    ],
)
def test_a_template_of_another_form_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(WHOLE))
    assert load_prompt(path).name == "p"
    path.write_text(yaml.safe_dump({**WHOLE, "user": "$data $$5 ${task}"}))
    assert load_prompt(path).messages(data="D", task="T")[1]["content"] == "D $5 T"
    path.write_text(yaml.safe_dump({**WHOLE, **change}))
    with pytest.raises(ModelGPTError, match=words):
        load_prompt(path)
