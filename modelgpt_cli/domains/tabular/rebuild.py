"""A model of a table built again without some of its rows: what it is worth on rows that it then has not seen.

Beside `tune`. Shapes: N rows, M members, H hidden units, p = 2 M H + d + 1 inputs of the joint head, C outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.fit import TableArrays, standardise_target
from modelgpt_cli.domains.tabular.fit_model import fit_model
from modelgpt_cli.domains.tabular.generator import shared_generator
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.stack import stack_logits
from modelgpt_cli.domains.tabular.tasks import targets
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.parameter_generator.posterior import leave_one_out, solve_head

log = logging.getLogger("modelgpt")
Rebuild = Callable[[TableArrays], TabularModel]
"""Give the model that some of the rows make."""
JOINT_PRECISIONS = (1.0, 10.0, 100.0, 1000.0)
"""What the strength of a joint head is chosen from, by leave-one-out error."""
JOINT_ROWS = 4096
"""Rows that a joint head is solved on at most: its Gram matrix has thousands of columns."""


def is_shipped(generator: Mapping[str, Any] | None) -> bool:
    """Whether a generator, as a model's provenance has it, is the shipped one."""
    header = shared_generator(generator_file(None, "tabular"))[1]
    return bool((generator or {}).get("sha256") == header["sha256"])


def rebuild_of(model: TabularModel, device: str = "cpu") -> Rebuild:
    """Return what builds a model again, its generator included where that is at hand.

    It is where it is the shipped one, and read no words. Else the bodies stay as they are, though they were generated
    from rows that are held out, and the head alone is solved anew, which is said.

    Raises
    ------
    UsageError
        It isn't, and there are trees or a kernel, which have seen the rows held out.
    """
    made = model.blueprint.provenance
    if (made.get("teacher") or {}).get("used"):
        log.warning("Tuning is judged without the model's teacher: before and after look a little worse than they are.")
    if is_shipped(made.get("generator")) and not made.get("encoder"):
        generator, _ = shared_generator(generator_file(None, "tabular"))
        return by_generator(model, generator, seed=int(made.get("seed") or 0), device=device)
    if model.trees is not None or model.kernel is not None:
        part = "kernel machine has" if model.trees is None else "boosted trees have"
        raise UsageError(
            f"Tuning this model can't be judged: its {part} learned from these rows.",
            "That is done anew without the rows held out where the generator is the shipped one, and read no words.",
            f"Tune on other rows, or build networks alone: --card tabular-{model.blueprint.architecture.members}.",
        )
    log.warning(
        "The model's generator isn't the shipped one, or read words: tuning is judged from a new head on its own "
        "hidden layers, which were made from some of the rows held out. Before and after look better than they are."
    )
    return lambda table: with_new_head(model, table)


def by_generator(model: TabularModel, generator: Generator, *, seed: int = 0, device: str = "cpu") -> Rebuild:
    """Return what takes a model's whole build again, for other rows."""
    validate = bool(model.blueprint.metrics)

    def rebuild(table: TableArrays) -> TabularModel:
        alone = replace(model.blueprint.architecture, trees=0, kernel=0)  # of some rows, they may not be worth it
        blueprint = replace(model.blueprint, architecture=alone, metrics={}, interval={}, provenance={})
        return fit_model(
            generator,
            table,
            model.preprocessor,
            blueprint,
            seed=seed,
            device=device,
            validate=validate,
            coverage=0.0,
            trees=model.trees is not None,
            kernel=model.kernel is not None,
        ).model

    return rebuild


@torch.no_grad()
def with_new_head(model: TabularModel, table: TableArrays) -> TabularModel:
    """Return a copy of a model whose head is solved on some rows alone, by ridge regression on all members at once."""
    if len(table.y) > JOINT_ROWS:
        table = table.take(np.random.default_rng(0).permutation(len(table.y))[:JOINT_ROWS])
    copy = deepcopy(model)
    phi = copy.head_inputs(*copy.encode(torch.from_numpy(table.x), torch.from_numpy(table.codes)))[None]  # (1, N, p)
    mean, std = copy.constants["target"].double().tolist() if not table.n_classes else (0.0, 1.0)
    labels = torch.from_numpy(standardise_target(table.y, mean, std, table.n_classes))
    target = targets(labels, max(table.n_classes, 1), not table.n_classes)[None]  # (1, N, C)
    best: tuple[float, Tensor, Tensor] | None = None
    for strength in JOINT_PRECISIONS:
        precision = torch.full_like(phi[:, 0], strength)
        precision[:, -1] = 1e-3  # the bias
        residuals = leave_one_out(phi, target, precision)
        if best is None or float(residuals.square().mean()) < best[0]:
            best = float(residuals.square().mean()), precision, residuals
    assert best is not None
    gram, moment = phi.mT @ phi, phi.mT @ target
    head = solve_head(gram, moment, torch.zeros_like(moment), best[1])[0]  # (p, C)
    if table.n_classes:
        head = head * stack_logits(target - best[2], labels)  # the temperature of the left-out scores
    copy.set_head(head)
    return copy
