"""Detection from end to end: built from a few images, written, read back, run, drawn and measured."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_boxes import LABELS, shapes, write_boxes
from tiny_images import encoded
from tiny_server import client
from tiny_tuning import check_network_tuned

from modelgpt_cli import build, bundle, describe, evaluate, inspect, predict, tune, verify
from modelgpt_cli import report as write_report
from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.dense.finetune import MapTuning
from modelgpt_cli.domains.image.detection import fit, page, regions
from modelgpt_cli.domains.image.detection import onnx as graph
from modelgpt_cli.domains.image.detection.boxes import iou
from modelgpt_cli.domains.image.detection.model import DetectionModel
from modelgpt_cli.domains.image.detection.verify import verify as verify_graph
from modelgpt_cli.model_generator.cards import find_card
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement
from modelgpt_cli.runtime.session import Model

CARD = "efficientnet_lite0-boxes-320"


@pytest.fixture(scope="module", autouse=True)
def coarse() -> Iterator[None]:
    """Grids of three cells a side, and two folds: a build is ten times as fast."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (regions, graph):
            patch.setattr(module, "GRID", 3)
        patch.setattr(fit, "FOLDS", 2)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images to learn from, one of them without a thing, and three to test on."""
    root = tmp_path_factory.mktemp("detection") / "shapes"
    bare = np.random.default_rng(9).normal((150, 170, 140), 9, (160, 160, 3)).clip(0, 255).astype(np.uint8)
    write_boxes(root / "train", [*(shapes(k) for k in range(5)), (bare, [])])
    write_boxes(root / "test", [shapes(k) for k in range(6, 9)], 6)
    return root


@pytest.fixture(scope="module")
def made(world: Path) -> tuple[Path, Any]:
    """A model built from them, and its report."""
    report = build(world, output=world.parent / "m.onnx", card=CARD, offline=True)
    return world.parent / "m.onnx", report


def test_a_build_describes_the_task_and_finds_the_shapes(made: tuple[Path, Any], world: Path) -> None:
    model, report = made
    assert report.metrics["model"]["map50"] > 0.8
    assert report.n_rows == 6
    text = report.requirement.read_text()
    said = "Detect disc and square in each image of 'shapes' (6 labelled images, 160 by 160 pixels), with a box around"
    assert text.startswith(said)
    wanted = parse_requirement(text)
    assert (wanted.domain, wanted.task, wanted.classes) == ("detection", "detection", LABELS)
    found = evaluate(model, world)
    assert found.rows == 3
    assert (found["map50"] or 0) > 0.9
    assert found.classes["disc"]["rows"] == 6
    assert evaluate(model, world / "test").metrics == found.metrics
    card = inspect(model)
    assert card["labels"] == list(LABELS)
    assert card["image"]["size"] == 320


def test_boxes_as_json_csv_and_drawn(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    images = world / "test" / "images"
    answers = predict(model, images).answers["boxes"]
    assert len(answers) == 3
    for k, boxes in enumerate(answers):
        _, true = shapes(6 + k)
        best = iou(np.array([one[1:] for one in true]), np.array([one["box"] for one in boxes]))
        assert (best.max(1) > 0.6).all()
        assert [boxes[i]["label"] for i in best.argmax(1)] == [LABELS[one[0]] for one in true]
        scores = [one["score"] for one in boxes]
        assert scores == sorted(scores, reverse=True)
    done = predict(model, images, output=tmp_path / "p.jsonl", draw=tmp_path / "drawn")
    assert done.rows == 3
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["boxes"] for row in rows] == answers.tolist()
    plain, drawn = (np.asarray(Image.open(path)) for path in (images / "006.png", tmp_path / "drawn" / "006.png"))
    assert drawn.shape == plain.shape
    left, top, right, bottom = (int(edge) for edge in answers[0][0]["box"])
    changed = (drawn != plain).any(-1)
    assert changed[(top + bottom) // 2, left - 1 : left + 3].any()
    assert not changed[(top + bottom) // 2, left + 6 : right - 6].any()
    predict(model, images, output=tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(map(len, answers))
    assert lines[0]["label"] == answers[0][0]["label"]
    assert [float(lines[0][edge]) for edge in ("left", "top", "right", "bottom")] == answers[0][0]["box"]


def test_images_are_sent_to_a_server_and_a_page_shows_as_many_boxes(
    made: tuple[Path, Any], world: Path, tmp_path: Path
) -> None:
    image = min(world.rglob("*.*g"))
    with client(made[0]) as asked:
        reply = asked.post("/predict", content=image.read_bytes(), headers={"content-type": "image/jpeg"})
    assert reply.status_code == 200, reply.text
    boxes = reply.json()["predictions"][0]["boxes"]
    assert boxes == predict(made[0], [image]).answers["boxes"][0]
    least = page.answer(Model(made[0]))["least_score"]
    assert min(box["score"] for box in boxes) >= round(least, 3) - 1e-3


def test_an_image_without_a_thing_and_one_that_cannot_be_read(
    made: tuple[Path, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, _ = made
    (tmp_path / "a.png").write_bytes(encoded(np.full((90, 120, 3), 150, np.uint8), "PNG"))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    predict(model, tmp_path, output=tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["boxes"] for row in rows] == [[], None]
    assert "have no boxes" in caplog.text
    predict(model, tmp_path, output=tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "file,label,score,left,top,right,bottom\n"


@pytest.mark.slow
def test_files_of_other_kinds_hold_the_same_model(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    model = load_model(path)
    assert isinstance(model, DetectionModel)
    write_model(model, tmp_path / "m.safetensors")
    export(tmp_path / "m.safetensors", output=tmp_path / "again.onnx")
    export(path, output=tmp_path / "half.onnx", quantize="fp16")
    images = [world / "test" / "images" / "007.png"]
    boxes = predict(path, images).answers["boxes"][0]
    assert predict(tmp_path / "again.onnx", images).answers["boxes"][0] == boxes
    half = predict(tmp_path / "half.onnx", images).answers["boxes"][0]
    assert np.allclose([one["box"] for one in half], [one["box"] for one in boxes], atol=2)
    assert (tmp_path / "half.onnx").stat().st_size < 0.65 * path.stat().st_size
    found, scores, _ = model.forward(np.asarray(Image.open(images[0])))
    assert np.allclose(found[scores >= model.decoding.shown], [one["box"] for one in boxes], atol=0.1)
    for opset in (13, 20):
        written = graph.to_onnx(model, opset=opset)
        onnx.checker.check_model(written)
        session = ort.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
        again = session.run(None, {"image": np.asarray(Image.open(images[0]))[None]})
        assert np.allclose(again[0][: len(found)], found, atol=0.1)


def test_heads_in_eight_bits_keep_the_boxes(made: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network stays as it is, and its heads are stored as in 8 bits."""
    monkeypatch.setattr("modelgpt_cli.domains.image.onnx_integers.in_integers", lambda proto, image, images: proto)
    model, images = load_model(made[0]), [shapes(6)[0], shapes(7)[0]]
    assert isinstance(model, DetectionModel)
    small = graph.to_onnx(model, quantize="int8", rows=images)
    stored = {tensor.name: tensor.data_type for tensor in small.graph.initializer}
    assert stored["regions.near.weight"] == stored["head.weight"] == onnx.TensorProto.FLOAT16
    raw = small.SerializeToString()
    assert verify_graph(model, raw, images, quantize="int8") < 0.1
    model.heads.certainty.neg_()
    with pytest.raises(VerificationError, match="of the boxes are as they were; 60% have to be"):
        verify_graph(model, raw, images, quantize="int8")


