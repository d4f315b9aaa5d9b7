"""What is wrong with marked objects: clipped, left out and counted, or refused with the file and what is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_objects as tiny
from PIL import Image
from tiny_objects import BOXES, CLASSES, HEIGHT, WIDTH, put, put_images

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations import DETECTION, SEGMENTATION
from modelgpt_cli.domains.image.annotations.find import find_annotations, task_of
from modelgpt_cli.domains.image.annotations.objects import Annotations, Rle
from modelgpt_cli.domains.image.annotations.rle import decode_rle

Content = dict[str, Any]


def found(path: Path) -> Annotations:
    annotations = find_annotations(path)
    assert annotations is not None
    return annotations


def told(annotations: Annotations) -> str:
    return " ".join(annotations.notes)


def boxes(annotations: Annotations, stem: str = "a") -> list[tuple[float, ...] | None]:
    image = next(image for image in annotations.images if Path(image.place).stem == stem)
    return [one.box for one in image.objects]


def _set(key: str, value: Any, k: int = 0) -> Callable[[Content], None]:
    def spoil(content: Content) -> None:
        content["annotations"][k][key] = value

    return spoil


def _all_boxes(box: list[float]) -> Callable[[Content], None]:
    def spoil(content: Content) -> None:
        for one in content["annotations"]:
            one["bbox"] = box

    return spoil


# Boxes and outlines ---------------------------------------------------------------------------------------------------


def test_boxes_are_clipped_or_left_out_and_counted(tmp_path: Path) -> None:
    def spoil(content: Content) -> None:
        first, second, third = content["annotations"]
        first["bbox"], second["bbox"], third["bbox"] = [-5, -5, 20, 20], [200, 10, 9, 9], [70.0, 40, 10.4, 20.6]
        content["annotations"] += [
            {"id": 10 + k, "image_id": 1, "category_id": 1, "bbox": box}
            for k, box in enumerate(([5, 5, 0, 9], [5, 5, 9, -9], [float("nan"), 5, 9, 9]))
        ]

    annotations = found(tiny.write_coco(tmp_path, spoil))
    assert boxes(annotations) == [(0, 0, 15, 15)]
    assert boxes(annotations, "b") == [(70, 40, WIDTH, HEIGHT)]  # rounding, of which nothing is said
    assert "1 box reaches beyond the image, such as annotations.json, annotation 1: clipped." in told(annotations)
    assert "4 boxes lie outside of the images, or without width or height, such as" in told(annotations)


def test_all_boxes_outside(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="all of its 3 boxes lie outside of their images"):
        found(tiny.write_coco(tmp_path, _all_boxes([500, 500, 9, 9])))


def test_outlines_of_two_points_and_masks_of_another_size(tmp_path: Path) -> None:
    def spoil(content: Content) -> None:
        first, second, third = content["annotations"]
        for one in content["annotations"]:
            del one["bbox"]
        first["segmentation"] = [[1, 1, 9, 9]]
        second["segmentation"] = [[1, 1, 9, 1, 9, 9], [1, 1, 5, 5]]
        third["segmentation"] = {"size": [9, 9], "counts": [40, 41]}

    annotations = found(tiny.write_coco(tmp_path, spoil))
    kept = [one for image in annotations.images for one in image.objects]
    assert len(kept) == 1
    assert isinstance(kept[0].outline, tuple)
    assert len(kept[0].outline) == 1
    assert "2 outlines have fewer than three points, such as annotations.json, annotation 1" in told(annotations)
    assert "1 mask has another size than the image, such as annotations.json, annotation 3" in told(annotations)


@pytest.mark.parametrize("counts", [b"abc", b"", b"\xff", b"0" * 999, (10, 20)])
def test_runs_that_fill_no_mask(counts: bytes | tuple[int, ...]) -> None:
    with pytest.raises(ModelGPTError, match="doesn't fill its 80 x 60 pixels"):
        decode_rle(Rle(counts, (HEIGHT, WIDTH)))


def test_crowds_and_difficult_objects(tmp_path: Path) -> None:
    crowd = found(tiny.write_coco(tmp_path / "coco", _set("iscrowd", 1)))
    assert [one.crowd for one in crowd.images[0].objects] == [True, False]
    root = tiny.write_voc(tmp_path / "voc")
    put(root / "Annotations" / "a.xml", tiny.voc("a").replace("<difficult>0", "<difficult>1", 1))
    assert [one.crowd for one in found(root).images[0].objects] == [True, False]


def test_turned_boxes_become_the_upright_ones_around(tmp_path: Path) -> None:
    quarter = {"a": tiny.cvat_box("cat", (20, 20, 40, 30), 'rotation="90"')}
    annotations = found(tiny.write_cvat(tmp_path / "cvat", quarter))
    assert np.allclose(boxes(annotations)[0] or (), (25, 15, 35, 35))
    assert "1 box is turned by an angle, such as annotations.xml, image a.jpg, box 1: the upright box" in told(
        annotations
    )
    studio = {"a": [tiny.studio_box("cat", (20, 20, 40, 30), rotation=90)]}  # about its first corner
    assert np.allclose(boxes(found(tiny.write_studio(tmp_path / "studio", studio)))[0] or (), (10, 20, 20, 40))
    root = tiny.write_voc(tmp_path / "voc")
    turned = "<robndbox><cx>30</cx><cy>25</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>"
    put(root / "Annotations" / "a.xml", tiny.voc("a", [], f"<object><name>cat</name>{turned}</object>"))
    assert np.allclose(boxes(found(root))[0] or (), (25, 15, 35, 35), atol=1e-5)


def test_boxes_that_cvat_turns_in_other_formats(tmp_path: Path) -> None:
    def turned(content: Content) -> None:
        content["annotations"][0] |= {"bbox": [20, 20, 20, 10], "attributes": {"occluded": False, "rotation": 90.0}}
        content["annotations"][1]["attributes"] = {"rotation": 0.0}

    annotations = found(tiny.write_coco(tmp_path / "coco", turned))
    assert np.allclose(boxes(annotations)[0] or (), (25, 15, 35, 35))
    assert "1 box is turned by an angle, such as annotations.json, annotation 1" in told(annotations)
    root = tiny.write_voc(tmp_path / "voc")
    attributes = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
    one = tiny.voc("a", [("cat", (20, 20, 40, 30))]).replace("</object>", f"{attributes}</object>")
    put(root / "Annotations" / "a.xml", one)
    assert np.allclose(boxes(found(root))[0] or (), (25, 15, 35, 35))
    assert "1 box is turned by an angle" in told(found(root))


def test_yolo_boxes_of_four_corners_are_turned_ones(tmp_path: Path) -> None:
    def lines(name: str, *corners: tuple[int, int]) -> str:
        numbers = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners)
        return tiny.yolo_outlines(name) + (f"1 {numbers}\n" if name == "a" else "")

    diamond, kite = ((40, 10), (60, 30), (40, 50), (20, 30)), ((40, 10), (60, 20), (40, 50), (20, 20))
    annotations = found(tiny.write_yolo(tmp_path / "obb", lambda name: lines(name, *diamond)))
    assert task_of(annotations) == DETECTION
    assert np.allclose(boxes(annotations)[2] or (), (20, 10, 60, 50))
    assert annotations.images[0].objects[2].outline is not None  # for --task segmentation
    assert "1 box is turned by an angle, such as labels/a.txt, line 3" in told(annotations)
    outlines = found(tiny.write_yolo(tmp_path / "seg", lambda name: lines(name, *kite)))
    assert task_of(outlines) == SEGMENTATION
    assert "turned" not in told(outlines)


# Ids and classes ------------------------------------------------------------------------------------------------------


def _twice(key: str) -> Callable[[Content], None]:
    def spoil(content: Content) -> None:
        content[key][1]["id"] = content[key][0]["id"]

    return spoil


def _same_name(content: Content) -> None:
    content["images"][1]["file_name"] = "a.jpg"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_set("category_id", 9, 2), "annotations.json, annotation 3 has the category_id 9, and there is no"),
        (_twice("annotations"), "two entries of annotations have the id 1"),
        (_twice("images"), "two entries of images have the id 1"),
        (_twice("categories"), "two entries of categories have the id 1"),
        (_same_name, "annotations.json lists the image a.jpg twice"),
        (_set("bbox", [1, 2, 3]), "annotation 1: its bbox has 3 numbers"),
        (_set("bbox", [1, 2, 3, 4, 0.5]), "A turned box has more, and is not read"),
        (_set("bbox", ["x", 2, 3, 4]), "annotation 1: its bbox is no list of numbers"),
        (_all_boxes([0.1, 0.2, 0.5, 0.5]), "They look like shares of the image"),
        (_set("segmentation", [[1, 1, 9, 1, 9]]), "annotation 1: a polygon has 5 numbers"),
        (_set("segmentation", {"counts": [1]}), "annotation 1: its segmentation has no size"),
        (_set("segmentation", {"counts": "abc", "size": [60, 80]}), "annotation 1: its runs don't fill 80 x 60"),
        (_set("segmentation", {"counts": [9], "size": [60, 80]}), "annotation 1: its runs don't fill 80 x 60"),
        (_set("category_id", [1]), "annotation 1: its category_id is [1]"),
        (lambda c: c["categories"][1].update(name="cat"), "two classes called 'cat'"),
        (lambda c: c["images"][0].pop("file_name"), "image 1 has no file_name"),
        (lambda c: c["images"].__setitem__(0, 7), "entry 1 of images is no object"),
    ],
)  # fmt: skip
def test_coco_refused(tmp_path: Path, spoil: Callable[[Content], None], words: str) -> None:
    with pytest.raises(ModelGPTError) as caught:
        found(tiny.write_coco(tmp_path, spoil))
    assert words in str(caught.value)


def test_key_points_of_another_number(tmp_path: Path) -> None:
    def spoil(content: Content) -> None:
        content["annotations"][0]["keypoints"] = [1, 2, 2]

    put_images(tmp_path)
    content = tiny.coco(points=True)
    spoil(content)
    put(tmp_path / "annotations.json", json.dumps(content))
    with pytest.raises(ModelGPTError, match="annotation 1: its keypoints have 3 numbers"):
        found(tmp_path)


def test_a_class_without_objects_is_kept_and_a_class_above_all_is_none(tmp_path: Path) -> None:
    def bird(content: Content) -> None:
        content["categories"].append({"id": 3, "name": "bird"})

    assert found(tiny.write_coco(tmp_path / "bird", bird)).classes == ("cat", "dog", "bird")

    def above(content: Content) -> None:
        for category in content["categories"]:
            category["supercategory"] = "pets"
        content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})

    annotations = found(tiny.write_coco(tmp_path / "above", above))
    assert annotations.classes == CLASSES
    assert "'pets' is what all other classes are below" in told(annotations)


def test_one_class_one_image_and_many_boxes(tmp_path: Path) -> None:
    put_images(tmp_path, ["a"])
    put(tmp_path / "classes.txt", "cell\n")
    put(tmp_path / "a.txt", "0 0.5 0.5 0.1 0.1\n" * 3000)
    annotations = found(tmp_path)
    assert (annotations.classes, len(annotations.images), len(boxes(annotations))) == (("cell",), 1, 3000)


# Files ----------------------------------------------------------------------------------------------------------------


def test_annotations_without_images_and_images_without_annotations(tmp_path: Path) -> None:
    def spoil(content: Content) -> None:
        content["images"][1]["file_name"] = "gone.jpg"
        content["annotations"][0]["image_id"] = 77

    annotations = found(tiny.write_coco(tmp_path, spoil))
    assert [image.place for image in annotations.images] == ["a.jpg", "c.jpg"]
    assert annotations.unannotated == ("b.jpg",)
    for words in (
        "1 annotated image is not among the files, such as gone.jpg",
        "1 annotation is of an image that the file doesn't list, such as annotations.json, annotation 1",
        "1 image has nothing marked, such as c.jpg: taken to be background alone.",
        "1 image has no annotations, such as b.jpg: left out",
    ):
        assert words in told(annotations)


def test_no_image_is_there(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path)
    for name in BOXES:
        (tmp_path / f"{name}.jpg").rename(tmp_path / f"other{name}.jpg")
    with pytest.raises(ModelGPTError, match="none of the images that its annotations"):
        found(tmp_path)


def test_two_files_of_the_same_images(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path)
    put(tmp_path / "person_keypoints.json", json.dumps(tiny.coco(points=True)))
    with pytest.raises(ModelGPTError, match=r"annotations.json and person_keypoints.json both list a.jpg"):
        found(tmp_path)
    assert found(tmp_path / "person_keypoints.json").points is not None


def test_images_of_one_name(tmp_path: Path) -> None:
    put_images(tmp_path / "one", ["a"])
    put_images(tmp_path / "two", ["a"])
    put(tmp_path / "annotations.json", json.dumps(tiny.coco(["a"])))
    with pytest.raises(ModelGPTError, match=r"names the image a.jpg, and several are called so: one/a.jpg, two/a.jpg"):
        found(tmp_path)


def test_sizes_that_contradict_the_images(tmp_path: Path) -> None:
    one = tiny.write_coco(tmp_path / "one")
    put(one / "a.jpg", tiny.image(0, 40, 30))
    annotations = found(one)
    assert [image.place for image in annotations.images] == ["b.jpg", "c.jpg"]
    expected = f"1 image has another size than its annotations say, such as a.jpg: 40 x 30 pixels, {WIDTH} x {HEIGHT}"
    assert expected in told(annotations)
    for name in ("b", "c"):
        put(one / f"{name}.jpg", tiny.image(0, 40, 30))
    with pytest.raises(ModelGPTError, match="3 images have another size than its annotations say"):
        found(one)


def test_images_turned_by_exif(tmp_path: Path) -> None:
    """Annotations of the image as stored are turned with it; of a size that doesn't tell, that is said."""

    def turned(path: Path, turn: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        put(path, tiny.image(0, exif=exif))

    stored = tiny.write_coco(tmp_path / "stored", outlines=True)
    turned(stored / "a.jpg", 6)
    annotations = found(stored)
    first = annotations.images[0]
    assert first.size == (HEIGHT, WIDTH)
    assert boxes(annotations) == [(30, 8, 54, 40), (6, 20, 48, 76)]
    assert "annotated as stored, such as a.jpg: its annotations are turned too" in told(annotations)
    assert first.objects[0].outline is not None
    assert np.array_equal(np.concatenate(list(first.objects[0].outline)).min(0), (30, 8))

    def upright(content: Content) -> None:
        content["images"][0].update(width=HEIGHT, height=WIDTH)

    shown = tiny.write_coco(tmp_path / "shown", upright)
    turned(shown / "a.jpg", 6)
    assert boxes(found(shown))[0] == (8, 6, 40, 30)
    half = tiny.write_coco(tmp_path / "half")
    turned(half / "a.jpg", 3)
    assert "its size doesn't tell whether the annotations are of the turned image" in told(found(half))


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_masks_and_points_turn_as_pillow_turns_the_image(tmp_path: Path, turn: int) -> None:
    from PIL import ImageOps

    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 30:70] = mask[40:50, 2:9] = 1
    kept = Image.fromarray(mask * 255)
    exif = Image.Exif()
    exif[0x0112] = turn
    put(tmp_path / "a.png", b"")
    kept.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened)) > 0
    runs = np.diff([0, *np.flatnonzero(np.diff(mask.T.reshape(-1))) + 1, mask.size]).tolist()
    content = tiny.coco(["a"])
    content["images"][0]["file_name"] = "a.png"
    content["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 5, 40, 15],
         "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs}},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [2, 40, 7, 10]},
    ]  # fmt: skip
    put(tmp_path / "annotations.json", json.dumps(content))
    whole, other = found(tmp_path).images[0].objects
    assert isinstance(whole.outline, Rle)
    assert (decode_rle(whole.outline) == upright).all()
    for one in (whole, other):
        assert one.box is not None
        left, top, right, bottom = map(int, one.box)
        assert upright[top:bottom, left:right].all()


