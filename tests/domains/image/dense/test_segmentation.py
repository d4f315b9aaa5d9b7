"""Segmentation from end to end: built from a few images, written, read back, run, drawn and measured."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO
from tiny_images import encoded
from tiny_scenes import LABELS, add_pair, png, scene, split_scenes, write_scenes
from tiny_server import client

from modelgpt_cli import build, bundle, describe, evaluate, inspect, predict, verify
from modelgpt_cli import report as write_report
from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.domains.image.annotations.rle import packed_mask
from modelgpt_cli.domains.image.dense import fit
from modelgpt_cli.domains.image.dense import onnx as graph
from modelgpt_cli.domains.image.dense.draw import drawn_png, palette
from modelgpt_cli.domains.image.dense.maps import View, inputs_at, resize_weights, scores_of
from modelgpt_cli.domains.image.dense.masks import IGNORE
from modelgpt_cli.domains.image.dense.model import FINEST, SegmentationModel
from modelgpt_cli.domains.image.dense.ridge import Standardised, Sums
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores
from modelgpt_cli.domains.image.dense.verify import verify as verify_graph
from modelgpt_cli.model_generator.cards import find_card
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.model_generator.measure import measure_flops
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement

CARD = "efficientnet_lite0-dense-320"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images to learn from and three to test on."""
    return split_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def made(world: Path) -> tuple[Path, Any]:
    """A model built from them, and its report; one precision is tried, as to solve others takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "PRECISIONS", (1.0,))
        patch.setattr(fit, "FIRST", 0)
        report = build(world, output=world.parent / "m.onnx", card=CARD, offline=True)
    return world.parent / "m.onnx", report


def test_a_server_gives_the_shares_of_an_image_that_is_sent(made: tuple[Path, Any], world: Path) -> None:
    model, _ = made
    file = sorted(world.glob("test/images/*"))[0]
    with client(model) as server:
        reply = server.post("/predict", content=file.read_bytes(), headers={"Content-Type": "image/png"})
        assert reply.json()["predictions"] == [{"file": "body", "shares": predict(model, file).answers["shares"][0]}]
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 72, 96, 3], "data": [0] * (72 * 96 * 3)}
        found = server.post("/v2/models/m/infer", json={"inputs": [tensor]}).json()["outputs"]
        assert [one["name"] for one in found] == ["shares"]
        assert sum(json.loads(found[0]["data"][0]).values()) == pytest.approx(1, abs=0.01)


def test_a_build_describes_the_task_and_finds_the_shapes(made: tuple[Path, Any], world: Path) -> None:
    model, report = made
    assert report.metrics["model"]["miou"] > 0.8 > 0.4 > report.metrics["most frequent class"]["miou"]
    assert report.n_rows == 5
    text = report.requirement.read_text()
    said = "Segment each image of 'shapes' (5 labelled images, 96 by 72 pixels) into ground, box and disc"
    assert text.startswith(said)
    wanted = parse_requirement(text)
    assert (wanted.domain, wanted.task, wanted.classes) == ("dense", "segmentation", LABELS)
    found = evaluate(model, world)
    assert found.rows == 3
    assert found["miou"] > 0.8
    assert found["pixel_accuracy"] > 0.95
    true = np.concatenate([scene(k)[1] for k in range(5, 8)])
    assert found.classes["disc"]["rows"] == int((true == 1).sum())
    assert evaluate(model, world / "test").metrics == found.metrics
    card = inspect(model)
    assert card["labels"] == list(LABELS)
    assert card["image"]["size"] == 320


def test_masks_are_written_and_drawn(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    images = world / "test" / "images"
    done = predict(model, images, output=tmp_path / "out", draw=tmp_path / "drawn")
    assert (done.rows, done.path) == (3, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["5.png", "6.png", "7.png"]
    image = Image.open(tmp_path / "out" / "6.png")
    assert (image.mode, image.size) == ("P", (96, 72))
    mask = np.asarray(image)
    assert (mask == scene(6)[1]).mean() > 0.95
    assert image.getpalette()[3:6] == palette(LABELS)[1].tolist()  # type: ignore[index]
    drawn = Image.open(tmp_path / "drawn" / "6.png")
    assert drawn.height > 72
    with pytest.raises(ModelGPTError, match="already exists"):
        predict(model, images, output=tmp_path / "out")
    answers = predict(model, [images / "6.jpg"]).answers
    assert (answers["mask"][0] == mask).all()
    predict(model, world / "test", output=tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["5.jpg", "6.jpg", "7.jpg"]
    assert rows[1]["shares"] == {label: round(float((mask == k).mean()), 4) for k, label in enumerate(LABELS)}
    # What predict writes is what evaluate reads.
    for path in (tmp_path / "out").iterdir():
        add_pair(tmp_path / "again", path.stem, scene(0)[0], path.read_bytes())
        (tmp_path / "again" / "images" / f"{path.stem}.jpg").write_bytes((images / f"{path.stem}.jpg").read_bytes())
    assert evaluate(model, tmp_path / "again")["miou"] == 1.0


def test_two_images_of_one_name_and_broken_ones(made: tuple[Path, Any], tmp_path: Path) -> None:
    model, _ = made
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(encoded(scene(1)[0]))
    (tmp_path / "b" / "y.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = predict(model, [tmp_path / "a", tmp_path / "b"], output=tmp_path / "out")
    assert done.rows == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.jpg.png", "x.png"]
    predict(model, tmp_path / "b", output=tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["shares"] is None for row in rows] == [False, True]


@pytest.mark.slow
def test_files_of_other_kinds_hold_the_same_model(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    model = load_model(path)
    assert isinstance(model, SegmentationModel)
    write_model(model, tmp_path / "m.safetensors")
    export(tmp_path / "m.safetensors", output=tmp_path / "again.onnx")
    export(path, output=tmp_path / "half.onnx", quantize="fp16")
    images = [world / "test" / "images" / "6.jpg"]
    mask = predict(path, images).answers["mask"][0]
    assert (predict(tmp_path / "again.onnx", images).answers["mask"][0] == mask).all()
    assert (predict(tmp_path / "half.onnx", images).answers["mask"][0] == mask).mean() > 0.98
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * path.stat().st_size
    assert (model.masks([np.asarray(Image.open(images[0]))])[0] == mask).all()
    for opset in (13, 20):
        onnx.checker.check_model(graph.to_onnx(model, opset=opset))


def test_heads_in_eight_bits_keep_the_masks(
    made: tuple[Path, Any],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The network stays as it is, and its head is stored as in 8 bits; images without masks can measure ranges."""
    seen: list[int] = []

    def in_integers(proto: onnx.ModelProto, image: str, images: list[np.ndarray]) -> onnx.ModelProto:
        seen.append(len(images))
        return proto

    monkeypatch.setattr("modelgpt_cli.domains.image.onnx_integers.in_integers", in_integers)
    path, small, images = made[0], tmp_path / "small.onnx", world / "test" / "images"
    with pytest.raises(UsageError, match="int8 needs images"):
        export(path, output=small, quantize="int8")
    report = export(path, output=small, quantize="int8", data=images)
    assert seen == [3]
    assert report.after == {}
    assert "but not what int8 costs" in caplog.text
    heads = {tensor.name: tensor.data_type for tensor in onnx.load(small).graph.initializer}
    assert heads["head.weight"] == onnx.TensorProto.FLOAT16
    model = load_model(path)
    assert isinstance(model, SegmentationModel)
    (found,) = predict(small, images / "6.jpg").answers["mask"]
    assert (found == model.masks([np.asarray(Image.open(images / "6.jpg"))])[0]).mean() > 0.99
    with torch.no_grad():
        model.head_weight.neg_()
    with pytest.raises(VerificationError, match="of the pixels get another class; 20% are allowed"):
        verify_graph(model, small.read_bytes(), [scene(6)[0]], quantize="int8")


