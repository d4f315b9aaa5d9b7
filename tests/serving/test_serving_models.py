"""Models by name, and files that are replaced, broken or removed while they are served."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tiny_server import GOOD, client, fruit_model

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.serving import app
from modelgpt_cli.serving.models import Models, Served, name_models


def test_models_are_called_as_their_files_or_as_told(tmp_path: Path) -> None:
    assert list(name_models(["a/churn.onnx", "reviews=b/model.onnx"])) == ["churn", "reviews"]
    with pytest.raises(UsageError, match="Two models are called model"):
        name_models(["a/model.onnx", "b/model.onnx"])
    with pytest.raises(UsageError, match="can't be called"):
        name_models(["a/b=model.onnx"])
    (tmp_path / "x=y.onnx").write_bytes(b"")
    assert list(name_models([tmp_path / "x=y.onnx"])) == ["x=y"]
    with pytest.raises(ModelGPTError):
        Models.load({"none": tmp_path / "none.onnx"})


def replace(path: Path, labels: tuple[str, ...]) -> None:
    """Put another model in a file's place, as `build` does."""
    os.replace(fruit_model(path.with_suffix(".new"), labels), path)


def test_a_replaced_file_is_loaded_once_it_is_whole(tmp_path: Path) -> None:
    path = fruit_model(tmp_path / "m.onnx")
    served = Served("m", path)
    assert not served.refresh()
    replace(path, ("plum", "fig"))
    assert not served.refresh()  # it may still be being written
    assert served.refresh()
    assert (served.model.labels, served.version, served.note) == (("plum", "fig"), 2, "")
    assert not served.refresh()


def test_a_broken_or_removed_file_leaves_the_model(tmp_path: Path) -> None:
    path = fruit_model(tmp_path / "m.onnx")
    served = Served("m", path)
    path.write_bytes(b"no model")
    assert not served.refresh()
    assert not served.refresh()
    assert "can't be loaded; the model before is served on" in served.note
    served.refresh()
    assert "can't be loaded" in served.note
    path.unlink()
    assert not served.refresh()
    assert "is gone" in served.note
    assert served.model.labels == ("apple", "pear")
    fruit_model(path, ("plum", "fig"))
    served.refresh()
    assert served.refresh()
    assert (served.model.labels, served.note) == (("plum", "fig"), "")


def test_a_file_is_replaced_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LOOK_SECONDS", 0.02)
    path = fruit_model(tmp_path / "m.onnx")
    seen: set[str] = set()
    failed: list[int] = []
    enough = threading.Event()

    def keep_asking() -> None:
        while not enough.is_set():
            reply = server.post("/predict", json=GOOD)
            if reply.status_code != 200:
                failed.append(reply.status_code)
                return
            row = reply.json()["predictions"][0]
            labels = {name.removeprefix("probability_") for name in row if name != "label"}
            assert row["label"] in labels  # answers are named by the model that gave them
            seen.update(labels)

    with client(path) as server:
        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for step in (("plum", "fig"), None, ("kiwi", "lime")):
                if step is None:
                    path.write_bytes(b"no model")
                    until(lambda: "can't be loaded" in server.get("/v2/models/m/ready").json().get("note", ""))
                    continue
                replace(path, step)
                until(lambda step=step: set(step) <= seen)  # type: ignore[misc]
            path.unlink()
            until(lambda: "is gone" in server.get("/v2/health/ready").json().get("notes", {}).get("m", ""))
            assert server.get("/v2/models/m/ready").json()["ready"] is True
            assert 'modelgpt_reloads_total{model="m"} 2.0' in server.get("/metrics").text
        finally:
            enough.set()
            for thread in threads:
                thread.join(20)
    assert not failed
    assert seen == {"apple", "pear", "plum", "fig", "kiwi", "lime"}


def until(holds: object) -> None:
    """Wait until something holds; a machine that is busy takes its time."""
    assert callable(holds)
    waited = threading.Event()
    for _ in range(1000):
        if holds():
            return
        waited.wait(0.02)
    pytest.fail("it never came about")