# YOLO -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 50 40 20 20", "labels/a.txt, line 2 has the number 50.", ),
        ("2 .5 .5 .1 .1", "labels/a.txt, line 2: there is no class 2.\ndata.yaml names 2 classes, 0 to 1."),
        ("-1 .5 .5 .1 .1", "there is no class -1"),
        ("0.5 .5 .5 .1 .1", "there is no class 0.5"),
        ("0 .5 .5 .1 .1 .93", "labels/a.txt, line 2 has 6 numbers."),
        ("0 .5 .5", "line 2 has 3 numbers"),
        ("0", "line 2 has 1 numbers"),
        ("cat .5 .5 .1 .1", "line 2: 'cat .5 .5 .1 .1' is no line of numbers"),
        ("0 nan .5 .1 .1", "a number is not finite"),
    ],
)  # fmt: skip
def test_yolo_refused(tmp_path: Path, line: str, words: str) -> None:
    root = tiny.write_yolo(tmp_path)
    put(root / "labels" / "a.txt", f"0 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(ModelGPTError) as caught:
        found(root)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("names: [cat]\nnc: 2\n", "nc is 2, and names has 1 classes"),
        ("names: cat\n", "its names are no list of classes"),
        ("names: [cat, cat]\n", "names two classes 'cat'"),
        ("names: [cat, dog]\nkpt_shape: 17\n", "its kpt_shape is 17"),
        ("names: [cat, dog]\nkpt_shape: [2, 3]\nflip_idx: [0, 0]\n", "its flip_idx is [0, 0]"),
        ("names: [cat\n", "data.yaml is no YAML"),
    ],
)
def test_yolo_config_refused(tmp_path: Path, config: str, words: str) -> None:
    put(tiny.write_yolo(tmp_path) / "data.yaml", config)
    with pytest.raises(ModelGPTError) as caught:
        found(tmp_path)
    assert words in str(caught.value)


