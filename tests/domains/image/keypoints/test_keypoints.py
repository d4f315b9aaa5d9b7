"""Key points from end to end: built from a few images, written, read back, run, drawn and measured."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_images import encoded, zip_of
from tiny_poses import EDGES, NAMES, kite, marked, write_coco, write_kites
from tiny_server import client
from tiny_tuning import check_network_tuned

from modelgpt_cli import build, bundle, describe, evaluate, inspect, predict, tune, verify
from modelgpt_cli import report as write_report
from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.dense.finetune import JUDGE, Finetuning, MapTuning, load_marked, tuning_folds
from modelgpt_cli.domains.image.dense.maps import seen_pixels
from modelgpt_cli.domains.image.keypoints import architectures, fit, page
from modelgpt_cli.domains.image.keypoints import build as building
from modelgpt_cli.domains.image.keypoints import onnx as graph
from modelgpt_cli.domains.image.keypoints import step as step_module
from modelgpt_cli.domains.image.keypoints.cascade import at_points, in_pixels, in_units
from modelgpt_cli.domains.image.keypoints.copies import mirror, moved
from modelgpt_cli.domains.image.keypoints.draw import drawn_png
from modelgpt_cli.domains.image.keypoints.model import PointModel
from modelgpt_cli.domains.image.keypoints.poses import Pose, normaliser
from modelgpt_cli.domains.image.keypoints.scores import errors_of, oks, point_scores
from modelgpt_cli.domains.image.keypoints.tune import PointTuning
from modelgpt_cli.domains.image.keypoints.verify import verify as verify_graph
from modelgpt_cli.model_generator.cards import find_card
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.training.tune import TuneSettings

SIDE = 96
CARD = f"efficientnet_lite0-points-{SIDE}"


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """A card that sees images at few pixels, and one copy of each image: the same way at a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "SIZES", (SIDE,))
        patch.setattr(building, "COPIES", ((60, 2),))
        patch.setattr(step_module, "PRECISIONS", (1.0, 3.0, 10.0))
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images to learn from and four to test on."""
    root = tmp_path_factory.mktemp("poses") / "kites"
    write_kites(root / "train", range(10))
    write_kites(root / "test", range(100, 104))
    return root


@pytest.fixture(scope="module")
def made(world: Path) -> tuple[Path, Any]:
    """A model built from them, and its report."""
    return world.parent / "m.onnx", build(world, output=world.parent / "m.onnx", offline=True)


def test_a_build_describes_the_task_and_finds_the_corners(made: tuple[Path, Any], world: Path) -> None:
    model, report = made
    assert report.metrics["model"]["nme"] < 0.06 < 0.12 < report.metrics["mean shape"]["nme"]
    assert report.n_rows == 10
    text = report.requirement.read_text()
    assert text.startswith("Find the key points left_wing, right_wing, tail and tip in each image of 'kites' (10 ")
    wanted = parse_requirement(text)
    assert (wanted.domain, wanted.task, wanted.classes) == ("keypoints", "keypoints", NAMES)
    found = evaluate(model, world)
    assert found.rows == 4
    assert found["nme"] < 0.06
    assert found["pck"] > 0.85
    assert found["oks_map50"] > 0.9
    assert found.classes["tail"]["rows"] == 4
    assert evaluate(model, world / "test").metrics == found.metrics
    assert evaluate(model, zip_of(world, world.parent / "kites.zip")).metrics == found.metrics
    card = inspect(model)
    assert card["labels"] == list(NAMES)
    assert card["decoding"]["points"]["mirrored"] == [0, 2, 1, 3]


def test_points_are_written_and_drawn(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    images = world / "test" / "images"
    predict(model, images, output=tmp_path / "p.jsonl", draw=tmp_path / "drawn")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["00.jpg", "01.jpg", "02.jpg", "03.jpg"]
    assert list(rows[0]["points"]) == list(NAMES)
    x, y, score = rows[2]["points"]["tip"]
    assert np.hypot(*(kite(102)[1][0] - (x, y))) < 8
    assert 0 < score < 1
    predict(model, images, output=tmp_path / "p.csv")
    lines = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [float(lines[2][f"tip_{part}"]) for part in ("x", "y", "score")] == [x, y, score]
    assert Image.open(tmp_path / "drawn" / "02.png").width >= 480
    done = predict(model, images, output=tmp_path / "out")
    assert (done.rows, done.path) == (4, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "02.json").read_text()) == rows[2]["points"]
    answers = predict(model, [images / "02.jpg"]).answers
    assert answers["keypoints"][0].shape == (4, 3)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "broken" / "y.jpg").write_bytes((images / "02.jpg").read_bytes())
    predict(model, tmp_path / "broken", output=tmp_path / "b.csv")
    lines = list(csv.DictReader((tmp_path / "b.csv").open()))
    assert [line["tip_x"] for line in lines] == ["", str(x)]


def test_files_of_other_kinds_hold_the_same_model(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    model = load_model(path)
    assert isinstance(model, PointModel)
    write_model(model, tmp_path / "m.safetensors")
    export(tmp_path / "m.safetensors", output=tmp_path / "again.onnx")
    export(path, output=tmp_path / "half.onnx", quantize="fp16")
    images = [world / "test" / "images" / "01.jpg"]
    points = predict(path, images).answers["keypoints"][0]
    assert np.array_equal(predict(tmp_path / "again.onnx", images).answers["keypoints"][0], points)
    half = predict(tmp_path / "half.onnx", images).answers["keypoints"][0]
    assert np.abs(half - points)[:, :2].max() < 2
    assert (tmp_path / "half.onnx").stat().st_size < 0.65 * path.stat().st_size
    assert np.allclose(model.predict([np.asarray(Image.open(images[0]))])[0], points, atol=0.05)
    for opset in (13, 20):
        onnx.checker.check_model(graph.to_onnx(model, opset=opset))


def test_heads_in_eight_bits_keep_the_points(made: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network stays as it is, and its heads are stored as in 8 bits."""
    monkeypatch.setattr("modelgpt_cli.domains.image.onnx_integers.in_integers", lambda proto, image, images: proto)
    model, images = load_model(made[0]), [kite(100)[0], kite(101)[0]]
    assert isinstance(model, PointModel)
    made_small = graph.to_onnx(model, quantize="int8", rows=images)
    stored = {tensor.name: tensor.data_type for tensor in made_small.graph.initializer}
    assert stored["points.projection.0.weight"] == onnx.TensorProto.FLOAT16
    assert stored["points.stage.2.weight"] == onnx.TensorProto.INT8
    raw = made_small.SerializeToString()
    assert verify_graph(model, raw, images, quantize="int8") < 0.01
    model.cascade.stages[0].bias.add_(0.2)
    with pytest.raises(VerificationError, match=r"Points move by .* of an image's longer side; 0.05 is allowed"):
        verify_graph(model, raw, images, quantize="int8")


