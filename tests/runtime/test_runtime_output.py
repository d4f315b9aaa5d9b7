"""What `predict` writes beside the answers: columns of the input, JSON lines, empty labels; and words as texts."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from image_models import image_folder, image_model
from text_models import tiny_text_model
from tiny_models import tiny_model

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.runtime.predict import predict

ROWS = 'id,"name, full",a,when\n007,"Doe, Jane",2,2024-01-05\n008,"O""Hara",-1,\n009,Li,0.2,2024-02-01\n'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier: 'y' where a is positive, the surer the larger it is."""
    return tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [0, 1]})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "d.csv").write_text(ROWS)
    return tmp_path / "d.csv"


@pytest.fixture(scope="module")
def texts_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.onnx"
    write_model(tiny_text_model(labels=("bad", "good")), path)
    return path


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_kept_columns_come_first_as_they_were_written(
    model: Path, table: Path, tmp_path: Path, chunk_rows: int
) -> None:
    predict(model, table, output=tmp_path / "p.csv", keep='"name, full", id', chunk_rows=chunk_rows)
    out = pd.read_csv(tmp_path / "p.csv", dtype=str)
    assert list(out) == ["name, full", "id", "label"]
    assert out["id"].tolist() == ["007", "008", "009"]
    assert out["name, full"].tolist() == ["Doe, Jane", 'O"Hara', "Li"]
    assert out["label"].tolist() == ["y", "x", "y"]


def test_all_columns_are_kept_also_those_that_the_model_reads(model: Path, table: Path, tmp_path: Path) -> None:
    predict(model, table, output=tmp_path / "p.csv", keep="all", proba=True)
    out = pd.read_csv(tmp_path / "p.csv", dtype=str)
    assert list(out) == ["id", "name, full", "a", "when", "label", "probability_x", "probability_y"]
    assert out["a"].tolist() == ["2", "-1", "0.2"]
    assert out["when"].isna().tolist() == [False, True, False]


def test_kept_columns_in_python_and_from_a_frame(model: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, -1.0], "id": [7, 8], "label": ["mine", None]})
    done = predict(model, frame, keep=["id"])
    assert done.kept["id"].tolist() == [7, 8]
    assert predict(model, frame).kept == {}