def test_yolo_files_without_image_or_names(tmp_path: Path) -> None:
    root = tiny.write_yolo(tmp_path)
    put(root / "labels" / "gone.txt", "0 .5 .5 .1 .1\n")
    (root / "data.yaml").unlink()
    (root / "labels" / "c.txt").unlink()
    annotations = found(root)
    assert annotations.classes == ("class 0", "class 1")
    for words in (
        "1 annotated image is not among the files, such as labels/gone.txt",
        "1 image has no annotations, such as images/c.jpg",
        "Nothing names the classes",
    ):
        assert words in told(annotations)


# XML and Label Studio -------------------------------------------------------------------------------------------------


def test_voc_and_xml_refused(tmp_path: Path) -> None:
    root = tiny.write_voc(tmp_path)
    bad = {
        tiny.voc("a").replace("<xmin>8</xmin>", "<xmin>left</xmin>"): "Annotations/a.xml, object 1: xmin is 'left'",
        tiny.voc("a").replace("<name>cat</name>", ""): "object 1 has no name",
        tiny.voc("a")[:-20]: "Annotations/a.xml is no whole XML file",
        f'<!DOCTYPE x [<!ENTITY a "{"b" * 99}">]>{tiny.voc("a").replace("cat", "&a;")}': "has a document type",
    }
    for content, words in bad.items():
        put(root / "Annotations" / "a.xml", content)
        with pytest.raises(ModelGPTError) as caught:
            found(root)
        assert words in str(caught.value)


