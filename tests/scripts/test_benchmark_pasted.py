"""Scenes of things and faces that are pasted onto landscapes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scripts.benchmarks import pasted


@pytest.mark.parametrize("name", list(pasted.FACES))
def test_points_stay_on_what_they_mark(name: str) -> None:
    face = Image.new("RGB", (80, 100), (0, 0, 160))
    points = np.array([[20.0, 30.0, 2.0], [60.0, 80.0, 2.0], [0.0, 0.0, 0.0]])
    for (x, y, _), colour in zip(points[:2], [(250, 0, 0), (0, 250, 0)], strict=True):
        ImageDraw.Draw(face).ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    how = pasted.FACES[name]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image, (marked,) = pasted._pasted_face(face, points, Image.new("RGB", how.size, (90, 90, 90)), how, rng)
        found = np.array(marked["keypoints"]).reshape(-1, 3)
        red, green = (np.asarray(image)[int(y), int(x)] for x, y, _ in found[:2])
        assert red[0] > 200 > 60 > red[1]
        assert green[1] > 200 > 60 > green[0]
        assert found[2].tolist() == [0, 0, 0], "what isn't labelled stays so"
        left, top, width, height = marked["bbox"]
        assert (left, top) == pytest.approx(found[:2, :2].min(0), abs=0.01)
        assert (width, height) == pytest.approx(np.ptp(found[:2, :2], axis=0), abs=0.01)
