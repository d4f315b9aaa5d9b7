"""The verbs, as typed Python functions: what the commands call. Each is loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelgpt_cli.artifact.export import export
    from modelgpt_cli.batch.run import build_batch
    from modelgpt_cli.catalogue.find import find
    from modelgpt_cli.data_generator.generate import generate
    from modelgpt_cli.pipeline import build
    from modelgpt_cli.requirement_generator.describe import describe
    from modelgpt_cli.requirement_generator.request_file import parse
    from modelgpt_cli.runtime.card import inspect
    from modelgpt_cli.runtime.evaluate import evaluate
    from modelgpt_cli.runtime.predict import predict
    from modelgpt_cli.training.images import train_images
    from modelgpt_cli.training.meta_train import meta_train
    from modelgpt_cli.training.seen import train_on_seen
    from modelgpt_cli.training.texts import train_texts
    from modelgpt_cli.training.tune import tune

__all__ = [
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
    "train_images",
    "train_on_seen",
    "train_texts",
    "tune",
]

VERBS = {
    "build": "modelgpt_cli.pipeline",
    "build_batch": "modelgpt_cli.batch.run",
    "describe": "modelgpt_cli.requirement_generator.describe",
    "evaluate": "modelgpt_cli.runtime.evaluate",
    "export": "modelgpt_cli.artifact.export",
    "find": "modelgpt_cli.catalogue.find",
    "generate": "modelgpt_cli.data_generator.generate",
    "inspect": "modelgpt_cli.runtime.card",
    "meta_train": "modelgpt_cli.training.meta_train",
    "parse": "modelgpt_cli.requirement_generator.request_file",
    "predict": "modelgpt_cli.runtime.predict",
    "train_images": "modelgpt_cli.training.images",
    "train_texts": "modelgpt_cli.training.texts",
    "train_on_seen": "modelgpt_cli.training.seen",
    "tune": "modelgpt_cli.training.tune",
}
"""Each verb, and the module that holds it."""


def __getattr__(name: str) -> Any:
    """Import a verb's module on first use (PEP 562)."""
    if name in VERBS:
        return getattr(import_module(VERBS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