def test_a_kept_column_called_like_an_answer_keeps_apart(model: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, -1.0], "label": ["mine", None]})
    predict(model, frame, keep="label", output=tmp_path / "p.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert lines == [{"input_label": "mine", "label": "y"}, {"input_label": None, "label": "x"}]


def test_json_lines_hold_what_the_csv_holds(model: Path, table: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"proba": True, "keep": "id"}
    predict(model, table, output=tmp_path / "p.csv", **asked)
    predict(model, table, output=tmp_path / "p.jsonl", **asked)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    frame = pd.read_csv(tmp_path / "p.csv", dtype={"id": str})
    assert [row["id"] for row in rows] == frame["id"].tolist()
    assert [row["label"] for row in rows] == frame["label"].tolist()
    np.testing.assert_allclose([row["probability_y"] for row in rows], frame["probability_y"], rtol=1e-6)


def test_numbers_in_json_lines(tmp_path: Path) -> None:
    regressor = tiny_model(tmp_path / "r.onnx", {"a": "numeric"}, weight={"a": [2]}, bias=[0.1])
    predict(regressor, {"a": [0.1, 1e10]}, output=tmp_path / "p.csv")
    predict(regressor, {"a": [0.1, 1e10]}, output=tmp_path / "p.ndjson")
    rows = [json.loads(line)["prediction"] for line in (tmp_path / "p.ndjson").read_text().splitlines()]
    assert rows == pd.read_csv(tmp_path / "p.csv")["prediction"].tolist()


def test_unsure_labels_are_left_empty_and_counted(model: Path, table: Path, tmp_path: Path) -> None:
    done = predict(model, table, min_confidence=0.6)
    assert done.label is not None
    assert done.label.tolist() == ["y", "x", ""]
    assert done.unsure == 1
    done = predict(model, table, output=tmp_path / "p.csv", min_confidence=0.6)
    assert (tmp_path / "p.csv").read_text() == 'label\ny\nx\n""\n'
    assert (done.rows, done.unsure) == (3, 1)
    predict(model, table, output=tmp_path / "p.jsonl", min_confidence=0.99)
    assert (tmp_path / "p.jsonl").read_text() == '{"label": null}\n' * 3
    assert predict(model, table, min_confidence=0).unsure == 0
    with pytest.raises(UsageError, match=r"can't be 1\.5"):
        predict(model, table, min_confidence=1.5)
    regressor = tiny_model(tmp_path / "r.onnx", {"a": "numeric"}, weight={"a": [2]})
    with pytest.raises(UsageError, match="for classification"):
        predict(regressor, table, min_confidence=0.5)


def test_images_have_json_lines_and_empty_labels_and_no_columns(tmp_path: Path) -> None:
    write_model(image_model(), tmp_path / "images.onnx")
    image_folder(tmp_path / "images", per_class=1)
    (tmp_path / "images" / "broken.jpg").write_text("no image")
    data = [tmp_path / "images"]
    predict(tmp_path / "images.onnx", data, output=tmp_path / "p.jsonl", topk=2)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert all(list(row) == ["file", "label", "probability", "label_2", "probability_2"] for row in rows)
    broken = next(row for row in rows if row["file"].endswith("broken.jpg"))
    assert [broken["label"], broken["probability_2"]] == [None, None]
    done = predict(tmp_path / "images.onnx", data, output=tmp_path / "p.csv", min_confidence=1)
    frame = pd.read_csv(tmp_path / "p.csv")
    assert done.unsure == frame["probability"].notna().sum() == len(rows) - 1
    assert frame["label"].isna().all()
    with pytest.raises(UsageError, match="--keep is for tables and texts"):
        predict(tmp_path / "images.onnx", data, keep="all")


def test_words_on_the_command_line_are_texts(texts_model: Path, bench: Bench) -> None:
    texts = ["the film was very good", "a slow book"]
    expected = predict(texts_model, texts).label
    assert expected is not None
    done = bench.run("predict", texts_model, *texts)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["label", *expected]
    done = bench.run("predict", texts_model, texts[0], "--json", "--keep", "all")
    assert json.loads(done.out) == {"text": texts[0], "label": expected[0]}
    bench.refuse(2, "There is no file film", "predict", texts_model, "film")


def test_words_are_refused_where_no_text_is_read(model: Path, bench: Bench, tmp_path: Path) -> None:
    bench.refuse(2, "doesn't take a text alone", "predict", model, "what a film")
    write_model(tiny_text_model(labels=("bad", "good"), pair=True), tmp_path / "pairs.onnx")
    done = bench.refuse(2, "doesn't take a text alone", "predict", tmp_path / "pairs.onnx", "what a film")
    assert "'text', 'other'" in done.err
    write_model(image_model(), tmp_path / "images.onnx")
    bench.refuse(2, "There is no file or folder", "predict", tmp_path / "images.onnx", "what a film")


HOTEL = ["部屋が広くて清潔でした", "隣がうるさくて眠れなかった", "朝食がとてもおいしかった", "お湯が出ませんでした"]
HOTEL_ZH = ["房间很大而且干净，早餐也好吃", "隔壁太吵，一夜没睡好", "前台热情，下次还住这里", "热水不热，空调也坏了"]


class Piped(io.TextIOWrapper):
    """A stream that is no terminal, in the place of stdin."""

    def __init__(self, content: str) -> None:
        super().__init__(io.BufferedReader(io.BytesIO(content.encode())))  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_lines_on_stdin_are_texts(
    texts_model: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    texts = ["the film, was very good", "", "a slow book", "not bad; slow"]
    expected = predict(texts_model, {"text": texts}).label
    assert expected is not None
    monkeypatch.setattr(sys, "stdin", Piped("\ufeff" + "\r\n".join(texts)))
    done = bench.run("predict", texts_model, "-", "--chunk-rows", chunk_rows)
    assert done.out.splitlines() == ["label", *expected]
    assert done.err == "Read 4 lines from stdin as texts, one a line.\n"


@pytest.mark.parametrize("encoding", ["gb18030", "cp932"])
def test_lines_on_stdin_in_an_older_encoding(
    texts_model: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    texts = ["good", *(HOTEL if encoding == "cp932" else HOTEL_ZH)]
    stream = Piped("")
    monkeypatch.setattr(sys, "stdin", stream)
    monkeypatch.setattr(type(stream), "buffer", io.BufferedReader(io.BytesIO("\n".join(texts).encode(encoding))))  # type: ignore[arg-type]
    done = bench.run("predict", texts_model, "-", "--keep", "text")
    assert [line.rpartition(",")[0] for line in done.out.splitlines()] == ["text", *texts]
    assert f"stdin is not UTF-8: read as {encoding}." in done.err


@pytest.mark.parametrize("texts", [["slow, very slow"], ["good", "bad"], ["naïve but good", "slow", "dépassé"]])
def test_the_lines_of_a_text_file_are_texts(texts_model: Path, bench: Bench, texts: list[str]) -> None:
    expected = predict(texts_model, {"text": texts}).label
    assert expected is not None
    (bench.folder / "new.txt").write_bytes("\n".join(texts).encode("cp1252"))
    done = bench.run("predict", texts_model, "new.txt")
    assert done.out.splitlines() == ["label", *expected]
    assert f"Read {len(texts)} line{'s'[: len(texts) > 1]} from new.txt as texts, one a line." in done.err


def test_a_text_file_with_the_column_or_tabs_is_a_table(texts_model: Path, bench: Bench) -> None:
    bench.write("named.txt", "text\na slow book\n")
    assert len(bench.run("predict", texts_model, "named.txt").out.splitlines()) == 2
    bench.write("tabs.txt", "good\ta slow book\nbad\tthe film\n")
    bench.refuse(1, "lacks 1 of the model's 1 columns", "predict", texts_model, "tabs.txt")


def test_a_text_without_blanks_is_one_of_several_words(texts_model: Path, bench: Bench) -> None:
    expected = predict(texts_model, ["这盏灯很好用"]).label
    assert expected is not None
    assert bench.run("predict", texts_model, "这盏灯很好用").out.splitlines() == ["label", *expected]


@pytest.mark.parametrize("content", ['id,"Text"\n1,a slow book\n', '{"text": "a slow book"}\n', "text\na slow book\n"])
def test_a_table_on_stdin_is_still_a_table(
    texts_model: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(content.replace("Text", "text")))
    done = bench.run("predict", texts_model, "-")
    expected = predict(texts_model, {"text": ["a slow book"]}).label
    assert expected is not None
    assert done.out.splitlines() == ["label", *expected]


def test_json_on_stdout_is_rows_and_beside_a_file_what_was_done(model: Path, table: Path, bench: Bench) -> None:
    rows = bench.run("predict", model, table, "--json").out.splitlines()
    assert [json.loads(row) for row in rows] == [{"label": "y"}, {"label": "x"}, {"label": "y"}]
    done = bench.run("predict", model, table, "--json", "-o", "p.csv", "--min-confidence", "0.6")
    assert json.loads(done.out) == {"path": "p.csv", "rows": 3, "unsure": 1} | {
        "seconds": json.loads(done.out)["seconds"]
    }
    assert (bench.folder / "p.csv").read_text() == 'label\ny\nx\n""\n'
    assert "1 label is left empty" in done.err


def test_describe_prints_json(bench: Bench) -> None:
    bench.write("d.csv", "size,kind\n" + "".join(f"{i * 7 % 11},{'ab'[i % 2]}\n" for i in range(20)))
    done = bench.run("describe", "d.csv", "-t", "kind", "--offline", "--json")
    shown = json.loads(done.out)
    assert (shown["task"], shown["classes"], shown["path"]) == ("classification", ["a", "b"], None)
    assert shown["sentence"].startswith("Classify")
    written = bench.run("describe", "d.csv", "-t", "kind", "--offline", "--json", "-o", "req.txt")
    assert json.loads(written.out)["path"] == "req.txt"
    assert (bench.folder / "req.txt").read_text().startswith(shown["sentence"])