@pytest.mark.slow
def test_eight_bits_keep_the_points(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    small = tmp_path / "small.onnx"
    with pytest.raises(UsageError, match="int8 needs images"):
        export(path, output=small, quantize="int8")
    report = export(path, output=small, quantize="int8", data=world)
    assert report.title == "NME"
    assert report.after["nme"] - report.before["nme"] < 0.02  # type: ignore[operator]
    costs = architectures.costs(find_card(CARD), Sizes(len(NAMES)))
    assert costs is not None
    assert costs.n_bytes["int8"] < report.size_bytes < 0.33 * path.stat().st_size


def test_tuning_keeps_the_better_network(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    done = tune(path, data=world, output=tmp_path / "tuned.onnx", device="cpu")
    assert (done.rows, done.validated) == (10, "by runs of images")
    assert done.kept == ("after" if done.after["nme"] < done.before["nme"] else "before")
    assert evaluate(tmp_path / "tuned.onnx", world)["nme"] < 0.06
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MapTuning, "_better", lambda *_: done.kept == "before")
        other = tune(path, data=world, output=tmp_path / "other.onnx", device="cpu")
    assert (other.before, other.after) == (done.before, done.after), "from the same seed"
    after, before = tmp_path / "tuned.onnx", tmp_path / "other.onnx"
    if done.kept == "before":
        after, before = before, after
    check_network_tuned(path, after)
    assert evaluate(after, world)["nme"] < 0.08
    images = [world / "test" / "images" / "01.jpg"]
    points = [predict(one, images).answers["keypoints"][0] for one in (path, before, after)]
    assert np.array_equal(points[0], points[1])
    assert not np.allclose(points[0], points[2], atol=1e-3)
    model = load_model(after)
    assert np.allclose(model.predict([np.asarray(Image.open(images[0]))])[0], points[2], atol=0.05)
    assert model.blueprint.metrics["model"] == done.after


def test_what_tuning_refuses(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, out = made[0], tmp_path / "tuned.onnx"
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "x.jpg").write_bytes(encoded(kite(0)[0]))
    with pytest.raises(UsageError, match="has the key points tip, tail, and the model has tip"):
        tune(path, data=write_kites(tmp_path / "others", range(3), keep=(0, 3)), output=out)
    with pytest.raises(ModelGPTError, match="Too few images to tune on"):
        tune(path, data=write_kites(tmp_path / "two", range(2)), output=out)
    with pytest.raises(ModelGPTError, match="bare holds images, and images with key points are asked for"):
        tune(path, data=bare, output=out)
    with pytest.raises(UsageError, match="--group"):
        tune(path, data=world, output=out, group="place")
    assert not out.exists()


def test_folds_of_tuning_are_runs() -> None:
    assert tuning_folds(16).tolist() == [0, 0, 1, 1, 2, 2, 3, 3] * 2
    assert [int((tuning_folds(n) == JUDGE).sum()) for n in (1, 2, 3, 7)] == [0, 0, 1, 2]


def test_steps_to_tune_by_have_seen_neither_their_fold_nor_the_one_that_judges() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 3, (40, 12)).astype(np.float32), rng.normal(size=(40, 4)).astype(np.float32)
    folds, labelled = np.arange(40) % 4, np.ones((40, 2), bool)
    step = step_module.Step(torch.from_numpy(x), folds, JUDGE)
    step.solve(y, labelled)
    assert sorted(step.apart) == [0, 1, 3]
    other = step_module.Step(torch.from_numpy(x), folds, JUDGE)
    other.solve(np.where(np.isin(folds, (1, JUDGE))[:, None], y, 9), labelled)
    again = step_module.Step(torch.from_numpy(x), folds, JUDGE)
    again.solve(np.where(np.isin(folds, (1, JUDGE))[:, None], 9, y), labelled)
    if step.precision == again.precision:
        assert torch.allclose(step.apart[1].weight, again.apart[1].weight, atol=1e-5)
    assert not torch.allclose(step.apart[1].weight, other.apart[1].weight, atol=1e-2)


