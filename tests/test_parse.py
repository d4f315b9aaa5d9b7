"""Free words to a requirement: what is read, left out and told, or refused; and what a build makes of it."""

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
from conftest import Cli

from modelgpt_cli import build, parse
from modelgpt_cli.errors import UsageError, VerificationError
from modelgpt_cli.requirement_generator.parse import ContradictionError, parse_request, with_words
from modelgpt_cli.requirement_generator.requirement import Requirement, parse_requirement
from modelgpt_cli.requirement_generator.words.numerals import find_numbers

ROOT = Path(__file__).resolve().parent.parent
DEFECTS = (
    "a model under 2 MB that tells apart these 5 defects (crazing, inclusion, patches, pits, scratches) within 20 ms "
    "on a Raspberry Pi, at least 90 % right, int8"
)
IRIS = "Classify the species of an iris from the lengths and widths of its sepals and petals"


def read(text: str) -> dict[str, Any]:
    """What is set, flat: ``{"size": 2000000, "task": ...}``."""
    found = parse_request(text).requirement
    values = {key: getattr(found, key) for key in ("domain", "task", "target", "classes")}
    for block in (found.limits, found.quality, found.deploy):
        values |= {key: getattr(block, key) for key in block.to_mapping()}
    return {key: value for key, value in values.items() if value}


def test_the_whole_of_a_request() -> None:
    assert read(DEFECTS) == {
        "task": "classification",
        "classes": ("crazing", "inclusion", "patches", "pits", "scratches"),
        "size": 2_000_000,
        "latency_ms": 20.0,
        "accuracy": 0.9,
        "quantize": "int8",
    }
    assert parse_request(DEFECTS).requirement.sentence == DEFECTS


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
        ("no more than two megabytes", {"size": 2_000_000}),
        ("not over 1,5 MiB", {"size": 1_572_864}),
        ("the file may not exceed 900 kilobytes", {"size": 900_000}),
        ("anything above 2 MB won't fit", {"size": 2_000_000}),
        ("fits in 256 KiB of flash and 64 MB of RAM", {"size": 262_144, "memory": 64_000_000}),
        ("peak memory below a quarter of a gigabyte", {"memory": 250_000_000}),
        ("500k params, 1.2 GMACs at most", {"parameters": 500_000, "flops": 2_400_000_000}),
        ("half a second tops", {"latency_ms": 500.0}),
        ("nothing slower than 40 ms", {"latency_ms": 40.0}),
        ("at least 100 per second", {"latency_ms": 10.0}),
        ("50 rows per second in batches of 5 on 2 threads", {"latency_ms": 100.0, "batch_size": 5, "threads": 2}),
        ("3 ms per row in batches of 100", {"latency_ms": 300.0, "batch_size": 100}),
        ("between 1 and 5 MB", {"size": 5_000_000}),
        ("max_size: 5MB, latency_ms: 20", {"size": 5_000_000, "latency_ms": 20.0}),
        ("opset 17 for onnxruntime-web, fp16", {"opset": 17, "runtime": "onnxruntime-web", "quantize": "fp16"}),
        ("safetensors, not ONNX", {"format": "safetensors"}),
        ("We tried int8 but it was worse, so half precision please.", {"quantize": "fp16"}),
    ],
)
def test_limits_and_deployment(text: str, expected: dict[str, Any]) -> None:
    found = read(text)
    assert {key: found.get(key) for key in expected} == expected
    assert set(found) - set(expected) <= {"task", "domain"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("right nine times out of ten", {"accuracy": 0.9}),
        ("an error rate of at most 5 %", {"accuracy": 0.95}),
        ("F1 of at least 0.8, AUC > .95", {"f1": 0.8, "roc_auc": 0.95}),
        ("balanced accuracy 85 percent or better", {"balanced_accuracy": 0.85}),
        ("the accuracy must not drop below 93 %", {"accuracy": 0.93}),
        ("log loss under 0.3", {"log_loss": 0.3}),
    ],
)
def test_quality_of_classes(text: str, expected: dict[str, float]) -> None:
    assert read(text) == {"task": "classification", **expected}


