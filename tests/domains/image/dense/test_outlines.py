"""Segmentation from annotations with outlines: masks drawn as they are read, to learn from and to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tiny_objects as tiny
from tiny_images import encoded, refused
from tiny_objects import BOXES, CLASSES, HEIGHT, WIDTH, put, put_images

from modelgpt_cli import describe
from modelgpt_cli.core.domain import task_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.domains.image.dense.dataset import ReadScenes
from modelgpt_cli.domains.image.dense.draw import mask_png
from modelgpt_cli.domains.image.dense.feed import open_source
from modelgpt_cli.domains.image.dense.masks import BINARY, IGNORE, INDEX, Coding
from modelgpt_cli.requirement_generator.load import load_wanted
from modelgpt_cli.runtime.session import Model

LABELS = ("background", *CLASSES)


def masks_of(dataset: Dataset) -> dict[str, np.ndarray]:
    reader = cast(ReadScenes, dataset.source).masks()
    return {Path(place).stem: reader.read(place, (HEIGHT, WIDTH)) for place in dataset.sample["mask"]}


def drawn(name: str) -> np.ndarray:
    """The mask that an image's boxes fill, later ones over earlier ones."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, (left, top, right, bottom) in BOXES[name]:
        mask[int(top) : int(bottom), int(left) : int(right)] = 1 + CLASSES.index(label)
    return mask


def as_drawn(dataset: Dataset) -> bool:
    return all((mask == drawn(name)).all() for name, mask in masks_of(dataset).items())


def model_of(labels: tuple[str, ...], coding: Coding) -> Model:
    """As much of a model as reads what it is compared with."""
    found = SimpleNamespace(labels=labels, metadata={"decoding": {"coding": coding.to_dict()}})
    return cast(Model, found)


def truth(model: Model, path: Path) -> list[np.ndarray]:
    """The masks that an evaluation compares with."""
    chunks = list(open_source(model, [path], labelled=True, target=None).chunks(10))
    return [mask for chunk in chunks if chunk.truth is not None for mask in chunk.truth]


INDICES = Coding(INDEX, (0, 1, 2), (IGNORE,))


@pytest.mark.parametrize("kind", ["coco", "yolo", "cvat"])
def test_masks_are_drawn(tmp_path: Path, kind: str) -> None:
    if kind == "coco":
        dataset = load_dataset(tiny.write_coco(tmp_path, outlines=True), task="segmentation")
    elif kind == "yolo":
        dataset = load_dataset(tiny.write_yolo(tmp_path, tiny.yolo_outlines))
    else:
        shapes = {n: "".join(tiny.cvat_polygon(*one) for one in some) for n, some in tiny.OUTLINES.items()}
        dataset = load_dataset(tiny.write_cvat(tmp_path, shapes))
    assert (dataset.schema.domain, dataset.schema.task, dataset.schema.classes) == ("dense", "segmentation", LABELS)
    assert as_drawn(dataset)
    counts = np.bincount(np.concatenate([drawn(name).reshape(-1) for name in BOXES]))
    assert dataset.class_counts == dict(zip(LABELS, counts.tolist(), strict=True))
    assert [
        (mask == drawn(name)).all()
        for mask, name in zip(truth(model_of(LABELS, INDICES), tmp_path), BOXES, strict=True)
    ]
    other = model_of(("dog", "background", "cat"), INDICES)
    assert (truth(other, tmp_path)[0] == np.array([1, 2, 0])[drawn("a")]).all()


def test_the_order_of_classes_is_the_requirements(tmp_path: Path) -> None:
    tiny.write_yolo(tmp_path, tiny.yolo_outlines)
    turned = load_dataset(tmp_path, classes=("dog", "background", "cat"))
    assert (masks_of(turned)["a"] == np.array([1, 2, 0])[drawn("a")]).all()
    with pytest.raises(UsageError, match="the requirement names bird"):
        load_dataset(tmp_path, classes=("bird", "background"))


