"""File formats of models, each a module behind one protocol: a target model to bytes, their check, and the way back.

Adding a format is adding a module that follows `Backend` and a line in `core.deploy.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelgpt_cli.core.deploy import FORMATS
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import check_destination

if TYPE_CHECKING:
    from torch import Tensor

    from modelgpt_cli.artifacts.target_model import TargetModel


@dataclass(frozen=True)
class Settings:
    """How a model is to be written.

    Attributes
    ----------
    opset : int, optional
        ONNX operator set; the model's default where None.
    quantize : {"none", "fp16", "int8"}
    runtime : str, optional
        The version of onnxruntime that must load it; see `core.runtimes`.
    options : mapping
        Options of the model's domain that differ from their defaults.
    entries : mapping
        Further entries of the model card, as JSON values.
    """

    opset: int | None = None
    quantize: str = "none"
    runtime: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a model file holds.

    Attributes
    ----------
    model_card : dict
        See `modelgpt_cli.artifacts.model_card`.
    state : dict of Tensor
        As the target model takes it.
    extras : dict of str
        The other metadata entries.
    """

    model_card: dict[str, Any]
    state: dict[str, Tensor]
    extras: dict[str, str]


class Backend(Protocol):
    """A module that writes and reads one file format."""

    def complete(self, model: TargetModel, settings: Settings) -> Settings:
        """Return the settings with the defaults of the model filled in.

        Raises
        ------
        UsageError
            The format can't be written so.
        """
        ...

    def write(self, model: TargetModel, settings: Settings, rows: Any = None) -> bytes:
        """Return the file of a model.

        Parameters
        ----------
        model : TargetModel
        settings : Settings
            From `complete`.
        rows : optional
            Rows of the real data, as the model's `predict` takes them; a quantisation may measure ranges on them.
        """
        ...

    def verify(self, model: TargetModel, raw: bytes, settings: Settings, rows: Any = None) -> float:
        """Hold a file against the model that it was written from.

        Returns
        -------
        float
            The largest difference of a probability, or of a prediction in standard deviations of the target.

        Raises
        ------
        VerificationError
            The file can't be loaded, or differs too much.
        """
        ...

    def read(self, path: Path) -> Contents:
        """Read a file back.

        Raises
        ------
        ModelGPTError
            It is corrupted, foreign, or no longer holds the exact numbers.
        """
        ...


def load_backend(name: str) -> Backend:
    """Return the backend of a format; its module is loaded on first use."""
    backend: Backend = import_module(FORMATS[name].module)
    return backend


def format_of(path: str | Path) -> str | None:
    """Return the name of the format that a file's name ends in; None for any other name."""
    name = Path(path).suffix.lower().removeprefix(".")
    return name if name in FORMATS else None


def check_format(path: str | Path) -> str:
    """Return the name of the format that a file to be written is named for.

    Raises
    ------
    UsageError
        The name ends in no known format.
    """
    name = format_of(path)
    if name is None:
        raise UsageError(f"Can't tell what to write to {path}.", hint=f"End the name in {_endings(FORMATS)}.")
    return name


def check_model_destination(path: str | Path, force: bool) -> None:
    """Make sure, before any long work, that a model can be written to `path`, and in which format.

    Raises
    ------
    UsageError
        The name ends in no known format, or as `check_destination` has it.
    """
    check_format(path)
    check_destination(path, force)


def find_backend(path: str | Path) -> Backend:
    """Return the backend that a file to be written is named for; raises as `check_format`."""
    return load_backend(check_format(path))


def check_deployable(path: str | Path) -> None:
    """Make sure that a file is named for a format that runs by itself.

    Raises
    ------
    UsageError
        It is not.
    """
    deployable = [name for name, known in FORMATS.items() if known.deployable]
    if format_of(path) not in deployable:
        raise UsageError(f"Can't export a model to {path}.", hint=f"End the name in {_endings(deployable)}.")


def _endings(names: Iterable[str]) -> str:
    return " or ".join(f".{name}" for name in names)
