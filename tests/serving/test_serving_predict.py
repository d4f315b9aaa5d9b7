"""POST /predict: rows of all kinds get the answers, findings and warnings that `predict` gives."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from image_models import LABELS, image_folder, image_model
from text_models import tiny_text_model
from tiny_models import tiny_model
from tiny_server import GOOD, client, fruit_model

from modelgpt_cli import predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.runtime.output import Layout, RowWriter
from modelgpt_cli.runtime.session import Model

ROWS = [
    GOOD,
    {"size": 9.5, "colour": "green", "day": "2026-02-01"},
    {"size": "3", "colour": "RED", "day": None},
    {"size": None, "colour": "blue", "day": "2025-12-24"},
]


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fruit_model(tmp_path_factory.mktemp("fruit") / "fruit.onnx")


@pytest.fixture(scope="module")
def server(fruit: Path) -> Iterator[TestClient]:
    with client(fruit) as found:
        yield found


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.onnx"
    write_model(tiny_text_model(labels=("bad", "good")), path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_model(image_model(), folder / "shapes.onnx")
    image_folder(folder / "images", per_class=1)
    return folder


def answers(model: Path, data: Any) -> list[dict[str, Any]]:
    """What ``predict --proba --json`` prints."""
    loaded = Model(model)
    source = loaded.feeds.open_source(loaded, data if isinstance(data, list) else [data], labelled=False, target=None)
    writer = RowWriter(Layout(loaded, True, 1), files=loaded.feeds.FILES, as_json=True)
    lines = b"".join(writer.rows(chunk, loaded.run(chunk.columns)) for chunk in source.chunks(100))
    return [json.loads(line) for line in lines.splitlines()]


def test_rows_get_the_answers_of_predict(server: TestClient, fruit: Path) -> None:
    frame = pd.DataFrame(ROWS, dtype=object)
    reply = server.post("/predict", json=ROWS)
    assert reply.status_code == 200, reply.text
    assert reply.json()["predictions"] == answers(fruit, frame)
    done = predict(fruit, frame)
    assert reply.json()["findings"] == done.findings.to_dict()
    assert reply.json()["warnings"] == done.findings.messages() != []
    assert server.post("/predict", json={"rows": ROWS}).json() == reply.json()
    for row, expected in zip(ROWS, answers(fruit, frame), strict=True):
        assert server.post("/predict", json=row).json()["predictions"] == [expected]


def test_a_row_that_fits_has_no_warnings(server: TestClient) -> None:
    reply = server.post("/models/fruit/predict", json=GOOD).json()
    assert (reply["model"], reply["findings"], reply["warnings"]) == ("fruit", {"rows": 1, "fits": True}, [])


def test_csv_is_read_as_a_file_is(server: TestClient, fruit: Path, tmp_path: Path) -> None:
    text = "day;colour;size\n2026-01-31;red;1,5\n2026-02-01;green;2,5\n2026-02-03;red;12,25\n"
    (tmp_path / "new.csv").write_text(text)
    expected = answers(fruit, tmp_path / "new.csv")
    reply = server.post("/predict", content=text, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert reply.json()["predictions"] == expected
    form = server.post("/predict", files={"file": ("new.csv", text)})
    assert form.json() == reply.json()
    as_csv = server.post("/predict", content=text, headers={"Content-Type": "text/csv", "Accept": "text/csv"})
    assert as_csv.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert [row["label"] for row in rows] == [row["label"] for row in expected]


def test_json_is_taken_by_whatever_curl_calls_it(server: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.post("/predict", content=json.dumps(GOOD), headers=form).status_code == 200
    lines = "\n".join(map(json.dumps, ROWS))
    reply = server.post("/predict", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert reply.json() == server.post("/predict", json=ROWS).json()


def test_strict_refuses_what_the_model_was_not_made_for(server: TestClient) -> None:
    assert server.post("/predict?strict=true", json=GOOD).status_code == 200
    reply = server.post("/predict?strict=true", json=ROWS)
    assert reply.status_code == 422
    assert "blue" in reply.json()["cause"]


def test_regressions_give_numbers(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "n.onnx", {"size": "numeric"}, weight={"size": [2.0]}, bias=(1.0,))
    with client(model) as server:
        reply = server.post("/predict", json=[{"size": 1}, {"size": 2.5}]).json()
    assert reply["predictions"] == [{"prediction": 3.0}, {"prediction": 6.0}]
    assert reply["warnings"] == []


def test_texts_are_strings_lines_or_rows(texts: Path) -> None:
    given = ["The film was good.", "a slow, bad book"]
    expected = answers(texts, {"text": given})
    with client(texts) as server:
        plain = {"Content-Type": "text/plain"}
        for reply in (
            server.post("/predict", json=given),
            server.post("/predict", json=[{"text": one} for one in given]),
            server.post("/predict", content="\r\n".join(given) + "\n", headers=plain),
        ):
            assert reply.status_code == 200, reply.text
            got = reply.json()["predictions"]
            assert [row["label"] for row in got] == [row["label"] for row in expected]
            assert [row["probability_good"] for row in got] == pytest.approx(
                [row["probability_good"] for row in expected], abs=1e-5
            )
        one = server.post("/predict", json=given[0]).json()["predictions"]
        assert one[0]["label"] == expected[0]["label"]
        long = server.post("/predict", json=["very " * 60]).json()
        assert "1 of 1 texts are longer than the model's window" in long["warnings"][0]
        assert server.post("/predict", json=given).json()["warnings"] == []  # those before it count no more


def test_images_are_bodies_forms_or_base64(images: Path) -> None:
    files = sorted(path for path in (images / "images").rglob("*.*"))
    expected = answers(images / "shapes.onnx", [str(path) for path in files])
    with client(images / "shapes.onnx") as server:
        body = server.post("/predict", content=files[0].read_bytes(), headers={"Content-Type": "image/jpeg"})
        assert body.json()["predictions"] == [{**expected[0], "file": "body"}]
        form = [("file", (path.name, path.read_bytes(), "image/jpeg")) for path in files]
        reply = server.post("/predict?topk=3", files=form).json()["predictions"]
        assert [row["label"] for row in reply] == [row["label"] for row in expected]
        assert [row["file"] for row in reply] == [path.name for path in files]
        assert {reply[0][name] for name in ("label", "label_2", "label_3")} == set(LABELS)
        coded = [{"image": {"b64": base64.b64encode(path.read_bytes()).decode()}} for path in files]
        assert [row["label"] for row in server.post("/predict", json=coded).json()["predictions"]] == [
            row["label"] for row in expected
        ]
        mixed = server.post("/predict", files=[*form, ("file", ("broken.jpg", b"nothing", "image/jpeg"))]).json()
        assert mixed["predictions"][-1]["label"] is None
        assert "broken.jpg" in mixed["warnings"][0]
        broken = server.post("/predict", content=b"nothing", headers={"Content-Type": "image/png"})
        assert (broken.status_code, broken.json()["error"]) == (422, "The image can't be read.")


def test_no_path_is_ever_opened(images: Path, texts: Path, tmp_path: Path) -> None:
    secret = sorted((images / "images").rglob("*.*"))[0]
    with client(images / "shapes.onnx") as server:
        for content in ([{"image": str(secret)}], {"path": str(secret)}, [str(secret)], str(images)):
            assert server.post("/predict", json=content).status_code == 422
        listed = server.post("/predict", content=f"path\n{secret}\n", headers={"Content-Type": "text/csv"})
        assert listed.status_code == 415
    (tmp_path / "hidden.csv").write_text("text\none two\nthree four\n")
    with client(texts) as server:
        for content in (str(tmp_path / "hidden.csv"), [str(tmp_path / "hidden.csv")], "-"):
            reply = server.post("/predict", json=content)
            assert len(reply.json()["predictions"]) == 1  # a text as others


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b"", "application/json", 400, "empty"),
        (b'{"a": 1', "application/json", 400, "not valid JSON"),
        (b"\xff\xfe", "application/json", 400, "not valid JSON"),
        (b"[" * 5000, "application/json", 400, "nested too deeply"),
        (b"9" * 5000, "application/json", 400, "not valid JSON"),
        (b'{"a":' * 990 + b"1" + b"}" * 990, "application/json", 400, "nested too deeply"),
        (b"[]", "application/json", 422, "no rows"),
        (b"{}", "application/json", 422, "no columns"),
        (b"[1, 2]", "application/json", 422, "Item 1 is not a JSON object"),
        (b'"size"', "application/json", 422, "not a JSON object"),
        (b'{"length": 1}', "application/json", 422, "lacks 3 of the model's 3 columns"),
        (b"a;b\n1;2\n", "text/csv", 422, "lacks 3 of the model's 3 columns"),
        (b"PK\x03\x04....", "text/csv", 415, "no CSV"),
        (b"red", "text/plain", 415, "text/plain"),
        (b"\x89PNG", "image/png", 415, "image/png"),
        (b"<a/>", "application/xml", 415, "application/xml"),
        (b"x", "multipart/form-data", 400, "boundary"),
    ],
)
def test_bad_bodies_get_one_clear_error(server: TestClient, content: bytes, kind: str, status: int, words: str) -> None:
    reply = server.post("/predict", content=content, headers={"Content-Type": kind})
    assert reply.status_code == status, reply.text
    assert words in reply.json()["error"] + reply.json().get("cause", "")
    assert "Traceback" not in reply.text


def test_odd_cells_are_counted_and_never_break_a_server(server: TestClient) -> None:
    odd = {"size": [1, 2], "colour": {"a": {"b": 1}}, "day": "the \ud83d day", "x": 10**400}
    kind = {"Content-Type": "application/json"}
    refused = server.post("/predict", content=json.dumps(odd), headers=kind)
    assert refused.status_code == 422  # neither is a cell: both fall apart into columns
    odd |= {"size": 10**400, "colour": ["a", None]}
    reply = server.post("/predict", content=json.dumps(odd), headers=kind)
    assert reply.status_code == 200, reply.text
    assert reply.json()["findings"]["columns"]["day"]["not_of_the_kind"] == 1
    assert server.post("/predict", json=GOOD).json()["warnings"] == []


def test_errors_of_the_address(server: TestClient, fruit: Path) -> None:
    assert server.post("/predict?top=3", json=GOOD).status_code == 422
    assert server.post("/models/none/predict", json=GOOD).status_code == 404
    assert server.get("/predict").status_code == 405
    assert server.get("/elsewhere").json() == {"error": "Not Found."}
    with client(fruit, f"other={fruit}") as two:
        reply = two.post("/predict", json=GOOD)
        assert reply.status_code == 404
        assert "/models/fruit/predict" in reply.json()["hint"]
        assert two.post("/models/other/predict", json=GOOD).json()["model"] == "other"


def test_the_page_and_openapi_name_the_models(server: TestClient) -> None:
    page = server.get("/")
    assert "fruit" in page.text
    assert "colour" in page.text
    assert "http" not in page.text.replace("http://testserver", "")  # nothing is loaded from elsewhere
    paths = server.get("/openapi.json").json()["paths"]
    assert {"/predict", "/models/{name}/predict", "/v2/models/{name}/infer"} <= set(paths)
    assert server.get("/docs").status_code == 404
