"""ModelGPT: what a person needs, in words and optionally with their data, becomes a small model, in seconds.

The verbs of the command line are functions here; each imports what it needs when first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelgpt_cli.core import clock as _clock  # noqa: F401  # it starts with the import

__version__ = "0.2.0"
__all__ = [
    "ModelGPTError",
    "build",
    "build_batch",
    "describe",
    "evaluate",
    "export",
    "find",
    "generate",
    "inspect",
    "meta_train",
    "parse",
    "predict",
    "tune",
]

if TYPE_CHECKING:
    from modelgpt_cli.api import (
        build,
        build_batch,
        describe,
        evaluate,
        export,
        find,
        generate,
        inspect,
        meta_train,
        parse,
        predict,
        tune,
    )
    from modelgpt_cli.core.errors import ModelGPTError


def __getattr__(name: str) -> Any:
    """Load a verb on first use (PEP 562), so that ``import modelgpt_cli`` stays light."""
    if name == "ModelGPTError":
        from modelgpt_cli.core.errors import ModelGPTError

        return ModelGPTError
    if name in __all__:
        from modelgpt_cli import api

        return getattr(api, name)
    raise AttributeError(f"module 'modelgpt_cli' has no attribute {name!r}")
