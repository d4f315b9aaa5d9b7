"""Key points of objects that lie anywhere, in two looks: where an object is, and the frame around its first points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_poses import NAMES, kite, marked, write_coco

from modelgpt_cli import build, evaluate, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.image.keypoints import architectures
from modelgpt_cli.domains.image.keypoints import build as building
from modelgpt_cli.domains.image.keypoints import onnx as graph
from modelgpt_cli.domains.image.keypoints.cascade import Cascade, Linear, Locator, in_pixels, place_units
from modelgpt_cli.domains.image.keypoints.frame import Frames, cut_out, find_frames, in_frame, mean_shape
from modelgpt_cli.domains.image.keypoints.locate import fit_locator, place_inputs
from modelgpt_cli.domains.image.keypoints.model import PointModel
from modelgpt_cli.domains.image.keypoints.verify import verify as verify_graph

HEIGHT, WIDTH = 150, 210


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """A card that sees images at few pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "SIZES", (160,))
        patch.setattr(building, "COPIES", ((60, 2),))
        yield


def far_kite(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A kite of any size that lies anywhere: uint8 (H, W, 3), and its corners (4, 2)."""
    rng = np.random.default_rng(seed)
    image, points = kite(seed)
    size = rng.uniform(0.55, 1.0)
    pasted = Image.fromarray(image).resize((round(image.shape[1] * size), round(image.shape[0] * size)))
    left, top = (int(rng.integers(0, whole - part)) for whole, part in zip((WIDTH, HEIGHT), pasted.size, strict=True))
    ground = (np.full((HEIGHT, WIDTH, 3), 140) + rng.normal(0, 8, (HEIGHT, WIDTH, 3))).astype(np.uint8)
    canvas = Image.fromarray(ground)
    canvas.paste(pasted, (left, top))
    scale = np.array([pasted.width / image.shape[1], pasted.height / image.shape[0]])
    return np.asarray(canvas), points * scale + (left, top)


def write_far(root: Path, seeds: range) -> Path:
    """Write such kites with annotations."""
    drawn = [far_kite(seed) for seed in seeds]
    return write_coco(
        root, [image for image, _ in drawn], [marked(k + 1, points) for k, (_, points) in enumerate(drawn)]
    )


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Kites that lie anywhere, with a test part, and the model built from them."""
    root = tmp_path_factory.mktemp("far")
    write_far(root / "kites" / "train", range(16))
    write_far(root / "kites" / "test", range(100, 106))
    build(root / "kites", output=root / "m.onnx", offline=True)
    return root / "kites", root / "m.onnx"


@pytest.mark.slow
def test_objects_that_lie_anywhere_are_found(far: tuple[Path, Path]) -> None:
    world, path = far
    model = load_model(path)
    assert isinstance(model, PointModel)
    assert model.cascade.locator is not None
    assert model.second is not None
    assert inspect(path)["provenance"]["head"]["located"] is True
    found = evaluate(path, world)
    first = PointModel(model.blueprint, model.state())
    first.second = None
    wrong = []
    for look in (model, first):
        points = np.stack([look.predict([far_kite(seed)[0]])[0, :, :2] for seed in range(100, 106)])
        true = np.stack([far_kite(seed)[1] for seed in range(100, 106)])
        wrong.append(float(np.linalg.norm(points - true, axis=2).mean()))
    assert found["nme"] < 0.1
    assert wrong[0] < 0.8 * wrong[1], "the second look is nearer than the first"


@pytest.mark.slow
def test_a_file_looks_twice_as_the_model_does(far: tuple[Path, Path], tmp_path: Path) -> None:
    world, path = far
    model = load_model(path)
    assert isinstance(model, PointModel)
    images = [far_kite(seed)[0] for seed in range(100, 103)]
    answers = predict(path, [world / "test" / "images" / "00.jpg"]).answers["keypoints"]
    assert np.allclose(model.predict([np.asarray(Image.open(world / "test/images/00.jpg"))])[0], answers[0], atol=0.05)
    for opset in (13, 20):
        raw = graph.to_onnx(model, opset=opset).SerializeToString()
        assert verify_graph(model, raw, images) < 1e-3
    together = model.forward(np.stack(images)).detach().numpy()
    assert np.allclose(together, model.predict(images), atol=0.05), "each image of a batch has a frame of its own"


@pytest.mark.slow
def test_both_looks_are_tuned(far: tuple[Path, Path], tmp_path: Path) -> None:
    world, path = far
    done = tune(path, data=world, output=tmp_path / "tuned.onnx", device="cpu")
    tuned = load_model(tmp_path / "tuned.onnx")
    assert isinstance(tuned, PointModel)
    assert tuned.second is not None
    assert evaluate(tmp_path / "tuned.onnx", world)["nme"] < 0.1
    assert done.kept == ("after" if done.after["nme"] < done.before["nme"] else "before")


def test_a_frame_shows_the_shape_upright() -> None:
    """What is cut out of a turned and moved image is what the image was."""
    rng = np.random.default_rng(0)
    image = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((64, 64), 3))
    turned = np.ascontiguousarray(image.transpose(1, 0, 2)[:, ::-1])  # a quarter, clockwise
    canvas = np.zeros((100, 120, 3), np.uint8)
    canvas[20:84, 30:94] = turned
    frame = Frames(torch.tensor([[0.0, 1.0]]), torch.tensor([64.0]), torch.tensor([[62.0, 52.0]]))
    seen = cut_out(canvas[None], frame, 64)[0].permute(1, 2, 0).numpy()
    assert np.abs(seen - image)[2:-2, 2:-2].mean() < 1
    points = np.array([[31.0, 20.0, 2.0]])  # the turned image's upper left corner, its lower left one before
    inside, growth = in_frame(points, frame, 64)
    assert np.allclose(inside[0], [0, 63, 2], atol=0.01)
    assert growth == 1
    half = cut_out(canvas[None], Frames(frame.turn, 2 * frame.side, frame.middle), 32)[0].mean()
    assert (
        abs(float(half) - float(cut_out(canvas[None], Frames(frame.turn, 2 * frame.side, frame.middle), 96).mean())) < 1
    )


