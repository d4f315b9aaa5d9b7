"""What the tests of bad input share: ``modelgpt`` in this process, and the check that a refusal left nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelgpt_cli.cli import main


@dataclass
class Done:
    """One run: its exit code and what it said."""

    code: int
    out: str
    err: str


class Bench:
    """A folder to work in, and the command to run there."""

    def __init__(self, folder: Path, read: Callable[[], tuple[str, str]]) -> None:
        self.folder = folder
        self._read = read

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file into the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, *args: str | Path) -> Done:
        """Run the command; no traceback, whatever happens."""
        self._read()
        code = main([str(arg) for arg in args])
        done = Done(code, *self._read())
        assert "Traceback" not in done.err
        assert "unexpected" not in done.err, f"{args}: {done.err}"
        return done

    def refuse(self, code: int, words: str, *args: str | Path) -> Done:
        """Run a command that has to fail with one error, hold `words`, and leave the folder as it was."""
        before = self.snapshot()
        done = self.run(*args)
        assert done.code == code, f"{args}: exit {done.code}: {done.err}"
        assert done.out == ""
        assert [line.startswith("Error:") for line in done.err.splitlines()].count(True) == 1, done.err
        assert words in done.err, f"{args}: {done.err}"
        assert self.snapshot() == before
        return done

    def snapshot(self) -> dict[str, bytes]:
        """Everything in the folder, hidden files too."""
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}


def edited(path: Path, old: str, new: str) -> str:
    """A text file's content with `old`, which has to be there, replaced."""
    text = path.read_text()
    assert old in text
    return text.replace(old, new)


def model_command(command: str, model: Path, data: Path) -> list[str | Path]:
    """A full command line for a command that reads a model."""
    return {
        "inspect": ["inspect", model],
        "predict": ["predict", model, data, "-o", "out.csv"],
        "evaluate": ["evaluate", model, data],
        "export": ["export", model, "-o", "out.onnx"],
        "tune": ["tune", model, "--data", data, "-o", "out.safetensors"],
    }[command]
