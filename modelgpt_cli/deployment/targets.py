"""The places that a model can be exported for, and the folder that each gets. Behind ``modelgpt export --for``."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelgpt_cli.artifacts.backends import format_of
from modelgpt_cli.core.deploy import PLACES
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import MODEL_NAME, bundled_model, check_exists, check_model_file
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.deployment.schema import FILE
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

MARK = FILE
"""A file that each such folder has: what may be replaced is told by it."""


class Target(Protocol):
    """A module that writes the folder of one place.

    Attributes
    ----------
    VERIFIES : bool
        Whether the answers of what is written are compared with the model's; then a user's rows are of use.
    """

    VERIFIES: bool

    def check(self) -> None:
        """Make sure, before any work, that all is at hand.

        Raises
        ------
        ModelGPTError
            Something is missing; names the command that gets it.
        """

    def fill(self, model: Model, folder: Path, data: Data | None = None) -> str:
        """Write a model's files into an empty folder, and return what a user does next.

        Parameters
        ----------
        model : Model
        folder : Path
        data : optional
            Rows to verify on, as for `predict`, beside those that are made up.

        Raises
        ------
        ModelGPTError
            The model can't run there.
        VerificationError
            What was written answers differently.
        """


@dataclass(frozen=True)
class FolderReport:
    """What was written for a place."""

    path: Path
    files: tuple[str, ...]
    size_bytes: int
    seconds: float
    next: str
    """What to do with it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self) | {"path": str(self.path), "files": list(self.files)}


def export_for(
    model: str | os.PathLike[str],
    place: str,
    *,
    output: str | os.PathLike[str],
    data: Data | None = None,
    sheet: str | None = None,
    force: bool = False,
    **options: Any,
) -> FolderReport:
    """Write a folder that runs a model in one place.

    Parameters
    ----------
    model : path-like
        A ``model.onnx``, or a ``model.safetensors``, which is exported first.
    place : str
        One of `PLACES`.
    output : path-like
        The folder to be written.
    data : optional
        Rows to verify on where the place has another format, and labelled ones to measure on what ``quantize`` costs.
    sheet : str, optional
        Of the data, as for `predict`.
    force : bool
        Whether a folder that was written so before may be replaced.
    **options
        Of `artifacts.export.export`, such as ``quantize``.

    Raises
    ------
    UsageError
        There is no such place, or the folder exists.
    ModelGPTError
        The model can't be read, or can't run there.
    """
    start = time.perf_counter()
    if place not in PLACES:
        raise UsageError(f"A model can't be exported for {place!r}.", f"It is one of {', '.join(PLACES)}.")
    writer: Target = import_module(PLACES[place])
    quantized = options.get("quantize") not in (None, "none")
    if data is not None and not writer.VERIFIES and not quantized:
        raise UsageError(f"--data is of no use for {place}.", "The model is written as it is.", "Leave it out.")
    writer.check()
    folder = check_folder(output, force)
    check_model_file(model)
    check_exists(data)
    rows = with_sheet(data, sheet)
    if quantized:
        options |= {"data": data, "sheet": sheet}
    with _onnx_file(Path(model), options) as file, tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:
        whole = Path(made) / "folder"
        whole.mkdir()
        then = writer.fill(Model(file, threads=1), whole, rows)
        _put(whole, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return FolderReport(
        folder,
        tuple(path.relative_to(folder).as_posix() for path in files),
        sum(path.stat().st_size for path in files),
        time.perf_counter() - start,
        then.replace("{folder}", str(output)),
    )


def check_folder(path: str | os.PathLike[str], force: bool) -> Path:
    """Make sure that a folder may be written: it isn't there, is empty, or was written so before and may be replaced.

    Raises
    ------
    UsageError
        It may not.
    """
    folder = Path(os.path.realpath(path))
    if folder.is_file():
        raise UsageError(f"{path} is a file.", "A folder is to be written.", "Give another name.")
    if not folder.parent.is_dir():
        raise UsageError(
            f"Can't write {path}.", f"There is no folder {folder.parent}.", f"Make it first: mkdir -p {folder.parent}"
        )
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise UsageError(
                f"The folder {path} is not empty.",
                "modelgpt export has not written what is in it, and would replace it.",
                "Give another name.",
            )
        if not force:
            raise UsageError(f"{path} already exists.", hint="Give another name, or --force to replace it.")
    return folder


@contextmanager
def _onnx_file(model: Path, options: dict[str, Any]) -> Iterator[Path]:
    """The model as an ONNX file; made first where it is none, or is to be written otherwise."""
    if (content := bundled_model(model)) is not None:
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / MODEL_NAME
            unpacked.write_bytes(content)
            with _onnx_file(unpacked, options) as file:
                yield file
        return
    given = {name: value for name, value in options.items() if value not in (None, "none", False)}
    if format_of(model) == "onnx" and not given:
        yield model
        return
    from modelgpt_cli.artifacts.export import export

    with tempfile.TemporaryDirectory() as folder:
        yield export(model, output=Path(folder) / "model.onnx", **options).path


def _put(whole: Path, folder: Path) -> None:
    """Move a finished folder to its place; what was there goes only then."""
    try:
        if folder.is_dir():
            old = whole.with_name("old")
            folder.rename(old)
            try:
                whole.rename(folder)
            except OSError:
                old.rename(folder)
                raise
            shutil.rmtree(old)
        else:
            whole.rename(folder)
        folder.chmod(0o755)
    except OSError as error:
        raise ModelGPTError(f"Can't write {folder}.", str(error)) from error