def test_what_is_tuned_is_the_network_itself(made: tuple[Path, Any], world: Path) -> None:
    """With BatchNorm folded into each step's convolutions, maps are those of the model."""
    model = load_model(made[0])
    assert isinstance(model, PointModel)
    task = PointTuning(model, load_marked(model.blueprint, world, 0), TuneSettings())
    tuning = Finetuning(task, model.trunk)
    image = kite(3)[0]
    for found, true in zip(
        tuning.maps([image], model.view)[0], model.trunk(seen_pixels(image[None], model.view)), strict=True
    ):
        assert torch.allclose(found, true.clamp(min=1e-4).sqrt(), atol=1e-3)


def test_images_are_sent_to_a_server(made: tuple[Path, Any], world: Path) -> None:
    image = world / "test" / "images" / "02.jpg"
    with client(made[0]) as asked:
        reply = asked.post("/predict", content=image.read_bytes(), headers={"content-type": "image/jpeg"})
    assert reply.status_code == 200, reply.text
    assert reply.json()["predictions"][0]["points"] == predict(made[0], [image]).answers["points"][0]


def test_a_page_knows_the_edges(made: tuple[Path, Any]) -> None:
    session = Model(made[0])
    assert page.ANSWER == "points"
    assert page.answer(session) == {"edges": [[a - 1, b - 1] for a, b in EDGES]}
    assert [field.kind for field in page.fields(session)] == ["pixels"]


