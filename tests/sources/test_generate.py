"""Rows from an LLM: what is asked for, what is kept of the answers, what they may cost, what an interruption costs."""

from __future__ import annotations

import csv
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Cli, Start
from fake_llm import FakeLLM, Reply, Request, answer, fault

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement
from modelgpt_cli.sources.generator.form import form_of
from modelgpt_cli.sources.generator.generate import Generated, generate
from modelgpt_cli.sources.generator.novelty import Novelty
from modelgpt_cli.sources.generator.plan import load_generate_prompt

TABLE = """Classify each iris flower by species from its petals.
---
task: classification
target: species
classes: [setosa, virginica]
columns:
- {name: petal_length, type: numeric, mean: 3.7, std: 1.7}
- {name: colour, type: categorical, levels: [blue, violet], missing: 0.1}
- {name: seen, type: datetime, format: '%d.%m.%Y'}
- {name: wet, type: boolean, levels: ['no', 'yes']}
"""
TEXTS = "Classify each customer message.\n---\ndomain: text\nclasses: [complaint, praise]\n"
NUMBERS = (
    "Predict the price of a house, a regression.\n---\ntask: regression\ntarget: price\ncolumns: {area: numeric}\n"
)
_WORDS = """
apple bridge candle desert engine forest garden hammer island jacket kitchen lantern mirror needle orange
pepper quilt river saddle teapot umbrella violin window yogurt zebra anchor bottle carpet dragon elbow
"""
WORDS = _WORDS.split()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODELGPT_LLM", "MODELGPT_PROVIDERS"):
        monkeypatch.delenv(variable, raising=False)


def targets(request: Request) -> list[str]:
    """The classes that a request asks rows of, one for each row."""
    return [
        label
        for count, label in re.findall(r'(\d+) x "([^"]+)"', request.messages[-1]["content"])
        for _ in range(int(count))
    ]


def iris_row(i: int, label: str, **other: Any) -> dict[str, Any]:
    row = {"petal_length": 1 + i / 100, "colour": "blue", "seen": "05.06.2024", "wet": "no", "species": label}
    return {**row, **other}


class Writer:
    """Rows as they were asked for, each different, and `extra` ones with each answer."""

    def __init__(self, *extra: Any, text: bool = False) -> None:
        self.extra, self.text, self.written = extra, text, 0

    def __call__(self, request: Request) -> str:
        rows: list[Any] = []
        for label in targets(request):
            self.written += 1
            i = self.written
            words = [WORDS[(i * step + step) % len(WORDS)] for step in (1, 7, 11, 13)]
            rows.append({"text": " ".join(words), "label": label} if self.text else iris_row(i, label))
        return json.dumps({"rows": [*rows, *self.extra]})


def run(
    folder: Path, fake: FakeLLM, text: str = TABLE, output: str = "out.csv", n: int = 40, **options: Any
) -> Generated:
    requirement = folder / "req.txt"
    requirement.write_text(text)
    return generate(requirement, n=n, output=folder / output, base_url=fake.url, **{"retries": 0, **options})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_balanced_marked_and_fit_the_requirement(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer())) as fake:
        done = run(tmp_path, fake, n=41)
    rows = rows_of(tmp_path / "out.csv")
    assert list(rows[0]) == ["petal_length", "colour", "seen", "wet", "species", "synthetic"]
    assert Counter(row["species"] for row in rows) == {"setosa": 21, "virginica": 20} == done.class_counts
    assert {row["synthetic"] for row in rows} == {"true"}
    assert len(fake.requests) == 3
    assert [len(targets(r)) for r in fake.requests] == [20, 20, 1]
    assert not (tmp_path / "out.csv.part").exists()
    assert load_dataset(tmp_path / "out.csv", target="species").schema.classes == ("setosa", "virginica")


def test_the_schema_is_made_from_the_requirement(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer())) as fake:
        run(tmp_path, fake, n=2)
    row = fake.requests[0].body["response_format"]["json_schema"]["schema"]["properties"]["rows"]["items"]
    assert row["properties"] == {
        "petal_length": {"type": "number"},
        "colour": {"type": ["string", "null"], "enum": ["blue", "violet", None]},
        "seen": {"type": "string"},
        "wet": {"type": "string", "enum": ["no", "yes"]},
        "species": {"type": "string", "enum": ["setosa", "virginica"]},
    }
    assert row["required"] == list(row["properties"])
    assert row["additionalProperties"] is False


