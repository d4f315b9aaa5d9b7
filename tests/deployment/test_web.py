"""Pages that run models: what is in their folders, what is refused, and their answers in a real browser."""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Cli
from image_models import image, image_model
from marked_texts import marked_texts, spans_jsonl
from PIL import Image
from text_models import tiny_text_model
from tiny_poses import write_kites
from tiny_server import client

from modelgpt_cli import build, inspect, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.deployment import page
from modelgpt_cli.deployment.targets import export_for
from modelgpt_cli.deployment.web import folder as web
from modelgpt_cli.runtime.session import TOKENIZER, Model

HERE = web.VENDOR.is_dir()
chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for what npm gives: their content matters to browsers alone."""
    found = tmp_path / "vendor"
    found.mkdir()
    for name in (*web.RUNTIME, *web.TOKENIZERS):
        (found / name).write_text("x")
    (found / web.VERSIONS).write_text('{"onnxruntime-web": "1"}')
    monkeypatch.setattr(web, "VENDOR", found)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind that a page runs, quickly made."""
    root = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=n).round(2),
            "colour": rng.choice(["red", "green", "blue sky"], n),
            "sold": rng.choice(["yes", "no"], n),
            "day": (pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D")).strftime("%F"),
        }
    )
    frame["price"] = (3 * frame["size"] + 5 * (frame["colour"] == "red") + rng.normal(size=n)).round(2)
    build(frame, target="price", output=root / "number.onnx", one_pass=True)
    frame["price"] = np.where(frame["price"] > 2, "high", "low")
    build(frame, target="price", output=root / "table.onnx", one_pass=True)
    write_model(tiny_text_model(labels=("good", "bad")), root / "text.onnx")
    write_model(tiny_text_model(labels=("yes", "no"), pair=True, window=14), root / "pair.onnx")
    write_model(image_model(), root / "image.onnx")
    return root


def test_a_folder_holds_all_that_a_page_needs(models: Path, vendor: Path, tmp_path: Path) -> None:
    report = export_for(models / "table.onnx", "web", output=tmp_path / "page")
    assert {"index.html", "page.mjs", "model.onnx", "labels.json", "schema.json"} <= set(report.files)
    assert "tokenizer.json" not in report.files
    assert not any("tokenizers" in name for name in report.files)
    assert (tmp_path / "page" / "model.onnx").read_bytes() == (models / "table.onnx").read_bytes()
    assert json.loads((tmp_path / "page" / "labels.json").read_text()) == ["high", "low"]
    made = json.loads((tmp_path / "page" / "schema.json").read_text())
    fields = {field["name"]: field for field in made["fields"]}
    assert [field["kind"] for field in fields.values()] == ["number", "choice", "choice", "date"]
    assert set(fields["colour"]["levels"]) == {"red", "green", "blue sky"}
    assert fields["size"]["low"] < fields["size"]["high"]
    assert made["answer"]["kind"] == "classes"
    assert any("one pass" in note for note in made["card"]["notes"])
    assert report.size_bytes == sum(p.stat().st_size for p in (tmp_path / "page").rglob("*") if p.is_file())


def test_texts_bring_their_tokenizer(models: Path, vendor: Path, tmp_path: Path) -> None:
    export_for(models / "pair.onnx", "web", output=tmp_path / "page")
    assert json.loads((tmp_path / "page" / "tokenizer.json").read_text(encoding="utf-8"))["truncation"]
    fields = json.loads((tmp_path / "page" / "schema.json").read_text())["fields"]
    assert [field["segments"] for field in fields] == ["token_type_ids"] * 2
    assert (tmp_path / "page" / "runtime" / "tokenizers.min.mjs").is_file()


