"""``tune`` holds rows out as the build did: by group, forward in time, copies together."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from tiny_texts import build_tiny, topics_frame, write_world

from modelgpt_cli import build, inspect, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.tune import read_table
from modelgpt_cli.training.tune import TuneSettings

QUICK: dict[str, Any] = {"members": 1, "device": "cpu", "offline": True}


def visits() -> pd.DataFrame:
    """20 patients with 6 visits each, alike among themselves; the state is the patient's."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 3)).repeat(6, axis=0), columns=list("abc"))
    frame += 0.05 * rng.normal(size=frame.shape)
    frame.insert(0, "patient", np.repeat([f"P{i:02}" for i in range(20)], 6))
    frame["day"] = np.tile(np.arange(6), 20) + np.arange(120) / 120
    frame["state"] = np.where(rng.random(20) < 0.5, "ill", "well").repeat(6)
    return frame


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grouped") / "model.safetensors"
    build(visits(), target="state", group="patient", output=path, **QUICK)
    return path


def split_of(model: Path, data: pd.DataFrame, **options: Any) -> Any:
    """What ties the rows that a model of a table is tuned on."""
    loaded: Any = load_model(model)
    return read_table(loaded, data, TuneSettings(**options))[0].split


def test_the_builds_groups_are_held_out_whole(grouped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        report = tune(grouped, data=visits(), output=tmp_path / "t.onnx", device="cpu")
    assert report.validated == "by groups of 'patient'"
    assert "Rows are held out by groups of 'patient', as in the build" in caplog.text
    assert inspect(tmp_path / "t.onnx")["provenance"]["tuned"]["validated"] == report.validated
    split = split_of(grouped, visits())
    assert (split.kind, split.column, split.n_groups) == ("group", "patient", 20)


def test_another_column_can_be_named(grouped: Path, tmp_path: Path) -> None:
    report = tune(grouped, data=visits(), time="day", output=tmp_path / "t.onnx", device="cpu")
    assert report.validated == "forward in time by 'day'"
    split = split_of(grouped, visits(), time="day")  # an input of the model, which is read but once
    assert (split.kind, split.keys.tolist()) == ("time", visits()["day"].tolist())
    assert split_of(grouped, visits().assign(clinic=["A", "B"] * 60), group="clinic").n_groups == 2
    for words, options in {
        "no such column 'clinic'": {"group": "clinic"},
        "can't be given together": {"group": "patient", "time": "day"},
        "one group": {"group": "state2"},
    }.items():
        with pytest.raises(UsageError, match=words):
            split_of(grouped, visits().assign(state2="x"), **options)


def test_data_without_the_builds_column(grouped: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert split_of(grouped, visits().drop(columns="patient")) is None
    assert "has no such column: rows are held out at random" in caplog.text


def test_copies_stay_together(grouped: Path) -> None:
    frame = visits().drop(columns="patient")
    split = split_of(grouped, pd.concat([frame, frame.head(40)]))
    assert (split.kind, split.n_groups, split.words()) == ("alike", 120, "")


def test_texts_follow_their_build(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = partial(build_tiny, write_world(tmp_path / "world"), tmp_path)
    frame = topics_frame(30).assign(author=[f"A{i // 3}" for i in range(30)])
    built = make(frame, text="text", target="label", group="author")
    model = tmp_path / "model.safetensors"
    tuning = partial(tune, model, device="cpu", force=True, output=tmp_path / "t.safetensors")
    report = tuning(data=tmp_path / "data.csv")
    assert report.validated == built.report.validated == "by groups of 'author'"
    assert report.before == built.report.metrics["model"]
    report = tuning(data=topics_frame(60))
    assert report.validated == ""
    assert "held out at random" in caplog.text


def test_a_split_that_is_not_the_builds_is_judged_by_a_new_head(tmp_path: Path) -> None:
    make = partial(build_tiny, write_world(tmp_path / "world"), tmp_path)
    frame = topics_frame(30).assign(author=[f"A{i // 3}" for i in range(30)])
    built = make(frame, text="text", target="label")
    report = tune(
        tmp_path / "model.safetensors",
        data=tmp_path / "data.csv",
        group="author",
        output=tmp_path / "t.safetensors",
        device="cpu",
    )
    assert report.validated == "by groups of 'author'"
    assert report.before
    assert report.before != built.report.metrics["model"]


def test_the_command_says_how_rows_are_held_out(bench: Bench, grouped: Path) -> None:
    visits().to_csv(bench.folder / "visits.csv", index=False)
    done = bench.run("tune", grouped, "--data", "visits.csv", "--time", "day", "-o", "t.safetensors")
    assert done.code == 0, done.err
    assert "Held out forward in time by 'day':" in done.err
    line = ["tune", grouped, "--data", "visits.csv", "--group", "nobody", "-o", "u.onnx"]
    bench.refuse(2, "no such column 'nobody'", *line)
