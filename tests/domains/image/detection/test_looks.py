"""Parts of detection: geometry, what is learned of places and boxes, both looks, and measures by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelgpt_cli.domains.image.annotations.objects import MarkedObject
from modelgpt_cli.domains.image.detection import fit
from modelgpt_cli.domains.image.detection.boxes import iou, matched, suppressed
from modelgpt_cli.domains.image.detection.build import class_sizes
from modelgpt_cli.domains.image.detection.measure import dummy_model, parameters
from modelgpt_cli.domains.image.detection.model import Decoding, kept, peaks
from modelgpt_cli.domains.image.detection.onnx import to_onnx
from modelgpt_cli.domains.image.detection.places import Truth, centres_of, distances, drawn_boxes, rightness
from modelgpt_cli.domains.image.detection.regions import (
    GRID,
    SAMPLES,
    boxes_at,
    inside,
    moved,
    moves_to,
    read_inside,
    region_inputs,
)
from modelgpt_cli.domains.image.detection.scores import Found, Wanted, box_scores, quick_map50
from modelgpt_cli.model_generator.cards import find_card
from modelgpt_cli.model_generator.costs import Sizes


def truth_of(*rows: tuple[int, float, float, float, float], crowd: int = -1) -> Truth:
    return Truth.of([MarkedObject(row[0], row[1:], crowd=k == crowd) for k, row in enumerate(rows)])


def test_overlaps_and_what_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [1, 0, 11, 10]], float)
    assert iou(boxes[:1], boxes)[0].tolist() == [1.0, 0.5, 0.0, pytest.approx(90 / 110)]
    scores = np.array([0.9, 0.8, 0.7, 0.95])
    assert suppressed(boxes, scores, 0.6).tolist() == [3, 1, 2]
    assert matched(boxes[[3, 0, 2]], boxes[[0]]).tolist() == [True, False, False]
    found = kept(boxes, np.stack([scores, 1 - scores], 1), Decoding(9, 0.6, 0.15, 0.5))
    assert found[2].tolist() == [0, 0, 0, 1, 1]
    assert found[1].tolist() == pytest.approx([0.95, 0.8, 0.7, 0.3, 0.2])


def test_a_place_is_the_centre_of_the_thing_it_lies_in() -> None:
    truth = truth_of((0, 1, 1, 9, 9), (1, 10.1, 3.1, 10.9, 3.9), (0, 0, 12, 4, 16), crowd=2)
    centres = centres_of(truth, 16, 16, 2)
    heat = centres.heat.reshape(16, 16, 2)
    assert heat[4, 4, 0] == heat[:, :, 0].max()
    assert heat[4, 4, 1] == 0
    assert heat[3, 10, 1] > 0.8  # a thing of less than a place has one all the same
    assert heat[13, 2].max() == 0
    assert centres.ignored.reshape(16, 16)[13, 2]
    assert centres.ignored.sum() == 16
    assert centres.nearest.reshape(16, 16)[3, 10] == 1
    assert truth.mirrored(16).boxes[1].tolist() == pytest.approx([5.1, 3.1, 5.9, 3.9])
    assert truth.crowded(np.array([[0, 13, 3, 15], [0, 9, 4, 13.0]])).tolist() == [True, False]


def test_distances_give_the_box_back() -> None:
    box, sizes = np.array([[1.0, 2.0, 6.0, 9.0]]), np.array([[4.0, 8.0]])
    away = torch.from_numpy(distances(box, np.array([3 * 16 + 2]), 16, sizes))
    found = boxes_at(torch.tensor([3]), torch.tensor([2]), away, torch.from_numpy(sizes).float())
    assert torch.allclose(found, torch.from_numpy(box).float(), atol=1e-5)


def test_moves_give_the_true_box() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 5.0, 9.0, 8.0]])
    true = torch.tensor([[2.0, 1.0, 9.0, 25.0], [4.0, 5.0, 10.0, 8.5]])
    assert torch.allclose(moved(boxes, moves_to(boxes, true)), true, atol=1e-5)
    cut = inside(torch.tensor([[-3.0, 2.0, 99.0, 1.0], [30.0, 30.0, 40.0, 40.0]]), 8, 16)
    assert cut.tolist() == [[0.0, 2.0, 16.0, 2.25], [15.75, 7.75, 16.0, 8.0]]


def test_the_second_look_reads_what_is_inside() -> None:
    near, far = torch.zeros(1, 48, 16, 16), torch.zeros(1, 64, 8, 8)
    near[:, 0, :, 8:] = 1.0
    inputs = region_inputs([near, far], torch.tensor([[10.0, 4.0, 14.0, 8.0], [1.0, 4.0, 6.0, 10.0]]))
    assert inputs.shape == (2, (48 + 64) * 25 + 5)
    assert inputs[0, :25].min() == 1.0
    assert inputs[1, :25].max() == 0.0
    assert inputs[0, -5:].tolist() == pytest.approx([np.log(4)] * 2 + [np.log(4) ** 2] * 3)


def test_boxes_are_read_as_roi_align_does() -> None:
    from torchvision.ops import roi_align

    torch.manual_seed(0)
    one, starts = torch.rand(1, 3, 7, 9), torch.rand(40, 2) * 14 - 4
    boxes = torch.cat([starts, starts + torch.rand(40, 2) * 8], 1)
    expected = roi_align(one, [boxes], GRID, 1.0, SAMPLES, aligned=False).flatten(1)
    assert torch.allclose(read_inside(one, boxes), expected, atol=1e-5)


def test_how_right_boxes_are_and_which_are_drawn() -> None:
    truth = truth_of((0, 2, 2, 12, 12), (1, 20, 20, 30, 24))
    right, overlap, thing = rightness(np.array([[2, 2, 12, 12], [2, 2, 12, 7], [40, 40, 44, 44.0]]), truth, 3)
    assert right.tolist() == [[1, 0, 0], [pytest.approx(0.5), 0, 0], [0, 0, 0]]
    assert (overlap[:2] == [1, 0.5]).all()
    assert thing[0] == 0
    drawn = drawn_boxes(truth, 32, 32, np.array([[10, 10], [10, 4], [5, 5.0]]), np.random.default_rng(0))
    shares = iou(drawn, truth.boxes).max(1)
    assert (shares > 0.7).sum() > 4
    assert (shares < 0.3).sum() > 40
    none = truth_of()
    assert rightness(drawn, none, 3)[0].sum() == 0
    assert len(drawn_boxes(none, 32, 32, np.array([[10, 10.0]]), np.random.default_rng(0))) == 60


def test_peaks_are_the_best_of_their_surroundings() -> None:
    scores = torch.zeros(1, 6, 4, 5)
    scores[0, 1, 2, 3], scores[0, 1, 2, 2], scores[0, 0, 0, 0] = 3.0, 2.9, 1.0
    assert peaks(scores, 2, 2).tolist() == [20 + 13, 0]
    assert len(peaks(scores, 2, 1000)) == 40


def test_usual_sizes_are_geometric_means() -> None:
    counts, sizes = class_sizes([truth_of((0, 0, 0, 2, 4)), truth_of((0, 0, 0, 8, 4))], 2)
    assert counts.tolist() == [2, 0]
    assert sizes[0].tolist() == pytest.approx([4.0, 4.0])
    assert sizes[1].tolist() == pytest.approx([4.0, 4.0])


def test_mean_average_precision_by_hand() -> None:
    one = Wanted(np.array([[0, 0, 10, 10], [20, 0, 30, 10.0]]), np.array([0, 1]), np.empty((0, 4)), np.empty(0, int))
    crowd = Wanted(np.empty((0, 4)), np.empty(0, int), np.array([[0, 0, 90, 90.0]]), np.array([0]))
    found = Found(
        np.array([[0, 0, 10, 10], [50, 0, 60, 10], [20, 0, 30, 7.0]]), np.array([0.9, 0.8, 0.7]), np.array([0, 0, 1])
    )
    hidden = Found(np.array([[5, 5, 9, 9.0]]), np.array([0.95]), np.array([0]))
    metrics, classes = box_scores([one, crowd], [found, hidden], ["a", "b", "c"], 0.5)
    assert classes["a"]["map50"] == pytest.approx(1.0)  # a wrong box below the right one costs nothing
    assert classes["b"]["map"] == pytest.approx(5 / 10)  # IoU .7: right from .5 to .7
    assert classes["c"]["map50"] is None
    assert metrics["map50"] == pytest.approx(1.0)
    assert metrics["map"] == pytest.approx(0.75)
    assert metrics["precision"] == pytest.approx(2 / 3)
    assert metrics["recall"] == 1.0


def test_the_quick_measure_is_the_same() -> None:
    rng = np.random.default_rng(0)
    wanted, found = [], []
    for _ in range(4):
        starts = rng.uniform(0, 60, (9, 2))
        true = np.concatenate([starts, starts + rng.uniform(6, 20, (9, 2))], 1)
        boxes = np.concatenate([true + rng.normal(0, 2, true.shape), true[:4] + 30])
        scores, labels = rng.random(13), rng.integers(0, 3, 9)
        order = np.argsort(-scores)
        given = np.concatenate([labels, rng.integers(0, 3, 4)])
        wanted.append(Wanted(true, labels, np.empty((0, 4)), np.empty(0, int)))
        found.append(Found(boxes[order], scores[order], given[order]))
    slow = box_scores(wanted, found, ["a", "b", "c", "d"], 0.5)[0]["map50"]
    assert quick_map50(wanted, found, 4) == pytest.approx(slow, abs=0.01)
    assert 0.2 < quick_map50(wanted, found, 4) < 1


def test_certainty_is_the_share_of_right_ones() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (4000, 1))
    inputs = np.concatenate([x, np.ones((4000, 1))], 1)
    told = 1 / (1 + np.exp(-(2 * x[:, 0] - 1)))
    weights = fit._logistic(inputs, (rng.random(4000) < told).astype(float), np.array([0.02, 0.02]))
    assert weights == pytest.approx([2, -1], abs=0.15)


def test_costs_are_known_before_anything_is_built() -> None:
    card = find_card("efficientnet_lite0-boxes-320")
    assert card is not None
    model = dummy_model(card, 1, 3)
    costs = card.costs(Sizes(3))
    assert costs is not None
    assert costs.parameters == parameters(model)
    size = len(to_onnx(model).SerializeToString())
    assert 0 < size - costs.n_bytes["none"] < 500_000
    assert size < 20_000_000
