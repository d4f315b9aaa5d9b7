"""What is rounded of a network with heads behind it, and which images ranges are measured on."""

from __future__ import annotations

from functools import partial

import numpy as np
from onnx import helper, numpy_helper
from tiny_images import encoded

from modelgpt_cli.domains.image.dense.onnx_integers import CALIBRATION, drawn_images
from modelgpt_cli.domains.image.files import ImageFile
from modelgpt_cli.domains.image.onnx_integers import _sensitive


def test_images_are_drawn_evenly_and_broken_ones_left_out() -> None:
    shots = [encoded(np.full((9, 9, 3), k, np.uint8), "PNG") for k in range(40)]
    shots[0] = b"no image"
    files = [ImageFile(str(k), None, partial(bytes, shot)) for k, shot in enumerate(shots)]
    tones = [int(image[0, 0, 0]) for image in drawn_images(lambda sources: files, "shots", 64)]
    assert len(tones) == CALIBRATION - 1
    assert tones[-1] == 39
    assert max(np.diff(tones)) == 3
    assert len(drawn_images(lambda sources: files[1:4], "shots", 64)) == 3


def test_what_is_behind_a_network_is_not_rounded() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "own"], ["b"], name="own"),
        helper.make_node("Clip", ["b"], ["c"], name="bound of the network"),
        helper.make_node("Identity", ["own"], ["computed"]),
        helper.make_node("Conv", ["c", "computed"], ["d"], name="head"),
        helper.make_node("Clip", ["d"], ["e"], name="bound of a head"),
    ]
    tensors = [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), name) for name in ("first", "own")]
    graph = helper.make_graph(nodes, "network", [], [], tensors)
    assert _sensitive(helper.make_model(graph)) == ["bound of a head", "first", "head"]
