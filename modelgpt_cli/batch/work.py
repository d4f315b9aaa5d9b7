"""One request to one model, in a worker that keeps generator and encoder from one to the next."""

from __future__ import annotations

import json
import logging
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.requests import Request
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256

REPORTED = ("size_bytes", "card", "storage", "metrics", "n_rows", "interval", "limits", "missed", "notes")
"""Of a build's report, what the manifest holds."""


@dataclass(frozen=True)
class Task:
    """A request, and where its model is made.

    Attributes
    ----------
    key : str
        `Request.key`, of when the batch began.
    folder : str
        Where the model is made; whoever keeps the manifest puts it where it belongs.
    """

    request: Request
    key: str
    folder: str

    def line(self) -> str:
        """For a worker's input."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> Task:
        """The task of a line."""
        values = json.loads(line)
        return cls(Request(**values["request"]), values["key"], values["folder"])

    def failed(self, error: Exception, seconds: float) -> Entry:
        """The entry where there is no model."""
        return Entry(self.request.id, self.key, "failed", self.request.file, round(seconds, 3), error=failure(error))


def failure(error: Exception) -> dict[str, Any]:
    """What the manifest says of an error."""
    if isinstance(error, ModelGPTError):
        said = {"problem": error.problem, "cause": error.cause, "hint": error.hint}
        return said | {"exit_code": error.exit_code}
    # a fault of ours, which must not cost the others their models
    cause = "".join(traceback.format_exception(error)).strip()
    return {"problem": f"{type(error).__name__}: {error}", "cause": cause, "hint": "", "exit_code": 1}


def make(task: Task) -> Entry:
    """Build a request's model; whatever goes wrong is in the entry."""
    start = time.monotonic()
    try:
        report = _build(task)
    except Exception as error:
        return task.failed(error, time.monotonic() - start)
    seconds = round(time.monotonic() - start, 3)
    return Entry(task.request.id, task.key, "built", task.request.file, seconds, report=report)


def _build(task: Task) -> dict[str, Any]:
    from modelgpt_cli.artifacts.model_card import plain
    from modelgpt_cli.core.option_fields import known_options
    from modelgpt_cli.core.options import BuildOptions
    from modelgpt_cli.model_generator.build import build
    from modelgpt_cli.requirement_generator.describe import describe

    options = {k: v for k, v in task.request.options.items() if k not in ("requirement", "req")}
    wanted = task.request.wanted()
    if wanted is None:
        reading = [name for name, known in known_options(BuildOptions).items() if known.about.reading]
        about = {name: options[name] for name in ("target", "types", "keep_na", *reading) if name in options}
        merge = options.get("merge_labels", False)
        wanted = describe(options["data"], offline=True, merge_labels=merge, **about).requirement
    path = Path(task.folder) / task.request.file
    values = build(wanted, output=path, force=True, lenient=task.request.lenient, **options).to_dict()
    said: dict[str, Any] = plain({name: values[name] for name in REPORTED if values[name] not in ({}, [])})
    return {"sha256": sha256(path)} | said


def quieten() -> None:
    """Leave words and warnings to the manifest: of thousands of models nobody reads them as they pass."""
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
