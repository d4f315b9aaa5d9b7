"""What a build is given first, as a requirement: a requirement file, data that are described here, or words.

Before `build`, which goes on with the requirement.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from modelgpt_cli.artifacts.backends import check_model_destination
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination, check_exists
from modelgpt_cli.core.option_fields import known_options
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.address import with_sheet, without_place
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES
from modelgpt_cli.data.readers import is_own_format
from modelgpt_cli.model_generator.cards import find_card
from modelgpt_cli.requirement_generator.requirement_file import (
    format_requirement,
    parse_requirement,
    read_requirement,
)

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

DATA_SUFFIXES = (*TABLE_SUFFIXES, ".zip")
"""How names of files end that hold data; a file of any other name is a requirement."""
_SUFFIXES = (*DATA_SUFFIXES, ".gz", ".txt", ".md", ".req", ".yaml")
"""How names of files end that may be missing: words don't end so."""
_DESCRIBED = ("sheet", "target", "description", "types", "merge_labels", "keep_na", "seed")
"""Options of a build that `describe` takes too, beside those that say how data are read."""


@dataclass(frozen=True)
class Start:
    """What a build begins with.

    Attributes
    ----------
    requirement : Requirement
    beside : Path, optional
        Where a requirement that was written here is to be kept.
    described : bool
        Whether it was written here, from data.
    data : optional
        The data that it was written from, if they are in memory: a requirement names files alone.
    """

    requirement: Requirement
    beside: Path | None = None
    described: bool = False
    data: Data | None = None

    def keep(self, force: bool) -> None:
        """Write the requirement to `beside`, if it is to be kept."""
        if self.beside is None:
            return
        data = self.requirement.data
        kept = self.requirement if data is None else replace(self.requirement, data=_relative(data, self.beside))
        with atomic_write(self.beside, force=force) as temporary:
            temporary.write_text(format_requirement(kept), encoding="utf-8", newline="\n")


def check_start(
    source: Data | Requirement, values: Mapping[str, Any], output: Path, *, keep_requirement: bool, force: bool
) -> Path | None:
    """Make sure that what a build is given is there, and that its files may be written; neither is read or loaded.

    Parameters
    ----------
    source : str, path-like, table in memory or Requirement
        As for `begin`.
    values : mapping
        The build's options by name.
    output : Path
        The model's file.
    keep_requirement, force : bool
        As for `build`.

    Returns
    -------
    Path or None
        Where a requirement is to be kept that will be written for data.

    Raises
    ------
    UsageError
        A file is not there, exists already, or is named for no format of models; there is no such card; a sheet is
        named where there is no workbook; or a domain where there are data.
    """
    check_model_destination(output, force)
    for name in ("data", "types"):
        check_exists(values.get(name))
    check_exists(values.get("generator"), "--generator takes a checkpoint, or a folder with one.")
    if values.get("card") is not None:
        find_card(values["card"].partition("/")[0])
    data = _given_data(source, values)
    if data is not None or not _is_file(source):  # a requirement file may name some
        with_sheet(data, values.get("sheet"))
    check_domain(values, data is not None)
    beside = output.with_name(f"{output.stem}.req.txt") if keep_requirement else None
    if isinstance(source, Requirement) and values.get("data") is None:
        check_exists(source.data)
    if not _is_file(source):
        return beside
    named = os.fspath(source)
    hint = "Give data, a requirement file, or a sentence of several words."
    check_exists(named, hint)
    if is_data(named) and beside is not None:
        check_destination(beside, force)
    return beside


def _given_data(source: Data | Requirement, values: Mapping[str, Any]) -> Data | None:
    """Return what data a build is given, as far as that is known while no file is read; None for none."""
    data: Data | None = values.get("data")
    if data is not None:
        return data
    if isinstance(source, Requirement):
        return source.data
    return None if isinstance(source, (str, os.PathLike)) and not is_data(os.fspath(source)) else source


def check_domain(values: Mapping[str, Any], data: bool) -> None:
    """Make sure that no domain is named where there are data.

    Raises
    ------
    UsageError
        One is.
    """
    if data and values.get("domain") is not None:
        raise UsageError("--domain is for builds from words alone: data say what they are.", hint="Leave it out.")


def begin(
    source: Data | Requirement,
    values: Mapping[str, Any],
    *,
    beside: Path | None,
    force: bool,
    **asking: Any,
) -> Start:
    """Return the requirement that a build is given, or one made of what it is given.

    Parameters
    ----------
    source : str, path-like, table in memory or Requirement
        A requirement file (``-`` for stdin), data, or a sentence.
    values : mapping
        The build's options by name.
    beside : Path, optional
        Where a requirement that is written here would be kept.
    force : bool
        Whether an existing file may be replaced there.
    **asking
        Which LLM `describe` asks, and how: its `llm`, `cache`, `redact` and `offline`.

    Raises
    ------
    UsageError
        It is none of these, or data are named twice.
    """
    if isinstance(source, Requirement):
        return Start(source)
    if isinstance(source, str) and _is_sentence(source):
        return Start(parse_requirement(source))
    in_memory = None if isinstance(source, (str, os.PathLike)) else source
    if isinstance(source, (str, os.PathLike)) and not is_data(os.fspath(source)):
        return Start(read_requirement(os.fspath(source)))
    if values.get("data") is not None:
        raise UsageError(
            f"{_name(source)} and {_name(values['data'])} both are data.",
            hint="Leave one of them out; a requirement is written by: modelgpt describe DATA -o req.txt",
        )
    if beside is not None:
        check_destination(beside, force)
    from modelgpt_cli.requirement_generator.describe import describe

    reading = [name for name, known in known_options(BuildOptions).items() if known.about.reading]
    about = {name: values[name] for name in (*_DESCRIBED, *reading) if name in values}
    written = describe(source, **asking, **about).requirement
    return Start(written, beside, described=True, data=in_memory)


def _name(data: Data) -> str:
    from modelgpt_cli.data.in_memory import NAME

    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else NAME


def is_data(path: str) -> bool:
    """Whether a path is a folder, or a file whose name says that it holds data."""
    named = without_place(path)
    return (
        os.path.isdir(path)
        or named.lower().removesuffix(".gz").endswith(DATA_SUFFIXES)
        or is_own_format(Path(named).expanduser())
    )


def _is_file(source: Data | Requirement) -> TypeGuard[str | os.PathLike[str]]:
    """Whether a build is given the name of a file or folder, not words or what is in memory."""
    return isinstance(source, os.PathLike) or (isinstance(source, str) and not _is_sentence(source))


def _is_sentence(text: str) -> bool:
    """Whether a text is words, and not the name of a file."""
    return len(text.split()) > 1 and not os.path.exists(text) and not without_place(text).lower().endswith(_SUFFIXES)


def _relative(data: str, file: Path) -> str:
    """The place of the data, seen from the folder of a file; in full if they are on another drive."""
    try:
        return Path(os.path.relpath(data, file.resolve().parent)).as_posix()
    except ValueError:
        return data
