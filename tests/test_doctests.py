"""The examples in the docstrings of the public functions and estimators."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import modelgpt_cli

NAMES = (
    *("describe", "parse", "build", "inspect", "predict", "evaluate", "tune", "export"),
    *("ModelGPTClassifier", "ModelGPTRegressor"),
)
"""In an order in which later ones find the files of those before."""
_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the working directory of all examples."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", NAMES)
def test_the_example_holds(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    examples = doctest.DocTestFinder(recurse=False).find(getattr(modelgpt_cli, name), name, globs={})
    assert any(example.examples for example in examples), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=_OPTIONS)
    for example in examples:
        runner.run(example)
    assert runner.failures == 0, capsys.readouterr().out