def test_each_request_asks_for_something_else(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer())) as fake:
        run(tmp_path, fake, n=40, batch=4)
        asked = [request.messages[-1]["content"] for request in fake.requests]
        again = len(fake.requests)
        run(tmp_path, fake, n=40, batch=4, output="again.csv", cache=False)
    assert len(set(asked)) == 10
    assert len({re.search(r"^- (Write .*)$", text, re.MULTILINE)[1] for text in asked}) > 4  # type: ignore[index]
    assert [request.messages[-1]["content"] for request in fake.requests[again:]] == asked


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (iris_row(0, "setosa", petal_length="long"), "petal_length must be a number"),
        (iris_row(0, "setosa", petal_length=True), "petal_length must be a number"),
        (iris_row(0, "setosa", petal_length=90), "petal_length must be between -13.3 and 20.7"),
        (iris_row(0, "setosa", petal_length=None), "petal_length can't be empty"),
        (iris_row(0, "setosa", colour="green"), "colour must be one of blue, violet"),
        (iris_row(0, "setosa", seen="2024-06-05"), "seen must be a date, written as %d.%m.%Y"),
        (iris_row(0, "tulip"), "species must be one of setosa, virginica"),
        ({"petal_length": 1.5}, "seen can't be empty"),
        ("setosa", "a row must be an object"),
    ],
)
def test_a_bad_row_is_dropped_counted_and_told_once(tmp_path: Path, bad: Any, reason: str) -> None:
    with FakeLLM(Reply(write=Writer(bad))) as fake:
        done = run(tmp_path, fake, n=12, batch=4)
    assert done.dropped == {reason: 3}
    assert done.n_rows == 12
    told = [reason in request.messages[-1]["content"] for request in fake.requests]
    assert told == [False, True, False]


def test_what_can_be_understood_is_kept_as_the_file_has_it(tmp_path: Path) -> None:
    rows = [
        iris_row(0, "SETOSA", petal_length="1.25", colour=None, wet=True),
        iris_row(1, "virginica", colour="Violet"),
    ]
    rows[0]["wet"] = "Yes"
    with FakeLLM(answer(json.dumps({"rows": rows}))) as fake:
        run(tmp_path, fake, n=2)
    first, second = rows_of(tmp_path / "out.csv")
    assert (first["petal_length"], first["colour"], first["wet"], first["species"]) == ("1.25", "", "yes", "setosa")
    assert second["colour"] == "violet"


def test_copies_are_dropped_exact_ones_and_near_ones(tmp_path: Path) -> None:
    said = ["The parcel came a week late.", "the parcel came a WEEK late!", "The parcel came one week late."]
    rows = [{"text": text, "label": "complaint"} for text in [*said, "My screen broke on the first day."]]
    rows += [{"text": text, "label": "praise"} for text in ("Lovely people at the counter.", "Best shop in the town.")]
    with FakeLLM(answer(json.dumps({"rows": rows}))) as fake:
        done = run(tmp_path, fake, TEXTS, n=4, batch=6)
    assert [row["text"] for row in rows_of(tmp_path / "out.csv")] == [rows[i]["text"] for i in (0, 3, 4, 5)]
    assert done.dropped == {"a copy, or nearly one, of another row": 2}


def test_a_run_that_brings_nothing_new_stops(tmp_path: Path) -> None:
    rows = [iris_row(1, "setosa"), iris_row(2, "virginica")]
    with FakeLLM(answer(json.dumps({"rows": rows}))) as fake:
        done = run(tmp_path, fake, n=20, batch=5)
    assert len(fake.requests) == 4
    assert done.stopped == "the last 3 requests brought no new row"
    assert len(rows_of(tmp_path / "out.csv")) == done.n_rows == 2


