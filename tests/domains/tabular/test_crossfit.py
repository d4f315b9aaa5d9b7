"""Cross-fitting: held-out means held out, the mix of heads is calibrated and no worse than its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from modelgpt_cli.core.assets import asset
from modelgpt_cli.domains.shared.held_out import fold_of
from modelgpt_cli.domains.tabular import members as members_module
from modelgpt_cli.domains.tabular.crossfit import FOLDS, calibrate, cross_fit
from modelgpt_cli.domains.tabular.fit import ONE_PASS, HeadChoice, HeadMix, TableArrays, fit_table
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.stack import stack_logits, stack_numbers
from modelgpt_cli.parameter_generator.generator import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(asset("weights", "tabular", "generator.safetensors"))[0]


def table_of(y: np.ndarray, x: np.ndarray, n_classes: int = 2) -> TableArrays:
    return TableArrays(x.astype(np.float32), np.zeros((len(y), 0), np.int64), y, n_classes, ())


def test_noise_is_not_learned_by_heart(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    checked = cross_fit(generator, table_of(y, rng.normal(size=(400, 12))), members=4).checked
    assert checked is not None
    assert checked.rows == 400
    assert abs(checked.metrics["model"]["roc_auc"] - 0.5) < 0.1
    assert checked.metrics["model"]["log_loss"] == pytest.approx(np.log(2), abs=0.03)


def test_interactions_are_seen_where_a_linear_model_sees_none(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    found = cross_fit(generator, table_of((x[:, 0] * x[:, 1] > 0).astype(np.int64), x), members=4)
    assert found.checked is not None
    assert found.checked.metrics["linear"]["roc_auc"] < 0.65
    assert found.checked.metrics["model"]["roc_auc"] > 0.85
    assert all(weight > 0 for weight in found.mix.values())


def test_regression_gives_held_out_residuals(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = (50 + 10 * x[:, 0] + rng.normal(size=300)).astype(np.float32)
    checked = cross_fit(generator, table_of(y, x, 0), members=4).checked
    assert checked is not None
    assert checked.residuals is not None
    assert checked.residuals.shape == (300,)
    assert 0.8 < checked.residuals.std() < 2.0  # the noise's 1, and a little more
    assert checked.metrics["model"]["rmse"] == pytest.approx(np.sqrt((checked.residuals**2).mean()), rel=1e-4)


@pytest.mark.parametrize("members", [4, 6])
def test_members_never_see_the_fold_they_are_asked_about(
    generator: Generator, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    draw = members_module.draw_support

    def spy(y: np.ndarray, *rest: object) -> np.ndarray:
        shown.append(y)
        return draw(y, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(members_module, "draw_support", spy)
    rng = np.random.default_rng(0)
    y = np.arange(200, dtype=np.float32)  # a target that names its row
    cross_fit(generator, table_of(y, rng.normal(size=(200, 3)), 0), members=members)
    fold = fold_of(y, 0, FOLDS, np.random.default_rng([0, 11]))
    assert len(shown) == members
    for m, seen in enumerate(shown):
        assert len(seen) == (fold != m % FOLDS).sum()


def test_one_member_is_chosen_for_by_others(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    found = cross_fit(generator, table_of((x[:, 0] > 0).astype(np.int64), x), members=1)
    assert len(found.fitted.members.prior) == 1
    assert found.checked is not None
    assert found.checked.metrics["model"]["accuracy"] > 0.9


def test_too_few_rows_leave_the_pass_as_it_is(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    found = cross_fit(generator, table_of(np.array([0, 1] * 4), rng.normal(size=(8, 3))), members=2)
    assert found.checked is None
    assert found.mix == ONE_PASS == {HeadChoice(): 1.0}


def test_leave_one_out_calibrates_a_single_pass(generator: Generator) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 10))
    y = (x[:, 0] + 1.5 * rng.normal(size=1200) > 0).astype(np.int64)  # noisy: a fit to 200 rows is overconfident
    table, test = table_of(y[:200], x[:200]), table_of(y[200:], x[200:])
    fitted = fit_table(generator, table, members=1)

    def loss(mix: HeadMix) -> float:
        logits = fitted.logits(fitted.heads(mix, table), test.x, test.codes)
        return float(F.cross_entropy(logits, torch.from_numpy(test.y)))

    mix = calibrate(fitted, table)
    assert list(mix) == [HeadChoice()]
    wrong = {HeadChoice(): 3 * mix[HeadChoice()]}
    assert loss(mix) < min(loss(wrong), loss({HeadChoice(): mix[HeadChoice()] / 3}))
    assert loss(mix) <= loss(ONE_PASS) + 0.01


def test_the_mix_undoes_a_scale() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5000, 4)
    labels = torch.distributions.Categorical(logits=logits).sample()
    for scale in (3.0, 0.5):
        weights = stack_logits((logits * scale)[None], labels)
        assert float(weights.sum()) == pytest.approx(1 / scale, rel=0.1)


def test_the_mix_is_no_worse_than_its_parts() -> None:
    torch.manual_seed(0)
    truth = torch.randn(2000, 3)
    labels = torch.distributions.Categorical(logits=truth).sample()
    parts = torch.stack([truth + torch.randn(2000, 3), truth + torch.randn(2000, 3), 3 * torch.randn(2000, 3)])
    weights = stack_logits(parts, labels)
    mixed = F.cross_entropy(torch.einsum("j,jnc->nc", weights, parts), labels)
    assert mixed < min(F.cross_entropy(part, labels) for part in parts) - 0.02
    assert weights[2] < 0.1 * weights.sum()
    assert (weights >= 0).all()


def test_numbers_are_mixed_towards_the_better_one() -> None:
    torch.manual_seed(0)
    y = torch.randn(500, dtype=torch.float64) * 1e6
    parts = torch.stack([y + 1e5 * torch.randn(500), y + 1e6 * torch.randn(500)])
    weights = stack_numbers(parts, y)
    assert float(weights.sum()) == pytest.approx(1)
    assert weights[0] > 0.9
