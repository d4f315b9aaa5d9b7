"""Hundreds of mutated files, in this process: each ends in success or one error, and leaves nothing half-done."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelgpt_cli import api
from scripts import fuzz

INPUTS = 300
"""Some seconds' worth; `python -m scripts.fuzz` takes as many as it is asked for."""


@pytest.fixture
def quiet_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a user's own settings out, and what the commands would leave in his cache."""
    monkeypatch.setenv("MODELGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_folders")
def test_mutated_files_are_no_more_than_errors(iris_model: Path, tmp_path: Path) -> None:
    report = fuzz.fuzz(iris_model, INPUTS, seed=2, out=tmp_path / "kept")  # where so few end in both ways
    assert report.failures == []
    assert sum(report.ended.values()) == INPUTS
    ways = {kind: {way for one, way in report.ended if one == kind} for kind, _ in report.ended}
    assert len(ways) == 9
    assert all(len(found) > 1 for found in ways.values())  # both success and errors were tried


def test_an_input_is_the_same_whatever_came_before(iris_model: Path) -> None:
    seeds = fuzz.read_seeds(iris_model)
    assert [fuzz.make_input(seeds, 3, i) for i in (5, 1)] == [fuzz.make_input(seeds, 3, i) for i in (5, 1)]
    assert fuzz.make_input(seeds, 3, 5) != fuzz.make_input(seeds, 4, 5)


@pytest.mark.usefixtures("quiet_folders")
def test_what_must_not_be_is_found(iris_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(api, "parse", parse)
    bench = fuzz.Bench(tmp_path / "bench", iris_model)
    with pytest.raises(fuzz.FoundError, match="unexpected KeyError"):
        fuzz.try_input(bench, ".requirement", b"Sort mails.")