def test_a_run_that_turns_in_circles_ends_early_with_what_was_kept(tmp_path: Path) -> None:
    """A small model: each answer has one new row, and the same ones as ever beside it."""
    old = [iris_row(i, label) for i, label in enumerate(("setosa", "virginica", "setosa", "virginica"))]
    number = iter(range(100, 1000))

    def write(request: Request) -> str:
        return json.dumps({"rows": [iris_row(next(number), "setosa"), *old]})

    with FakeLLM(Reply(write=write)) as fake:
        done = run(tmp_path, fake, n=60, batch=5)
    assert done.stopped == "nearly all rows of the last 3 requests were repeated"
    assert len(fake.requests) == 4
    assert len(rows_of(tmp_path / "out.csv")) == done.n_rows == 8
    assert done.dropped == {"a copy, or nearly one, of another row": 12}


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_the_whole_rows_of_an_answer_that_was_cut_are_kept(tmp_path: Path, finish: str) -> None:
    rows = [iris_row(i, label) for i, label in enumerate(("setosa", "virginica", "setosa"))]
    cut = json.dumps({"rows": [*rows, iris_row(9, "virginica")]})[:-30]
    with FakeLLM(answer(cut, finish=finish), Reply(write=Writer())) as fake:
        done = run(tmp_path, fake, n=20, batch=8)
    assert done.n_rows == 20
    assert len(rows_of(tmp_path / "out.csv")) == 20
    # Half as many are asked for next, where the server says that it cut the answer.
    assert [len(targets(request)) for request in fake.requests][:3] == ([8, 4, 4] if finish == "length" else [8, 8, 8])
    asked = [request.body["response_format"]["json_schema"]["schema"] for request in fake.requests]
    assert [schema["properties"]["rows"]["maxItems"] for schema in asked][:2] == [8, 4 if finish == "length" else 8]
    assert len({request.body["seed"] for request in fake.requests}) == len(fake.requests)
    assert all(request.body["max_tokens"] >= 1024 for request in fake.requests)


def test_more_rows_of_a_class_than_asked_for_are_not_kept(tmp_path: Path) -> None:
    rows = [*(iris_row(i, "setosa") for i in range(9)), *(iris_row(i, "virginica") for i in range(20, 22))]
    with FakeLLM(answer(json.dumps({"rows": rows}))) as fake:
        done = run(tmp_path, fake, n=4)
    assert done.class_counts == {"setosa": 2, "virginica": 2}


def test_an_answer_that_is_none_is_asked_for_again(tmp_path: Path) -> None:
    with FakeLLM(answer("Sure! Here are"), Reply(write=Writer())) as fake:
        assert run(tmp_path, fake, n=4).n_rows == 4
    assert "it is not JSON" in fake.requests[1].messages[-1]["content"]


def test_no_usable_row_at_all_is_exit_4(tmp_path: Path) -> None:
    with FakeLLM(answer("no")) as fake, pytest.raises(UnreachableError):
        run(tmp_path, fake)
    assert list(tmp_path.iterdir()) == [tmp_path / "req.txt"]


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl"])
def test_a_failure_in_between_loses_nothing(tmp_path: Path, output: str, caplog: pytest.LogCaptureFixture) -> None:
    first = Writer()
    with FakeLLM(Reply(write=first), Reply(write=first), fault(500)) as fake:
        with pytest.raises(UnreachableError, match="--resume"):
            run(tmp_path, fake, output=output, batch=10, cache=False)
        with pytest.raises(UsageError, match="--resume goes on"):
            run(tmp_path, fake, output=output, batch=10, cache=False)
    assert not (tmp_path / output).exists()
    with FakeLLM(Reply(write=first)) as fake:
        done = run(tmp_path, fake, output=output, batch=10, cache=False, resume=True)
        assert len(fake.requests) == 2
        assert "This is request 3 of" in fake.requests[0].messages[-1]["content"]
    assert done.n_rows == 40
    assert done.requests == 4
    whole = (tmp_path / output).read_text()
    if output.endswith("jsonl"):
        assert all(json.loads(line)["synthetic"] is True for line in whole.splitlines())
    assert len(set(whole.splitlines())) == (41 if output.endswith("csv") else 40)


def test_what_was_cut_off_while_it_was_written_is_asked_for_again(tmp_path: Path) -> None:
    writer = Writer()
    with FakeLLM(Reply(write=writer), Reply(write=writer), fault(500)) as fake, pytest.raises(UnreachableError):
        run(tmp_path, fake, batch=10, cache=False)
    part = tmp_path / "out.csv.part"
    part.write_text(part.read_text()[:-30])
    with FakeLLM(Reply(write=writer)) as fake:
        done = run(tmp_path, fake, batch=10, cache=False, resume=True)
        assert len(fake.requests) == 3
    assert done.n_rows == 40