def test_images_at_once_get_the_same_points(made: tuple[Path, Any]) -> None:
    images = np.stack([kite(seed)[0] for seed in (200, 201, 202)])
    model = load_model(made[0])
    assert isinstance(model, PointModel)
    with torch.inference_mode():
        together = model.forward(images).numpy()
    assert np.allclose(together, model.predict(images), atol=1e-2)
    large = np.repeat(np.repeat(images[:1], 5, 1), 5, 2)
    assert np.abs(model.predict(large)[0, :, :2] / 5 - together[0, :, :2]).max() < 3


def test_what_is_refused(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, report = made
    with pytest.raises(UsageError, match="--topk"):
        predict(model, world / "test" / "images", topk=2)
    with pytest.raises(UsageError, match="no images with key points to compare with"):
        evaluate(model, world / "test" / "images")
    (tmp_path / "words.txt").write_text("Find the corners of kites.\n---\ntask: keypoints\nclasses: [tip, tail]\n")
    with pytest.raises(UsageError, match="can't be built from words alone") as caught:
        build(tmp_path / "words.txt", output=tmp_path / "m.onnx")
    assert "twenty labelled images are a start" in str(caught.value.__dict__)
    (tmp_path / "good.txt").write_text(report.requirement.read_text() + "quality: {f1: 0.5}\n")
    with pytest.raises(UsageError, match="f1 can't be measured on images with key points"):
        build(tmp_path / "good.txt", output=tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="--normalise can't be 'tip,nose'"):
        build(world, output=tmp_path / "m.onnx", normalise="tip,nose", offline=True)
    others = write_kites(tmp_path / "others", range(2), keep=(0, 3))
    with pytest.raises(UsageError, match="has the key points tip, tail, and the model has tip"):
        evaluate(model, others)
    with pytest.raises(UsageError, match="the requirement names tip, nose"):
        load_dataset(others, classes=("tip", "nose"))


def test_computed_costs_are_those_of_the_file(made: tuple[Path, Any]) -> None:
    card = find_card(CARD)
    costs = architectures.costs(card, Sizes(len(NAMES)))
    model = load_model(made[0])
    assert isinstance(model, PointModel)
    assert costs is not None
    assert model.cascade.locator is not None
    assert model.second is not None
    heads = [*model.cascade.state().values(), *model.second.state().values()]
    assert costs.parameters == sum(tensor.numel() for tensor in [*model.parameters(), *heads])
    assert costs.n_bytes["none"] <= made[0].stat().st_size


def test_errors_by_the_distance_of_two_points(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    report = build(world / "train", output=tmp_path / "m.onnx", normalise="left_wing, right_wing", offline=True)
    wings, diagonal = (evaluate(model, world)["nme"] for model in (tmp_path / "m.onnx", made[0]))
    assert wings > 1.5 * diagonal  # the wings' distance is less than half of the diagonal
    assert report.metrics["model"]["nme"] > 0


def test_some_points_in_some_images_only(tmp_path: Path) -> None:
    """A corner that is hidden in half of the images is learned from the others alone, and is less sure."""
    drawn = [kite(seed) for seed in range(12)]
    notes = [marked(k + 1, points, (2, 2, 2, 2 * (k % 2))) for k, (_, points) in enumerate(drawn)]
    root = write_coco(tmp_path / "half", [image for image, _ in drawn], notes)
    build(root, output=tmp_path / "m.onnx", offline=True)
    write_kites(tmp_path / "test", range(100, 104))
    found = evaluate(tmp_path / "m.onnx", tmp_path / "test")
    assert found.classes["tail"]["nme"] < 0.1
    points = np.stack(list(predict(tmp_path / "m.onnx", tmp_path / "test" / "images").answers["keypoints"]))
    assert points[:, 3, 2].mean() < points[:, :3, 2].mean() - 0.1


@pytest.mark.parametrize("keep", [(0, 3), (2,)])
def test_few_points(keep: tuple[int, ...], tmp_path: Path) -> None:
    write_kites(tmp_path / "train", range(10), keep)
    write_kites(tmp_path / "test", range(100, 104), keep)
    report = build(tmp_path / "train", output=tmp_path / "m.onnx", offline=True)
    assert report.metrics["model"]["nme"] < 0.6 * report.metrics["mean shape"]["nme"]
    found = evaluate(tmp_path / "m.onnx", tmp_path / "test")
    assert found["nme"] < 0.6 * report.metrics["mean shape"]["nme"]
    assert list(found.classes) == [NAMES[k] for k in keep]


def test_one_image(tmp_path: Path) -> None:
    write_kites(tmp_path / "one", [7])
    report = build(tmp_path / "one", output=tmp_path / "m.onnx", offline=True)
    assert report.metrics == {}
    assert any("nothing can be held out" in note for note in report.notes)
    points = predict(tmp_path / "m.onnx", tmp_path / "one" / "images").answers["keypoints"][0]
    assert np.abs(points[:, :2] - kite(7)[1]).max() < 12


def test_the_largest_of_several_objects_is_told(tmp_path: Path) -> None:
    image, points = kite(1)
    small = marked(2, points * 0.3 + (60, 50)) | {"image_id": 1}
    bare = marked(3, points, (0, 0, 0, 0)) | {"image_id": 2}
    root = write_coco(tmp_path / "set", [image, image], [small, marked(1, points), bare])
    dataset = load_dataset(root)
    assert dataset.n_rows == 1
    told = " ".join(dataset.warnings)
    assert "1 of 2 images have several objects with points, such as images/00.jpg: of each the largest" in told
    assert "1 of 2 images have no labelled point, such as images/01.jpg: left out" in told
    pose = dataset.source.poses["images/00.jpg"]  # type: ignore[union-attr]
    assert np.allclose(pose.points[:, :2], points)


def test_a_description_names_the_points(world: Path) -> None:
    done = describe(world, offline=True)
    assert "80 pixels" in done.requirement.sentence
    assert done.requirement.task == "keypoints"


# Parts ---------------------------------------------------------------------------------------------------------------


def test_measures_by_their_definitions() -> None:
    true = np.array([[0, 0, 2], [30, 40, 2], [9, 9, 0]], np.float64)
    pose = Pose("a", (100, 100), true, (0, 0, 30, 40))
    found = np.array([[[3, 4, 0.9], [30, 44, 0.9], [0, 0, 0.9]]])
    assert normaliser(pose, ()) == 50
    assert normaliser(pose, (0, 1)) == 50
    assert np.isnan(normaliser(pose, (0, 2)))
    errors = errors_of([pose], found, ())
    assert np.allclose(errors[0, :2], [0.1, 0.08])
    metrics, points = point_scores(errors, ["a", "b", "c"])
    assert metrics["nme"] == pytest.approx(0.09)
    assert metrics["pck"] == 0.5
    assert points["c"] == {"nme": None, "pck": None, "rows": 0}
    single = Pose("b", (100, 50), np.array([[3.0, 3, 2]]), None)
    assert normaliser(single, ()) == pytest.approx(np.hypot(100, 50))


def test_oks_is_that_of_its_formula() -> None:
    true = np.array([[10, 10, 2], [50, 90, 2]], np.float64)
    pose = Pose("a", (100, 100), true, (10, 10, 50, 90))
    area, sigma = 40 * 80, 0.05
    off = np.sqrt(-2 * np.log(0.72) * area) * 2 * sigma  # both points so far off that the similarity is .72
    found = true.copy()
    found[:, 0] += off
    found[:, 2] = 0.5
    values = oks([pose], found[None], ["a", "b"])
    assert values["oks_map50"] == pytest.approx(1.0)
    assert values["oks_map"] == pytest.approx(0.5)  # .5, .55, ... .7 of ten thresholds
    assert oks([Pose("a", (9, 9), true)], found[None], ["a", "b"]) == {}


def test_copies_keep_points_on_what_they_mark() -> None:
    image, points = kite(3)
    marks = np.concatenate([points, np.full((4, 1), 2.0)], 1)
    rng = np.random.default_rng(0)
    for seen, its in (moved(image, marks, rng)[:2], moved(image, marks, rng)[:2], mirror(image, marks, (0, 2, 1, 3))):
        assert its[:, 2].all()
        for k, colour in ((0, (200, 40, 40)), (3, (30, 150, 70))):
            x, y = its[k, :2].astype(int)
            assert np.abs(seen[y, x].astype(int) - colour).max() < 60


def test_steps_read_maps_at_the_points() -> None:
    maps = [torch.arange(12.0).reshape(1, 1, 3, 4), torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 1, 1)]
    pixels = np.array([[4.0, 4.0], [20.0, 12.0], [-9.0, 100.0]])  # of 32 x 24, places of 8 pixels
    units = torch.from_numpy(in_units(pixels, 24, 32))[None]
    read = at_points(maps, units, 24, 32).reshape(3, 3)
    assert read[:, 0].tolist() == pytest.approx([0.0, 6.0, 8.0], abs=1e-4)
    assert np.allclose(in_pixels(units, 24, 32)[0].numpy(), pixels, atol=1e-4)


def test_ridge_of_some_rows_is_the_ridge_solution() -> None:
    rng = np.random.default_rng(0)
    for n in (40, 8):  # by products of inputs, and of rows
        x, y = rng.normal(2, 3, (n, 12)).astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32)
        labelled = np.ones((n, 2), bool)
        labelled[::2, 1] = False
        step = step_module.Step(torch.from_numpy(x), fit.folds_of(n))
        step.solve(y, labelled)
        for columns, kept in ((slice(0, 2), slice(None)), (slice(2, 4), slice(1, None, 2))):
            z, target = x[kept], y[kept, columns]
            mean, scale = z.mean(0), z.std(0)
            z = (z - mean) / scale
            system = z.T @ z + step.precision * len(z) * np.eye(12)
            weight = np.linalg.solve(system, z.T @ (target - target.mean(0)))
            expected = (x - mean) / scale @ weight + target.mean(0)
            assert np.allclose(step.linear(torch.from_numpy(x))[:, columns].numpy(), expected, atol=1e-3)


