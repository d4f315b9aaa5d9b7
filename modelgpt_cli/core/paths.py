"""Where a user's own files are, outside the working folder: settings, and what is kept to save time."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError

log = logging.getLogger("modelgpt")


def cache_folder() -> Path:
    """Where things are that can be made again: ``MODELGPT_CACHE``, else ``modelgpt`` in the user's cache folder."""
    own = os.environ.get("MODELGPT_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelgpt"


def config_folder() -> Path:
    """Where the user's settings are: ``modelgpt`` in the user's configuration folder."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "modelgpt"


def keep(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file of the cache, whole or not at all; one that can't be written is made again the next time.

    Parameters
    ----------
    private : bool
        Whether nobody but its owner may read it.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private else 0o666)
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        log.debug("%s can't be kept in %s: %s", path.name, path.parent, error.strerror)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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

    try:
        # From the open file: of a text in memory, YAML's errors would quote the line, and what may stand there.
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except OSError as error:
        raise UsageError(f"Can't read the {what} {path}.", error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"The {what} {path} is not valid YAML.", str(error)) from error
