"""Fitting the head: the logistic refinement finds the optimum, member by member, and temperature calibrates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from modelgpt_cli.domains.tabular.head import Refiner, temperature
from modelgpt_cli.domains.tabular.lbfgs import minimise


def problem(members: int = 3, rows: int = 200, inputs: int = 12, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    phi = torch.randn(members, rows, inputs) * torch.logspace(-1, 1, inputs)  # inputs on very different scales
    weight = torch.randn(inputs, classes) / torch.logspace(-1, 1, inputs)[:, None]
    return phi, (phi[0] @ weight + torch.randn(rows, classes)).argmax(1)


def loss(phi: np.ndarray, weight: np.ndarray, labels: np.ndarray, strength: float) -> float:
    logits = phi @ weight
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(-log_p[np.arange(len(labels)), labels].sum() + 0.5 * strength * (weight**2).sum())


@pytest.mark.parametrize("strength", [10.0, 0.1])
def test_refinement_reaches_the_optimum_of_each_member(strength: float) -> None:
    phi, labels = problem()
    start = torch.zeros(3, 12, 3)
    refiner = Refiner(phi.clone(), labels, start=start, prior=start, precision=torch.ones(3, 12))
    found = refiner(strength, steps=200).double().numpy()
    for m in range(3):
        x = phi[m].double().numpy()
        best = minimize(lambda w, x=x: loss(x, w.reshape(12, 3), labels.numpy(), strength), np.zeros(36))
        assert loss(x, found[m], labels.numpy(), strength) == pytest.approx(best.fun, rel=1e-3)


def test_members_do_not_depend_on_each_other() -> None:
    phi, labels = problem()
    zeros = torch.zeros(3, 12, 3)
    together = Refiner(phi.clone(), labels, start=zeros, prior=zeros, precision=torch.ones(3, 12))(1.0, steps=200)
    alone = Refiner(phi[1:2].clone(), labels, start=zeros[:1], prior=zeros[:1], precision=torch.ones(1, 12))(
        1.0, steps=10
    )
    torch.testing.assert_close(phi[1:2] @ together[1:2], phi[1:2] @ alone, rtol=1e-2, atol=1e-2)


def test_a_strong_prior_holds_the_head_where_it_is() -> None:
    phi, labels = problem()
    prior = torch.randn(3, 12, 3)
    refiner = Refiner(phi.clone(), labels, start=prior, prior=prior, precision=torch.full((3, 12), 1e7))
    torch.testing.assert_close(refiner(1.0), prior, rtol=1e-2, atol=1e-2)


def test_a_broken_objective_leaves_the_start() -> None:
    start = torch.ones(2, 3, 1)

    def objective(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ok = (weight == start).all(2).all(1)
        return torch.where(ok, 1.0, torch.nan), torch.ones_like(weight)

    assert torch.equal(minimise(objective, start, 5), start)


def test_temperature_undoes_a_scale() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5000, 4)
    labels = torch.distributions.Categorical(logits=logits).sample()
    assert temperature(logits * 3, labels) == pytest.approx(3, rel=0.1)
    t = temperature(logits / 2, labels)
    assert t == pytest.approx(0.5, rel=0.1)
    assert F.cross_entropy(logits / 2 / t, labels) < F.cross_entropy(logits / 2, labels)
