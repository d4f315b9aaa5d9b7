"""Marked objects from every format: the same objects, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_objects as tiny
from tiny_images import zip_of
from tiny_objects import BOXES, CLASSES, HEIGHT, MARKED, OUTLINES, POINTS, WIDTH, put, put_images

from modelgpt_cli.domains.image.annotations import DETECTION, KEYPOINTS, SEGMENTATION
from modelgpt_cli.domains.image.annotations.find import find_annotations, task_of
from modelgpt_cli.domains.image.annotations.objects import Annotations, Rle
from modelgpt_cli.domains.image.annotations.rle import decode_rle, encode_mask, outline_mask

Write = Callable[[Path], Path]


def found(path: Path) -> Annotations:
    annotations = find_annotations(path)
    assert annotations is not None
    return annotations


def boxes(annotations: Annotations) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """Image → class and box of each object, rounded as shares are."""
    return {
        Path(image.place).stem: [
            (annotations.classes[one.label], tuple(round(edge, 6) for edge in one.box or ())) for one in image.objects
        ]
        for image in annotations.images
    }


def expected() -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    return {name: [(label, tuple(map(float, box))) for label, box in objects] for name, objects in BOXES.items()}


def _split(root: Path) -> Path:
    """As Roboflow has it: train and valid, each with a file of its own."""
    for part, names in (("train", ("a", "b")), ("valid", ("c",))):
        put_images(root / part, names)
        put(root / part / "_annotations.coco.json", json.dumps(tiny.coco(names)))
    return root


def _apart(root: Path) -> Path:
    """As COCO itself has it: annotations in a folder of their own, images by parts."""
    for part, names in (("train2017", ("a", "b")), ("val2017", ("c",))):
        put_images(root / part, names)
        put(root / "annotations" / f"instances_{part}.json", json.dumps(tiny.coco(names)))
    put(root / "annotations" / "licences.json", "{}")
    return root


def _voc_beside(root: Path) -> Path:
    put_images(root)
    for name in BOXES:
        put(root / f"{name}.xml", tiny.voc(name))
    return root


def _yolo_beside(root: Path) -> Path:
    put_images(root)
    for name in BOXES:
        put(root / f"{name}.txt", tiny.yolo(name))
    put(root / "classes.txt", "cat\ndog\n")
    return root


def _yolo_parts(root: Path) -> Path:
    for part, names in (("train", ("a", "b")), ("valid", ("c",))):
        put_images(root / part / "images", names)
        for name in names:
            put(root / part / "labels" / f"{name}.txt", tiny.yolo(name))
    put(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: {0: cat, 1: dog}\n")
    return root


ALL: dict[str, tuple[Write, str]] = {
    "coco": (tiny.write_coco, "COCO JSON"),
    "coco, parts": (_split, "COCO JSON"),
    "coco, apart": (_apart, "COCO JSON"),
    "voc": (tiny.write_voc, "Pascal VOC XML"),
    "voc, beside": (_voc_beside, "Pascal VOC XML"),
    "yolo": (tiny.write_yolo, "YOLO"),
    "yolo, beside": (_yolo_beside, "YOLO"),
    "yolo, parts": (_yolo_parts, "YOLO"),
    "cvat": (tiny.write_cvat, "CVAT XML"),
    "label studio": (tiny.write_studio, "Label Studio JSON"),
}


@pytest.mark.parametrize("name", ALL)
def test_every_format_gives_the_same_boxes(tmp_path: Path, name: str) -> None:
    write, kind = ALL[name]
    root = write(tmp_path / "set")
    annotations = found(root)
    assert annotations.format == kind
    assert boxes(annotations) == expected()
    assert annotations.classes == CLASSES
    assert task_of(annotations) == DETECTION
    assert {image.size for image in annotations.images} == {(WIDTH, HEIGHT)}
    assert [note for note in annotations.notes if "nothing marked" not in note] == []
    zipped = zip_of(root.parent, tmp_path.parent / f"{tmp_path.name}.zip")
    assert boxes(found(zipped)) == boxes(found(zipped / "set")) == expected()


@pytest.mark.parametrize("name", ["coco, parts", "coco, apart", "yolo, parts"])
def test_parts(tmp_path: Path, name: str) -> None:
    annotations = found(ALL[name][0](tmp_path))
    assert [Path(image.place).stem for image in annotations.part("train")] == ["a", "b"]
    assert [Path(image.place).stem for image in annotations.part("test")] == ["c"]


def test_sets_of_voc_and_lists_of_yolo(tmp_path: Path) -> None:
    sets = tiny.write_voc(tmp_path / "voc")
    for name, lines in (("train", "a\n"), ("val", "b\n"), ("trainval", "a\nb\n"), ("cat_train", "a -1\nb 1\n")):
        put(sets / "ImageSets" / "Main" / f"{name}.txt", lines)
    annotations = found(sets)
    assert [image.part for image in annotations.images] == ["train", "val", ""]
    assert "1 annotated image is in no list of the sets, such as Annotations/c.xml: left out." in annotations.notes
    lists = tiny.write_yolo(tmp_path / "yolo", more="train: train.txt\nval: [val.txt]\n")
    put(lists / "train.txt", "./images/a.jpg\n./images/b.jpg\n")
    put(lists / "val.txt", "/home/me/yolo/images/c.jpg\nimages/c.jpg\n")
    assert [image.part for image in found(lists).images] == ["train", "train", "val"]


@pytest.mark.parametrize("kind", ["coco", "yolo", "cvat", "label studio", "voc"])
def test_outlines(tmp_path: Path, kind: str) -> None:
    polygons = {
        "yolo": lambda: tiny.write_yolo(tmp_path, tiny.yolo_outlines),
        "cvat": lambda: tiny.write_cvat(
            tmp_path, {name: "".join(tiny.cvat_polygon(*one) for one in objects) for name, objects in OUTLINES.items()}
        ),
        "label studio": lambda: tiny.write_studio(
            tmp_path, {name: [tiny.studio_polygon(*one) for one in objects] for name, objects in OUTLINES.items()}
        ),
        "coco": lambda: tiny.write_coco(tmp_path, outlines=True),
        "voc": lambda: _voc_outlines(tmp_path),
    }
    annotations = found(polygons[kind]())
    assert task_of(annotations) == (SEGMENTATION if kind in ("yolo", "cvat", "label studio") else DETECTION)
    for image in annotations.images:
        for one, (label, (left, top, right, bottom)) in zip(image.objects, BOXES[Path(image.place).stem], strict=True):
            assert annotations.classes[one.label] == label
            assert one.outline is not None
            mask = outline_mask(one.outline, image.size)
            assert mask[int(top) : int(bottom), int(left) : int(right)].all()
            assert mask.sum() == (right - left) * (bottom - top)


def test_outlines_have_boxes_around_them_inside_the_image(tmp_path: Path) -> None:
    """For detection, where it is asked for; what outlines alone are for they don't change."""
    beyond = [("cat", [(-20.0, 5.0), (30.0, 5.0), (30.0, 90.0)])]
    corners = {"a": "".join(tiny.cvat_polygon(*one) for one in (*OUTLINES["a"], *beyond))}
    annotations = found(tiny.write_cvat(tmp_path, corners))
    assert boxes(annotations)["a"] == [*expected()["a"], ("cat", (0, 5, 30, HEIGHT))]
    assert task_of(annotations) == SEGMENTATION


