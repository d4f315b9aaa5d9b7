"""``--group`` and ``--time``: how a build divides the rows of a table, and what it says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli import build, inspect
from modelgpt_cli.core.errors import UsageError

OFF = {"offline": True, "members": 1, "device": "cpu"}


@pytest.fixture
def patients() -> pd.DataFrame:
    """30 patients with 10 rows each, alike among themselves; the target says nothing but who it is."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 4)).repeat(10, axis=0)
    frame = pd.DataFrame(centres + 0.05 * rng.normal(size=(300, 4)), columns=list("abcd"))
    frame.insert(0, "patient", np.repeat([f"P{i:02}" for i in range(30)], 10))
    frame["state"] = np.where(rng.random(30) < 0.5, "ill", "well").repeat(10)
    return frame


def test_groups_are_held_out_whole(tmp_path: Path, patients: pd.DataFrame) -> None:
    random = build(patients, target="state", output=tmp_path / "random.onnx", **OFF)
    grouped = build(patients, target="state", group="patient", output=tmp_path / "grouped.onnx", **OFF)
    assert random.metrics["model"]["accuracy"] > 0.95
    assert grouped.metrics["model"]["accuracy"] < 0.75
    assert (random.validated, grouped.validated) == ("", "by groups of 'patient'")
    assert any("30 groups" in note and "no input" in note for note in grouped.notes)
    card = inspect(tmp_path / "grouped.onnx")
    assert card["validated"] == grouped.validated
    assert card["provenance"]["split"] == {"by": "group", "column": "patient", "groups": 30}
    assert [i["name"] for i in card["inputs"]] == list("abcd")
    assert "validated" not in inspect(tmp_path / "random.onnx")


def test_a_types_file_keeps_the_groups_column(tmp_path: Path, patients: pd.DataFrame) -> None:
    types = tmp_path / "types.yaml"
    types.write_text("patient: categorical\n")
    build(patients, target="state", group="patient", types=types, output=tmp_path / "m.onnx", **OFF)
    assert inspect(tmp_path / "m.onnx")["inputs"][0]["name"] == "patient"


@pytest.mark.parametrize("dated", [True, False])
def test_forward_in_time_a_random_walk_is_not_predictable(tmp_path: Path, dated: bool) -> None:
    rng = np.random.default_rng(3)
    moments = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d") if dated else np.arange(300)
    walk = pd.DataFrame({"moment": moments, "a": rng.normal(size=300), "price": rng.normal(size=300).cumsum()})
    types = tmp_path / "types.yaml"
    types.write_text(f"moment: {'datetime' if dated else 'numeric'}\n")
    shuffled = walk.sample(frac=1, random_state=0)
    asked = {"target": "price", "types": types, **OFF}
    random = build(shuffled, output=tmp_path / "random.onnx", **asked)
    forward = build(shuffled, time="moment", output=tmp_path / "forward.onnx", **asked)
    assert random.metrics["model"]["r2"] > 0.8
    assert forward.metrics["model"]["r2"] < random.metrics["model"]["r2"] - 0.2
    assert forward.n_rows == 240  # the first fifth is only learned from
    assert forward.interval["mean_width"] > 2 * random.interval["mean_width"]
    assert forward.validated == "forward in time by 'moment'"


def test_a_requirement_without_the_column_takes_it_from_the_data(tmp_path: Path, patients: pd.DataFrame) -> None:
    patients["patient"] = np.arange(300)  # a number of its own in each row: no input
    patients["patient"] = "visit " + patients["patient"].astype(str)
    patients.to_csv(tmp_path / "train.csv", index=False)
    first = build(tmp_path / "train.csv", target="state", output=tmp_path / "m.onnx", **OFF)
    report = build(str(first.requirement), group="patient", output=tmp_path / "n.onnx", members=1, device="cpu")
    assert inspect(tmp_path / "n.onnx")["provenance"]["split"]["groups"] == 300
    assert report.validated


def test_what_makes_no_sense_is_refused(tmp_path: Path, patients: pd.DataFrame) -> None:
    asked = {"target": "state", "output": tmp_path / "m.onnx", **OFF}
    with pytest.raises(UsageError, match="together"):
        build(patients, group="patient", time="a", **asked)
    with pytest.raises(UsageError, match="no such column"):
        build(patients, group="nobody", **asked)
    with pytest.raises(UsageError, match="neither dates nor numbers"):
        build(patients, time="patient", **asked)
    with pytest.raises(UsageError, match="one group"):
        build(patients.assign(patient="P"), group="patient", **asked)
    with pytest.raises(UsageError, match="--group takes cross-validation"):
        build(patients, group="patient", one_pass=True, **asked)
    assert not list(tmp_path.glob("*.onnx"))
