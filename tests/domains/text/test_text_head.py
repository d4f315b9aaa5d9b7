"""The solved head in logits: logistic regression (or ridge) around a prior, by rows or by weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from modelgpt_cli.domains.shared.head import with_bias
from modelgpt_cli.parameter_generator.adapter import PRECISION
from modelgpt_cli.parameter_generator.logistic import FEW_ROWS, posterior, posterior_rows, posterior_weights


def problem(n: int, p: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows with a bias column, one-hot labels (or a number), a prior and precisions, in double."""
    rng = torch.Generator().manual_seed(seed)
    phi = with_bias(torch.randn(n, p - 1, generator=rng, dtype=torch.float64))
    truth = phi @ torch.randn(p, max(classes, 1), generator=rng, dtype=torch.float64)
    noise = torch.randn(truth.shape, generator=rng, dtype=torch.float64)
    target = torch.eye(classes, dtype=torch.float64)[(truth + noise).argmax(1)] if classes else truth + noise
    prior = torch.randn(p, max(classes, 1), generator=rng, dtype=torch.float64)
    return phi, target, prior, torch.rand(p, generator=rng, dtype=torch.float64) + 0.3


@pytest.mark.parametrize("classes", [2, 5])
def test_solved_head_is_logistic_regression(classes: int) -> None:
    phi, target, prior, _ = problem(120, 8, classes)
    level = 0.7
    expected = LogisticRegression(C=1 / level, fit_intercept=False, tol=1e-10, max_iter=5000)
    # With two classes scikit-learn has one column of weights, whose penalty is that of two opposite halves.
    expected.set_params(C=2 / level if classes == 2 else 1 / level).fit(phi.numpy(), target.argmax(1).numpy())
    wanted = expected.predict_proba(phi.numpy())
    precision = torch.full((8,), level, dtype=torch.float64)
    for solver, steps in ((posterior_rows, 3000), (posterior_weights, 2000)):
        found = solver(phi, target, torch.zeros_like(prior), precision, regression=False, steps=steps)
        np.testing.assert_allclose((phi @ found).softmax(1).numpy(), wanted, atol=2e-3, err_msg=solver.__name__)


@pytest.mark.parametrize(("n", "p"), [(40, 9), (12, 30)])
def test_rows_and_weights_lead_to_the_same_head(n: int, p: int) -> None:
    phi, target, prior, precision = problem(n, p, 4)
    by_rows = posterior_rows(phi, target, prior, precision, regression=False, steps=3000)
    by_weights = posterior_weights(phi, target, prior, precision, regression=False, steps=3000)
    torch.testing.assert_close(by_rows, by_weights, atol=5e-3, rtol=5e-3)
    # At the optimum the gradient vanishes: the data pull as hard as the prior holds.
    pull = phi.T @ (target - (phi @ by_rows).softmax(1))
    torch.testing.assert_close(pull, precision[:, None] * (by_rows - prior), atol=5e-3, rtol=5e-3)


def test_few_steps_are_near_enough() -> None:
    phi, target, prior, _ = problem(60, 20, 3)
    phi = with_bias(torch.nn.functional.normalize(phi[:, :-1]))  # as texts are: of length 1
    precision = torch.full((20,), 4 * PRECISION, dtype=torch.float64)
    done = posterior_rows(phi, target, prior, precision, regression=False, steps=3000)
    some = posterior_rows(phi, target, prior, precision, regression=False)
    assert (some - done).norm() < 0.1 * (prior - done).norm()


@pytest.mark.parametrize("n", [5, 80])
def test_solved_head_of_a_number_is_ridge_around_the_prior(n: int) -> None:
    phi, target, prior, precision = problem(n, 9, 0)
    expected = torch.linalg.solve(phi.T @ phi + torch.diag(precision), phi.T @ target + precision[:, None] * prior)
    gram = phi.T @ phi
    torch.testing.assert_close(posterior_rows(phi, target, prior, precision, regression=True), expected)
    torch.testing.assert_close(posterior_weights(phi, target, prior, precision, regression=True), expected)
    torch.testing.assert_close(posterior_weights(phi, target, prior, precision, regression=True, gram=gram), expected)


@pytest.mark.parametrize("classes", [3, 0])
def test_more_precision_stays_nearer_to_the_prior(classes: int) -> None:
    phi, target, prior, precision = problem(50, 7, classes)
    away = []
    for factor in (1e-2, 1.0, 1e2, 1e6):
        found = posterior(phi, target, prior, precision * factor, regression=not classes)
        away.append(float((found - prior).norm()))
    assert away == sorted(away, reverse=True)
    assert away[-1] < 1e-3 * away[0]


@pytest.mark.parametrize(("n", "p"), [(FEW_ROWS, 6), (FEW_ROWS + 1, 6), (FEW_ROWS + 1, 300)])
def test_the_cheaper_way_is_as_good(n: int, p: int) -> None:
    phi, target, prior, precision = (t.float() for t in problem(n, p, 3))
    found = posterior(phi, target, prior, precision * 50, regression=False)
    exact = posterior_weights(phi, target, prior, precision * 50, regression=False, steps=1000)
    torch.testing.assert_close((phi @ found).softmax(1), (phi @ exact).softmax(1), atol=5e-3, rtol=0.05)


@pytest.mark.parametrize("n", [10, FEW_ROWS, 400])
def test_solved_head_survives_texts_that_repeat_and_one_sided_labels(n: int) -> None:
    texts = torch.nn.functional.normalize(torch.randn(2, 50, generator=torch.Generator().manual_seed(0)))
    phi = with_bias(texts[torch.arange(n) % 2])
    target = torch.eye(3)[torch.zeros(n, dtype=torch.int64)]
    head = posterior(phi, target, torch.zeros(51, 3), torch.full((51,), 1e-3), regression=False)
    assert torch.isfinite(head).all()
    assert ((phi @ head).argmax(1) == 0).all()
    number = posterior(phi, phi[:, :1], torch.zeros(51, 1), torch.full((51,), 1e-3), regression=True)
    torch.testing.assert_close(phi @ number, phi[:, :1], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("size", [1e3, 1e5])
def test_inputs_far_larger_than_any_seen_are_solved_all_the_same(size: float) -> None:
    torch.manual_seed(0)
    phi = with_bias(torch.randn(24, 40) * size)
    target = torch.eye(3)[torch.arange(24) % 3]
    prior, precision = torch.zeros(41, 3), torch.full((41,), 0.05)
    weight = posterior_rows(phi, target, prior, precision, regression=False)
    assert weight.isfinite().all()
    assert ((phi @ weight).argmax(1) == target.argmax(1)).all()


def test_the_signal_comes_through_the_solver() -> None:
    phi, target, prior, precision = problem(20, 30, 3)
    for tensor in (phi, prior, precision):
        tensor.requires_grad_()
    (posterior_rows(phi, target, prior, precision, regression=False) ** 2).sum().backward()
    for tensor in (phi, prior, precision):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0


def test_the_gradient_through_the_solver_is_right() -> None:
    phi, target, prior, precision = problem(6, 4, 3)

    def solved(phi: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
        return posterior_rows(phi, target, prior, precision, regression=False, steps=8)

    assert torch.autograd.gradcheck(solved, [t.requires_grad_() for t in (phi, prior, precision)])
