"""The seam between the shared rooms and the domains: what a domain is called, and where its parts are.

A domain is a folder with a `Domain` in its ``__init__`` and a module for each of its parts. Shared code finds a domain
here, asks it for a part, and knows the part by a protocol of its own room; it never imports a domain or names one. So a
new domain is a new folder and a line in `_PACKAGES`. Models for this seam: spaCy's and spacy-llm's registries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError

PARTS = {
    "read": "data.source.Reader: is this data the domain's, and the data as a `Dataset`",
    "profile": "requirement_generator.profile.Profiler: what an LLM is shown of a data set, and what is said of it",
    "requirement": "requirement_generator.domain.Claims: what a requirement of the domain must say",
    "options": "core.options: the options that only this domain, or it and some others, understand",
    "architectures": "model_generator.cards.Shelf: the architecture cards and what their models cost",
    "build": "model_generator.builders.Builders: requirement and rows to a target model",
    "model": "artifacts.target_model.Models: a target model from what its file holds",
    "space": "model_generator.search.space.Searched: what a search may set of a build and its tuning; optional",
    "onnx": "artifacts.onnx_file.OnnxWriter: a target model as a graph, and back; its entries in the model card",
    "verify": "artifacts.verify.Verifier: the graph held against the target model",
    "measure": "model_generator.measure.Measured: rows to measure a graph on, and a model to measure",
    "feed": "runtime.feed.Feeds: rows to the graph's inputs; imports no torch",
    "answers": "runtime.answers.Answers: outputs to answers of a task of its own; imports no torch; optional",
    "page": "deployment.page.Page: the fields of a page that runs a model, and how an answer is shown; optional",
    "core": "deployment.numeric.Core: where preprocessing ends in a graph, for runtimes of networks alone; optional",
    "needs": "core.checks.Needs: what `doctor` checks for this domain alone; optional",
    "tune": "training.tune.Tuner: finetuning (ModelGPT-F); optional",
    "train": "training.meta_train.Trainer: meta-training (Algorithm 1); optional",
}
"""Module of a domain's folder → the protocol that its functions follow, and what it is for."""

_PACKAGES = {
    "dense": "modelgpt_cli.domains.image.dense",
    "detection": "modelgpt_cli.domains.image.detection",
    "keypoints": "modelgpt_cli.domains.image.keypoints",
    "image": "modelgpt_cli.domains.image",
    "marked": "modelgpt_cli.domains.text.spans",
    "text": "modelgpt_cli.domains.text",
    "tabular": "modelgpt_cli.domains.tabular",
}
"""The registry: name → package. In the order in which data is offered to the domains; the last takes what others leave.
Masks are files beside images, and go before annotations of these: their domain is asked before others of annotations.
This is the one place outside `domains` that names a domain."""


@dataclass(frozen=True)
class Domain:
    """A kind of data, and what there is for it.

    Attributes
    ----------
    name : str
        As requirement files and model cards have it.
    title : str
        What users call its data, in the plural: "tables".
    rows : str
        What users call the things that are predicted for, in the plural: "rows".
    package : str
        Where its parts are.
    roles : mapping
        What a column can be to its models → the type of such a column, in the order in which they are read. Empty where
        any columns are inputs.
    task : str
        The kind of task that all its models have, where no other domain's have it; "" for the usual ones.
    suffixes : tuple of str
        How files end that may hold its data and no table; its part ``read`` is asked (`Reader.open_file`).
    beside : tuple of str
        How files end that lie beside its data in a folder, where they are part of these and no tables.
    metrics : tuple of str
        Where it has a task of its own: the metrics that its build measures and a requirement may ask for.
    pipelines : mapping of str to str
        Kind of task → what the Hugging Face hub calls it with such data.
    nouns, signs, doubts : str
        Regular expressions for requirements without data, in lower case: what sentences call the things that are
        predicted for; other words that speak of such data; words that say it may be something else. "" for none.
    verbs : str
        Likewise, of a domain with a task of its own: verbs that ask for it, and whose objects are the classes.
    """

    name: str
    title: str
    rows: str
    package: str
    roles: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    metrics: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    pipelines: Mapping[str, str] = field(default_factory=dict)
    nouns: str = ""
    signs: str = ""
    doubts: str = ""
    verbs: str = ""

    def part(self, name: str) -> Any:
        """Load one of `PARTS`.

        Returns
        -------
        module
            Follows the protocol that `PARTS` names; annotate the variable with it.

        Raises
        ------
        ModelGPTError
            The domain has no such part.
        """
        if not self.has(name):
            raise ModelGPTError(f"There is no {name} for {self.title} yet.", f"The domain {self.name!r} lacks it.")
        return import_module(f"{self.package}.{name}")

    def has(self, name: str) -> bool:
        """Whether the domain has a part; nothing is loaded for it."""
        return find_spec(f"{self.package}.{name}") is not None


def domain_names() -> tuple[str, ...]:
    """Return the names of all registered domains, in the order in which data is offered to them."""
    return tuple(_PACKAGES)


def default_domain() -> str:
    """Return the name of the domain that takes what others leave: that of a requirement which names none."""
    return domain_names()[-1]


def find_domain(name: str) -> Domain:
    """Return the domain of a name.

    Raises
    ------
    UsageError
        There is no such domain.
    """
    if name not in _PACKAGES:
        raise UsageError(f"There is no domain {name!r}.", f"It is one of {', '.join(_PACKAGES)}.")
    domain: Domain = import_module(_PACKAGES[name]).DOMAIN
    return domain


def all_domains() -> Iterator[Domain]:
    """Yield the registered domains, in the order in which data is offered to them."""
    return (find_domain(name) for name in _PACKAGES)


def role_domain(role: str) -> Domain | None:
    """Return the domain in which a column can have a role; None where there is none."""
    return next((domain for domain in all_domains() if role in domain.roles), None)


def usual_domains() -> tuple[str, ...]:
    """Return the names of the domains without a task of their own: of the others the task says which is meant."""
    return tuple(domain.name for domain in all_domains() if not domain.task)


def task_domain(task: str | None) -> Domain | None:
    """Return the domain that alone has a kind of task; None where any may have it."""
    return next((domain for domain in all_domains() if task and domain.task == task), None)


def register(name: str, package: str) -> None:
    """Add a domain from another package; data is offered to it before those that are there already.

    Parameters
    ----------
    name : str
        Free, and the `Domain`'s own.
    package : str
        An importable package with a `Domain` called ``DOMAIN`` in its ``__init__``.

    Raises
    ------
    UsageError
        The name is taken.
    """
    if name in _PACKAGES:
        raise UsageError(f"There is a domain {name!r} already.")
    others = dict(_PACKAGES)
    _PACKAGES.clear()
    _PACKAGES.update({name: package} | others)


def unregister(name: str) -> None:
    """Remove a domain that `register` added."""
    del _PACKAGES[name]
