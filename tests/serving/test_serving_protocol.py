"""The Open Inference Protocol v2: metadata, tensors in JSON and in binary, and errors."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from image_models import image, image_model
from PIL import Image
from text_models import tiny_text_model
from tiny_models import tiny_model
from tiny_server import client, fruit_model

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.runtime.session import Model

FRUIT = [
    {"name": "size", "datatype": "FP32", "shape": [2, 1], "data": [2.0, 9.5]},
    {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "GREEN"]},
    {"name": "day", "datatype": "BYTES", "shape": [2, 1], "data": [["2026-01-31"], ["2026-02-01"]]},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(fruit_model(tmp_path_factory.mktemp("fruit") / "fruit.onnx")) as found:
        yield found


def outputs(reply: Any) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in reply.json()["outputs"]}


def test_metadata_names_tensors_that_can_be_sent(server: TestClient) -> None:
    assert server.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get("/v2/models/fruit/ready").json() == {"name": "fruit", "ready": True}
    about = server.get("/v2/models/fruit").json()
    assert [(one["name"], one["datatype"]) for one in about["inputs"]] == [
        ("size", "FP32"), ("colour", "BYTES"), ("day", "BYTES"),
    ]  # fmt: skip
    assert [(one["name"], one["datatype"], one["shape"]) for one in about["outputs"]] == [
        ("label", "BYTES", [-1]), ("probabilities", "FP32", [-1, 2]),
    ]  # fmt: skip
    assert json.loads(about["parameters"]["labels"]) == ["apple", "pear"]
    assert server.get("/v2/models/none").status_code == 404


def test_tensors_get_the_answers_of_rows(server: TestClient) -> None:
    reply = server.post("/v2/models/fruit/infer", json={"id": "7", "inputs": FRUIT})
    found = outputs(reply)
    assert (reply.json()["id"], reply.json()["model_name"]) == ("7", "fruit")
    rows = [
        {"size": 2.0, "colour": "red", "day": "2026-01-31"},
        {"size": 9.5, "colour": "GREEN", "day": "2026-02-01"},
    ]
    expected = server.post("/predict", json=rows).json()["predictions"]
    assert found["label"].tolist() == [row["label"] for row in expected]
    assert found["probabilities"][:, 0].tolist() == pytest.approx([row["probability_apple"] for row in expected])
    one = {"inputs": FRUIT, "outputs": [{"name": "label"}]}
    assert list(outputs(server.post("/v2/models/fruit/infer", json=one))) == ["label"]


def test_binary_tensors_follow_the_json(server: TestClient) -> None:
    size = np.array([2.0, 9.5], "<f4").tobytes()
    colour = b"".join(struct.pack("<I", len(word)) + word for word in (b"red", b"GREEN"))
    inputs = [
        {"name": "size", "datatype": "FP32", "shape": [2, 1], "parameters": {"binary_data_size": len(size)}},
        {"name": "colour", "datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": len(colour)}},
        FRUIT[2],
    ]
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    got = outputs(server.post("/v2/models/fruit/infer", content=head + size + colour, headers=headers))
    expected = outputs(server.post("/v2/models/fruit/infer", json={"inputs": FRUIT}))
    assert got["probabilities"].tolist() == expected["probabilities"].tolist()
    cut = server.post("/v2/models/fruit/infer", content=head + size + colour[:-1], headers=headers)
    assert (cut.status_code, cut.json()["error"]) == (
        400,
        f"The input 'colour' has no {len(colour)} bytes of binary data.",
    )


def test_missing_columns_are_told(server: TestClient) -> None:
    reply = server.post("/v2/models/fruit/infer", json={"inputs": FRUIT[:2]})
    assert "1 column of the model is missing, read as empty cells: day." in reply.json()["parameters"]["warnings"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "no inputs"),
        ([], 400, "no inputs"),
        ({"inputs": [1]}, 400, "no inputs"),
        ({"inputs": [{**FRUIT[0], "name": "weight"}]}, 422, "no input 'weight'"),
        ({"inputs": [{**FRUIT[0], "datatype": "FP8"}]}, 400, "datatype"),
        ({"inputs": [{**FRUIT[0], "shape": [3, 1]}]}, 400, "has 2 values"),
        ({"inputs": [{**FRUIT[0], "shape": [-1]}]}, 400, "shape"),
        ({"inputs": [{**FRUIT[0], "data": ["a", "b"]}]}, 400, "other values than numbers"),
        ({"inputs": [{**FRUIT[0], "data": None}]}, 400, "no data"),
        ({"inputs": [{**FRUIT[1], "data": [1, 2]}]}, 400, "other values than strings"),
        ({"inputs": [FRUIT[0], {**FRUIT[1], "shape": [1], "data": ["red"]}, FRUIT[2]]}, 422, "differ in length"),
        ({"inputs": [{**one, "shape": [0], "data": []} for one in FRUIT]}, 422, "no rows"),
        ({"inputs": FRUIT, "outputs": [{"name": "x"}]}, 422, "no output 'x'"),
        ({"inputs": FRUIT, "outputs": 1}, 422, "no output"),
    ],
)
def test_bad_requests_get_one_clear_error(server: TestClient, body: Any, status: int, words: str) -> None:
    reply = server.post("/v2/models/fruit/infer", json=body)
    assert reply.status_code == status, reply.text
    assert words in reply.json()["error"]


def test_regressions_texts_and_images(tmp_path: Path) -> None:
    number = tiny_model(tmp_path / "number.onnx", {"size": "numeric"}, weight={"size": [2.0]})
    write_model(tiny_text_model(labels=("bad", "good")), tmp_path / "texts.onnx")
    write_model(image_model(), tmp_path / "shapes.onnx")
    pixels = np.stack([image(48, 60, seed=k) for k in range(2)])
    Image.fromarray(pixels[0]).save(tmp_path / "0.png")
    with client(number, tmp_path / "texts.onnx", tmp_path / "shapes.onnx") as server:

        def ask(model: str, **tensor: Any) -> dict[str, Any]:
            return outputs(server.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]}))

        size = ask("number", name="size", datatype="INT64", shape=[2], data=[1, 2])
        assert size["prediction"].tolist() == [[2.0], [4.0]]
        said = ask("texts", name="text", datatype="BYTES", shape=[2], data=["a good film", "so bad"])
        expected = Model(tmp_path / "texts.onnx").run({"text": ["a good film", "so bad"]})
        assert said["label"].tolist() == expected["label"].tolist()
        wanted = server.get("/v2/models/shapes").json()["inputs"]
        assert wanted == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
        shown = ask("shapes", name="image", datatype="UINT8", shape=list(pixels.shape), data=pixels.tolist())
        assert shown["label"].tolist() == Model(tmp_path / "shapes.onnx").run({"image": pixels})["label"].tolist()
        coded = base64.b64encode((tmp_path / "0.png").read_bytes()).decode()
        file = ask("shapes", name="image", datatype="BYTES", shape=[1], data=[coded])
        assert file["probabilities"][0].tolist() == pytest.approx(shown["probabilities"][0].tolist(), abs=1e-5)
        wrong = {"name": "image", "datatype": "UINT8", "shape": [2, 2], "data": [1, 2, 3, 4]}
        assert server.post("/v2/models/shapes/infer", json={"inputs": [wrong]}).status_code == 422
        broken = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["bm90aGluZw=="]}
        assert server.post("/v2/models/shapes/infer", json={"inputs": [broken]}).status_code == 422