def test_rows_for_another_requirement_are_not_gone_on_with(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer()), fault(500)) as fake, pytest.raises(UnreachableError):
        run(tmp_path, fake, cache=False)
    with FakeLLM(Reply(write=Writer())) as fake:
        with pytest.raises(UsageError, match="another requirement"):
            run(tmp_path, fake, TABLE.replace("virginica", "tulip"), resume=True)
        with pytest.raises(UsageError, match="nothing to resume"):
            run(tmp_path, fake, output="other.csv", resume=True)
        assert run(tmp_path, fake, TABLE.replace("virginica", "tulip"), force=True).n_rows == 40


def test_ctrl_c_loses_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(TABLE)
    arguments = ["generate", "--req", "req.txt", "-n", "40", "--batch", "10", "-o", "out.csv", "--no-cache"]
    writer = Writer()
    with FakeLLM(Reply(write=writer), Reply(write=writer, delay=60)) as fake:
        process = start(*arguments, env={"OPENAI_BASE_URL": fake.url})
        end = time.monotonic() + 60
        while len(fake.requests) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "10 rows are kept in out.csv.part: --resume goes on" in err
    with FakeLLM(Reply(write=writer)) as fake:
        assert run(tmp_path, fake, batch=10, cache=False, resume=True).n_rows == 40
        assert len(fake.requests) == 3


def test_the_budget_is_kept_before_a_request_would_exceed_it(tmp_path: Path) -> None:
    def counted(request: Request) -> str:
        return Writer.__call__(writer, request)

    writer = Writer()
    with FakeLLM(Reply(write=counted)) as fake:
        free = run(tmp_path, fake, batch=5, cache=False)
        assert not free.stopped
        limit = (free.tokens_in + free.tokens_out) // 2
        done = run(tmp_path, fake, batch=5, cache=False, output="less.csv", max_tokens=limit)
    assert done.stopped == f"the next request would exceed {limit:,} tokens"
    assert 0 < done.tokens_in + done.tokens_out <= limit
    assert len(rows_of(tmp_path / "less.csv")) == done.n_rows
    assert 10 <= done.n_rows < 25


def test_a_cost_is_limited_where_prices_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeLLM(Reply(write=Writer())) as fake:
        with pytest.raises(UsageError, match="--max-cost needs to know what"):
            run(tmp_path, fake, max_cost=1)
        mine = tmp_path / "mine.yaml"
        mine.write_text(f"mine: {{base_url: '{fake.url}', model: m, price_in: 1000, price_out: 1000}}\n")
        monkeypatch.setenv("MODELGPT_PROVIDERS", str(mine))
        done = run(tmp_path, fake, batch=5, max_cost=2.5, provider="mine")
    assert done.stopped == "the next request would exceed $2.5"
    assert done.cost is not None
    assert 0 < done.cost <= 2.5


def test_a_budget_for_nothing_is_said(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer())) as fake, pytest.raises(UnreachableError, match="would exceed 50 tokens"):
        run(tmp_path, fake, max_tokens=50)
    assert not fake.requests


def test_a_folder_of_texts_marks_its_files_and_keeps_what_is_there(tmp_path: Path) -> None:
    with FakeLLM(Reply(write=Writer(text=True))) as fake:
        run(tmp_path, fake, TEXTS, output="texts", n=8)
        names = sorted(str(p.relative_to(tmp_path / "texts")) for p in (tmp_path / "texts").rglob("*.txt"))
        assert names == [f"{label}/synthetic-0000{i}.txt" for label in ("complaint", "praise") for i in range(1, 5)]
        own = tmp_path / "texts" / "praise" / "own.txt"
        own.write_text("I like it here, and I will come back.")
        with pytest.raises(UsageError, match="already exists"):
            run(tmp_path, fake, TEXTS, output="texts", n=4)
        run(tmp_path, fake, TEXTS, output="texts", n=4, force=True, cache=False)
    assert own.exists()
    dataset = load_dataset(tmp_path / "texts")
    assert (dataset.n_rows, dataset.n_synthetic) == (5, 4)
    assert [column.name for column in dataset.schema.used] == ["text"]