def test_cvat_refused_or_left_out(tmp_path: Path) -> None:
    mask = '<mask label="cat" rle="3, 4" left="0" top="0" width="5" height="5"/>'
    with pytest.raises(ModelGPTError, match=r"image a.jpg, mask 1: its runs don't fill 5 x 5 pixels"):
        found(tiny.write_cvat(tmp_path / "mask", {"a": mask}))
    put(tmp_path / "video" / "annotations.xml", "<annotations><track id='0'/></annotations>")
    put_images(tmp_path / "video")
    with pytest.raises(ModelGPTError, match="has the tracks of a video"):
        found(tmp_path / "video")
    line = '<polyline label="cat" points="1,1;2,2"/>' + tiny.cvat_box("dog", (1, 1, 9, 9))
    annotations = found(tiny.write_cvat(tmp_path / "line", {"a": line}))
    assert len(boxes(annotations)) == 1
    assert "1 mark is of a kind that is not read, such as annotations.xml, image a.jpg, polyline 1" in told(annotations)


def test_label_studio_refused_or_left_out(tmp_path: Path) -> None:
    brush = {"a": [tiny.studio_result("brushlabels", "cat", format="rle", rle=[0, 1])]}
    with pytest.raises(ModelGPTError, match="Export as COCO"):
        found(tiny.write_studio(tmp_path / "brush", brush))
    twice = {"a": [tiny.studio_result("keypointlabels", "nose", x=10.0, y=y) for y in (20.0, 50.0)]}
    with pytest.raises(ModelGPTError, match="the image has several points called 'nose'"):
        found(tiny.write_studio(tmp_path / "twice", twice))
    root = tiny.write_studio(tmp_path / "tasks")
    tasks = json.loads((root / "export.json").read_text())
    tasks[0]["annotations"] *= 2
    tasks[1]["annotations"] = []
    tasks[2]["annotations"][0]["was_cancelled"] = True
    put(root / "export.json", json.dumps(tasks))
    annotations = found(root)
    assert [image.place for image in annotations.images] == ["a.jpg"]
    assert annotations.unannotated == ("b.jpg", "c.jpg")
    assert "1 image has several annotations, such as export.json, task 0: the first is read." in told(annotations)


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    """Its size is what the annotations say; without one, it is left out."""
    root = tiny.write_yolo(tmp_path)
    put(root / "images" / "a.jpg", b"\xff\xd8\xff")
    annotations = found(root)
    assert [Path(image.place).stem for image in annotations.images] == ["b", "c"]
    assert "1 image has annotations and can't be read, such as images/a.jpg" in told(annotations)
