"""What an agent can do: describe, parse, build, predict, evaluate, inspect, each a call of the public verb.

An LLM has no part in them: the agent is one, and the data stay on this machine. Between the verbs and `server`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelgpt_cli import api
from modelgpt_cli.agents.root import Root
from modelgpt_cli.core.errors import UsageError

MOST_ROWS = 1000
"""Answers that `predict` returns at most; more go to a file."""


class Tools:
    """The tools of one server.

    Parameters
    ----------
    root : Root
        The folder that all paths are held to.
    """

    def __init__(self, root: Root) -> None:
        self.root = root

    def all(self) -> list[Callable[..., dict[str, Any]]]:
        """Return the tools: a function's name, signature and docstring are what an agent sees."""
        return [self.describe, self.parse, self.build, self.predict, self.evaluate, self.inspect]

    def describe(
        self,
        data: str,
        target: str | None = None,
        description: str | None = None,
        text: str | None = None,
        text_pair: str | None = None,
        sheet: str | None = None,
        output: str | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Look at labelled data and write a requirement: what is to be predicted from which columns.

        data: a table (CSV, JSON lines, Parquet, Excel), or a folder or zip of texts or images with a sub-folder per
        class. target: the column to predict; guessed if not given. text, text_pair: columns of texts. sheet: of a
        workbook. output: a requirement file to write (req.txt), which build takes; its sentence may be edited.
        force: replace that file. Returns the sentence, task, target, classes, columns and notes.
        """
        done = api.describe(
            self.root.path(data),
            target=target,
            description=self._description(description),
            sheet=sheet,
            output=self._written(output),
            force=force,
            offline=True,
            **_given(text=text, text_pair=text_pair),
        )
        return done.to_dict() | {"path": self._shown(done.path)}

    def parse(self, request: str, output: str | None = None, force: bool = False) -> dict[str, Any]:
        """Show how a request in plain English words is understood: task, classes, limits on size, latency and quality.

        request: the words, or a file of them. output: a requirement file to write, which build takes.
        """
        words, is_file = self.root.words_or_path(request)
        done = api.parse(Path(words) if is_file else words, output=self._written(output), force=force, offline=True)
        return done.to_dict() | {"requirement": done.text, "path": self._shown(done.path)}

    def build(
        self,
        source: str,
        output: str,
        data: str | None = None,
        target: str | None = None,
        text: str | None = None,
        text_pair: str | None = None,
        card: str | None = None,
        members: int | None = None,
        group: str | None = None,
        time: str | None = None,
        best_effort: bool = False,
        seed: int = 0,
        force: bool = False,
    ) -> dict[str, Any]:
        """Make a small ONNX model in seconds, from labelled data, a requirement file, or words alone.

        source: data, a requirement file, or a sentence such as "tell roses from tulips in photos, under 5 MB". output:
        model.onnx. data: labelled data beside a requirement or a sentence. target: the column to predict. card: an
        architecture by name. group, time: cross-validate by groups of this column, or forward in its order. Limits that
        the words or the requirement state are measured on the file. force: replace existing files. Returns
        cross-validated metrics beside baselines, size, seconds and notes.
        """
        begin, is_file = self.root.words_or_path(source)
        report = api.build(
            self._requirement(begin) if is_file else begin,
            data=None if data is None else self.root.path(data),
            output=self.root.path(output),
            force=force,
            offline=True,
            best_effort=best_effort,
            seed=seed,
            **_given(target=target, text=text, text_pair=text_pair, card=card, members=members, group=group, time=time),
        )
        values = report.to_dict()
        return values | {"path": self._shown(report.path), "requirement": self._shown(report.requirement)}

    def predict(
        self,
        model: str,
        data: str | None = None,
        rows: list[dict[str, Any]] | None = None,
        output: str | None = None,
        proba: bool = False,
        keep: str | None = None,
        limit: int = 100,
        force: bool = False,
    ) -> dict[str, Any]:
        """Predict for new rows, texts or images with a model.onnx.

        Give data (a table, an image, or a folder of them), or rows: objects of column → value, for a model of texts
        [{"text": "..."}] with its column's name. proba: a probability for each class. keep: columns of the input to
        repeat, "id,name" or "all". limit: answers to return, up to 1,000. output: write all of them to this .csv or
        .jsonl file instead. Returns the answers, and what the rows hold that the model was not made for.
        """
        if (data is None) == (rows is None):
            raise UsageError("Give either data or rows.", hint='For instance: rows = [{"length": 1.4, "width": 0.2}]')
        if not 0 < limit <= MOST_ROWS:
            raise UsageError(f"limit can't be {limit}.", f"It is 1 to {MOST_ROWS:,}.", "For more, give output.")
        given: Any = rows if data is None else self.root.path(data)
        file = self.root.path(model)
        if rows is not None and self._reads_files(file):
            raise UsageError("This model reads files.", hint="Give data: an image, or a folder of images.")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "answers.jsonl") if output is None else self.root.path(output)
            done = api.predict(file, given, output=path, proba=proba, keep=keep, force=force)
            told: dict[str, Any] = {"rows": done.rows, "seconds": done.seconds}
            if not done.findings.fits:
                told["findings"] = done.findings.to_dict()
            if done.novelty_threshold is not None:
                told["novel"] = done.novel
            if output is not None:
                return told | {"path": self._shown(path)}
            with open(path, encoding="utf-8") as lines:
                answers = [json.loads(line) for line, _ in zip(lines, range(limit), strict=False)]
        return told | {"answers": answers}

    def evaluate(self, model: str, data: str, target: str | None = None, importance: bool = False) -> dict[str, Any]:
        """Measure a model.onnx on labelled data that it was not built from.

        importance: also by how much a metric gets worse when a column is shuffled. Returns metrics, the confusion
        matrix, and what the rows hold that the model was not made for.
        """
        done = api.evaluate(self.root.path(model), self.root.path(data), target=target, importance=importance)
        return done.to_dict()

    def inspect(self, model: str) -> dict[str, Any]:
        """Show a model's card: inputs with types, bounds and levels, labels, metrics, notes and provenance."""
        card = api.inspect(self.root.path(model))
        return card | {"file": card["file"] | {"path": self._shown(card["file"]["path"])}}

    def _requirement(self, path: str) -> Any:
        """What a build begins with: data as they are; a requirement, once its data are known to lie below the root."""
        from modelgpt_cli.model_generator.source import is_data
        from modelgpt_cli.requirement_generator.requirement_file import read_requirement

        if is_data(path):
            return path
        found = read_requirement(path)
        if found.data is not None:
            self.root.path(found.data)
        return found

    @staticmethod
    def _reads_files(model: str) -> bool:
        from modelgpt_cli.runtime.session import Model

        return Model(model, threads=1).feeds.FILES

    def _description(self, words: str | None) -> str | None:
        """Words, or the file of them, held to the root."""
        return f"@{self.root.path(words[1:])}" if words is not None and words.startswith("@") else words

    def _written(self, output: str | None) -> str | None:
        return None if output is None else self.root.path(output)

    def _shown(self, path: str | os.PathLike[str] | None) -> str | None:
        return None if path is None else self.root.shown(path)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