def _voc_outlines(root: Path) -> Path:
    tiny.write_voc(root)
    for name, objects in BOXES.items():
        text = tiny.voc(name)
        for _, (x, y, u, v) in objects:
            corners = ((x, y), (u, y), (u, v), (x, v))
            polygon = "".join(f"<x{k}>{a}</x{k}><y{k}>{b}</y{k}>" for k, (a, b) in enumerate(corners, 1))
            text = text.replace("</bndbox></object>", f"</bndbox><polygon>{polygon}</polygon></object >", 1)
        put(root / "Annotations" / f"{name}.xml", text)
    return root


def test_masks_of_coco_and_cvat(tmp_path: Path) -> None:
    """Runs are read as pycocotools reads them, compressed or not; CVAT's are of a part of the image, row by row."""
    from pycocotools import mask as masks

    drawn = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    drawn[10:30, 5:12] = drawn[25:40, 10:50] = 1
    packed = masks.encode(drawn)
    first = {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}

    def marked(content: dict[str, list[dict[str, object]]]) -> None:
        content["annotations"][0]["segmentation"] = first
        content["annotations"][1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": _runs(drawn.T)}

    both = found(tiny.write_coco(tmp_path / "coco", marked)).images[0].objects
    for one in both:
        assert isinstance(one.outline, Rle)
        assert (decode_rle(one.outline) == drawn).all()
    part = ", ".join(map(str, _runs(drawn[10:40, 5:50])))
    shape = f'<mask label="cat" rle="{part}" left="5" top="10" width="45" height="30"/>'
    one = found(tiny.write_cvat(tmp_path / "cvat", {"a": shape})).images[0].objects[0]
    assert isinstance(one.outline, Rle)
    assert (decode_rle(one.outline) == drawn).all()
    assert one.outline.counts == tuple(_runs(drawn.T))


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs of a mask read line by line, the first of zeros."""
    flat = [0, *mask.reshape(-1).tolist()]
    edges = [k for k in range(1, len(flat)) if flat[k] != flat[k - 1]]
    starts = [0, *(k - 1 for k in edges), len(flat) - 1]
    return [b - a for a, b in pairwise(starts)]


def test_runs_are_unpacked_as_pycocotools_does() -> None:
    from pycocotools import mask as masks

    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        drawn = rng.random((HEIGHT, WIDTH)) < share
        drawn[20:40, 10:70] |= share > 0
        packed = masks.encode(np.asfortranarray(drawn.astype(np.uint8)))
        assert (decode_rle(Rle(packed["counts"], (HEIGHT, WIDTH))) == drawn).all()
        assert (decode_rle(encode_mask(drawn)) == drawn).all()


def test_outlines_have_the_area_that_pycocotools_says(tmp_path: Path) -> None:
    from pycocotools import mask as masks

    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.uniform(-10, 90, (rng.integers(3, 8), 2))
        packed = masks.merge(masks.frPyObjects([corners.reshape(-1).tolist()], HEIGHT, WIDTH))
        assert outline_mask([corners], (WIDTH, HEIGHT)).sum() == masks.area(packed)
    far = np.array([(-1e9, 10), (1e9, 10), (1e9, 20), (-1e9, 20)])
    assert outline_mask([far], (WIDTH, HEIGHT)).sum() == 10 * WIDTH


def _yolo_points(name: str) -> str:
    lines = [line for line in tiny.yolo(name).splitlines() if line][:1]
    points = " ".join(f"{x / WIDTH} {y / HEIGHT} {seen}" for x, y, seen in MARKED.get(name, ()))
    return "".join(f"{line} {points}\n" for line in lines)


def _points_by_name(name: str) -> str:
    return "".join(
        f'<points label="{label}" points="{x},{y}" occluded="{int(seen == 1)}"/>'
        for label, (x, y, seen) in zip(POINTS, MARKED.get(name, ()), strict=False)
        if seen
    )


def _skeleton(name: str) -> str:
    points = "".join(
        f'<points label="{label}" points="{x},{y}" outside="{int(not seen)}" occluded="{int(seen == 1)}"/>'
        for label, (x, y, seen) in zip(POINTS, MARKED.get(name, ()), strict=False)
    )
    return f'<skeleton label="cat">{points}</skeleton>' if points else ""


def _studio_points(name: str) -> list[dict[str, object]]:
    return [
        tiny.studio_result("keypointlabels", label, x=100 * x / WIDTH, y=100 * y / HEIGHT, width=0.5)
        for label, (x, y, seen) in zip(POINTS, MARKED.get(name, ()), strict=False)
        if seen
    ]


@pytest.mark.parametrize("kind", ["coco", "yolo", "cvat, named", "cvat, skeleton", "label studio"])
def test_key_points(tmp_path: Path, kind: str) -> None:
    sublabels = "".join(f"<label><name>{name}</name><parent>cat</parent></label>" for name in POINTS)
    make: dict[str, Callable[[], Path]] = {
        "coco": lambda: tiny.write_coco(tmp_path, points=True),
        "yolo": lambda: tiny.write_yolo(
            tmp_path, _yolo_points, more=f"kpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\nkpt_names: {{0: {list(POINTS)}}}\n"
        ),
        "cvat, named": lambda: tiny.write_cvat(tmp_path, {name: _points_by_name(name) for name in BOXES}),
        "cvat, skeleton": lambda: tiny.write_cvat(tmp_path, {name: _skeleton(name) for name in BOXES}, sublabels),
        "label studio": lambda: tiny.write_studio(tmp_path, {name: _studio_points(name) for name in BOXES}),
    }
    annotations = found(make[kind]())
    assert task_of(annotations) == KEYPOINTS
    assert annotations.points is not None
    order = [annotations.points.names.index(name) for name in POINTS]
    swapped = dict(zip(annotations.points.names, annotations.points.mirrored, strict=True))
    assert annotations.points.names[swapped["left_ear"]] == "right_ear"
    for image in annotations.images:
        wanted = MARKED.get(Path(image.place).stem)
        assert len(image.objects) == (wanted is not None)
        if wanted is not None:
            points = image.objects[0].points
            assert points is not None
            seen = np.array(wanted, np.float64)
            if kind == "label studio":  # which knows no hidden ones
                seen[:, 2] = np.minimum(2, 2 * seen[:, 2])
            assert np.allclose(points[order], seen)


def test_points_belong_to_the_box_that_they_name(tmp_path: Path) -> None:
    results = []
    for k, (left, top) in enumerate(((10, 10), (50, 50))):
        results.append(tiny.studio_box("cat", (left, top, left + 20, top + 8)) | {"id": f"box{k}"})
        mark = tiny.studio_result("keypointlabels", "nose", x=left + 2.0, y=top + 2.0, width=0.3)
        results.append(mark | {"parentID": f"box{k}"})
    objects = found(tiny.write_studio(tmp_path, {"a": results})).images[0].objects
    assert [one.box is not None and one.points is not None for one in objects] == [True, True]
    assert objects[1].points is not None
    assert np.allclose(objects[1].points, [[0.52 * WIDTH, 0.52 * HEIGHT, 2]])


def test_a_file_alone_and_other_layouts(tmp_path: Path) -> None:
    """A file of annotations stands for the images that it names; images are found by their names."""
    root = _apart(tmp_path / "set")
    alone = found(root / "annotations" / "instances_train2017.json")
    assert [image.place for image in alone.images] == ["train2017/a.jpg", "train2017/b.jpg"]
    assert boxes(found(tiny.write_cvat(tmp_path / "cvat") / "annotations.xml")) == expected()
    assert boxes(found(tiny.write_studio(tmp_path / "studio") / "export.json")) == expected()
    zipped = zip_of(root, tmp_path / "set.zip")
    inside = found(zipped / "annotations" / "instances_val2017.json")
    assert [image.place for image in inside.images] == ["val2017/c.jpg"]
    assert find_annotations(tmp_path / "gone.json") is None
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "images").symlink_to(tmp_path / "cvat" / "images", target_is_directory=True)
    put(tmp_path / "linked" / "annotations.xml", (tmp_path / "cvat" / "annotations.xml").read_bytes())
    assert boxes(found(tmp_path / "linked")) == expected()

    def renamed(content: dict[str, list[dict[str, str]]]) -> None:
        for entry in content["images"]:
            entry["file_name"] = f"C:\\photos\\{entry['file_name'].upper()}"

    assert boxes(found(tiny.write_coco(tmp_path / "windows", renamed))) == expected()


def test_studio_in_its_shorter_form(tmp_path: Path) -> None:
    put_images(tmp_path)
    rows = [
        {"image": f"s3://bucket/{name}.jpg", "id": k, "label": [tiny.studio_box(*one)["value"] for one in objects]}
        for k, (name, objects) in enumerate(BOXES.items())
    ]
    put(tmp_path / "min.json", json.dumps(rows))
    annotations = found(tmp_path)
    assert {name: some for name, some in boxes(annotations).items() if some} == {
        name: some for name, some in expected().items() if some
    }
    assert annotations.unannotated == ("c.jpg",)


def test_other_folders_hold_none(tmp_path: Path) -> None:
    """Captions beside images, settings in JSON or XML, and tables of images are no marked objects."""
    put_images(tmp_path)
    for name in BOXES:
        put(tmp_path / f"{name}.txt", "2 cats on a sofa\n")
    put(tmp_path / "settings.json", '{"images": 3}')
    put(tmp_path / "pom.xml", "<project><name>x</name></project>")
    assert find_annotations(tmp_path) is None
    assert find_annotations(tmp_path / "settings.json") is None


def test_classes_of_whole_images_in_coco_are_no_marked_objects(tmp_path: Path) -> None:
    def plain(content: dict[str, list[dict[str, object]]]) -> None:
        for one in content["annotations"]:
            del one["bbox"]

    assert find_annotations(tiny.write_coco(tmp_path, plain)) is None


def test_files_that_change_are_read_anew(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path)
    assert found(tmp_path) is found(tmp_path)
    put(tmp_path / "Annotations" / "b.xml", tiny.voc("b", []))
    assert boxes(found(tmp_path))["b"] == []