def test_crowds_and_boxes_without_outlines_are_learned_from_nowhere(tmp_path: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1
        del content["annotations"][2]["segmentation"]

    dataset = load_dataset(tiny.write_coco(tmp_path, spoil, outlines=True), task="segmentation")
    masks = masks_of(dataset)
    assert set(np.unique(masks["a"])) == {0, 2, IGNORE}
    assert (masks["a"] == IGNORE).sum() == (drawn("a") == 1).sum()
    assert ((masks["b"] == IGNORE) == (drawn("b") == 2)).all()
    assert "1 objects have a box and no outline" in " ".join(dataset.warnings)


def test_classes_called_background_or_unlabelled(tmp_path: Path) -> None:
    root = tiny.write_yolo(tmp_path, tiny.yolo_outlines)
    put(root / "data.yaml", "names: [void, dog, Background, bird]\n")
    put(root / "labels" / "b.txt", tiny.yolo_outlines("b").replace("1 ", "2 ", 1))
    dataset = load_dataset(root)
    assert dataset.schema.classes == ("background", "dog", "bird")
    assert (masks_of(dataset)["a"] == np.array([0, IGNORE, 1])[drawn("a")]).all()
    assert (masks_of(dataset)["b"] == 0).all()
    assert "No pixel of bird" in " ".join(dataset.warnings)


def test_which_task_annotations_serve(tmp_path: Path) -> None:
    """Boxes and outlines are for detection, unless segmentation is asked for; never are their folders classes."""
    root = tiny.write_coco(tmp_path / "both", outlines=True)
    if task_domain("detection") is None:
        refused(root, "Its annotations are for detection")
    else:
        assert load_dataset(root).schema.task == "detection"
        outlines = tiny.write_yolo(tmp_path / "outlines", tiny.yolo_outlines)
        assert load_dataset(outlines, task="detection").schema.task == "detection"
    refused(
        tiny.write_coco(tmp_path / "boxes"),
        "holds no outlines, and the task is to be segmentation",
        task="segmentation",
    )
    refused(root, "classification", task="classification")


def test_a_requirement_keeps_the_task(tmp_path: Path) -> None:
    root = tiny.write_coco(tmp_path / "set", outlines=True)
    wanted = describe(root, task="segmentation", offline=True).requirement
    assert (wanted.task, wanted.domain, wanted.classes) == ("segmentation", "dense", LABELS)
    assert load_wanted(wanted, root).schema.task == "segmentation"
    with pytest.raises(UsageError, match="The requirement's task is segmentation, and --task says keypoints"):
        load_wanted(wanted, root, task="keypoints")
    assert load_wanted(Requirement("Find the cats"), root, task="segmentation").schema.domain == "dense"


def test_parts_files_and_masks_beside(tmp_path: Path) -> None:
    """A part to learn from, a file given by itself, and masks, which go before annotations."""
    for part, names in (("train", ("a", "c")), ("test", ("b",))):
        put_images(tmp_path / "set" / part, names)
        put(tmp_path / "set" / part / "_annotations.coco.json", json.dumps(tiny.coco(names, outlines=True)))
    dataset = load_dataset(tmp_path / "set", task="segmentation")
    assert list(masks_of(dataset)) == ["a", "c"]
    assert len(truth(model_of(LABELS, INDICES), tmp_path / "set")) == 1
    alone = load_dataset(tmp_path / "set" / "train" / "_annotations.coco.json", task="segmentation")
    assert as_drawn(alone)
    assert alone.fingerprint != dataset.fingerprint  # the places are others
    masked = tiny.write_voc(tmp_path / "voc")
    for name in BOXES:
        put(masked / "SegmentationClass" / f"{name}.png", encoded(drawn(name), "PNG"))
    assert load_dataset(masked).schema.classes == ("class 0", "class 1", "class 2")


def test_a_table_of_images_in_json_stays_one(tmp_path: Path) -> None:
    put_images(tmp_path, [f"{k}" for k in range(8)])
    rows = [{"image": f"{k}.jpg", "label": CLASSES[k % 2]} for k in range(8)]
    put(tmp_path / "data.json", json.dumps(rows))
    assert load_dataset(tmp_path).schema.domain == "image"


@pytest.mark.parametrize("coding", [Coding(BINARY, (0, IGNORE)), Coding(INDEX, (0, 1), (IGNORE,))])
def test_masks_of_two_classes_in_either_coding(tmp_path: Path, coding: Coding) -> None:
    """A model's own masks have 0 and 1, whatever those had that it was made from; both are compared with alike."""
    labels = ("background", "cell")
    mask = (drawn("a") > 0).astype(np.uint8)
    contents = {"own": mask_png(mask, labels), "index": encoded(mask, "PNG"), "binary": encoded(mask * 255, "PNG")}
    for name, content in contents.items():
        put_images(tmp_path / name / "images", ["a", "b"])
        put(tmp_path / name / "masks" / "a.png", encoded(np.zeros_like(mask), "PNG"))
        put(tmp_path / name / "masks" / "b.png", content)
        empty, found = truth(model_of(labels, coding), tmp_path / name)
        assert (empty == 0).all()
        assert (found == mask).all()
    ignored = np.where(drawn("b") > 0, IGNORE, mask).astype(np.uint8)
    put(tmp_path / "index" / "masks" / "b.png", encoded(ignored, "PNG"))
    assert (truth(model_of(labels, Coding(INDEX, (0, 1), (IGNORE,))), tmp_path / "index")[1] == ignored).all()
