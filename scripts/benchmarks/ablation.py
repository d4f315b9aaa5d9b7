"""Shared by the ablations of the text and image generators: one change at a time to words or factors, and the table.

Shapes: N rows, P head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.image.target import load_image_generator
from modelgpt_cli.domains.shared.head import HeadSource, fit_head, with_bias
from modelgpt_cli.domains.text.target import load_text_generator
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator

from .common import provenance, table, write_section

SIZES = (4, 16)
"""Examples per class that are given, beside none."""
NONSENSE = "Seven wooden boats drift past the bakery while the mayor counts yellow umbrellas."


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes
    ----------
    sentence : callable
        From all tasks' requirements and a task's place among them to the sentence that is shown.
    names : bool
        Whether class names are shown.
    change : callable, optional
        What becomes of the generator.
    generator : str, optional
        Another checkpoint.
    other_words : bool
        Whether GLUE's requirements are those of `texts.ablation.PARAPHRASES`.
    """

    sentence: Callable[[Sequence[str], int], str] = lambda texts, i: texts[i]
    names: bool = True
    change: Callable[[AdapterGenerator], None] | None = None
    generator: str | None = None
    other_words: bool = False

    def load(self, generator: str | Path, domain: str) -> AdapterGenerator:
        """Load a domain's generator as it is in this variant; `generator` is the file of the one that ships."""
        load = load_text_generator if domain == "text" else load_image_generator
        found = load(self.generator or generator)[0]
        if self.change is not None:
            self.change(found)
        return found


def without_lora(generator: AdapterGenerator) -> None:
    """The backbone stays as it is: both factors' decoder and base are zero."""
    with torch.no_grad():
        for parameter in generator.factors.base.values():
            parameter.zero_()
    with_shared_lora(generator)


def with_shared_lora(generator: AdapterGenerator) -> None:
    """The factors that all tasks share, without what is generated."""
    with torch.no_grad():
        for layer in generator.factors.out.values():
            layer.weight.zero_()  # type: ignore[operator]
            layer.bias.zero_()  # type: ignore[operator]


SHIPPED = {"**as shipped**": Variant()}
VARIANTS = {
    "another task's requirement": Variant(lambda texts, i: texts[(i + 1) % len(texts)]),
    "a sentence about nothing": Variant(lambda texts, i: NONSENSE),
    "no requirement": Variant(lambda texts, i: ""),
    "no class names": Variant(names=False),
    "neither": Variant(lambda texts, i: "", names=False),
    "the shared LoRA factors alone": Variant(change=with_shared_lora),
    "no LoRA": Variant(change=without_lora),
}


class Bench(Protocol):
    """Some tasks, and what is measured on them."""

    def measure(self, variant: Variant) -> dict[str, float]:
        """Return the mean score over tasks (and draws), by what was given."""
        ...


def mean_scores(
    requirements: Sequence[str], variant: Variant, measure: Callable[[int, str], Mapping[str, float]]
) -> dict[str, float]:
    """Return means over tasks, by what was given; `measure` gets a task's place and the sentence that is shown."""
    found: dict[str, list[float]] = {}
    for i in range(len(requirements)):
        for key, value in measure(i, variant.sentence(requirements, i)).items():
            found.setdefault(key, []).append(value)
    return {key: float(np.mean(values)) for key, values in found.items()}


def task_scores(
    adapted: HeadSource,
    test: Tensor,
    draws: Mapping[str, Iterable[tuple[int, Tensor, Tensor]]],
    score: Callable[[Tensor], float],
) -> dict[str, float]:
    """Score on one task's test rows: the requirement alone (``0``), and by what was given, as means over draws.

    Parameters
    ----------
    test : Tensor (N, P)
        Head inputs of the test rows.
    draws : mapping
        Name -> seed, head inputs and target of each draw.
    score : callable
        From the logits (N, C) of the test rows.
    """
    inputs = with_bias(test)
    with torch.inference_mode():
        result = {"0": score(inputs @ adapted.prior(None, None, test.shape[1]).weight)}
    for name, some in draws.items():
        scores = []
        for seed, phi, target in some:
            fit = fit_head(adapted, phi, target, seed=seed, scale=(0.0, 1.0))
            scores.append(score(inputs @ torch.cat([fit.weight, fit.bias[None]])))
        result[name] = float(np.mean(scores))
    return result


def compared(texts: Sequence[str]) -> dict[str, Variant]:
    """Return variants of other checkpoints, from NAME=FILE each."""
    return {name: Variant(generator=path) for name, path in (text.split("=", 1) for text in texts)}


def report(
    page: Path,
    benches: Sequence[Bench],
    variants: Mapping[str, Variant],
    header: Sequence[str],
    words: str,
    section: str = "ablation",
) -> None:
    """Measure every variant on every bench, and write the table into a section of the page."""
    shown = []
    for name, variant in variants.items():
        cells = [100 * value for bench in benches for value in bench.measure(variant).values()]
        shown.append([name, *(f"{cell:.1f}" for cell in cells)])
        print(*shown[-1], flush=True)
    text = f"{provenance('modelgpt-cli', 'torch')}\n\n{words}\n\n{table(['change', *header], shown)}"
    write_section(page, section, text)