def test_regression_asks_for_numbers(tmp_path: Path) -> None:
    rows = [{"area": 50 + i, "price": 1000.5 * i} for i in range(10)]
    with FakeLLM(answer(json.dumps({"rows": [*rows, {"area": 70, "price": "much"}]}))) as fake:
        done = run(tmp_path, fake, NUMBERS, n=10)
    assert done.dropped == {"price must be a number": 1}
    assert [float(row["price"]) for row in rows_of(tmp_path / "out.csv")] == [row["price"] for row in rows]


def test_regression_on_data_asks_for_one_part_of_the_range_after_the_other(tmp_path: Path) -> None:
    lines = [f"{50 + i},{1000 + 10 * i}" for i in range(51)]
    (tmp_path / "data.csv").write_text("\n".join(["area,price", *lines]) + "\n")
    written = iter(range(1000))

    def write(request: Request) -> str:
        return json.dumps({"rows": [{"area": 60.5 + next(written) / 100, "price": 1100} for _ in range(4)]})

    rows = [{"area": 60, "price": 1100}, {"area": 60.5, "price": 2000}, {"area": 500, "price": 1200}]
    with FakeLLM(answer(json.dumps({"rows": rows})), Reply(write=write)) as fake:
        done = run(tmp_path, fake, NUMBERS, n=20, batch=4, data=tmp_path / "data.csv", examples=51)
    asked = [re.search(r"Their targets: (.*)\.$", r.messages[-1]["content"], re.M)[1] for r in fake.requests]  # type: ignore[index]
    assert asked[:3] == ["between 1000 and 1100", "between 1100 and 1200", "between 1200 and 1300"]
    assert done.dropped == {
        "a copy, or nearly one, of another row": 1,
        "price must be between 750 and 1750": 1,
        "area must be between 25 and 125": 1,
    }


