"""The requirement file: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import pytest

from modelgpt_cli.core.block import Block
from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.limits import Limits, parse_parameters, parse_size
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.reading import ReadingRule
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column
from modelgpt_cli.requirement_generator.domain import domain_of
from modelgpt_cli.requirement_generator.requirement_file import format_requirement, parse_requirement, read_requirement

FULL = Requirement(
    sentence="Classify loans as yes or no.",
    task="classification",
    target="granted",
    classes=("no", "yes", "2024", "", "null", "<=50K", "a: b", " x "),
    columns=(
        Column("age", "numeric", "years", mean=38.5816, std=13.6404, missing=0.25),
        Column("since", "datetime", mean=1.5e-7, std=0.0, low=-1.0, reading=ReadingRule(format="%d.%m.%Y: %H")),
        Column("paid", "numeric", reading=ReadingRule(",", ".", "", " €", missing=("-", "no"))),
        Column("job", "categorical", levels=("no", "1.0", "~"), n_levels=70),
        Column("on", "boolean", levels=("yes", "no"), n_levels=2, reading=ReadingRule(true="yes", false="no")),
        Column("id: #1", "identifier", note='all "different"\nlines'),
        Column("", "constant"),
    ),
    data="../my data.csv",
    fingerprint="sha256:00",
    limits=Limits(500_000, 2_000_000, 3_500_000, 5.5, 8, 2, 1 << 27),
    quality=Quality(accuracy=0.9, log_loss=0.25),
    deploy=Deploy("onnx", 17, "int8", "onnxruntime-web"),
    author="gpt-4o-mini",
    target_reading=ReadingRule(missing=()),
)


def test_round_trip() -> None:
    text = format_requirement(FULL)
    assert parse_requirement(text) == FULL
    assert format_requirement(parse_requirement(text)) == text


TEXT = Requirement(
    sentence="Predict the numeric value of score for each pair of texts, a regression.",
    task="regression",
    target="score",
    columns=(
        Column("b", "text", "the claim", missing=0.25, role="pair"),
        Column("a", "text", role="text"),
        Column("id", "identifier", note="a different number in every row"),
    ),
    domain="text",
    target_mean=2.60125,
    target_std=1.5,
)


def test_round_trip_of_texts() -> None:
    text = format_requirement(TEXT)
    assert parse_requirement(text) == TEXT
    assert format_requirement(parse_requirement(text)) == text
    assert "domain: text\ntask: regression\ntarget: score\ntarget_mean: 2.60125\ntarget_std: 1.5\n" in text
    assert "- {name: a, type: text, role: text}\n" in text
    table = Requirement("S.", domain="tabular", data="d.csv")
    assert "domain" not in format_requirement(table)
    alone = Requirement("S.", domain="tabular")  # without a word of it this would be read as about texts
    assert parse_requirement(format_requirement(alone)) == alone


@pytest.mark.parametrize(
    ("below", "is_text"),
    [
        ("", True),
        ("classes: [a, b]", True),
        ("task: regression", True),
        ("domain: text\ndata: d.csv", True),
        ("domain: text\ncolumns: {a: text}", True),
        ("columns: [{name: a, type: text, role: text}]\ndata: d.csv", True),
        ("columns: {a: text}", False),
        ("data: d.csv", False),
        ("classes: [a, b]\ndomain: tabular", False),
    ],
)
def test_what_is_about_texts(below: str, is_text: bool) -> None:
    assert (domain_of(parse_requirement(f"S.\n---\n{below}")).name == "text") is is_text


def test_a_column_is_one_line_and_defaults_are_left_out() -> None:
    bare = Requirement("Do it.", columns=(Column("a", "numeric", mean=1 / 3, std=float("nan")),))
    assert format_requirement(bare) == "Do it.\n---\ncolumns:\n- {name: a, type: numeric, mean: 0.333333}\n"
    assert format_requirement(Requirement("Do it.")) == "Do it.\n"


def test_any_text_survives() -> None:
    rng = random.Random(0)
    alphabet = "ab1 :,#-[]{}'\"\\\n\t\r\x85\u2028\ufeff~!%&*|>@`?é😀.\x00\x1b"
    names = tuple({"".join(rng.choices(alphabet, k=rng.randint(1, 6))) for _ in range(500)})
    full = Requirement("S.", classes=names, columns=tuple(Column(n, "categorical", n, (n,), 1) for n in names))
    assert parse_requirement(format_requirement(full)) == full


@pytest.mark.parametrize("text", ["Classify irises.", "\ufeffClassify\r\n  irises.\r\n", "Classify irises.\n---\n"])
def test_a_bare_sentence_is_a_requirement(text: str) -> None:
    assert parse_requirement(text) == Requirement("Classify irises.")


def test_the_short_forms_of_a_hand_written_file() -> None:
    found = parse_requirement(
        "Grant loans?\r\n---\r\nclasses: [yes, no]\r\ncolumns: {age: numeric, on: boolean}\r\n"
        "limits: {size: 500 kB, parameters: 2M, latency_ms: 0.5 s, flops: 3 MFLOPs, memory: 64MiB}\r\n"
        "quality: {accuracy: 90%, log_loss: 0.4}\r\ndeploy: {quantize: fp16}\r\n"
    )
    assert (found.task, found.classes) == ("classification", ("yes", "no"))
    assert found.columns == (Column("age", "numeric"), Column("on", "boolean"))
    assert found.limits == Limits(500_000, 2_000_000, 3_000_000, 500.0, memory=1 << 26)
    assert found.quality == Quality(accuracy=0.9, log_loss=0.4)
    assert found.deploy == Deploy(quantize="fp16")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no sentence"),
        ("---\ntask: regression", "no sentence"),
        (
            "S.\n---\nfoo: 1",
            "'foo'.*task, target, classes, columns, data, fingerprint, limits, quality, deploy, author",
        ),
        ("S.\n---\ncolumns: [{name: a, type: numeric, mode: 2}]", "a: .*'mode'.*levels, n_levels"),
        ("S.\n---\nlimits: {weight: 2}", "limits: .*'weight'.*size, parameters, flops, latency_ms"),
        ("S.\n---\ntask: clustering", "task can't be 'clustering'.*classification, regression"),
        ("S.\n---\nclasses: a", "classes must be a list"),
        ("S.\n---\nclasses: [[a], b]", "classes must be a list"),
        ("S.\n---\nclasses: [a]", "one class"),
        ("S.\n---\nclasses: [a, b, a]", "classes: 'a' is there twice"),
        ("S.\n---\ntask: regression\nclasses: [a, b]", "classes: a regression has none"),
        ("S.\n---\ncolumns: {a: number}", "a: type can't be 'number'.*numeric, boolean"),
        ("S.\n---\ncolumns: [{type: numeric}]", "has no name"),
        ("S.\n---\ncolumns: [{name: a}]", "a: type can't be None"),
        ("S.\n---\ncolumns: [{name: a, type: numeric}, {name: a, type: text}]", "columns: 'a' is there twice"),
        ("S.\n---\ncolumns: [a, b]", "columns must be a list of columns"),
        ("S.\n---\ncolumns: [{name: a, type: numeric, mean: x}]", "a: mean can't be 'x'"),
        ("S.\n---\ncolumns: [{name: a, type: numeric, mean: .nan}]", "a: mean can't be '.nan'"),
        ("S.\n---\ncolumns: [{name: a, type: numeric, std: -1}]", "a: std can't be '-1'"),
        ("S.\n---\ncolumns: [{name: a, type: numeric, missing: 2}]", "a: missing can't be '2'.*between 0 and 1"),
        ("S.\n---\ndomain: audio", "domain can't be 'audio'.*text, tabular"),
        ("S.\n---\ncolumns: [{name: a, type: text, role: first}]", "a: role can't be 'first'.*text, pair"),
        ("S.\n---\ncolumns: [{name: a, type: numeric, role: text}]", "a: a numeric column has no role"),
        ("S.\n---\ncolumns: [{name: a, type: text, role: pair}]", "columns: one column has the role text"),
        ("S.\n---\ndomain: tabular\ncolumns: [{name: a, type: text, role: text}]", "domain is tabular"),
        ("S.\n---\ntarget_mean: 1", "target_mean and target_std go together"),
        ("S.\n---\ntarget_mean: 1\ntarget_std: 0", "target_std can't be 0.*more than 0"),
        ("S.\n---\ntarget_mean: x\ntarget_std: 1", "target_mean can't be 'x'"),
        ("S.\n---\ntarget_mean: 1\ntarget_std: 1\nclasses: [a, b]", "target_std can't be 1.*classification"),
        ("S.\n---\ncolumns: [{name: a, type: categorical, n_levels: 1.5}]", "a: n_levels can't be '1.5'"),
        ("S.\n---\ntarget: a\ncolumns: {a: numeric}", "'a' is the target"),
        ("S.\n---\ntarget: [a]", "target must be one value"),
        ("S.\n---\nlimits: small", "limits must be"),
        ("S.\n---\nlimits: {accuracy: 0.9}", "limits: accuracy is now quality: accuracy"),
        ("S.\n---\nlimits: {opset: 17}", "limits: opset is now deploy: opset"),
        ("S.\n---\nlimits: {quantize: int8}", "limits: quantize is now deploy: quantize.*deploy: {quantize: int8}"),
        ("S.\n---\nquality: {recall: 0.9}", "quality: .*'recall'.*accuracy, balanced_accuracy"),
        ("S.\n---\ndeploy: {device: pi}", "deploy: .*'device'.*format, opset"),
        ("S.\n---\nquality: {accuracy: 0.9, r2: 0.5}", "accuracy is for classification, and r2 for regression"),
        ("S.\n---\ntask: regression\nquality: {f1: 0.9}", "f1 can't be measured on a regression.*r2, mae"),
        ("S.\n---\nclasses: [a, b]\nquality: {mae: 1}", "mae can't be measured on a classification"),
        ("S.\n---\ntask: detection\nquality: {miou: 0.5}", "miou can't be measured on images with boxes.*map50, map"),
        ("S.\n---\nclasses: [a, b]\nquality: {map50: 0.5}", "map50 can't be measured on a classification"),
        ("S.\n---\ndeploy: {format: safetensors, opset: 17}", "safetensors and opset 17 contradict"),
        ("S.\n---\ndeploy: {format: safetensors, quantize: int8}", "safetensors and quantize int8 contradict"),
        ("S.\n---\ndeploy: {quantize: [int8, fp16]}", "quantize can't be"),
        ("S.\n---\nlimits: {size: 1MB, size: 2MB}", "'size' is there twice"),
        ("S.\n---\ntask: regression\ntask: classification", "'task' is there twice"),
        ("S.\n---\na: b: c", "not YAML.*line 1 after the ---"),
        ("S.\n---\n- a", "not YAML with keys"),
        ("S.\n---\n" + "[" * 5000, "not YAML"),
        ("S.\n---\nx: !!python/object/apply:os.getcwd []", "'x'"),
        ("word " * 1000, "not a requirement file"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){words}"):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1MB", 10**6), ("500 kB", 500_000), ("1.5 MiB", 1_572_864), (7, 7), ("1e6", 10**6)],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


def test_numbers_of_parameters() -> None:
    assert [parse_parameters(text) for text in ("2M", "1.5k", 12, "1B")] == [2_000_000, 1500, 12, 10**9]


@pytest.mark.parametrize(
    "bad",
    [
        {"size": "big"},
        {"size": "-1"},
        {"size": 0},
        {"size": True},
        {"size": "1 MW"},
        {"size": "nan"},
        {"parameters": "2 MB"},
        {"latency_ms": "0"},
        {"latency_ms": "1e999"},
        {"batch_size": 1.5},
        {"threads": "2k"},
        {"flops": "2 MB"},
        {"memory": "64 M"},
    ],
)
def test_a_limit_that_makes_no_sense_is_named(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"limits: {next(iter(bad))} can't be"):
        Limits.from_mapping(bad)


@pytest.mark.parametrize(
    ("block", "bad"),
    [
        (Quality, {"accuracy": 90}),
        (Quality, {"accuracy": "0"}),
        (Quality, {"f1": "high"}),
        (Quality, {"r2": 1.5}),
        (Quality, {"mae": "0"}),
        (Quality, {"nme": 1.5}),
        (Quality, {"map50": 80}),
        (Quality, {"rmse": "5 ms"}),
        (Deploy, {"opset": 25}),
        (Deploy, {"opset": 9}),
        (Deploy, {"quantize": "int4"}),
        (Deploy, {"format": "tflite"}),
        (Deploy, {"runtime": "tensorflow"}),
    ],
)
def test_a_quality_or_deployment_that_makes_no_sense_is_named(block: type[Block], bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"{block.name}: {next(iter(bad))} can't be"):
        block.from_mapping(bad)


def test_operations_are_counted_in_flops_or_macs() -> None:
    assert [Limits(flops=v).flops for v in ("2 MFLOPs", "1 GMACs", "500k", 7)] == [  # type: ignore[arg-type]
        2_000_000,
        2_000_000_000,
        500_000,
        7,
    ]


def test_data_is_found_from_the_file_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "req.txt").write_text("S.\n---\ndata: ../d.csv\n")
    monkeypatch.chdir(tmp_path)
    assert read_requirement("sub/req.txt").data == str(tmp_path.resolve() / "d.csv")


def test_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"S.\n---\ndata: d.csv\n")))
    assert read_requirement("-") == Requirement("S.", data=str(tmp_path.resolve() / "d.csv"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"\x08\x0aonnx\x00\x00", b"a,b\n" + b"1,2\n" * 900, b""])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"model\.onnx"):
        read_requirement(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="modelgpt describe"):
        read_requirement(tmp_path / "req.txt")


def test_a_format_of_dates_may_stand_where_it_stood_before() -> None:
    old = parse_requirement("Say when.\n---\ncolumns:\n- {name: day, type: datetime, format: '%d.%m.%Y'}\n")
    assert old.columns[0].reading == ReadingRule(format="%d.%m.%Y")