@pytest.mark.slow
def test_eight_bits_keep_the_boxes(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    small = tmp_path / "small.onnx"
    with pytest.raises(UsageError, match="int8 needs images"):
        export(path, output=small, quantize="int8")
    report = export(path, output=small, quantize="int8", data=world)
    assert report.title == "mAP at IoU .5"
    assert report.before["map50"] - report.after["map50"] < 0.05  # type: ignore[operator]
    costs = find_card(CARD).costs(Sizes(len(LABELS)))
    assert costs is not None
    assert report.size_bytes < 0.3 * path.stat().st_size
    images = [world / "test" / "images" / "007.png"]
    before, after = (predict(file, images).answers["boxes"][0] for file in (path, small))
    overlap = iou(np.array([one["box"] for one in before]), np.array([one["box"] for one in after]))
    assert overlap.max(1).min() > 0.6


@pytest.mark.slow
def test_tuning_finetunes_the_network(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    path, _ = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MapTuning, "_better", lambda *_: True)
        done = tune(path, data=world, output=tmp_path / "tuned.onnx", device="cpu")
    assert (done.rows, done.kept, set(done.before)) == (6, "after", {"map50", "map", "precision", "recall"})
    check_network_tuned(path, tmp_path / "tuned.onnx")
    assert (evaluate(tmp_path / "tuned.onnx", world)["map50"] or 0) > 0.9


def test_what_is_refused(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, report = made
    with pytest.raises(UsageError, match="--topk"):
        predict(model, world / "test" / "images", topk=2)
    with pytest.raises(UsageError, match=r"Name a \.jsonl, \.csv or \.json"):
        predict(model, world / "test" / "images", output=tmp_path / "folder")
    with pytest.raises(UsageError, match="no images with boxes to compare with"):
        evaluate(model, world / "test" / "images")
    (tmp_path / "words.txt").write_text("Detect cells.\n---\ntask: detection\nclasses: [cell]\n")
    with pytest.raises(UsageError, match=r"can't be built from words alone.*[\s\S]*ten images"):
        build(tmp_path / "words.txt", output=tmp_path / "m.onnx")
    (tmp_path / "good.txt").write_text(report.requirement.read_text() + "quality: {f1: 0.5}\n")
    with pytest.raises(UsageError, match="f1 can't be measured on images with boxes"):
        build(tmp_path / "good.txt", output=tmp_path / "m.onnx")
    known = json.loads((world / "test" / "annotations.json").read_text())
    known["categories"][0]["name"] = "ring"
    write_boxes(tmp_path / "other", [shapes(6)], 6)
    (tmp_path / "other" / "annotations.json").write_text(json.dumps(known))
    with pytest.raises(ModelGPTError, match="boxes of 'ring', which the model doesn't know"):
        evaluate(model, tmp_path / "other")


def test_at_work_neither_torch_nor_pandas_is_loaded(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from modelgpt_cli import evaluate, predict; model, data, out = sys.argv[1:]\n"
        "predict(model, data + '/images', draw=out); evaluate(model, data)\n"
        "sys.exit(' '.join({'torch', 'pandas', 'onnx'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(made[0]), str(world / "test"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_single_image_of_one_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, boxes = shapes(3)
    write_boxes(tmp_path / "one", [(image, [one for one in boxes if one[0] == 0])])
    report = build(tmp_path / "one", output=tmp_path / "m.onnx", card=CARD, offline=True)
    assert report.metrics == {}
    assert any("nothing can be held out" in note for note in report.notes)
    found = predict(tmp_path / "m.onnx", [tmp_path / "one" / "images" / "000.png"]).answers["boxes"][0]
    assert {one["label"] for one in found} == {"disc"}
    assert iou(np.array([one["box"] for one in found[:1]]), np.array([b[1:] for b in boxes if b[0] == 0])).max() > 0.5


def test_what_describe_says_and_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_boxes(tmp_path / "set", [shapes(0), shapes(1)])
    with caplog.at_level(logging.INFO, "modelgpt"):
        done = describe(tmp_path / "set", offline=True)
    assert done.requirement.sentence.endswith("with a box around each.")
    assert "2 images. Boxes: disc 4, square 2" in caplog.text
    write_boxes(tmp_path / "none", [(shapes(0)[0], [])])
    with pytest.raises(ModelGPTError, match="No thing is marked"):
        describe(tmp_path / "none", offline=True)


def test_a_report_draws_what_it_finds_and_a_bundle_checks_it(
    made: tuple[Path, Any], world: Path, tmp_path: Path
) -> None:
    model, _ = made
    write_report(model, data=world, output=tmp_path / "r.html", model_card=tmp_path / "README.md")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count('<img src="data:image/jpeg;base64,') == 3
    assert "The worst, and the best" in text
    assert "pipeline_tag: object-detection" in (tmp_path / "README.md").read_text(encoding="utf-8")
    bundle(model, output=tmp_path / "b.zip", data=world, rows=2)
    assert verify(tmp_path / "b.zip").faults == []


def test_results_measure_as_evaluate_does(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    content = json.loads((world / "test" / "annotations.json").read_text())
    for one in content["images"]:
        one["id"] = 7 * one["id"] + 100
    for one in content["annotations"]:
        one |= {"image_id": 7 * one["image_id"] + 100, "category_id": one["category_id"] + 20, "iscrowd": 0}
        one["area"] = one["bbox"][2] * one["bbox"][3]
    for one in content["categories"]:
        one["id"] += 20
    shutil.copytree(world / "test", tmp_path / "set")
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(content))
    predict(model, tmp_path / "set", output=tmp_path / "results.json")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "set" / "annotations.json"))
        done = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "bbox")
        done.evaluate()
        done.accumulate()
    precision = done.eval["precision"][:, :, :, 0, 2]
    assert precision[precision > -1].mean() == pytest.approx(evaluate(model, world)["map"], abs=1e-6)
    with pytest.raises(ModelGPTError, match="have the id 0 for"):
        predict(model, world, output=tmp_path / "both.json")
    assert not (tmp_path / "both.json").exists()


def test_images_alone_get_annotations_to_begin_with(made: tuple[Path, Any], world: Path, tmp_path: Path) -> None:
    model, _ = made
    shutil.copytree(world / "test" / "images", tmp_path / "new")
    predict(model, tmp_path / "new", output=tmp_path / "new" / "annotations.json")
    shown = predict(model, tmp_path / "new").answers["boxes"]
    found = load_dataset(tmp_path / "new")
    assert (found.schema.task, found.schema.classes) == ("detection", LABELS)
    assert [str(len(boxes)) for boxes in shown] == list(found.sample["boxes"])
