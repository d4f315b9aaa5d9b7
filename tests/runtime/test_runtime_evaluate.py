"""Metrics against scikit-learn's and by hand; labels as files spell them; the card; the doctor."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from tiny_models import tiny_model

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.runtime import doctor
from modelgpt_cli.runtime.evaluate import evaluate
from modelgpt_cli.runtime.inspect import inspect
from modelgpt_cli.runtime.labels import LabelReader
from modelgpt_cli.runtime.predict import predict


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three classes by two numbers."""
    weight = {"a": [1, 0, -1], "b": [0, 1, -1]}
    columns = {"a": "numeric", "b": "numeric"}
    return tiny_model(tmp_path / "three.onnx", columns, labels=["x", "y", "z"], weight=weight, bias=[0, 0, 0])


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(400, 2)), columns=["a", "b"])
    frame["target"] = rng.choice(["x", "y", "z"], size=400)
    return frame


def test_metrics_agree_with_scikit_learn(three: Path, frame: pd.DataFrame) -> None:
    done = evaluate(three, frame, chunk_rows=37)
    p = predict(three, frame)
    assert p.probabilities is not None
    probabilities = p.probabilities.astype(float) / p.probabilities.astype(float).sum(axis=1, keepdims=True)
    assert done["accuracy"] == pytest.approx(sk.accuracy_score(frame.target, p.label))
    assert done["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(frame.target, p.label))
    assert done["f1"] == pytest.approx(sk.f1_score(frame.target, p.label, average="macro"))
    assert done["log_loss"] == pytest.approx(sk.log_loss(frame.target, probabilities), abs=1e-5)
    assert done.roc_auc_kind == "one-vs-one, macro"
    ovo = sk.roc_auc_score(frame.target, probabilities, multi_class="ovo", average="macro")
    assert done["roc_auc"] == pytest.approx(ovo, abs=1e-6)
    expected = sk.confusion_matrix(frame.target, p.label, labels=["x", "y", "z"])
    np.testing.assert_array_equal(done.confusion, expected)
    json.dumps(done.to_dict())


def test_unknown_labels_count_as_errors(three: Path, frame: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    base = evaluate(three, frame)
    frame.loc[:99, "target"] = "w"
    done = evaluate(three, frame)
    assert "100 rows have a label the model doesn't know" in caplog.text
    assert done.true_labels == ("x", "y", "z", "w")
    assert sum(done.confusion[3]) == 100
    rest = evaluate(three, frame.iloc[100:])
    assert done["accuracy"] == pytest.approx(rest["accuracy"] * 0.75)  # type: ignore[operator]
    assert done["roc_auc"] == pytest.approx(rest["roc_auc"])
    assert done["balanced_accuracy"] < base["balanced_accuracy"]  # type: ignore[operator]


def test_one_true_class_has_no_roc_auc(three: Path, frame: pd.DataFrame) -> None:
    frame["target"] = "x"
    assert evaluate(three, frame)["roc_auc"] is None


def test_labels_are_read_as_the_training_side_did() -> None:
    numbers = LabelReader(["1", "2", "10"])
    cells = np.array(["1", "1.0", "10.00", " 2", None, "3"], object)
    assert numbers.codes(cells).tolist() == [0, 0, 2, 1, -1, 3]
    words = LabelReader(["<=50K", ">50K", "No", "no"])
    assert words.codes(np.array([">50K.", " <=50k", "No", "no", "NO"], object)).tolist() == [1, 0, 2, 3, 4]
    blanks = LabelReader(["dark  blue", "grey", "?"])
    cells = np.array(["Dark blue!", "dark\u00a0blue", "darkblue", "Ｇｒｅｙ", "?", "!"], object)
    assert blanks.codes(cells).tolist() == [0, 0, 0, 1, 2, 3]


def test_numeric_labels_from_a_file(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=["0", "1"], weight={"a": [0, 1]})
    (tmp_path / "d.csv").write_text("a,target\n1,1.0\n-1,0\n2,\n3,0.0\n")
    done = evaluate(model, tmp_path / "d.csv")
    assert (done.rows, done.skipped) == (3, 1)
    assert done["accuracy"] == pytest.approx(2 / 3)


def test_regression(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, weight={"a": [2]}, target="y")
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "y": [2.0, 4, 7, np.nan]})
    done = evaluate(model, frame, plot=tmp_path / "p.svg")
    assert (done.rows, done.skipped) == (3, 1)
    assert done["mae"] == pytest.approx(1 / 3)
    assert done["rmse"] == pytest.approx(np.sqrt(1 / 3))
    assert done["r2"] == pytest.approx(sk.r2_score([2, 4, 7], [2, 4, 6]))
    assert "<svg" in (tmp_path / "p.svg").read_text()[:1000]


