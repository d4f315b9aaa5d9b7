"""Free words to a requirement: what is applied, proposed, left out or refused; and what a build makes of it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bad_input import Bench
from conftest import ROOT, Cli

from modelgpt_cli import build, parse
from modelgpt_cli.core.errors import UsageError, VerificationError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.requirement_generator.build_words import add_words
from modelgpt_cli.requirement_generator.numbers import find_numbers
from modelgpt_cli.requirement_generator.parse import (
    ContradictionError,
    Reading,
    parse_request,
    with_applied_words,
    with_words,
)
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement

DEFECTS = (
    "a model under 2 MB that tells apart these defects (crazing, inclusion, patches) within 20 ms on a Raspberry Pi, "
    "at least 90 % of them right, int8"
)
IRIS = "Classify the species of an iris from the lengths and widths of its sepals and petals"


def said(readings: tuple[Reading, ...]) -> dict[str, Any]:
    """``{"size": "2 MB"}``."""
    return {reading.key.partition(": ")[2]: reading.value for reading in readings}


def read(text: str) -> dict[str, Any]:
    """What is set, flat: ``{"size": 2000000, "task": ...}``."""
    found = parse_request(text).requirement
    values = {key: getattr(found, key) for key in ("domain", "task", "target", "classes")}
    for block in (found.limits, found.quality, found.deploy):
        values |= {key: getattr(block, key) for key in block.to_mapping()}
    return {key: value for key, value in values.items() if value}


def test_what_is_plainly_the_models_is_applied_and_the_rest_proposed_each_with_its_words() -> None:
    found = parse_request(DEFECTS)
    assert found.requirement.sentence == DEFECTS
    assert found.applied == (
        Reading("limits: size", "2 MB", "a model under 2 MB"),
        Reading("quality: accuracy", 0.9, "at least 90 % of them right"),
    )
    assert found.proposed == (
        Reading("limits: latency_ms", 20.0, "within 20 ms on a Raspberry Pi"),
        Reading("deploy: quantize", "int8", "int8"),
    )
    assert found.requirement.limits.size == 2_000_000
    assert found.requirement.deploy.quantize == "int8"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,500 and 1,5 and 0,125 and 2.000.000", [1500, 1.5, 0.125, 2_000_000]),
        ("twenty-five, two hundred and fifty thousand, 2.5 million", [25, 250_000, 2_500_000]),
        ("half a second, two and a half, three quarters of a", [0.5, 2.5, 0.75]),
        ("a dozen, zero point nine five, ½, 1/2, .9", [12, 0.95, 0.5, 0.5, 0.9]),
        ("int8, F1, v2.0, 640x480, 3.11.2, the 99th, someone", []),
    ],
)
def test_numbers(text: str, values: list[float]) -> None:
    assert [number.value for number in find_numbers(text)] == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A model under 2 MB that finds songs under 3 minutes.", {"size": "2 MB"}),
        ("I need a 2 MB model for our mails.", {"size": "2 MB"}),
        ("The model must fit into 256 KiB of flash.", {"size": 262_144}),
        ("Keep the model below 10 MB and its memory below 200 MB.", {"size": "10 MB", "memory": "200 MB"}),
        ("a classifier of at most 50,000 parameters, no more than 2 MMACs", {"parameters": "50k", "flops": "4 MFLOPs"}),
        ("We want a neural network that is no bigger than half a megabyte.", {"size": "500 kB"}),
        ("Classify photos, predictions within 20 ms on a Pi", {"latency_ms": 20.0}),
        ("One prediction may not take longer than half a second.", {"latency_ms": 500.0}),
        ("The model should be 95 % accurate, answer within 2 s.", {"accuracy": 0.95, "latency_ms": 2000.0}),
        ("sort mails into spam and ham, right in nine of ten cases", {"accuracy": 0.9}),
        ("A model with an F1 of at least 0.8 and AUC > .95", {"f1": 0.8, "roc_auc": 0.95}),
        ("Tell cats from dogs, exported in int8", {"quantize": "int8"}),
        ("Make me an int8 model with opset 17.", {"quantize": "int8", "opset": 17}),
        ("a model (ONNX, < 1 MB) that tells roses from tulips", {"format": "onnx", "size": "1 MB"}),
    ],
)
def test_applied_where_the_model_is_the_subject(text: str, expected: dict[str, Any]) -> None:
    found = parse_request(text)
    assert said(found.applied) == expected
    assert (found.proposed, found.unclear) == ((), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat vs dog photos, under 2 MB, int8", {"size": "2 MB", "quantize": "int8"}),
        ("Sort mails. The file may not exceed 900 kB.", {"size": "900 kB"}),
        ("max_size: 5MB; latency: 20 ms", {"size": "5 MB", "latency_ms": 20.0}),
        ("Tell roses from tulips, at least 90 % right", {"accuracy": 0.9}),
        ("F1 of at least 0.8, log loss under 0.3", {"f1": 0.8, "log_loss": 0.3}),
        ("Predict the price with an R2 of .7", {"r2": 0.7}),
        ("MAE under 12, RMSE at most 20k", {"mae": 12.0, "rmse": 20_000.0}),
        ("no more than 5 % wrong", {"accuracy": 0.95}),
        ("15 ms per picture, 500k params", {"latency_ms": 15.0, "parameters": "500k"}),
        ("onnxruntime-web, fp16", {"runtime": "onnxruntime-web", "quantize": "fp16"}),
        ("1 MB. 20 ms. int8.", {"size": "1 MB", "latency_ms": 20.0, "quantize": "int8"}),
    ],
)
def test_proposed_where_it_is_less_plain(text: str, expected: dict[str, Any]) -> None:
    found = parse_request(text)
    assert said(found.proposed) == expected
    assert found.applied == ()


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("sort mails into spam and ham", ("spam", "ham")),
        ("tell roses from tulips", ("roses", "tulips")),
        ("Tell a cat from a dog in photos", ("cat", "dog")),
        ("tell photos of roses from tulips", ("roses", "tulips")),
        ("sort mails into billing, technical support or other within 20 ms", ("billing", "technical support", "other")),
        ("Is this review fake or genuine?", ("fake", "genuine")),
        ("good, bad or neutral reviews", ("good", "bad", "neutral")),
        ("screw/nut/washer classifier", ("screw", "nut", "washer")),
        ("chest x-rays, tuberculosis vs healthy, 3 MB", ("tuberculosis", "healthy")),
        ("Tell sparrows, robins and starlings apart", ("sparrows", "robins", "starlings")),
        ("label comments as helpful or rude", ("helpful", "rude")),
        ("The classes are X, Y and Z.", ("X", "Y", "Z")),
        ("ripe or unripe tomatoes?", ("ripe", "unripe")),
        ("detects dents, scratches etc.", None),
        ("Sort customers into groups such as young, old and rich", None),
        ("whether it rains or not, yes/no", None),
        ("from the columns age, income and job", None),
        ("images (png/jpg) on CPU/GPU", None),
    ],
)
def test_classes(text: str, classes: tuple[str, ...] | None) -> None:
    assert read(text).get("classes") == classes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sort photos of fruit into apples and pears", {"domain": "image", "task": "classification"}),
        ("a CSV of reviews, positive or negative?", {"domain": None}),
        ("Predict churn from age, income and balance", {"domain": "tabular", "task": None}),
        ("A regression on rows of a table", {"domain": "tabular", "task": "regression"}),
        ("tell roses from tulips", {"domain": None, "task": "classification"}),
        ("Texts and pictures alike", {"domain": None}),
        ("I don't want a regression", {"task": None}),
        ("RMSE at most 3", {"task": "regression"}),
    ],
)
def test_domain_and_task_where_they_are_plain(text: str, expected: dict[str, str | None]) -> None:
    found = read(text)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("ideally under 1 MB", "ideally under 1 MB", "a wish"),
        ("about 20 ms latency", "about 20 ms latency", "vague"),
        ("p95 latency under 50 ms", "p95 latency under 50 ms", "vague"),
        ("a model under 2 MB would be nice", "a model under 2 MB would be nice", "a wish"),
        ("A model of at least 5 MB", "A model of at least 5 MB", "no such bound"),
        ("exported in int8 or fp16", "int8 or fp16", "left open"),
        ("A model under 2 MB. No wait, make that 3 MB.", "A model under 2 MB. No wait, make that 3 MB", "taken back"),
    ],
)
def test_what_is_left_out_is_told(text: str, words: str, reason: str) -> None:
    found = parse_request(text)
    assert (found.applied, found.proposed) == ((), ())
    assert [(r.words, reason in r.reason) for r in found.unclear] == [(words, True)]


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("a model under 1 MB but at least 5 MB", ("limits: size", "'a model under 1 MB'", "'at least 5 MB'")),
        ("The model is for a Pi. A model under 3 MB. A model under 5 MB.", ("under 3 MB'", "under 5 MB'")),
        (
            "A model with accuracy over 95 %, accuracy under 90 %",
            ("quality: accuracy", "over 95 %'", "'accuracy under"),
        ),
        ("int8 and fp16", ("deploy: quantize", "'int8'", "'fp16'")),
        ("safetensors with opset 17", ("safetensors and opset 17",)),
        ("4 classes: red, green, blue", ("'4' classes", "3 are listed")),
        ("a regression as cheap or dear", ("a regression has none",)),
        ("regression, accuracy of 80 %", ("accuracy can't be measured on a regression",)),
        ("accuracy of 90 %, MAE below 3", ("accuracy is for classification", "mae for regression")),
    ],
)
def test_contradictions_quote_both(text: str, quotes: tuple[str, ...]) -> None:
    with pytest.raises(ContradictionError) as caught:
        parse_request(text)
    assert caught.value.exit_code == 2
    assert all(quote in str(caught.value) for quote in quotes), str(caught.value)


def test_long_and_odd_words_are_read_quickly() -> None:
    parse_request(DEFECTS)
    for text in ("1 " * 990, "at least under not the of is a 2 " * 60, "a, " * 660, "(" * 1990, "ß İ 𝟙 2 MB " * 100):
        start = time.process_time()
        parse_request(text)
        assert time.process_time() - start < 5  # on a busy machine; what backtracks takes minutes
    for text in ("", " \n ", "word " * 500):
        with pytest.raises(UsageError):
            parse_request(text)


def test_parsing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from modelgpt_cli import parse; parse('under 2 MB'); "
        "heavy = {'torch', 'transformers', 'pandas', 'onnx', 'onnxruntime', 'openai', 'sklearn'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The command ---------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_requirement_file(cli: Cli, tmp_path: Path) -> None:
    done = cli("parse", "cats or dogs in photos, ideally under 1 MB, 5 MB at most")
    assert done.returncode == 0, done.stderr
    found = parse_requirement(done.stdout)
    assert (found.classes, found.domain, found.limits.size) == (("cats", "dogs"), "image", 5_000_000)
    assert done.stderr == (
        "Proposed: limits: size 5 MB ('5 MB at most'); build applies it once it stands below a line ---.\n"
        "Left out: 'ideally under 1 MB': it is vague, or a wish.\n"
    )
    (tmp_path / "words.txt").write_text("sort mails into spam and ham,\nunder 2 MB\n")
    done = cli("parse", "words.txt", "-o", "req.txt", fresh=True)
    assert done.stdout == "req.txt\n"
    assert parse_requirement((tmp_path / "req.txt").read_text()).limits.size == 2_000_000
    assert cli("parse", "words.txt", "-o", "req.txt").returncode == 2


def test_json_has_plain_numbers(bench: Bench) -> None:
    done = bench.run("parse", "--json", "A model within half a second, under 2 MB. About 90 % accuracy.")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["limits"] == {"size": 2_000_000, "latency_ms": 500.0}
    assert found["applied"][1] == {"key": "limits: size", "value": "2 MB", "words": "under 2 MB"}
    assert found["proposed"] == []
    assert found["unclear"] == [{"words": "About 90 % accuracy", "reason": "it is vague, or a wish"}]


def test_a_requirement_file_is_checked_and_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "req.txt").write_text("Do it, at least 90 % right.\n---\nlimits: {size: 1000kB}\ndata: d.csv\n")
    found = parse("sub/req.txt", output="new.txt")
    assert found.text == (tmp_path / "new.txt").read_text()
    assert "data: sub/d.csv" in found.text
    assert found.requirement.limits.size == 1_000_000
    assert found.requirement.quality.accuracy == 0.9
    (tmp_path / "sub" / "req.txt").write_text("Do it.\n---\nlimits: {weight: 1}\n")
    with pytest.raises(UsageError, match="'weight'"):
        parse("sub/req.txt")


@pytest.mark.parametrize(("words", "message"), [("none.txt", "There is no file"), ("", "no words")])
def test_what_is_neither_words_nor_file(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(words)


# Builds --------------------------------------------------------------------------------------------------------------


def test_a_build_applies_what_is_plain_and_tells_of_the_rest(
    iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "req.txt").write_text(f"{IRIS}. A model under 1 MB, at least 80 % right. Half precision.\n")
    with caplog.at_level(logging.INFO, "modelgpt"):
        report = build(tmp_path / "req.txt", data=iris_csv, output=tmp_path / "m.onnx", members=1)
    assert set(report.limits) == {"size", "accuracy"}
    assert report.storage == "fp32"
    applied = next(m for m in caplog.messages if m.startswith("Found in the words, and applied"))
    assert "limits: size 1 MB ('A model under 1 MB'); quality: accuracy 0.8" in applied
    assert "--ignore-words" in applied
    assert any(m.startswith("Found in the words, not applied: deploy: quantize fp16") for m in caplog.messages)


def test_a_limit_in_words_can_fail_a_build_and_be_ignored(
    iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "req.txt").write_text(f"{IRIS}. A model of less than 1 kB.\n")
    with pytest.raises(VerificationError, match="nothing was written"):
        build(tmp_path / "req.txt", data=iris_csv, output=tmp_path / "n.onnx", members=1)
    caplog.clear()
    with caplog.at_level(logging.INFO, "modelgpt"):
        report = build(
            tmp_path / "req.txt", data=iris_csv, output=tmp_path / "n.onnx", members=1, one_pass=True, ignore_words=True
        )
    assert report.limits == {}
    assert not any("in the words" in message for message in caplog.messages)


def test_what_is_written_below_goes_before_the_words() -> None:
    found = parse_requirement("A model under 1 MB, predictions at least 90 % right.\n---\nlimits: {size: 5MB}\n")
    for read_on in (with_words(found), with_applied_words(found, data=True)):
        assert (read_on.requirement.limits.size, read_on.requirement.quality.accuracy) == (5_000_000, 0.9)
        assert [reading.key for reading in read_on.applied] == ["quality: accuracy"]


def test_sentences_of_describe_say_no_limits() -> None:
    written = Requirement("Classify each of 100 files. A model under 2 MB.", author="offline")
    assert with_words(written).requirement == written
    assert with_applied_words(written, data=True).requirement == written


def test_of_a_file_the_words_are_read_where_it_lacks_something() -> None:
    file = parse_requirement("Sort mails into spam and ham, int8.\n---\nlimits: {size: 5MB}\n")
    found = with_words(file).requirement
    assert (found.domain, found.classes, found.deploy.quantize) == ("text", ("spam", "ham"), "int8")
    assert with_words(parse_requirement("A regression, red/green.\n---\nclasses: [a, b]\n")).requirement.classes == (
        "a",
        "b",
    )
    whole = parse_requirement("Tell cats from dogs.\n---\ncolumns: {age: numeric}\nclasses: [a, b]\n")
    assert with_words(whole).requirement == whole


def test_what_is_ignored_can_not_contradict() -> None:
    file = parse_requirement("A model under 2 MB. A model under 3 MB.\n---\ntask: regression\n")
    with pytest.raises(ContradictionError):
        with_applied_words(file, data=True)
    assert with_applied_words(file, data=True, ignore=True).requirement == file
    numbers = parse_requirement("A model with 90 % accuracy.\n---\ntask: regression\n")
    with pytest.raises(ContradictionError, match="can't be measured on a regression") as caught:
        with_applied_words(numbers, data=True)
    assert "--ignore-words" in caught.value.hint


@pytest.mark.parametrize("text", ["sort mails into spam and ham", "Tell roses from tulips in photos, under 2 MB."])
def test_without_data_a_build_understands_what_parse_does(text: str) -> None:
    bare = parse_requirement(text)
    built, parsed = add_words(bare, data=False), parse_request(text).requirement
    assert (built.classes, built.domain, built.task) == (parsed.classes, parsed.domain, parsed.task)
    assert add_words(parsed, data=False) == parsed
    assert built.classes
    assert built.limits == bare.limits
    assert add_words(bare, data=True) == bare


def test_without_data_the_kind_of_data_is_asked_for_where_no_word_says_it(bench: Bench) -> None:
    req = bench.write("req.txt", "Tell roses from tulips.")
    told = bench.refuse(2, "images, texts or tables", "build", "--req", req, "-o", "m.onnx")
    assert "--domain image" in told.err
    written = bench.run("parse", req)
    assert "roses" in written.out
    again = bench.write("again.txt", written.out)
    bench.refuse(2, "images, texts or tables", "build", "--req", again, "-o", "m.onnx")
    table = bench.write("table.txt", "Predict churn from age, income and balance.")
    bench.refuse(2, "names no columns", "build", "--req", table, "-o", "m.onnx")


def test_the_datas_domain_and_classes_go_before_any_word(iris_csv: Path, tmp_path: Path) -> None:
    words = "Tell roses from tulips in photos. Classify mails as spam or ham."
    (tmp_path / "req.txt").write_text(words + "\n")
    report = build(tmp_path / "req.txt", data=iris_csv, output=tmp_path / "m.onnx", one_pass=True)
    assert report.data_used


# The benchmark -------------------------------------------------------------------------------------------------------


def run_benchmark(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.benchmarks", "requests", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_of_the_written_requests_at_least_half_the_keys_are_read() -> None:
    done = run_benchmark(*(ROOT / "tests" / "data" / "requests" / f"{name}.jsonl" for name in ("dev", "dev-2")))
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-3].split("|")
    assert last[1].strip() == "all"
    assert float(last[3]) >= 50


def test_every_key_counts_and_so_does_one_too_many(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "kind": "terse", "text": "2 MB, int8", "expect": {"limits": {"size": "2000 kB"}}},
        {"id": "b", "kind": "terse", "text": "max 2 MB", "expect": {"limits": {"size": "2MB", "threads": 1}}},
        {"id": "c", "kind": "terse", "text": "int8, fp16", "expect_error": "contradiction"},
        {"id": "d", "kind": "terse", "text": "unter 2 MB", "path": "llm", "expect": {}},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run_benchmark(tmp_path / "r.jsonl", "--misses")
    assert "| all | 3 | 75.0 | 66.7 |" in done.stdout
    assert "deploy.quantize: 'int8', expected None" in done.stdout
    (tmp_path / "r.jsonl").write_text(json.dumps(rows[0] | {"expect": {"sise": 1}}) + "\n")
    assert "'sise'" in run_benchmark(tmp_path / "r.jsonl").stderr
