"""Fitting the head: the logistic refinement finds the optimum, member by member, and leaves rows out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from modelgpt_cli.domains.tabular.head import Refiner
from modelgpt_cli.parameter_generator.lbfgs import minimise

ONE = torch.ones(1, 12)


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
    found = refiner(torch.full((1, 12), strength), steps=200)[0].double().numpy()
    for m in range(3):
        x = phi[m].double().numpy()
        best = minimize(lambda w, x=x: loss(x, w.reshape(12, 3), labels.numpy(), strength), np.zeros(36))
        assert loss(x, found[m], labels.numpy(), strength) == pytest.approx(best.fun, rel=1e-3)


def test_members_do_not_depend_on_each_other() -> None:
    phi, labels = problem()
    zeros = torch.zeros(3, 12, 3)
    together = Refiner(phi.clone(), labels, start=zeros, prior=zeros, precision=torch.ones(3, 12))(ONE, steps=200)[0]
    alone = Refiner(phi[1:2].clone(), labels, start=zeros[:1], prior=zeros[:1], precision=torch.ones(1, 12))(
        ONE, steps=10
    )[0]
    torch.testing.assert_close(phi[1:2] @ together[1:2], phi[1:2] @ alone, rtol=1e-2, atol=1e-2)


def test_a_strong_prior_holds_the_head_where_it_is() -> None:
    phi, labels = problem()
    prior = torch.randn(3, 12, 3)
    refiner = Refiner(phi.clone(), labels, start=prior, prior=prior, precision=torch.full((3, 12), 1e7))
    torch.testing.assert_close(refiner(ONE)[0], prior, rtol=1e-2, atol=1e-2)


def test_a_broken_objective_leaves_the_start() -> None:
    start = torch.ones(2, 3, 1)

    def objective(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ok = (weight == start).all(2).all(1)
        return torch.where(ok, 1.0, torch.nan), torch.ones_like(weight)

    assert torch.equal(minimise(objective, start, 5), start)


def test_rows_that_are_not_used_leave_no_trace() -> None:
    phi, labels = problem(members=2)
    used = torch.ones(2, 200, dtype=torch.bool)
    used[0, 100:] = False
    zeros = torch.zeros(2, 12, 3)
    one = torch.ones(2, 12)
    found = Refiner(phi.clone(), labels, start=zeros, prior=zeros, precision=one, used=used)(ONE, steps=200)[0]
    turned = torch.where(torch.arange(200) < 100, labels, (labels + 1) % 3)
    other = Refiner(phi.clone(), turned, start=zeros, prior=zeros, precision=one, used=used)(ONE, steps=200)[0]
    torch.testing.assert_close(found[0], other[0])
    assert not torch.allclose(found[1], other[1], atol=0.1)