def test_a_wrong_target_names_the_columns(three: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(three, frame.rename(columns={"target": "Target_"}))
    assert "has no column 'target'" in str(caught.value)
    assert "--target" in str(caught.value)
    with pytest.raises(UsageError, match="one of the model's inputs"):
        evaluate(three, frame, target="a")
    with pytest.raises(ModelGPTError, match="no true value"):
        evaluate(three, frame.assign(target=None))


def test_the_plot_is_a_image_and_needs_matplotlib(
    three: Path, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.loc[0, "target"] = "$odd$ label"
    evaluate(three, frame, plot=tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("modelgpt_cli.runtime.plot.find_spec", lambda name: None)
    with pytest.raises(ModelGPTError, match=r"modelgpt-cli\[plot\]"):
        evaluate(three, frame, plot=tmp_path / "q.png")


def test_a_folder_is_measured_on_its_test_file(three: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    frame.to_csv(folder / "train.csv", index=False)
    frame.head(50).to_csv(folder / "test.csv", index=False)
    assert evaluate(three, folder).rows == 50


def safetensors(path: Path, card: object) -> Path:
    header = {
        "__metadata__": {"modelgpt": json.dumps(card)},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(24))
    return path


def test_inspect_reads_both_kinds(three: Path, tmp_path: Path) -> None:
    card = inspect(three)
    assert card["labels"] == ["x", "y", "z"]
    assert card["file"] == {"path": str(three), "kind": "onnx", "size_bytes": three.stat().st_size}
    torch_file = safetensors(tmp_path / "m.safetensors", {k: v for k, v in card.items() if k != "file"})
    twin = inspect(torch_file)
    assert {k: v for k, v in twin.items() if k != "file"} == {k: v for k, v in card.items() if k != "file"}
    assert twin["file"]["parameters"] == 6
    torch_file.write_bytes(torch_file.read_bytes()[:-1])
    with pytest.raises(ModelGPTError, match="is damaged"):
        inspect(torch_file)
    foreign = safetensors(tmp_path / "n.safetensors", 0)
    foreign.write_bytes(foreign.read_bytes().replace(b"modelgpt", b"othergpt"))
    with pytest.raises(ModelGPTError, match="not made by modelgpt"):
        inspect(foreign)


class _Models(BaseHTTPRequestHandler):
    status = 200
    seen: list[tuple[str, str | None]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        _Models.seen.append((self.path, self.headers.get("Authorization")))
        self.send_response(_Models.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Models.seen.clear()
    with HTTPServer(("127.0.0.1", 0), _Models) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


@pytest.mark.parametrize(("status", "verdict"), [(200, "ok"), (404, "ok"), (401, "broken"), (503, "broken")])
def test_doctor_asks_the_llm_server(server: str, status: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(_Models, "status", status)
    found = doctor._llm(server, 5)
    assert found.status == verdict
    assert _Models.seen == [("/v1/models", "Bearer sk-secret")]
    assert "secret" not in json.dumps(found.to_dict())


def test_doctor_without_an_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert doctor._llm(None, 5).status == "ok"
    closed = doctor._llm("http://me:hush@127.0.0.1:9/v1", 2)
    assert closed.status == "broken"
    assert "hush" not in closed.detail


def test_doctor_knows_providers(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"mine: {{base_url: '{server}', api_key_env: MINE_KEY}}\nopen: {{base_url: '{server}'}}\n")
    monkeypatch.setenv("MODELGPT_PROVIDERS", str(mine))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("MINE_KEY", "sk-secret")
    monkeypatch.setattr(_Models, "status", 200)
    assert doctor._llm(None, 5, "mine").status == doctor._llm(None, 5, "open").status == "ok"
    assert [key for _, key in _Models.seen] == ["Bearer sk-secret", None]
    monkeypatch.setattr(_Models, "status", 401)
    assert doctor._llm(None, 5, "mine").hint == "Check MINE_KEY."
    assert "no provider 'main'" in doctor._llm(None, 5, "main").detail


def test_doctor_checks_the_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "tabular"
    folder.mkdir()
    weights = folder / "generator.safetensors"
    weights.write_bytes(b"weights")
    card = folder / "card.yaml"
    card.write_text(f"name: t\nsha256: {hashlib.sha256(b'weights').hexdigest()}\n")
    assert doctor._checkpoint(card).status == "ok"
    weights.write_bytes(b"weightz")
    assert "differs from its checksum" in doctor._checkpoint(card).detail
    weights.unlink()
    assert "is missing" in doctor._checkpoint(card).detail
    card.write_text("- not a card\n")
    assert "no sha256" in doctor._checkpoint(card).detail


def test_doctor_tells_of_two_onnxruntimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "1.20" if name in ("onnxruntime", "onnxruntime-gpu") else None)
    found = doctor._runtime()
    assert found.status == "broken"
    assert found.hint == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


def test_doctor_knows_the_encoder() -> None:
    assert doctor._encoder().status == "ok"
