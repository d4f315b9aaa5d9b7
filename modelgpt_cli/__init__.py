"""ModelGPT: what a person needs, in words and optionally with their data, becomes a small model, in seconds.

The verbs of the command line are functions here; each imports what it needs when first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelgpt_cli import api
from modelgpt_cli.core import clock as _clock  # noqa: F401  # it starts with the import
from modelgpt_cli.core import telemetry as _telemetry  # noqa: F401  # before any library that has some
from modelgpt_cli.core.version import __version__ as __version__

if TYPE_CHECKING:
    from modelgpt_cli.api import *  # noqa: F403


__all__ = api.__all__  # one list, and every name in it is loaded by __getattr__


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562), so that ``import modelgpt_cli`` stays light."""
    if name in __all__:
        return getattr(api, name)
    raise AttributeError(f"module 'modelgpt_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
