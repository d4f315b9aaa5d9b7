"""The models that a server answers with: loaded once, and again when their files are replaced."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.runtime.feed import OpensCells
from modelgpt_cli.runtime.output import Layout
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.jobs import Job, RowsJob, Scored, score_jobs

logger = logging.getLogger("modelgpt.serve")
Stamp = tuple[int, int, int]


class Served:
    """A model by its name, which may be replaced by a newer one of the same file.

    Parameters
    ----------
    name : str
        As addresses have it.
    path : Path
        The ``model.onnx``.
    threads : int
        CPU threads of a run.

    Attributes
    ----------
    model : Model
        What is served now.
    version : int
        Counts up from 1 when the file is replaced.
    note : str
        What is wrong with the file, where the model that is served is not the file's; "" otherwise.

    Raises
    ------
    ModelGPTError
        The file can't be loaded.
    """

    def __init__(self, name: str, path: Path, threads: int = 1) -> None:
        self.name, self.path = name, path
        self._threads = threads
        self._stamp = _stamp(path)
        self._seen = self._stamp
        self.version, self.note = 1, ""
        self.model = _load(path, threads)
        self._layouts: dict[int, tuple[Model, Layout]] = {}

    def score(self, jobs: Sequence[Job]) -> list[Scored | Exception]:
        """Score a batch with the model that is served now."""
        return score_jobs(self.model, jobs)

    def layout(self, model: Model, topk: int = 1) -> Layout:
        """Return the columns of `predict --proba`'s answers, made once for a loaded file."""
        made = self._layouts.get(topk)
        if made is None or made[0].metadata is not model.metadata:
            proba = model.answers is None and model.task != "regression"
            made = self._layouts[topk] = (model, Layout(model, proba, topk))
        return made[1]

    def refresh(self) -> bool:
        """Load the file anew where it has been replaced; return whether another model is served now.

        A file that has just changed is looked at once more before it is loaded: it may still be being written. One that
        can't be loaded, or is gone, leaves the model that is served as it is, and `note` says so.
        """
        stamp = _stamp(self.path)
        if stamp is None:
            self._say(f"{self.path.name} is gone; the model that was loaded from it is served on.")
            self._seen = None
            return False
        if stamp == self._stamp:
            self._seen = stamp
            self._say("")
            return False
        if stamp != self._seen:
            self._seen = stamp
            return False
        self._stamp = stamp
        try:
            model = _load(self.path, self._threads)
        except ModelGPTError as error:
            self._broken = stamp
            self._say(f"{self.path.name} was replaced by a file that can't be loaded; the model before is served on.")
            logger.warning("%s", error.problem, extra={"model": self.name, "cause": error.cause})
            return False
        self.model = model
        self.version += 1
        self._broken = None
        self._say("")
        logger.info("Loaded the file that replaced %s.", self.path.name, extra={"model": self.name})
        return True

    _broken: Stamp | None = None

    def _say(self, note: str) -> None:
        if not note and self._broken is not None and self._broken == self._stamp:
            return  # the file that can't be loaded is still there
        if note and note != self.note:
            logger.warning("%s", note, extra={"model": self.name})
        self.note = note


class Models:
    """All models of a server, by name."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._served = dict(served)

    @classmethod
    def load(cls, named: Mapping[str, Path], threads: int = 1) -> Models:
        """Load model files; raises `ModelGPTError` where one can't be."""
        return cls({name: Served(name, path, threads) for name, path in named.items()})

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def __len__(self) -> int:
        return len(self._served)

    def get(self, name: str) -> Served | None:
        """Return a model; None where there is none of the name."""
        return self._served.get(name)

    @property
    def names(self) -> list[str]:
        """The names, in the order in which they were given."""
        return list(self._served)


def name_models(given: Sequence[str | os.PathLike[str]]) -> dict[str, Path]:
    """Name models after their files: "iris.onnx" is iris, and "NAME=FILE" is NAME.

    Raises
    ------
    UsageError
        Two have one name, or a name can't stand in an address.
    """
    named: dict[str, Path] = {}
    for one in given:
        text = os.fspath(one)
        name, sign, file = text.partition("=")
        if not sign or os.path.exists(text):
            name, file = Path(text).stem, text
        if not name or name in (".", "..") or any(sign in name for sign in "/\\?#%") or not name.isprintable():
            raise UsageError(f"A model can't be called {name!r}.", "The name is part of its address.", "NAME=FILE.")
        if name in named:
            raise UsageError(
                f"Two models are called {name}: {named[name]} and {file}.",
                "A model is called as its file is.",
                f"Name one: {name}-2={file}",
            )
        named[name] = Path(file).absolute()
    return named


def _load(path: Path, threads: int) -> Model:
    """Load a model, and score an empty row, so that no request waits for what that loads."""
    model = Model(path, threads=threads)
    empty: dict[str, list[None]] = {i.column: [None] for i in model.inputs}
    if isinstance(model.feeds, OpensCells):
        score_jobs(model, [RowsJob(empty, 1, dict.fromkeys(empty, ""))])
    return model


def _stamp(path: Path) -> Stamp | None:
    """What tells a file from another of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