def test_steps_that_bring_nothing_nearer_are_left_out() -> None:
    """Of maps that say nothing no model is worse than the mean shape, on images that are held out."""
    rng, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)
    rows = []
    for k in range(12):
        seen = [torch.randn(1, c, side, side, generator=draw) for c, side in ((4, 8), (6, 4), (4, 2))]
        points = np.concatenate([rng.uniform(0, 64, (2, 2)), np.full((2, 1), 2.0)], 1)
        rows.append(fit.make_row(seen, points, 50.0, (64, 64), k, True))
    done = fit.fit_points((), fit.Rows(rows), 0, locate=True)
    assert done.metrics["model"]["nme"] <= done.metrics["mean shape"]["nme"] + 1e-6
    assert len(done.cascade.stages) == 1 + architectures.STEPS


def test_what_is_drawn() -> None:
    image, points = kite(2)
    edges = [(a - 1, b - 1) for a, b in EDGES]
    marks = np.concatenate([points, np.full((4, 1), 0.9)], 1)
    one, two = (
        np.asarray(Image.open(BytesIO(drawn_png(image, marks, NAMES, lines)))).astype(int) for lines in (edges, ())
    )
    assert one.shape[1] == 480
    assert (one != two).any()
    x, y = (points[0] * 5).astype(int)
    assert np.abs(one[y, x] - (31, 119, 180)).max() == 0  # the first colour, where the first point is


