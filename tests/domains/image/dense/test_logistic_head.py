"""A segmentation's head by logistic regression on principal components: one linear layer, where images are enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_images import encoded
from tiny_scenes import scene, write_scenes

from modelgpt_cli import build, inspect, predict
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.image.dense import fit, logistic
from modelgpt_cli.domains.image.dense.logistic import Components, KeptPlaces
from modelgpt_cli.domains.image.dense.maps import GROUPS, N_INPUTS
from modelgpt_cli.domains.image.dense.model import SegmentationModel
from modelgpt_cli.domains.image.dense.ridge import Standardised, Sums
from modelgpt_cli.parameter_generator.logistic import posterior_weights

CARD = "efficientnet_lite0-dense-320"


def _components(inputs: np.ndarray) -> Components:
    sums = Sums.empty(N_INPUTS, 1)
    sums.add(inputs, np.ones((len(inputs), 1), np.float32))
    found = Standardised(sums, np.zeros(N_INPUTS, np.float32))
    return Components.of(found.gram / found.n, found.scale, found.mean)


def test_components_lead_with_what_varies_most_and_fold_into_one_layer() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(300, 6)).astype(np.float32)
    inputs = 2 + hidden @ rng.normal(size=(6, N_INPUTS)).astype(np.float32)
    inputs[:, 3] = 1.0  # as of a channel that these images don't excite
    components = _components(inputs)
    read = components.read(torch.from_numpy(inputs))
    assert read.shape == (300, sum(logistic.DIRECTIONS))
    assert torch.allclose(read.mean(0), torch.zeros(read.shape[1]), atol=1e-3)
    spread = read[:, : logistic.DIRECTIONS[0]].std(0)
    assert spread[0] == pytest.approx(1, abs=0.02)
    assert (spread[:5].diff() < 0).all()
    assert spread[6:].max() < 0.1
    layer = torch.randn(read.shape[1] + 1, 2, generator=torch.Generator().manual_seed(0))
    weight, bias = components.head(layer)
    assert weight.shape == (sum(GROUPS), 2)
    assert torch.allclose(torch.from_numpy(inputs) @ weight + bias, read @ layer[:-1] + layer[-1], atol=2e-2)


def test_folds_are_left_out_and_places_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, N_INPUTS)).astype(np.float32)
    right = (inputs[:, :240].mean(1) > 0).astype(int)
    inputs += 2 * right[:, None]
    monkeypatch.setattr(logistic, "MOST_PLACES", 200)
    places = KeptPlaces(2, 2, 0)
    ones = np.ones(200)
    places.add(inputs[:200], np.eye(2, dtype=np.float32)[right[:200]], ones, 0)
    places.reduce(_components(inputs))
    places.add(inputs[200:], np.eye(2, dtype=np.float32)[1 - right[200:]], ones, 1)
    assert [len(one) for parts in places._inputs for one in parts] == [100, 100]
    assert places._inputs[0][0].shape == places._inputs[1][0].shape == (100, sum(logistic.DIRECTIONS))
    for without, classes in ((1, right), (0, 1 - right)):
        head = places.solve(without)
        assert head is not None
        found = (torch.from_numpy(inputs) @ head[0] + head[1]).argmax(1).numpy()
        assert (found == classes).mean() > 0.9
    assert places.solve(0, 1) is None


def test_a_row_that_counts_twice_is_as_two_rows() -> None:
    rng = torch.Generator().manual_seed(0)
    phi, target = torch.randn(60, 4, generator=rng), torch.rand(60, 3, generator=rng).softmax(1)
    prior, precision = torch.zeros(4, 3), torch.full((4,), 0.5)
    twice = posterior_weights(
        torch.cat([phi, phi[:20]]), torch.cat([target, target[:20]]), prior, precision, regression=False
    )
    counts = torch.ones(60)
    counts[:20] = 2
    counted = posterior_weights(phi, target, prior, precision, regression=False, counts=counts)
    torch.testing.assert_close(counted, twice, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("lead", [0.5, 1.5])
def test_ridge_stays_where_it_is_better_by_a_margin(lead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lead` is in margins."""
    rng = np.random.default_rng(0)
    sums = fit.SegmentationSums(np.ones(2), 2, 0, views=2)
    for fold in range(2):
        maps = [torch.rand(1, c, 16 // s, 24 // s) for c, s in ((240, 1), (672, 2), (1280, 4))]
        sums.add(maps, rng.integers(0, 2, (64, 96)).astype(np.uint8), fold, 8, held=True)

    def held_out(
        sums: fit.SegmentationSums, heads: dict[int, fit.Head], precision: float, *, logistic: bool = False
    ) -> dict[fit.Chosen, float]:
        value = 0.5 if logistic else 0.5 + lead * fit.RIDGE_MARGIN
        return {fit.Chosen(precision, 0.0, 0.0, logistic): value}

    monkeypatch.setattr(fit, "PRECISIONS", (1.0,))
    monkeypatch.setattr(fit, "FIRST", 0)
    monkeypatch.setattr(fit, "_held_out", held_out)
    assert fit.fit_segmentation(sums, ["a", "b"]).chosen.logistic is (lead < 1)


def test_eight_images_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "PRECISIONS", (1.0,))
    monkeypatch.setattr(fit, "FIRST", 0)
    monkeypatch.setattr(fit, "RIDGE_MARGIN", 1.0)
    monkeypatch.setattr(fit, "REDUCED", 4)
    write_scenes(tmp_path / "shapes", 8)
    report = build(tmp_path / "shapes", output=tmp_path / "m.onnx", card=CARD, offline=True)
    assert report.metrics["model"]["miou"] > 0.8
    head = inspect(tmp_path / "m.onnx")["provenance"]["head"]
    assert (head["logistic"], head["precision"]) == (True, logistic.PRECISION)
    model = load_model(tmp_path / "m.onnx")
    assert isinstance(model, SegmentationModel)
    image, mask = scene(9)
    (found,) = model.masks([image])
    assert (found == mask).mean() > 0.95
    (tmp_path / "9.png").write_bytes(encoded(image, "PNG"))
    assert (predict(tmp_path / "m.onnx", tmp_path / "9.png").answers["mask"][0] == found).mean() > 0.999