def test_a_model_for_torch_is_exported_first(iris_model: Path, vendor: Path, tmp_path: Path) -> None:
    export_for(iris_model / "model.safetensors", "web", output=tmp_path / "page")
    assert Model(tmp_path / "page" / "model.onnx").labels == ("setosa", "versicolor", "virginica")
    export_for(iris_model / "model.onnx", "web", output=tmp_path / "small", quantize="fp16")
    small, whole = ((tmp_path / name / "model.onnx").stat().st_size for name in ("small", "page"))
    assert small < whole


def test_a_folder_is_replaced_only_if_it_was_exported_and_that_is_wanted(
    models: Path, vendor: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not empty"):
        export_for(models / "table.onnx", "web", output=mine, force=True)
    assert (mine / "letter.txt").read_text() == "dear"
    with pytest.raises(UsageError, match="is a file"):
        export_for(models / "table.onnx", "web", output=mine / "letter.txt", force=True)
    with pytest.raises(UsageError, match="no folder"):
        export_for(models / "table.onnx", "web", output=tmp_path / "no" / "page")
    export_for(models / "table.onnx", "web", output=tmp_path / "page")
    with pytest.raises(UsageError, match="already exists"):
        export_for(models / "number.onnx", "web", output=tmp_path / "page")
    export_for(models / "number.onnx", "web", output=tmp_path / "page", force=True)
    assert json.loads((tmp_path / "page" / "schema.json").read_text())["answer"]["kind"] == "number"
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "page", "vendor"}, "nothing else is left"


