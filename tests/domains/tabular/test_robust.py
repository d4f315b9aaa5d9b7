"""Outliers in a regression's target: heads by Huber's loss where residuals have heavy tails, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from modelgpt_cli import ModelGPTRegressor
from modelgpt_cli.domains.tabular import crossfit
from modelgpt_cli.domains.tabular.crossfit import _tails
from modelgpt_cli.domains.tabular.intervals import _tempered, two_quantiles


def line(n: int, outliers: float, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Inputs, the target with a share of outliers, and without noise."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    clean = (x["a"] - 2 * x["b"] + np.sin(2 * x["c"])).to_numpy()
    off = rng.random(n) < outliers
    return x, clean + 0.1 * rng.normal(size=n) + off * rng.normal(10, 40, n), clean


def chosen(model: ModelGPTRegressor) -> list[bool]:
    return [choice["robust"] for choice in model.model_.blueprint.provenance["head"]]


def test_outliers_are_withstood(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, _ = line(400, 0.05)
    new, _, clean = line(400, 0.0, 1)
    robust = ModelGPTRegressor(members=2, coverage=0).fit(x, y)
    assert any(chosen(robust))
    monkeypatch.setattr(crossfit, "HEAVY_TAILS", np.inf)
    plain = ModelGPTRegressor(members=2, coverage=0).fit(x, y)
    assert not any(chosen(plain))
    errors = [float(np.mean((model.predict(new) - clean) ** 2)) for model in (robust, plain)]
    assert errors[0] < 0.7 * errors[1]


def test_tails_tell_outliers_from_normal_errors() -> None:
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(4000, generator=rng)
    assert _tails(normal) == pytest.approx(1, abs=0.05)
    normal[::20] *= 20
    assert _tails(normal) > crossfit.HEAVY_TAILS
    assert _tails(torch.zeros(5)) == 0


def test_a_spread_is_tempered_to_the_best_interval() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 1))
    told = np.exp(x[:, 0])  # twice as steep as the truth
    residuals = np.exp(x[:, 0] / 2) * rng.normal(size=2000)
    weight, limits, spread = _tempered(np.ones(1), [0.0, -5.0, 5.0], told, residuals, 0.9)
    assert weight[0] == pytest.approx(0.5)
    bias, least, most = limits
    np.testing.assert_allclose(np.exp(np.clip(x @ weight + bias, least, most)), spread, rtol=1e-6)

    def width(spread: np.ndarray) -> float:
        below, above = two_quantiles(residuals / spread, 0.9) or (0.0, 0.0)
        return float(spread.mean() * (above - below))

    assert width(spread) < 0.95 * width(told)