def test_quality_of_numbers() -> None:
    expected = {"task": "regression", "r2": 0.8, "mae": 12.0, "rmse": 20_000.0}
    assert read("R² above 80 %, MAE less than 12 hours, RMSE at most 20k") == expected


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("Tell a cat from a dog", ("cat", "dog")),
        ("sort mails into billing, technical support or other within 20 ms", ("billing", "technical support", "other")),
        ("Is the product review fake or genuine?", ("fake", "genuine")),
        ("good, bad or neutral reviews", ("good", "bad", "neutral")),
        ("screw/nut/washer classifier", ("screw", "nut", "washer")),
        ('the labels are "very bad", "so so" and "good"', ("very bad", "so so", "good")),
        ("Categories: A) fruit B) vegetables C) meat", ("fruit", "vegetables", "meat")),
        ("chest x-rays, tuberculosis vs healthy, 3 MB", ("tuberculosis", "healthy")),
        ("mushroom pics edible/poisonous, 95% accuracy", ("edible", "poisonous")),
        ("support tickets -> billing / technical / sales, 50 ms", ("billing", "technical", "sales")),
        ("joint photos: ok, bridge, void. 3 MB", ("ok", "bridge", "void")),
        ("seizure/no seizure from recordings", ("seizure", "no seizure")),
        ("grade apples A, B or C", ("A", "B", "C")),
        ("know which of sparrow, robin and starling it is", ("sparrow", "robin", "starling")),
        ("potatoes, stones and clods, via a camera: tell the three apart", ("potatoes", "stones", "clods")),
        ("Our stack is React/Node. Reviews: helpful or useless.", ("helpful", "useless")),
        ("Taken with Canon, Nikon or Sony cameras", None),
        ("We speak English or French, and sell jam, honey or candles.", None),
        ("no classes such as low, medium and high: we don't need classification into low and high", None),
        ("table with columns width/height/depth, yes/no", None),
        ("detects dents, scratches etc.", None),
        ("whether it rains or not", None),
        ("from the columns age, income and job", None),
        ("images (png, jpg) on CPU or GPU", None),
    ],
)
def test_classes(text: str, classes: tuple[str, ...] | None) -> None:
    assert read(text).get("classes") == classes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("estimate the price of flats from a CSV", {"task": "regression", "domain": "tabular"}),
        ("a CSV of reviews, positive or negative?", {"task": "classification", "domain": "text"}),
        ("predict the column `charges` as a regression", {"task": "regression", "target": "charges"}),
        ("a 2 MB model for a phone", {"task": None, "domain": None}),
        ("the column to predict is rent_eur", {"task": None, "target": "rent_eur"}),
        ("No regression please, I want to know if it is overpriced", {"task": "classification"}),
        ("Not a picture model. Rows of a table: pass or fail.", {"domain": "tabular", "task": "classification"}),
    ],
)
def test_task_domain_and_target(text: str, expected: dict[str, str | None]) -> None:
    found = read(text)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("it need not be under 1 MB", "under 1 MB", "need not"),
        ("ideally under 1 MB", "under 1 MB", "wish"),
        ("the old one had an accuracy of 80 %", "80 %", "another model"),
        ("our board has 512 MB of RAM", "512 MB", "a device has"),
        ("p95 latency under 50 ms", "under 50 ms", "median"),
        ("99 % recall", "99 %", "recall is not among the metrics"),
        ("at least 90 %", "at least 90 %", "of what is not said"),
        ("under 2M", "under 2M", "of what is not said"),
        ("score 100 rows in 2 seconds", "2 seconds", "one by one"),
        ("a model of at least 5 MB", "at least 5 MB", "no such bound"),
        ("about 20 ms latency", "about 20 ms", "no bound"),
        ("int8 or fp16", "int8 or fp16", "either"),
    ],
)
def test_what_is_left_out_is_told(text: str, words: str, reason: str) -> None:
    found = parse_request(text)
    assert not set(read(text)) - {"task", "domain"}
    assert [(r.words, reason in r.reason) for r in found.unclear] == [(words, True)]


@pytest.mark.parametrize(
    "text",
    [
        "since 2019, for $500,000, with version 2.5 and Python 3.11",
        "10 GB of logs and 20,000 pictures of 640x480 px, 2 MB each",
        "training may take 30 minutes; we deliver within 2 weeks",
        "audio clips of 10 seconds, sampled every 20 ms, at 44 kHz",
        "size doesn't matter on a Raspberry Pi",
    ],
)
def test_other_figures_set_nothing(text: str) -> None:
    assert not set(read(text)) - {"task", "domain"}


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("under 1 MB but at least 5 MB", ("limits: size", "'under 1 MB'", "'at least 5 MB'")),
        ("less than 3 MB and less than 5 MB", ("'less than 3 MB'", "'less than 5 MB'")),
        ("accuracy over 95 % and under 90 %", ("quality: accuracy", "'over 95 %'", "'under 90 %'")),
        ("int8 and fp16", ("deploy: quantize", "'int8'", "'fp16'")),
        ("safetensors with opset 17", ("safetensors and opset 17",)),
        ("4 classes: red, green, blue", ("'4' classes", "3 are listed")),
        ("a regression into the classes cheap and dear", ("a regression has none",)),
        ("forecast the rainfall, accuracy of 80 %", ("accuracy can't be measured on a regression",)),
        ("accuracy of 90 % and MAE below 3", ("accuracy is for classification", "mae for regression")),
    ],
)
def test_contradictions_quote_both(text: str, quotes: tuple[str, ...]) -> None:
    with pytest.raises(ContradictionError) as caught:
        parse_request(text)
    assert caught.value.exit_code == 2
    assert all(quote in str(caught.value) for quote in quotes), str(caught.value)


