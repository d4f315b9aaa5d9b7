"""Answers written as COCO has them: which ids they get, and what is told of those that get none."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_objects as tiny

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.given import find_given
from modelgpt_cli.domains.image.annotations.results import Document, Ids, Results, coco_document, ids_of
from modelgpt_cli.runtime.feed import Chunk

CATEGORIES = [{"name": label} for label in tiny.CLASSES]


def entries(answer: Mapping[str, Any], results: bool) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for label in answer["found"]:
        yield label, {"score": 0.5} | ({} if results else {"area": 4})


def written(document: Document, *chunks: Mapping[str, Sequence[str | None] | None]) -> Any:
    """The document of some chunks, each image → the classes found in it; None where it can't be read."""
    content = document.head()
    for chunk in chunks:
        found = [labels for labels in chunk.values() if labels is not None]
        outputs = np.empty(len(found), dtype=object)
        outputs[:] = found
        columns = {"image": [np.zeros((3, 5, 3), np.uint8)] * len(found)}
        readable = np.array([labels is not None for labels in chunk.values()])
        content += document.rows(Chunk(len(chunk), columns, names=list(chunk), readable=readable), {"found": outputs})
    return json.loads(content + document.tail())


def _other_ids(content: dict[str, Any]) -> None:
    for one in content["categories"]:
        one["id"] += 5
    for one in content["annotations"]:
        one["category_id"] += 5


def test_results_have_the_ids_of_the_file(tmp_path: Path) -> None:
    root = tiny.write_coco(tmp_path / "set", _other_ids)
    ids = ids_of([root / "annotations.json"])
    assert ids == Ids({str(root / f"{name}.jpg"): k for k, name in enumerate(tiny.BOXES, 1)}, {"cat": 6, "dog": 7})
    assert ids == ids_of([root])
    assert {file.name for file in find_given(root / "annotations.json")} == set(ids.images)
    assert ids_of([tiny.write_yolo(tmp_path / "yolo"), "none.jpg"]) is None
    first, second, third = ids.images
    document = Results(ids, entries)
    found = written(document, {first: ["dog", "cat"], second: None}, {third: ["dog"]})
    assert found == [
        {"image_id": 1, "category_id": 7, "score": 0.5},
        {"image_id": 1, "category_id": 6, "score": 0.5},
        {"image_id": 3, "category_id": 7, "score": 0.5},
    ]
    assert written(Results(ids, entries)) == []


def test_what_has_no_id_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found = written(
        Results(Ids({"a.jpg": 9}, {"cat": 1}), entries), {"a.jpg": ["cat", "dog", "dog"], "new/b.jpg": ["cat"]}
    )
    assert found == [{"image_id": 9, "category_id": 1, "score": 0.5}]
    assert "1 image is in no annotations, such as new/b.jpg" in caplog.text
    assert "2 results are of 'dog', which the annotations have no category for" in caplog.text


def test_ids_that_two_files_share_are_refused(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path / "both" / "train")
    tiny.write_coco(tmp_path / "both" / "test")
    with pytest.raises(ModelGPTError, match=r"have the id 1 for .*a.jpg and for .*a.jpg") as caught:
        ids_of([tmp_path / "both"])
    assert "test/annotations.json" in caught.value.hint

    def shifted(content: dict[str, Any]) -> None:
        for one in content["images"]:
            one["id"] += 10
        for one in content["annotations"]:
            one["image_id"] += 10
        _other_ids(content)

    tiny.write_coco(tmp_path / "classes" / "train")
    tiny.write_coco(tmp_path / "classes" / "test", shifted)
    with pytest.raises(ModelGPTError, match="several ids for the class 'cat'"):
        ids_of([tmp_path / "classes"])


def test_without_ids_annotations_are_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelgpt")
    names = ["new/a.jpg", "new/b/c.jpg", "new/d.jpg"]
    document = coco_document(names, names, CATEGORIES, entries)
    found = written(document, {names[0]: [], names[1]: None}, {names[2]: ["dog"]})
    assert found == {
        "annotations": [{"id": 1, "image_id": 2, "category_id": 2, "score": 0.5, "area": 4, "iscrowd": 0}],
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 5, "height": 3},
            {"id": 2, "file_name": "d.jpg", "width": 5, "height": 3},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    assert "No annotations say ids of images" in caplog.text


def test_key_points_have_the_class_that_has_some(tmp_path: Path) -> None:
    ids = ids_of([tiny.write_coco(tmp_path, points=True)])
    assert ids is not None
    assert ids.pointed == ("cat", "dog")
    one = Ids(ids.images, ids.classes, ("dog",))
    name = next(iter(ids.images))
    assert written(Results(one, entries), {name: [None]})[0]["category_id"] == 2
    with pytest.raises(ModelGPTError, match="key points of cat, dog, and the model tells no classes apart"):
        written(Results(ids, entries), {name: [None]})
