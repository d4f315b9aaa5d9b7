"""Models of the Hugging Face hub, each pinned to the revision that it has when a process first asks for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_TIMEOUT = 10.0
_loaded: dict[str, str] = {}


@cache
def pin(name: str) -> str | None:
    """Return the revision to load of a model on the hub, where the hub says; all its files are of this one then.

    Raises
    ------
    Exception
        The hub is out of reach; each version of its client has its own kind.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        revision = HfApi().model_info(name, timeout=_TIMEOUT).sha
    except HfHubHTTPError:  # it answers; what is wrong with the name, whoever loads it says
        return None
    if revision:
        _loaded[name] = revision
    return revision


def kept_snapshot(name: str) -> str:
    """Return the folder in the hub's cache that holds what was loaded of a model before.

    Raises
    ------
    OSError, ValueError
        There is none.
    """
    from huggingface_hub import snapshot_download

    folder = snapshot_download(name, local_files_only=True)
    _loaded[name] = Path(folder).name
    return folder


def loaded_revisions() -> dict[str, str]:
    """Return the models of the hub that this process has loaded, with their revisions: for a model's provenance."""
    return dict(_loaded)
