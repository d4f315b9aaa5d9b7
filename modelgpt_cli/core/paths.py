"""Where a user's own files are, outside the working folder: settings, and what is kept to save time."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.temporary import remove_leftovers, removed_at_end, temporary_name

log = logging.getLogger("modelgpt")


def cache_folder() -> Path:
    """Where things are that can be made again: ``MODELGPT_CACHE``, else ``modelgpt`` in the user's cache folder."""
    own = os.environ.get("MODELGPT_CACHE")
    if own:
        return expand(own)
    return expand(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "modelgpt"


def config_folder() -> Path:
    """Where the user's settings are: ``modelgpt`` in the user's configuration folder."""
    return expand(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "modelgpt"


def expand(path: str | Path) -> Path:
    """Return a path with ``~`` as the user's home folder; as it is where nothing says which that is.

    Raises
    ------
    UsageError
        It is empty, which would mean the folder that one is in.
    """
    if path == "":
        raise UsageError(
            "A path is empty.", "Perhaps it is a variable that has no value.", "Write . for the folder that you are in."
        )
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no HOME, and a user without an entry, as in some containers
        return Path(path)


def keep(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file of the cache, whole or not at all; one that can't be written is made again the next time.

    Parameters
    ----------
    private : bool
        Whether nobody but its owner may read it.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        with removed_at_end(temporary):
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private else 0o666)
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
    except OSError as error:
        log.debug("%s can't be kept in %s: %s", path.name, path.parent, error.strerror)


def read_yaml(path: str | Path, what: str) -> Any:
    """What a user's YAML file of settings holds.

    Parameters
    ----------
    what : str
        What the file is called in an error.

    Raises
    ------
    UsageError
        It can't be read, or is no YAML.
    """
    import yaml

    from modelgpt_cli.core.yaml_text import parse_yaml

    try:
        # From the open file: of a text in memory, YAML's errors would quote the line, and what may stand there.
        with open(path, encoding="utf-8") as file:
            return parse_yaml(file)
    except OSError as error:
        raise UsageError(f"Can't read the {what} {path}.", error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"The {what} {path} is not valid YAML.", str(error)) from error