def test_a_correction_is_none() -> None:
    assert read("Smaller than 2 MB. No wait, make that 3 MB.") == {"size": 3_000_000}
    assert read("The old limit was 5 MB, the new limit is 3 MB.") == {"size": 3_000_000}
    assert read("Accuracy of 95 %. Sorry, I meant 90 %.") == {"task": "classification", "accuracy": 0.9}


def test_long_and_odd_words_are_read_quickly() -> None:
    parse_request(DEFECTS)
    for text in ("1 " * 990, "at least under not the of is a 2 " * 60, "a, " * 660, "(" * 1990, "ß İ 𝟙 2 MB " * 100):
        start = time.process_time()
        parse_request(text)
        assert time.process_time() - start < 1
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
    assert done.stderr == "Left out: 'under 1 MB': it is a wish, not a limit.\n"
    (tmp_path / "words.txt").write_text("sort mails into spam and ham,\nunder 2 MB\n")
    done = cli("parse", "words.txt", "-o", "req.txt")
    assert done.stdout == "req.txt\n"
    assert parse_requirement((tmp_path / "req.txt").read_text()).limits.size == 2_000_000
    assert cli("parse", "words.txt", "-o", "req.txt").returncode == 2


def test_json_has_plain_numbers(bench: Bench) -> None:
    done = bench.run("parse", "--json", "half a second, 2 MB, and about 90 % accuracy")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["limits"] == {"size": 2_000_000, "latency_ms": 500.0}
    assert found["unclear"] == [{"words": "about 90 %", "reason": "it is no bound"}]


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


def test_a_build_keeps_to_what_the_words_say(iris_csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "req.txt").write_text(f"{IRIS}, in less than 1 MB, at least 80 % right, p99 latency under 5 ms.\n")
    with caplog.at_level(logging.INFO, "modelgpt"):
        report = build(tmp_path / "req.txt", data=iris_csv, output=tmp_path / "m.onnx", members=1)
    assert set(report.limits) == {"size", "accuracy"}
    assert any("limits: size 1 MB; quality: accuracy 0.8" in message for message in caplog.messages)
    assert any("'under 5 ms'" in message for message in caplog.messages)
    (tmp_path / "req.txt").write_text(f"{IRIS}, in less than 1 kB.\n")
    with pytest.raises(VerificationError, match="nothing was written"):
        build(tmp_path / "req.txt", data=iris_csv, output=tmp_path / "n.onnx", members=1)


def test_what_is_written_below_goes_before_the_words() -> None:
    found = parse_requirement("Sort mails, under 1 MB, at least 90 % right.\n---\nlimits: {size: 5MB}\n")
    read_on = with_words(found).requirement
    assert (read_on.limits.size, read_on.quality.accuracy) == (5_000_000, 0.9)


def test_sentences_of_describe_say_no_limits() -> None:
    written = Requirement("Classify each of 100 files under 2 MB by kind.", author="offline")
    assert with_words(written).requirement == written


# The benchmark -------------------------------------------------------------------------------------------------------


def run_benchmark(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.benchmarks", "requests", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["dev", "dev-2", "dev-3"])
def test_the_written_requests_are_understood(name: str) -> None:
    done = run_benchmark(ROOT / "tests" / "data" / "requests" / f"{name}.jsonl")
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-3].split("|")
    assert last[1].strip() == "all"
    assert float(last[4]) >= 95


def test_every_key_counts_and_so_does_one_too_many(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "kind": "terse", "text": "2 MB, int8", "expect": {"limits": {"size": "2000 kB"}}},
        {"id": "b", "kind": "terse", "text": "2 MB", "expect": {"limits": {"size": "2MB", "threads": 1}}},
        {"id": "c", "kind": "terse", "text": "int8, fp16", "expect_error": "contradiction"},
        {"id": "d", "kind": "terse", "text": "unter 2 MB", "path": "llm", "expect": {}},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run_benchmark(tmp_path / "r.jsonl", "--misses")
    assert "| all | 3 | 75.0 | 66.7 |" in done.stdout
    assert "deploy.quantize: 'int8', expected None" in done.stdout
    (tmp_path / "r.jsonl").write_text(json.dumps(rows[0] | {"expect": {"sise": 1}}) + "\n")
    assert "'sise'" in run_benchmark(tmp_path / "r.jsonl").stderr
