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


def test_the_examples_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for name in NAMES:
        examples = doctest.DocTestFinder(recurse=False).find(getattr(modelgpt_cli, name), name, globs={})
        assert any(example.examples for example in examples), f"{name} has no example"
        for example in examples:
            runner.run(example)
    assert runner.failures == 0, capsys.readouterr().out
