"""ModelGPT: what a person needs, in words and optionally with their data, becomes a small model, in seconds.

The verbs of the command line are functions here; each imports what it needs when first called.
"""

from __future__ import annotations

from modelgpt_cli.core import clock as _clock  # noqa: F401  # it starts with the import
from modelgpt_cli.core import telemetry as _telemetry  # noqa: F401  # before any library that has some
from modelgpt_cli.core.version import __version__ as __version__

# A command runs this file before it can handle Ctrl-C: all else, `typing` and the list of names included, waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from modelgpt_cli.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load a public name, or the list of them, on first use (PEP 562), so that ``import modelgpt_cli`` stays light."""
    from importlib import import_module

    api = import_module("modelgpt_cli.api")
    if name == "__all__" or name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module 'modelgpt_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