@pytest.mark.slow
def test_eight_bits_keep_the_masks(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, small, images = made[0], tmp_path / "small.onnx", world / "test" / "images"
    report = export(path, output=small, quantize="int8", data=world)
    assert report.title == "mIoU"
    assert report.before["miou"] - report.after["miou"] < 0.03  # type: ignore[operator]
    costs = find_card(CARD).costs(Sizes(3))
    assert costs.n_bytes["int8"] < report.size_bytes < 0.3 * path.stat().st_size  # type: ignore[union-attr]
    before, after = (np.stack(list(predict(file, images).answers["mask"])) for file in (path, small))
    assert (before == after).mean() > 0.97
    with pytest.raises(ModelGPTError, match="is quantised"):
        load_model(small)


def test_what_is_refused(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, report = made
    with pytest.raises(UsageError, match="--topk"):
        predict(model, world / "test" / "images", topk=2)
    with pytest.raises(UsageError, match="no images with masks to compare with"):
        evaluate(model, world / "test" / "images")
    (tmp_path / "words.txt").write_text("Segment leaves.\n---\ntask: segmentation\nclasses: [leaf, ground]\n")
    with pytest.raises(UsageError, match=r"can't be built from words alone[\s\S]*'leaf' \(nearest: leafhopper, 0.73\)"):
        build(tmp_path / "words.txt", output=tmp_path / "m.onnx")
    (tmp_path / "good.txt").write_text(report.requirement.read_text() + "quality: {f1: 0.5}\n")
    with pytest.raises(UsageError, match="f1 can't be measured on images with masks"):
        build(tmp_path / "good.txt", output=tmp_path / "m.onnx")
    image, mask = scene(0)
    mask[0, 0] = 9
    add_pair(tmp_path / "odd", "0", image, png(mask))
    with pytest.raises(ModelGPTError, match="has the value 9, which stands for no class"):
        evaluate(model, tmp_path / "odd")


def test_its_costs_are_measured(made: tuple[Path, Any]) -> None:
    model, _ = made
    found = measure_flops(model, [scene(1)[0]])
    assert 0.9 < found / (391_742_400 * (320 * 256) / 160**2) < 1.5
    assert model.stat().st_size > (costs := find_card(CARD).costs(Sizes(3))).n_bytes["none"]  # type: ignore[union-attr]
    assert costs.parameters == sum(p.numel() for p in load_model(model).parameters())  # type: ignore[union-attr]


def test_a_description_says_what_each_class_has(world: Path) -> None:
    done = describe(world, offline=True)
    assert done.requirement.sentence.endswith("pixel by pixel.")


# Parts ---------------------------------------------------------------------------------------------------------------


def test_measures_by_their_definitions() -> None:
    true = np.array([[0, 0, 1, IGNORE], [0, 1, 1, 2]], np.uint8)
    found = np.array([[0, 1, 1, 2], [0, 1, 0, 2]], np.uint8)
    metrics, classes = mask_scores(count_pairs(true, found, 4), ["a", "b", "c", "d"])
    assert [classes[label]["iou"] for label in "abcd"] == [2 / 4, 2 / 4, 1.0, None]
    assert metrics["miou"] == pytest.approx(2 / 3)
    assert metrics["pixel_accuracy"] == pytest.approx(5 / 7)
    assert metrics["class_accuracy"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_shares_of_places() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[:8, 4:8], mask[8:, :8] = 1, IGNORE
    shares, labelled = fit.shares_of(mask, 2, 2, 2, 8)
    assert shares[0].tolist() == [0.5, 0.5]
    assert shares[1].tolist() == shares[3].tolist() == [1.0, 0.0]
    assert labelled.tolist() == [1.0, 1.0, 0.0, 1.0]


def test_inputs_at_places_are_those_that_the_head_sees() -> None:
    torch.manual_seed(0)
    maps = [torch.rand(1, c, 8 // s, 12 // s) for c, s in ((240, 1), (672, 2), (1280, 4))]
    weight, bias = torch.randn(2864, 2), torch.randn(2)
    rows = np.array([0, 17, 50, 95])
    expected = scores_of(maps, weight, bias)[0].reshape(2, -1)[:, rows].T
    found = torch.from_numpy(inputs_at(maps, rows)) @ weight + bias
    assert torch.allclose(found, expected, atol=1e-3)


def test_sums_give_the_ridge_solution() -> None:
    rng = np.random.default_rng(0)
    inputs, shares = rng.normal(3, 2, (200, 5)).astype(np.float32), rng.random((200, 2)).astype(np.float32)
    parts = [Sums.empty(5, 2) for _ in range(2)]
    shift = inputs[:9].mean(0)
    for part, rows in zip(parts, (slice(0, 120), slice(120, 200)), strict=True):
        part.add(inputs[rows] - shift, shares[rows])
    weight, bias = Standardised(parts[0].plus(parts[1:]), shift).solve(0.1)
    z = (inputs - inputs.mean(0)) / inputs.std(0)
    expected = np.linalg.solve(z.T @ z + 0.1 * 200 * np.eye(5), z.T @ (shares - shares.mean(0)))
    assert np.allclose(inputs @ weight.numpy() + bias.numpy(), z @ expected + shares.mean(0), atol=1e-4)


def test_folds_are_runs_of_images() -> None:
    assert fit.folds_of(9).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert fit.folds_of(2).tolist() == [0, 1]


def test_what_the_network_sees_keeps_the_aspect() -> None:
    view = View(480, (0.5,) * 3, (0.5,) * 3)
    assert view.seen(3000, 4000) == (352, 480)
    assert view.seen(1, 900) == (32, 480)
    weights = resize_weights(100, 32)
    assert np.allclose(weights.sum(1), 1, atol=1e-6)
    image = np.arange(100, dtype=np.uint8)[None]
    pillow = np.asarray(Image.fromarray(image).resize((32, 1), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(weights @ image[0] - pillow[0]).max() <= 0.51


def test_a_single_image_is_learned_from_and_large_ones_are_segmented(tmp_path: Path) -> None:
    write_scenes(tmp_path / "one", 1)
    report = build(tmp_path / "one", output=tmp_path / "m.onnx", card=CARD, offline=True)
    assert report.metrics == {}
    assert any("nothing can be held out" in note for note in report.notes)
    large = np.repeat(np.repeat(scene(3)[0], 16, 0), 16, 1)
    assert large.shape[1] > FINEST
    (tmp_path / "large.png").write_bytes(encoded(large, "PNG"))
    mask = predict(tmp_path / "m.onnx", [tmp_path / "large.png"]).answers["mask"][0]
    assert mask.shape == large.shape[:2]
    assert (mask[8::16, 8::16] == scene(3)[1]).mean() > 0.9


def test_a_class_that_is_drawn_is_in_the_legend() -> None:
    image, mask = scene(2)
    one, two = (np.asarray(Image.open(BytesIO(drawn_png(image, m, LABELS)))) for m in (mask, mask * 0))
    colour = palette(LABELS)[1]
    below = [(part[72:] == colour).all(-1).sum() for part in (one, two)]
    assert below[0] > 50
    assert below[1] == 0


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


def test_inputs_that_hardly_vary_are_solved_with() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 30)).astype(np.float32)
    inputs[:, 5:] = np.linspace(1, 9, 25)  # as of channels that these images don't excite
    shares = np.stack([inputs[:, 0] > 0, inputs[:, 0] <= 0], 1).astype(np.float32)
    sums = Sums.empty(30, 2)
    for _ in range(40):
        sums.add(inputs, shares)
    weight, bias = Standardised(sums, np.zeros(30, np.float32)).solve(0.03)
    assert weight.isfinite().all()
    assert float(((torch.from_numpy(inputs) @ weight + bias).argmax(1).numpy() == shares.argmax(1)).mean()) > 0.97


def test_a_report_draws_what_it_finds_and_a_bundle_checks_it(
    made: tuple[Path, Any], world: Path, tmp_path: Path
) -> None:
    model, _ = made
    write_report(model, data=world, output=tmp_path / "r.html", model_card=tmp_path / "README.md")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count('<img src="data:image/jpeg;base64,') == 3
    assert "The worst, and the best" in text
    assert "<th>pixels</th>" in text
    assert "pipeline_tag: image-segmentation" in (tmp_path / "README.md").read_text(encoding="utf-8")
    bundle(model, output=tmp_path / "b.zip", data=world, rows=2)
    assert verify(tmp_path / "b.zip").faults == []


def test_results_measure_as_evaluate_does(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    shutil.copytree(world / "test" / "images", tmp_path / "set")
    content: dict[str, list[dict[str, Any]]] = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": 96, "height": 72} for k in range(5, 8)],
        "categories": [{"id": 10 * k + 10, "name": label} for k, label in enumerate(LABELS)],
        "annotations": [
            {"image_id": k, "category_id": 10 * label + 10, "segmentation": packed_mask(scene(k)[1] == label)}
            for k in range(5, 8)
            for label in range(3)
        ],
    }
    for number, one in enumerate(content["annotations"], 1):
        one |= {"id": number, "iscrowd": 0, "area": 1}
    (tmp_path / "set" / "a.json").write_text(json.dumps(content))
    predict(model, tmp_path / "set" / "a.json", output=tmp_path / "results.json")
    with contextlib.redirect_stdout(StringIO()):
        truth = COCO(str(tmp_path / "set" / "a.json"))
        found = truth.loadRes(str(tmp_path / "results.json"))
    ious = []
    for label in (10, 20, 30):
        parts = [0.0, 0.0]
        for k in range(5, 8):
            pair = [
                one["segmentation"]
                for some in (truth, found)
                for one in some.loadAnns(some.getAnnIds(imgIds=k, catIds=label))
            ]
            for i, both in enumerate((len(pair) == 2, False)):
                parts[i] += float(masks.area(masks.merge(pair, intersect=both))) if both or i else 0.0
        ious.append(parts[0] / parts[1])
    assert np.mean(ious) == pytest.approx(evaluate(model, world)["miou"], abs=1e-9)


def test_images_alone_get_annotations_to_begin_with(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    shutil.copytree(world / "test" / "images", tmp_path / "new")
    predict(model, tmp_path / "new", output=tmp_path / "new.json")
    mask = predict(model, tmp_path / "new").answers["mask"][0]
    content = json.loads((tmp_path / "new.json").read_text())
    assert [one["name"] for one in content["categories"]] == list(LABELS)
    assert [one["file_name"] for one in content["images"]] == ["5.jpg", "6.jpg", "7.jpg"]
    (disc,) = (one for one in content["annotations"] if (one["image_id"], one["category_id"]) == (1, 2))
    assert (masks.decode(disc["segmentation"]) == (mask == 1)).all()
    left, top, width, height = disc["bbox"]
    assert disc["area"] == (mask[top : top + height, left : left + width] == 1).sum() == (mask == 1).sum()
