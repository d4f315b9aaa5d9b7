"""``describe`` on real tables: the offline writer, the file it leaves, what it refuses."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import Cli
from fake_llm import FakeLLM, fault, sentence

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.requirement_generator.answer import check_sentence
from modelgpt_cli.requirement_generator.describe import describe
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.profile import Profile
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement, read_requirement

GOOD = "Classify each iris flower as setosa, versicolor or virginica from the length and width of its petals."


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODELGPT_LLM"):
        monkeypatch.delenv(variable, raising=False)


def test_without_a_key_the_sentence_is_written_offline_and_it_says_so(
    iris_csv: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelgpt")
    done = describe(iris_csv)
    assert done.requirement.author == "offline"
    assert done.prompt is None
    assert done.path is None
    assert "'iris' (150 rows) by species into setosa, versicolor or virginica" in done.requirement.sentence
    assert [r.levelname for r in caplog.records if "offline" in r.getMessage()] == ["INFO"]
    assert describe(iris_csv).text == done.text


def test_offline_asks_nobody_even_with_a_server(iris_csv: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelgpt")
    with FakeLLM(sentence(GOOD)) as fake:
        done = describe(iris_csv, offline=True, base_url=fake.url, dry_run=True)
        assert done.prompt is None
        assert describe(iris_csv, offline=True, base_url=fake.url).requirement.author == "offline"
        assert fake.requests == []
    assert [r.levelname for r in caplog.records if "offline" in r.getMessage()] == ["INFO", "INFO"]


def test_the_file_holds_the_schema_and_finds_its_data_again(iris_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "reqs" / "iris.txt"
    out.parent.mkdir()
    done = describe(iris_csv, output=out)
    assert done.path == out
    assert out.read_text(encoding="utf-8") == done.text
    assert yaml.safe_load(done.text.partition("---")[2])["data"] == "../iris.csv"
    found = read_requirement(out)
    assert found.data == str(iris_csv.resolve())
    assert (found.task, found.target, found.classes) == (
        "classification",
        "species",
        ("setosa", "versicolor", "virginica"),
    )
    assert [column.type for column in found.columns] == ["numeric"] * 4
    assert found.columns[0].mean == pytest.approx(5.84333)
    assert found.fingerprint == done.requirement.fingerprint


def test_an_llm_writes_the_sentence(iris_csv: Path) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        done = describe(iris_csv, base_url=fake.url, llm="my-model", description="Flowers of Gaspé.")
    assert (done.requirement.sentence, done.requirement.author) == (GOOD, "my-model")
    assert "Flowers of Gaspé." in fake.requests[0].messages[1]["content"]
    assert fake.requests[0].body["model"] == "my-model"


def test_an_llm_out_of_reach_leaves_no_file(iris_csv: Path, tmp_path: Path) -> None:
    with FakeLLM(fault(503)) as fake, pytest.raises(UnreachableError):
        describe(iris_csv, base_url=fake.url, retries=0, output=tmp_path / "req.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["iris.csv"]


def test_a_dry_run_sends_and_writes_nothing(iris_csv: Path, tmp_path: Path) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        done = describe(iris_csv, base_url=fake.url, output=tmp_path / "req.txt", dry_run=True)
        assert fake.requests == []
        assert not (tmp_path / "req.txt").exists()
        assert done.path is None
        assert done.prompt is not None
        describe(iris_csv, base_url=fake.url)
    assert json.loads(done.prompt) == fake.requests[0].body


def test_an_existing_file_is_kept_without_force(iris_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "req.txt"
    out.write_text("mine")
    with FakeLLM(sentence(GOOD)) as fake:
        with pytest.raises(UsageError, match="--force"):
            describe(iris_csv, base_url=fake.url, output=out)
        assert fake.requests == []  # nothing is sent for a result that can't be kept
    assert out.read_text() == "mine"
    describe(iris_csv, output=out, force=True)
    assert out.read_text().startswith("Classify")


def test_a_folder_that_is_not_there(iris_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="mkdir"):
        describe(iris_csv, output=tmp_path / "no" / "req.txt")


def test_a_description_from_a_file(iris_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("# Iris\n\nMeasured by **Anderson**. Flowers of three species from Gaspé. More.")
    words = describe(iris_csv, description=f"@{tmp_path / 'about.md'}").requirement.sentence
    assert words.endswith("background: Flowers of three species from Gaspé.")
    with pytest.raises(UsageError, match="no description file"):
        describe(iris_csv, description="@/no/such.md")


def test_regression_names_its_task_and_range(diabetes_csv: Path) -> None:
    done = describe(diabetes_csv)
    assert done.requirement.task == "regression"
    assert "progression" in done.requirement.sentence
    assert "a regression between 25 and 346" in done.requirement.sentence
    assert parse_requirement(done.text).classes == ()


def test_the_offline_sentence_has_plain_numbers_and_examples_under_their_kind() -> None:
    columns = (Column("area", "numeric"), Column("zone", "categorical"), Column("rooms", "numeric"))
    sentence = write_offline(Profile("homes", 9, "regression", "price", columns, {}, (25_000.0, 67_890.0, 187_600.0)))
    assert "between 25,000 and 187,600 with a median of 67,890" in sentence
    assert "2 numeric columns (area and rooms) and 1 categorical column (zone)" in sentence
    many = (*(Column(f"n{i}", "numeric") for i in range(9)), Column("zone", "categorical"))
    sentence = write_offline(Profile("homes", 9, "regression", "year", many, {}, (1985.0, 2001.0, 0.00001234)))
    assert "between 1985 and 0.00001234 with a median of 2001" in sentence
    assert "9 numeric columns (such as n0, n1 and n2) and 1 categorical column (zone)" in sentence


def test_the_offline_sentence_keeps_the_rules_set_for_an_llm(shared_data: Path) -> None:
    cards = sorted((shared_data / "tabular").glob("*/*.yaml"))
    assert cards
    for card in cards[::10]:  # each sentence is embedded
        about = yaml.safe_load(card.read_text(encoding="utf-8"))
        counts = {str(name): count for name, count in about["target"].get("classes", {}).items()}
        columns = tuple(Column(str(c["name"]), c["type"]) for c in about["columns"])
        span = None if counts else (1.0, 2.0, 3.5)
        profile = Profile(card.stem, about["n_rows"], about["task"], "target", columns, counts, span)
        check_sentence(write_offline(profile), profile)
        told = replace(profile, description=about["description"])
        check_sentence(write_offline(told), told)


def test_the_offline_sentence_names_columns_beside_their_types_and_writes_plain_numbers() -> None:
    columns = (
        *(Column(name, "numeric") for name in ("area", "rooms", "year")),
        *(Column(name, "categorical") for name in ("street", "roof", "heating", "garage")),
    )
    houses = Profile("houses", 2930, "regression", "price", columns, {}, (12789.0, 160000.0, 1.9e7))
    assert write_offline(houses) == (
        "Predict the numeric value of price for each row of 'houses' (2,930 rows), a regression between 12,790 and "
        "19,000,000 with a median of 160,000, from 4 categorical columns (such as street, roof and heating) and "
        "3 numeric columns (area, rooms and year)."
    )
    few = replace(houses, columns=columns[2:5], target_range=(-0.00012, 0.5, 1234.5))
    assert "between -0.00012 and 1234 with a median of 0.5" in write_offline(few)
    assert "2 categorical columns (street and roof) and 1 numeric column (year)." in write_offline(few)
    assert write_offline(replace(few, columns=columns[:2])).endswith("from 2 numeric columns: area and rooms.")


def test_the_offline_sentence_stays_short_with_many_classes_and_long_names() -> None:
    columns = tuple(Column("a rather long name for a column " * 3 + str(i), "numeric") for i in range(1000))
    labels = {f"label {i} of very many with words": 1 for i in range(200)}
    profile = Profile("wide", 5, "classification", "kind", columns, labels, description="long " * 500)
    assert len(write_offline(profile).split()) <= 80
    check_sentence(write_offline(profile), profile)


def test_the_command_says_that_a_useless_answer_is_not_used(iris_csv: Path, tmp_path: Path, cli: Cli) -> None:
    with FakeLLM(sentence("hacked")) as fake:
        done = cli(
            "describe", iris_csv, "-o", "req.txt", env={"OPENAI_API_KEY": "sk-hush", "OPENAI_BASE_URL": fake.url}
        )
    assert done.returncode == 0, done.stderr
    assert "gpt-4o-mini gave no usable answer, asked twice." in done.stderr
    assert "So the sentence was written offline." in done.stderr
    assert "sk-hush" not in done.stderr
    assert read_requirement(tmp_path / "req.txt").author == "offline"


def test_the_command_reads_stdin_and_writes_stdout(iris_csv: Path, cli: Cli) -> None:
    done = cli("describe", "-", "--target", "species", "--offline", stdin=iris_csv.read_text())
    assert done.returncode == 0, done.stderr
    found = parse_requirement(done.stdout)
    assert (found.target, found.author, found.data) == ("species", "offline", None)