def test_a_pair_is_a_copy_only_if_both_of_its_texts_are_near() -> None:
    text = """Judge pairs.
---
classes: [same, other]
columns:
- {name: first, type: text, role: text}
- {name: second, type: text, role: pair}
"""
    places = {"a": [1.0, 0.0], "a!?x": [0.99, 0.1], "b": [0.0, 1.0]}
    novelty = Novelty(form_of(parse_requirement(text)), lambda texts: np.array([places[text] for text in texts]))
    pairs = [("a", "b"), ("a!?x", "b"), ("a", "a"), ("b", "a"), ("a", "B")]
    places["B"] = places["b"]
    rows = [{"first": first, "second": second, "label": "same"} for first, second in pairs]
    assert novelty.keep_new(rows) == [True, False, True, True, False]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Real rows, some with what is nobody's business."""
    path = tmp_path / "data.csv"
    lines = ["text,label"]
    for i, word in enumerate(WORDS):
        lines.append(
            f"Where is my {word} please? Call 030 555 {1000 + i} or ann{i}@example.com,{['ask', 'tell'][i % 2]}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_examples_are_shown_redacted_and_no_more_than_the_dry_run_says(data: Path, tmp_path: Path) -> None:
    words = "Classify each message.\n---\ntask: classification\ntarget: label\n"
    with FakeLLM(Reply(write=Writer(text=True))) as fake:
        plan = run(tmp_path, fake, words, n=8, data=data, examples=3, redact=True, dry_run=True)
        assert not fake.requests
        run(tmp_path, fake, words, n=8, data=data, examples=3, redact=True)
        run(tmp_path, fake, words, output="none.csv", n=8, data=data, examples=0)
    assert json.loads(plan.prompt or "") == fake.requests[0].body
    shown, without = (request.messages[-1]["content"] for request in (fake.requests[0], fake.requests[-1]))
    assert shown.count("Where is my") == 3
    assert shown.count("<email>") == shown.count("<phone>") == 3
    assert "example.com" not in shown
    assert "Where is my" not in without


def test_a_copied_example_is_no_new_row(data: Path, tmp_path: Path) -> None:
    words = "Classify each message.\n---\ntask: classification\ntarget: label\n"

    def parrot(request: Request) -> str:
        shown = re.findall(r'\{"text": "(Where [^"]+)", "label": "(\w+)"\}', request.messages[-1]["content"])
        assert len(shown) == 4
        copies = [{"text": text, "label": label} for text, label in shown]
        return json.dumps({"rows": [*copies, *json.loads(writer(request))["rows"]]})

    writer = Writer(text=True)
    with FakeLLM(Reply(write=parrot)) as fake:
        done = run(tmp_path, fake, words, n=6, data=data, examples=4)
    assert done.dropped == {"a copy, or nearly one, of another row": 4}


def test_a_dry_run_estimates_all_requests(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(TABLE)
    done = cli(
        "generate", "--req", "req.txt", "-n", "100", "-o", "out.csv", "--dry-run", "--provider", "openai", fresh=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "gpt-4o-mini"
    assert "100 rows take 5 requests or more" in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "req.txt"]


def test_the_command_tells_what_it_did_as_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(TABLE)
    bad = iris_row(0, "tulip")
    with FakeLLM(Reply(write=Writer(bad))) as fake:
        done = cli(
            *("generate", "--req", "req.txt", "-n", "30", "-o", "out.csv", "--json"), env={"OPENAI_BASE_URL": fake.url}
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["path"] == "out.csv"
    assert told["class_counts"] == {"setosa": 15, "virginica": 15}
    assert told["dropped"] == {"species must be one of setosa, virginica": 2}
    assert (told["requests"], told["n_rows"], told["stopped"]) == (2, 30, "")


@pytest.mark.parametrize(
    ("text", "output", "n", "words"),
    [
        ("A photo.\n---\ndomain: image\nclasses: [a, b]\n", "o.csv", 9, "Images can't be generated"),
        ("Judge it.", "o.csv", 9, "names no classes"),
        ("Judge it.\n---\ndomain: tabular\nclasses: [a, b]\n", "o.csv", 9, "names no columns"),
        (TABLE, "o.csv", 1, "1 rows are too few"),
        (TABLE, "folder", 9, "would be a folder of texts"),
        (TABLE, "o.xlsx", 9, r"should end in \.csv or \.jsonl"),
        (TABLE.replace("wet", "synthetic"), "o.csv", 9, "A column is called 'synthetic'"),
        (TEXTS.replace("praise", "a/b"), "folder", 9, "can't be the name of a folder"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_sent(
    tmp_path: Path, text: str, output: str, n: int, words: str
) -> None:
    with FakeLLM(Reply(write=Writer())) as fake, pytest.raises(ModelGPTError, match=words):
        run(tmp_path, fake, text, output=output, n=n)
    assert not fake.requests


def test_nobody_to_ask_is_said(tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(TABLE)
    with pytest.raises(UsageError, match="Which LLM"):
        generate(tmp_path / "req.txt", n=9, output=tmp_path / "o.csv")


def test_redacted_names_and_levels_come_back_as_they_are() -> None:
    text = TABLE.replace("blue", "'030 555 1234'").replace("violet", "'030 555 9999'").replace("setosa", "a@b.org")
    form = form_of(parse_requirement(text), hide=True)
    colour, species = form.inputs[1], form.target
    assert list(colour.levels) == ["<phone>", "<phone> (2)"]
    assert colour.read("<phone> (2)") == "030 555 9999"
    assert species.read("<email>") == "a@b.org"
    assert "030" not in json.dumps(form.schema(load_generate_prompt("tabular").schema))


@pytest.mark.parametrize("name", ["generate-table", "generate-text"])
def test_the_templates_are_whole_and_say_what_they_must(name: str) -> None:
    prompt = load_generate_prompt("text" if name == "generate-text" else "tabular")
    assert prompt.name == name
    assert "never an instruction" in " ".join(prompt.system.split())
    assert all(len(sentences) > 2 for sentences in prompt.more["conditions"].values())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("$share", "all", r"gaps of its user"),
        ("mended: |", "mended: none\nother: |", "exactly"),
        ("used: $reasons", "used.", r"gaps of its mended must be \$reasons"),
        ("They are short, a few words each.", "$length", "gaps of its conditions, length, must be none"),
    ],
)
def test_a_template_of_another_form_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "generate-text.yaml"
    text = (ROOT / "prompts" / "generate-text.yaml").read_text()
    assert old in text
    head, _, rest = text.partition("system:")
    path.write_text(head + "system:" + rest.replace(old, new))
    with pytest.raises(ModelGPTError, match=words):
        load_generate_prompt("text", path)
