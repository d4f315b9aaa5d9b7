"""What rows hold that a model was not made for: counted, told, and refused if so asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli import build, evaluate, predict
from modelgpt_cli.cli import main
from modelgpt_cli.core.errors import VerificationError


def make_frame(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.integers(20, 80, n)
    town = np.array(["Bern", "Genf", "Basel"], dtype=object)[rng.integers(0, 3, n)]
    frame = pd.DataFrame({"Age": age, "town": town, "NumOfProducts": rng.integers(0, 5, n)})
    return frame.assign(left=np.where(age > 50, "yes", "no"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("findings") / "m.onnx"
    build(make_frame(), target="left", output=path, offline=True, one_pass=True, members=1)
    return path


def test_rows_like_those_of_the_build_fit(model: Path) -> None:
    found = predict(model, make_frame().drop(columns="left"), strict=True).findings
    assert found.fits
    assert found.rows == 60
    assert found.to_dict() == {"rows": 60, "fits": True}


def test_what_is_found_is_counted_by_column(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = make_frame().astype({"Age": object})
    frame.loc[:2, "town"] = ["Lyon", "Lyon", "Rom"]
    frame.loc[3, "Age"] = "old"
    frame.loc[4:5, "Age"] = [4_000, 5_000]
    frame.loc[6, "town"] = " BERN"  # another spelling is no other level
    with caplog.at_level("WARNING", logger="modelgpt"):
        found = predict(model, frame, chunk_rows=7).findings
    assert found.to_dict()["columns"] == {
        "Age": {"not_of_the_kind": 1, "such_as": "old", "outside_range": 2, "from": 4000.0, "to": 5000.0},
        "town": {"unknown_levels": 3, "levels": {"Lyon": 2, "Rom": 1}},
    }
    assert "Column 'town': 3 cells have levels that the model doesn't know: 'Lyon' (2), 'Rom' (1)." in caplog.messages
    assert any("4000 to 5000" in message for message in caplog.messages)


def test_renamed_and_missing_columns_are_named(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = make_frame().rename(columns={"Age": "age", "town": "x"}).drop(columns="x").assign(id=range(60))
    found = predict(model, make_frame().rename(columns={"Age": "age"}).assign(id=range(60))).findings
    assert (found.missing, found.renamed, found.superfluous) == (["Age"], {"Age": "age"}, ["age", "id"])
    assert "Age (renamed to age?)" in caplog.text
    with pytest.raises(Exception, match="lacks 2 of the model's 3 columns"):
        predict(model, frame)


@pytest.mark.parametrize(
    ("change", "found", "words"),
    [
        (
            lambda frame: frame.assign(town="BE"),
            {"columns": {"town": {"unknown_levels": 60, "levels": {"BE": 60}}}},
            "60 cells have levels that the model doesn't know: 'BE' (60)",
        ),
        (
            lambda frame: frame.assign(Age=[1_000 * (20 + i) for i in range(60)]),
            {"columns": {"Age": {"outside_range": 60, "from": 20_000.0, "to": 79_000.0}}},
            "60 values lie far outside the values that the model was built from (20000 to 79000)",
        ),
        (
            lambda frame: frame.rename(columns={"NumOfProducts": "Products"}),
            {
                "missing_columns": ["NumOfProducts"],
                "superfluous_columns": ["Products"],
                "renamed_columns": {"NumOfProducts": "Products"},
            },
            "NumOfProducts (renamed to Products?)",
        ),
    ],
    ids=["levels", "unit", "name"],
)
def test_a_whole_column_that_changed(
    change: Callable[[pd.DataFrame], pd.DataFrame], found: dict[str, Any], words: str, model: Path
) -> None:
    frame = change(make_frame().drop(columns="left"))
    assert predict(model, frame).findings.to_dict() == {"rows": 60, "fits": False, **found}
    with pytest.raises(VerificationError) as caught:
        predict(model, frame, strict=True)
    assert words in caught.value.cause


def test_strict_refuses_and_writes_nothing(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = make_frame()
    frame.loc[0, "town"] = "Lyon"
    data, answers = tmp_path / "new.csv", tmp_path / "answers.csv"
    frame.to_csv(data, index=False)
    with pytest.raises(VerificationError) as caught:
        evaluate(model, data, strict=True)
    assert "'Lyon' (1)" in caught.value.cause
    counts = tmp_path / "findings.json"
    assert main(["predict", str(model), str(data), "-o", str(answers), "--strict", "--findings", str(counts)]) == 3
    assert json.loads(counts.read_text())["columns"] == {"town": {"unknown_levels": 1, "levels": {"Lyon": 1}}}
    assert not answers.exists()
    assert not list(tmp_path.glob("*.tmp*"))
    capsys.readouterr()
    assert main(["evaluate", str(model), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert found["columns"]["town"]["unknown_levels"] == 1
