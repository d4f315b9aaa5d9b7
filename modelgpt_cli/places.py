"""Where a user's own files are, outside the working folder: settings, and what is kept to save time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where things are that can be made again: ``MODELGPT_CACHE``, else ``modelgpt`` in the user's cache folder."""
    own = os.environ.get("MODELGPT_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelgpt"


def config_folder() -> Path:
    """Where the user's settings are: ``modelgpt`` in the user's configuration folder."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "modelgpt"
