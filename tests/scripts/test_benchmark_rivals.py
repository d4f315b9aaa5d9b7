"""What builds on marked images are compared with: how rivals are named, and how they read their own answers."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelgpt_cli.domains.image.dense.maps import MapTrunk
from scripts.benchmarks import rivals
from scripts.benchmarks.keypoints.rival import STRIDE, _place, _wanted
from scripts.benchmarks.marked import kinds, section
from scripts.benchmarks.rivals import Method, Rival, add_methods, drawn, train


def test_methods_name_a_rival_and_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_methods(parser, "lraspp")
    args = parser.parse_args(["--methods", "ours,lraspp@1x,lraspp@20x"])
    assert args.methods == [Method("lraspp", 1.0), Method("lraspp", 20.0)]
    args.int8, args.tuned = False, 0
    assert kinds(args) == ["", ", lraspp trained 1x as long", ", lraspp trained 20x as long"]
    assert section("dense", args) == "dense-rivals-1x-20x"
    with pytest.raises(SystemExit):
        parser.parse_args(["--methods", "ssdlite@1x"])
    assert "lraspp@1x,lraspp@20x is read" in capsys.readouterr().err


def test_a_rival_learns_until_its_seconds_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slope(Rival):
        def __init__(self) -> None:
            self.trunk = cast(MapTrunk, nn.Linear(1, 1))  # in the place of the network, which takes seconds to load
            self.module = nn.ModuleList([nn.Linear(1, 1), self.trunk])

        def loss(self, rng: np.random.Generator) -> Tensor:
            x = torch.from_numpy(rng.normal(size=(8, 1))).float()
            line = self.module[0]  # type: ignore[index]
            return (line(x) - 3 * x).square().mean()

        def answer(self, images: np.ndarray) -> list[np.ndarray]:
            return [images]

    seconds = iter(range(1000))
    monkeypatch.setattr(rivals, "time", SimpleNamespace(process_time=lambda: next(seconds)))
    rival = Slope()
    before = abs(3 - rival.module[0].weight.item())  # type: ignore[index]
    assert train(rival, 50, seed=0) == 49
    assert abs(3 - rival.module[0].weight.item()) < before  # type: ignore[index]
    assert not rival.module.training


def test_a_heat_map_gives_its_point_back() -> None:
    points = np.array([[37.3, 22.8, 2], [90.0, 61.5, 2]])
    heat = _wanted(points, (24, 32)).numpy()
    found = np.stack([_place(one, np.ones(2)) for one in heat])
    assert np.abs(found[:, :2] - points[:, :2]).max() < STRIDE / 4
    assert (found[:, 2] > 0.9).all()


def test_examples_are_drawn_once_while_there_are_others() -> None:
    rng = np.random.default_rng(0)
    assert sorted(drawn([1, 2, 3, 4], 4, rng)) == [1, 2, 3, 4]
    assert len(drawn([1, 2], 5, rng)) == 5