def test_at_work_neither_torch_nor_pandas_is_loaded(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from modelgpt_cli import evaluate, predict; model, data, out = sys.argv[1:]\n"
        "predict(model, data, output=out, draw=out + '-drawn'); evaluate(model, data)\n"
        "sys.exit(' '.join({'torch', 'pandas', 'onnx'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(made[0]), str(world / "test"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_no_image_can_be_read(tmp_path: Path) -> None:
    root = write_kites(tmp_path / "set", [1])
    (root / "images" / "00.jpg").write_bytes(encoded(kite(1)[0])[:300])
    with pytest.raises(ModelGPTError):
        build(root, output=tmp_path / "m.onnx", offline=True)


def test_a_report_draws_what_it_finds_and_a_bundle_checks_it(
    made: tuple[Path, Any], world: Path, tmp_path: Path
) -> None:
    model, _ = made
    write_report(model, data=world, output=tmp_path / "r.html", model_card=tmp_path / "README.md")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count('<img src="data:image/jpeg;base64,') == 4
    assert "The worst, and the best" in text
    assert "pipeline_tag: keypoint-detection" in (tmp_path / "README.md").read_text(encoding="utf-8")
    bundle(model, output=tmp_path / "b.zip", data=world, rows=2)
    assert verify(tmp_path / "b.zip").faults == []


def test_results_measure_as_evaluate_does(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    content = json.loads((world / "test" / "annotations.json").read_text())
    for one in content["images"]:
        one["id"] += 50
    for one in content["annotations"]:
        one |= {"image_id": one["image_id"] + 50, "category_id": 4, "num_keypoints": 4}
    content["categories"][0]["id"] = 4
    shutil.copytree(world / "test", tmp_path / "set")
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(content))
    predict(model, tmp_path / "set" / "annotations.json", output=tmp_path / "results.json")
    with contextlib.redirect_stdout(StringIO()):
        truth = COCO(str(tmp_path / "set" / "annotations.json"))
        done = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "keypoints")
        done.params.kpt_oks_sigmas = np.full(len(NAMES), 0.05)
        done.evaluate()
        done.accumulate()
    precision = done.eval["precision"][:, :, 0, 0, 0]
    assert precision[precision > -1].mean() == pytest.approx(evaluate(model, world)["oks_map"], abs=1e-6)


