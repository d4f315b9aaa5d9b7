"""The public names of the package, as typed Python objects. Each is loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelgpt_cli.artifacts.export import export
    from modelgpt_cli.batch.run import build_batch
    from modelgpt_cli.core.errors import ModelGPTError
    from modelgpt_cli.deployment.bundle.bundle import bundle
    from modelgpt_cli.deployment.bundle.verify import verify
    from modelgpt_cli.deployment.report.report import report
    from modelgpt_cli.deployment.targets import export_for
    from modelgpt_cli.deployment.transfer.push import pull, push
    from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier, ModelGPTRegressor
    from modelgpt_cli.model_generator.build import build
    from modelgpt_cli.model_generator.search.search import search
    from modelgpt_cli.requirement_generator.describe import describe
    from modelgpt_cli.requirement_generator.request_file import parse
    from modelgpt_cli.runtime.evaluate import evaluate
    from modelgpt_cli.runtime.inspect import inspect
    from modelgpt_cli.runtime.predict import predict
    from modelgpt_cli.serving.server import serve
    from modelgpt_cli.sources.catalogue.find import find
    from modelgpt_cli.sources.generator.generate import generate
    from modelgpt_cli.training.meta_train import meta_train
    from modelgpt_cli.training.tune import tune

__all__ = [
    "ModelGPTClassifier",
    "ModelGPTError",
    "ModelGPTRegressor",
    "build",
    "build_batch",
    "bundle",
    "describe",
    "evaluate",
    "export",
    "export_for",
    "find",
    "generate",
    "inspect",
    "meta_train",
    "parse",
    "predict",
    "pull",
    "push",
    "report",
    "search",
    "serve",
    "tune",
    "verify",
]
"""All that ``from modelgpt_cli import …`` offers: this list alone says it."""

_MODULES = {
    "ModelGPTError": "modelgpt_cli.core.errors",
    "build": "modelgpt_cli.model_generator.build",
    "build_batch": "modelgpt_cli.batch.run",
    "bundle": "modelgpt_cli.deployment.bundle.bundle",
    "describe": "modelgpt_cli.requirement_generator.describe",
    "evaluate": "modelgpt_cli.runtime.evaluate",
    "export": "modelgpt_cli.artifacts.export",
    "export_for": "modelgpt_cli.deployment.targets",
    "find": "modelgpt_cli.sources.catalogue.find",
    "generate": "modelgpt_cli.sources.generator.generate",
    "inspect": "modelgpt_cli.runtime.inspect",
    "meta_train": "modelgpt_cli.training.meta_train",
    "parse": "modelgpt_cli.requirement_generator.request_file",
    "predict": "modelgpt_cli.runtime.predict",
    "pull": "modelgpt_cli.deployment.transfer.push",
    "push": "modelgpt_cli.deployment.transfer.push",
    "report": "modelgpt_cli.deployment.report.report",
    "search": "modelgpt_cli.model_generator.search.search",
    "serve": "modelgpt_cli.serving.server",
    "tune": "modelgpt_cli.training.tune",
    "verify": "modelgpt_cli.deployment.bundle.verify",
}
"""Where each is; what is not here is in the part ``estimator`` of the domain that is the default."""


def __getattr__(name: str) -> Any:
    """Import a name's module on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    from modelgpt_cli.core.domain import default_domain, find_domain  # so that Ctrl-C finds the command sooner

    return getattr(find_domain(default_domain()).part("estimator"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
