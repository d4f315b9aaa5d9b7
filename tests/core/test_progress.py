"""Progress bars: on a terminal, on stderr, for steps that last, and for nobody who asked for quiet."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_models import tiny_model

from modelgpt_cli.cli import main
from modelgpt_cli.core import progress as bars
from modelgpt_cli.core.progress import hidden, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal, on which bars appear at once; in the test itself, as pytest sets stderr before each."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(bars, "_DELAY", 0)
    monkeypatch.setattr(logging.getLogger("modelgpt"), "level", logging.NOTSET)
    return found


def count_to(n: int, total: int | None = None) -> None:
    with progress("count", total, "sheep") as advance:
        for _ in range(n):
            advance(1)


def test_a_bar_says_what_how_many_and_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    count_to(3, 4)
    shown = terminal.getvalue()
    assert "count" in shown
    assert "/4" in shown
    assert "sheep/s" in shown
    assert shown.endswith("\r"), "the bar is removed"


def test_a_bar_without_a_total_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    count_to(3)
    assert "count: 0 sheep" in terminal.getvalue()


def test_what_is_over_soon_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(bars, "_DELAY", 60)
    count_to(3)
    assert "count" not in terminal.getvalue()


def test_none_in_a_file_or_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(bars, "_DELAY", 0)
    count_to(3)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_none_for_the_quiet_or_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(logging.getLogger("modelgpt"), "level", logging.WARNING)
    assert hidden() is True
    count_to(3)
    monkeypatch.setattr(logging.getLogger("modelgpt"), "level", logging.INFO)
    assert hidden() is None
    monkeypatch.setitem(sys.modules, "tqdm", None)
    count_to(3)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_commands_show_bars_on_a_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [0, 1]})
    rows = pd.DataFrame({"a": np.arange(-20, 20), "target": ["x"] * 20 + ["y"] * 20})
    rows.to_csv(tmp_path / "d.csv", index=False)
    terminal = open_terminal(monkeypatch)
    line = [command, str(model), str(tmp_path / "d.csv"), *(["--importance"] if command == "evaluate" else [])]
    assert main(line) == 0
    shown = terminal.getvalue()
    assert f"{command}: " in shown
    assert "/40 " in shown
    assert ("importance" in shown) == (command == "evaluate")
    out = capsys.readouterr().out
    terminal.truncate(0)
    assert main([*line, "-q"]) == 0
    assert terminal.getvalue().strip("\0") == ""
    assert capsys.readouterr().out == out