def test_images_alone_get_annotations_to_begin_with(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    shutil.copytree(world / "test" / "images", tmp_path / "new")
    done = predict(model, tmp_path / "new", output=tmp_path / "new" / "annotations.json")
    points = predict(model, tmp_path / "new").answers["keypoints"]
    found = load_dataset(tmp_path / "new")
    assert (done.rows, found.schema.task, found.schema.classes) == (4, "keypoints", NAMES)
    poses = found.source.poses  # type: ignore[union-attr]
    assert np.abs(poses["00.jpg"].points[:, :2] - points[0][:, :2]).max() < 0.01


def test_a_quality_that_is_missed_is_refused(world: Path, tmp_path: Path, made: tuple[Path, Any]) -> None:
    _, report = made
    wanted = report.requirement.read_text().replace("---\n", "---\nquality: {nme: 0.1%, pck: 10%}\n", 1)
    (tmp_path / "wanted.txt").write_text(wanted)
    with pytest.raises(
        VerificationError, match=r"quality: nme\s+at most 0.001 .*[\s\S]*quality: pck\s+at least 0.1"
    ) as caught:
        build(tmp_path / "wanted.txt", data=world, output=tmp_path / "m.onnx")
    assert "misses quality: nme" in caught.value.cause
    assert "pck" not in caught.value.cause.partition("misses")[2]
    assert not (tmp_path / "m.onnx").exists()