def test_what_no_browser_can_run_is_refused(
    models: Path, vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Model(models / "text.onnx")
    made.metadata["tokenizer"] = "graph"
    with pytest.raises(ModelGPTError, match="tokenizer is in the graph"):
        web.fill(made, tmp_path)
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(ModelGPTError):
        export_for(tmp_path / "no.onnx", "web", output=tmp_path / "page")
    assert not (tmp_path / "page").exists()
    (vendor / web.RUNTIME[1]).unlink()
    with pytest.raises(ModelGPTError, match="isn't in this installation") as raised:
        export_for(models / "text.onnx", "web", output=tmp_path / "page")
    assert "scripts/vendor_web.sh" in raised.value.hint
    with pytest.raises(UsageError, match="It is one of web"):
        export_for(models / "text.onnx", "moon", output=tmp_path / "page")


def test_a_field_says_what_it_has() -> None:
    assert page.Field("a", "choice", "a", levels=("x",)).to_dict() == {
        "name": "a",
        "kind": "choice",
        "input": "a",
        "levels": ["x"],
    }


def test_the_command_says_how_to_open_it(models: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("export", models / "number.onnx", "--for", "web", "-o", tmp_path / "page")
    if not HERE:
        assert done.returncode == 1
        assert "Run scripts/vendor_web.sh once." in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert "python -m http.server -d" in done.stderr
    assert done.stdout.strip() == str(tmp_path / "page")


# In a browser --------------------------------------------------------------------------------------------------------


class Opened:
    """A browser that opens exported folders."""

    def __init__(self, browser: Any, root: Path) -> None:
        self._browser, self._root = browser, root

    def answer(self, model: Path, *given: str | Path) -> dict[str, Any]:
        """Export a model, give its fields values, and return the page's answer."""
        folder = self._root / model.stem
        export_for(model, "web", output=folder, force=True)
        handler = partial(_Quiet, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = self._browser.new_page()
        asked: list[str] = []
        errors: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        try:
            tab.goto(f"http://127.0.0.1:{server.server_port}/")
            tab.wait_for_selector("body[data-ready=yes]", timeout=60_000)
            for k, value in enumerate(given):
                place = tab.locator(f"#field-{k}")
                if isinstance(value, Path):
                    place.set_input_files(value)
                elif place.evaluate("e => e.tagName") == "SELECT":
                    place.select_option(value)
                else:
                    place.fill(value)
            if not any(isinstance(value, Path) for value in given):
                tab.click("#run")
            tab.wait_for_function("window.lastAnswer", timeout=60_000)
            found: dict[str, Any] = tab.evaluate("window.lastAnswer")
            assert not errors
            assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in asked), "nothing from outside"
            assert tab.inner_text("#shown").strip() or tab.locator("#shown canvas").count()
            return found
        finally:
            tab.close()
            server.shutdown()
            server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium is None:
        pytest.skip("There is no Chromium on this machine.")
    if not HERE:
        pytest.skip("The page's runtime isn't here: run scripts/vendor_web.sh.")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield Opened(opened, tmp_path_factory.mktemp("pages"))
        opened.close()


def probabilities(found: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in found["classes"]}


def own(model: Path, data: Any, name: str = "probabilities") -> np.ndarray:
    """The first row of what `predict` gives."""
    found: np.ndarray = getattr(predict(model, data), name)[0]
    return found


def test_a_table_in_a_browser(models: Path, browser: Opened) -> None:
    row = {"size": [0.5], "colour": ["blue sky"], "sold": ["yes"], "day": ["2024-05-03"]}
    given = ("0.5", "blue sky", "yes", "2024-05-03T00:00")
    found = browser.answer(models / "table.onnx", *given)
    assert found["label"] == own(models / "table.onnx", row, "label")
    assert [probabilities(found)[label] for label in ("high", "low")] == pytest.approx(
        own(models / "table.onnx", row).tolist(), abs=1e-5
    )
    found = browser.answer(models / "number.onnx", *given)
    assert found["value"] == pytest.approx(float(own(models / "number.onnx", row, "prediction")), rel=1e-4)
    empty = {"size": [None], "colour": [None], "sold": [None], "day": [None]}
    found = browser.answer(models / "number.onnx")
    assert found["value"] == pytest.approx(float(own(models / "number.onnx", empty, "prediction")), rel=1e-4)


@pytest.mark.parametrize(
    "text",
    ["A good film, not bad!", "a very slow book " * 9, "", "naïve: か ½ éж"],
    ids=range(4),
)
def test_a_text_in_a_browser(text: str, models: Path, browser: Opened) -> None:
    found = browser.answer(models / "text.onnx", text)
    assert probabilities(found)["good"] == pytest.approx(
        float(own(models / "text.onnx", {"text": [text]})[0]), abs=1e-5
    )


@pytest.mark.parametrize("second", ["bad", "the very quick book is not slow, and good"])
def test_a_pair_of_texts_in_a_browser(second: str, models: Path, browser: Opened) -> None:
    first = "the film was not bad and the book was good"
    found = browser.answer(models / "pair.onnx", first, second)
    expected = own(models / "pair.onnx", {"text": [first], "other": [second]})
    assert probabilities(found)["yes"] == pytest.approx(float(expected[0]), abs=1e-5)


def test_an_image_in_a_browser(models: Path, browser: Opened, tmp_path: Path) -> None:
    Image.fromarray(image(70, 90, 1)).save(tmp_path / "x.png")
    found = browser.answer(models / "image.onnx", tmp_path / "x.png")
    labels = Model(models / "image.onnx").labels
    assert [probabilities(found)[label] for label in labels] == pytest.approx(
        own(models / "image.onnx", tmp_path / "x.png").tolist(), abs=1e-4
    )


@pytest.mark.slow
def test_key_points_in_a_browser(browser: Opened, tmp_path: Path) -> None:
    """The graph that looks twice gives the same points there."""
    kites = write_kites(tmp_path / "kites", range(10))
    build(kites, output=tmp_path / "points.onnx", offline=True)
    shown = kites / "images" / "03.jpg"
    found = browser.answer(tmp_path / "points.onnx", shown)
    assert "second_look" in inspect(tmp_path / "points.onnx")["provenance"]["head"]
    (expected,) = predict(tmp_path / "points.onnx", [shown]).answers["keypoints"]
    assert [one["label"] for one in found["points"]] == list(Model(tmp_path / "points.onnx").labels)
    places = np.array([[one["x"], one["y"]] for one in found["points"]])
    assert places == pytest.approx(expected[:, :2], abs=1.0)  # a browser decodes JPEG in its own way
    assert [one["score"] for one in found["points"]] == pytest.approx(expected[:, 2].tolist(), abs=0.05)


@pytest.fixture(scope="module")
def marks(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of marked texts, with the tiny encoder."""
    folder = tmp_path_factory.mktemp("marks")
    data = spans_jsonl(folder / "marked.jsonl", marked_texts(24))
    build(data, output=folder / "marks.onnx", backbone=str(world / "tiny"), offline=True, device="cpu")
    return folder / "marks.onnx"


def test_marked_texts_bring_what_decodes_their_tags(marks: Path, vendor: Path, tmp_path: Path) -> None:
    export_for(marks, "web", output=tmp_path / "page")
    made = json.loads((tmp_path / "page" / "schema.json").read_text())
    assert made["answer"]["kind"] == "spans"
    assert len(made["answer"]["transitions"]) == 2 + 2 * len(made["labels"])
    assert (tmp_path / "page" / "spans.mjs").is_file()
    other = Model(marks)
    other.extras[TOKENIZER] = other.extras[TOKENIZER].replace("BertPreTokenizer", "Whitespace")
    with pytest.raises(ModelGPTError, match="this model's words"):
        web.contents(other)


@pytest.mark.slow
def test_marked_texts_in_a_browser(marks: Path, browser: Opened) -> None:
    texts = [
        marked_texts(9, seed=4)[1][0],
        "Ball, team; the soup-bread 2024! naïve é か字 x²",
        " ".join(t for t, _ in marked_texts(30, seed=2)),
        "",
    ]
    found = 0
    for text in texts:
        spans = browser.answer(marks, text)["spans"]
        expected = predict(marks, {"text": [text]}).answers["spans"][0]
        assert [{**one, "score": None} for one in spans] == [{**one, "score": None} for one in expected]
        assert [one["score"] for one in spans] == pytest.approx([one["score"] for one in expected], abs=2e-3)
        found += len(expected)
    assert found > 20


# Behind a server -----------------------------------------------------------------------------------------------------


def test_a_server_has_the_page_of_each_model(models: Path, vendor: Path) -> None:
    with client(models / "table.onnx", models / "text.onnx") as server:
        top = server.get("/").text
        assert 'src="models/table/page/"' in top
        assert 'src="models/text/page/"' in top
        page = server.get("/models/table/page")
        assert page.headers["content-type"].startswith("text/html")
        assert 'src="page.mjs"' in page.text
        assert server.get("/models/table/page/page.mjs").headers["content-type"].startswith("text/javascript")
        assert server.get(f"/models/table/page/runtime/{web.RUNTIME[1]}").headers["content-type"] == "application/wasm"
        assert server.get("/models/table/page/model.onnx").content == (models / "table.onnx").read_bytes()
        assert server.get("/models/text/page/schema.json").json()["tokenizer"] == "tokenizer.json"
        for name in ("../model.onnx", "..%2fmodel.onnx", "none.js"):
            assert server.get(f"/models/table/page/{name}").status_code == 404
        assert server.get("/models/none/page/").status_code == 404


def test_the_page_of_a_bundle_has_the_model_in_it(models: Path, vendor: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "table.zip", "w") as bundle:
        bundle.write(models / "table.onnx", "model.onnx")
    with client(f"table={tmp_path / 'table.zip'}") as server:
        assert server.get("/models/table/page/model.onnx").content == (models / "table.onnx").read_bytes()
        card = server.get("/models/table/page/schema.json").json()["card"]
        assert card["size_bytes"] == (models / "table.onnx").stat().st_size


def test_without_the_runtime_a_server_lists_its_models(models: Path, vendor: Path) -> None:
    (vendor / web.RUNTIME[1]).unlink()
    with client(models / "table.onnx") as server:
        assert "<iframe" not in server.get("/").text
        assert "<h2>table</h2>" in server.get("/").text
        assert server.get("/models/table/page/").status_code == 404
