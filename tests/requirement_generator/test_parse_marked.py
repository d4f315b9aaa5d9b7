"""Free words on how good masks, boxes and key points must be: figures with names that hold numbers."""

from __future__ import annotations

import pytest

from modelgpt_cli.requirement_generator.parse import parse_request


@pytest.mark.parametrize(
    ("text", "quality", "task"),
    [
        ("Find the cells in images, at least 80 % mAP50", {"map50": 0.8}, "detection"),
        ("Find cells and platelets, mAP@0.5 of 0.8 or better", {"map50": 0.8}, "detection"),
        ("Find the cells with an mAP@.5 of .75", {"map50": 0.75}, "detection"),
        ("A model under 5 MB with map50 over 85%", {"map50": 0.85}, "detection"),
        ("Find cells, mAP50-95 of at least 0.4", {"map": 0.4}, "detection"),
        ("Find cells, at least 40% mAP@[.5:.95]", {"map": 0.4}, "detection"),
        ("Find cells, mAP50 at least 80%, mAP@0.5:0.95 at least 40%", {"map50": 0.8, "map": 0.4}, "detection"),
        ("Split streets by what each pixel shows, mean IoU of at least .5", {"miou": 0.5}, "segmentation"),
        ("Segment photos into road and sky, mIoU over 60 %", {"miou": 0.6}, "segmentation"),
        ("Segment the road, at least 90% pixel accuracy", {"pixel_accuracy": 0.9}, "segmentation"),
        ("Find the corners of eyes, NME at most 8 %", {"nme": 0.08}, "keypoints"),
        ("Find the corners of eyes with a normalised mean error below 0.08", {"nme": 0.08}, "keypoints"),
        ("Find the corners of eyes, PCK@.1 of at least 90%", {"pck": 0.9}, "keypoints"),
        ("Classify photos into cat and dog, 90 % accuracy", {"accuracy": 0.9}, "classification"),
    ],
)
def test_metrics_of_marked_images_are_read(text: str, quality: dict[str, float], task: str) -> None:
    found = parse_request(text)
    assert found.requirement.quality.to_mapping() == quality
    assert found.requirement.task == task
    assert not found.unclear
    assert all(reading.words in text for reading in (*found.applied, *found.proposed))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Find the cells, mAP of at least 80%", "mAP50 or mAP50-95"),
        ("Find the cells, mean average precision of at least 0.8", "mAP50 or mAP50-95"),
        ("Find the corners of eyes, PCK@0.2 of at least 90%", "PCK is measured at .1"),
    ],
)
def test_what_is_open_is_told_and_sets_nothing(text: str, reason: str) -> None:
    found = parse_request(text)
    assert not found.requirement.quality.to_mapping()
    assert [reason in remark.reason for remark in found.unclear] == [True]


@pytest.mark.parametrize("text", ["Say which country a map shows, at least 90 % accuracy", "Read a map 50 km wide"])
def test_a_map_is_no_metric(text: str) -> None:
    found = parse_request(text)
    assert not {"map", "map50"} & set(found.requirement.quality.to_mapping())
    assert not found.unclear


def test_the_words_are_quoted_whole() -> None:
    (only,) = parse_request("Find the cells, at least 80 % mAP@.5").proposed
    assert only.words == "at least 80 % mAP@.5"