def test_frames_lie_as_their_points() -> None:
    rng, shapes = np.random.default_rng(0), []
    base = rng.normal(size=(5, 2))
    for _ in range(8):
        angle, size = rng.normal(0, 0.3), rng.uniform(30, 60)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * size
        shapes.append((base @ turn.T + rng.uniform(100, 200, 2)).astype(np.float32))
    labelled = [np.ones(5, bool) for _ in shapes]
    labelled[3][1] = labelled[5][4] = False
    shape = mean_shape(shapes, labelled)
    assert shape is not None
    points = torch.from_numpy(np.stack(shapes))
    frames = find_frames(points, torch.from_numpy(shape), 200)
    assert torch.allclose(frames.inside(points), torch.from_numpy(shape).expand(8, 5, 2), atol=1e-4)
    assert torch.allclose(frames.outside(frames.inside(points)), points, atol=1e-3)
    middle = shape.min(0) + shape.max(0)
    assert np.abs(middle).max() < 1e-5
    assert mean_shape(shapes, [np.arange(5) < 4 for _ in shapes]) is None, "a point that nothing shows"


def test_a_frame_of_one_point_is_upright_and_not_too_small() -> None:
    shape = mean_shape([np.array([[3.0, 4.0]])] * 3, [np.ones(1, bool)] * 3)
    assert shape is not None
    frames = find_frames(torch.tensor([[[50.0, 40.0]]]), torch.from_numpy(shape), 200)
    assert frames.turn.tolist() == [[1.0, 0.0]]
    assert (float(frames.side), frames.middle.tolist()) == (50.0, [[50.0, 40.0]])


def _maps(spot: tuple[int, int]) -> list[torch.Tensor]:
    """Projected maps of which one channel is high at a place at a stride of 16."""
    maps = [torch.zeros(1, 2, 16, 24), torch.zeros(1, 3, 8, 12), torch.zeros(1, 2, 4, 6)]
    maps[1][0, 1, spot[0], spot[1]] = 3.0
    return maps


def test_a_locator_finds_what_marks_the_object() -> None:
    rng = np.random.default_rng(0)
    spots = [(int(rng.integers(1, 7)), int(rng.integers(1, 11))) for _ in range(24)]
    units = place_units(8, 12, 128, 192)
    middles = np.stack([units[y * 12 + x].numpy() for y, x in spots])
    points = middles[:, None] + np.array([[-0.1, -0.1], [0.1, 0.1]], np.float32)
    labelled, folds = np.ones((24, 2), bool), np.arange(24) % 4
    found = fit_locator([_maps(s) for s in spots], [(128, 192)] * 24, points, labelled, folds, np.ones(24, bool))
    assert found is not None
    locator, held = found
    assert np.linalg.norm(held - middles, axis=1).max() < 0.03
    seen = _maps((3, 5))
    assert torch.allclose(locator(seen, 128, 192)[0], units[3 * 12 + 5], atol=0.03)
    by_place = locator.linear.weight[:, 0] @ place_inputs(seen) + locator.linear.bias
    assert torch.allclose(locator.odds(seen).flatten(), by_place, atol=1e-4), (
        "maps are multiplied before they are resized"
    )
    nothing = [[one * 0 for one in _maps(s)] for s in spots]
    assert fit_locator(nothing, [(128, 192)] * 24, points, labelled, folds, np.ones(24, bool)) is None


def test_files_of_one_look_are_still_read() -> None:
    """A cascade without a locator guesses around the image's centre."""
    one = Linear(torch.zeros(3, 2), torch.tensor([0.1, 0.0]))
    plain = Cascade((one,), (one,), one)
    assert Cascade.from_state(plain.state()).locator is None
    locator = Locator(Linear(torch.zeros(4, 1), torch.zeros(1)), torch.zeros(5, 2))
    state = Cascade((one,), (one, one), one, locator).state("points.second.")
    assert set(state) > {"points.second.window", "points.second.locator.weight"}
    again = Cascade.from_state(state, "points.second.")
    assert again.locator is not None
    assert len(again.stages) == 2
    assert in_pixels(torch.zeros(1, 2), 10, 20).tolist() == [[10.0, 5.0]]
    assert len(NAMES) == 4
