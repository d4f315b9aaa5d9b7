"""Bundles: what is in them, that they are reproducible, and that whatever is changed in one is found."""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import yaml
from bad_input import Bench
from image_models import image_model
from text_models import tiny_text_model
from tiny_models import tiny_model

from modelgpt_cli import bundle, evaluate, predict, verify
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.deployment.bundle import golden
from modelgpt_cli.deployment.bundle.archive import MANIFEST, SIGNATURE, as_json, manifest, read_bundle, zipped
from modelgpt_cli.deployment.licences import ORIGINS, UNKNOWN, components
from modelgpt_cli.model_generator.cards import find_cards
from modelgpt_cli.runtime.session import Model

LABELS = ("apple", "pear")
COLUMNS = {"mass": "numeric", "colour": "categorical", "picked": "datetime", "note, \u00e4": "numeric"}


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, a classifier of a table, and test.csv."""
    root = tmp_path_factory.mktemp("fruit")
    card = {
        "inputs": [
            {"name": "mass", "input": "mass", "type": "numeric", "range": [80.0, 240.0]},
            {"name": "colour", "input": "colour", "type": "categorical", "levels": ["red", "green"]},
            {"name": "picked", "input": "picked", "type": "datetime", "range": [19000.0, 19090.0],
             "reading": {"format": "%d.%m.%Y"}},
            {"name": "note, \u00e4", "input": "note, \u00e4", "type": "numeric"},
        ],
        "provenance": {"modelgpt": "0.2.0", "data": {"name": "fruit", "rows": 90, "fingerprint": "sha256:ab"}},
    }  # fmt: skip
    weight = {"mass": [-0.01, 0.01], "colour": [1.0, -1.0], "note, \u00e4": [0.2, 0.0]}
    levels = {"colour": ["red", "green"]}
    tiny_model(root / "model.onnx", COLUMNS, labels=LABELS, weight=weight, levels=levels, metadata=card)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "mass": rng.integers(80, 240, 40),
            "colour": rng.choice(["red", "green", ""], 40),
            "picked": ["07.03.2022"] * 40,
            "note, \u00e4": rng.normal(size=40).round(2),
        }
    )
    frame["target"] = np.where(frame["mass"] > 160, "pear", "apple")
    frame.to_csv(root / "test.csv", index=False)
    return root


@pytest.fixture(scope="module")
def made(fruit: Path) -> Path:
    """A bundle of it, with rows of the data."""
    bundle(fruit / "model.onnx", output=fruit / "m.bundle.zip", data=fruit / "test.csv", licence="MIT")
    return fruit / "m.bundle.zip"


def changed(bundled: Path, to: Path, change: Callable[[dict[str, bytes]], Any], *, anew: bool = False) -> Path:
    """A bundle with other files; `anew`, its manifest fits them."""
    files = read_bundle(bundled)
    change(files)
    if anew:
        del files[MANIFEST]
        files[MANIFEST] = manifest({n: c for n, c in files.items() if n != SIGNATURE}, "0")
    to.write_bytes(zipped(files))
    return to


def test_a_bundle_holds_all_that_goes_with_a_model(fruit: Path, made: Path) -> None:
    files = read_bundle(made)
    assert files["model.onnx"] == (fruit / "model.onnx").read_bytes()
    card = files["README.md"].decode()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "mit"
    assert head["pipeline_tag"] == "tabular-classification"
    found = {one["type"]: one["value"] for one in head["model-index"][0]["results"][0]["metrics"]}
    expected = evaluate(fruit / "model.onnx", fruit / "test.csv")["accuracy"]
    assert found["accuracy"] == pytest.approx(expected, abs=1e-6)
    assert "Measured on test.csv" in card
    rows = json.loads(files["golden.json"])
    assert rows["source"] == "test.csv"
    frame = pd.read_csv(fruit / "test.csv")
    assert [row["mass"] for row in rows["rows"]] == [str(frame["mass"][k]) for k in np.linspace(0, 39, 8).astype(int)]
    answers = predict(fruit / "model.onnx", rows["rows"])
    assert [one["label"] for one in rows["expected"]] == answers.label.tolist()
    inside = {one["name"]: one["spdx"] for one in json.loads(files["licenses.json"])["inside"]}
    assert inside == {"modelgpt-cli": "Apache-2.0", "fruit": "NOASSERTION"}
    assert b"Apache License" in files["licenses/Apache-2.0.txt"]
    bill = json.loads(files["sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [one["licenses"] for one in bill["components"]] == [
        [{"expression": "Apache-2.0"}],
        [{"license": {"name": "NOASSERTION"}}],
    ]
    assert bill["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"] == [{"ref": "part-1"}]
    done = verify(made)
    assert done.faults == []
    assert done.golden_rows == 8
    assert set(done.checks.values()) == {"ok", "not checked: not signed"}


def test_equal_bundles_are_equal_bytes(fruit: Path, made: Path, tmp_path: Path) -> None:
    again = bundle(fruit / "model.onnx", output=tmp_path / "b.zip", data=fruit / "test.csv", licence="MIT")
    assert (tmp_path / "b.zip").read_bytes() == made.read_bytes()
    assert again.size_bytes > (fruit / "model.onnx").stat().st_size
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "open")
    (tmp_path / "open" / ".gitattributes").write_text("x")  # which hubs add
    assert verify(tmp_path / "open").faults == []


def test_rows_are_made_up_without_data(fruit: Path, tmp_path: Path) -> None:
    report = bundle(fruit / "model.onnx", output=tmp_path / "b.zip", rows=5)
    assert report.golden_source == golden.MADE_UP
    rows = json.loads(read_bundle(tmp_path / "b.zip")["golden.json"])["rows"]
    assert len(rows) == 5
    assert all(80 <= row["mass"] <= 240 for row in rows)
    assert {row["colour"] for row in rows} == {"red", "green", None}
    assert all(row["picked"].split(".")[2] == "2022" for row in rows), "dates are written as in the data"
    assert verify(tmp_path / "b.zip").faults == []
    assert bundle(fruit / "model.onnx", output=tmp_path / "none.zip", rows=0).golden_rows == 0
    assert verify(tmp_path / "none.zip").faults == []


@pytest.mark.slow
def test_the_bill_of_materials_is_cyclonedx(made: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion

    text = read_bundle(made)["sbom.cdx.json"].decode()
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_card_is_one_that_the_hub_reads(made: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(read_bundle(made)["README.md"].decode()).data
    assert data.library_name == "onnx"
    assert {one.metric_type for one in data.eval_results} >= {"accuracy", "log_loss"}
    assert data.eval_results[0].dataset_name == "test.csv"


@pytest.mark.parametrize(
    ("change", "anew", "words"),
    [
        (lambda f: f.update({"model.onnx": f["model.onnx"][:-1] + b"x"}), False, "model.onnx: its SHA-256 is"),
        (lambda f: f.update({"model.onnx": b"no model"}), True, "is not a model that onnxruntime can load"),
        (lambda f: f.pop("licenses/Apache-2.0.txt"), False, "licenses/Apache-2.0.txt: missing"),
        (lambda f: f.pop("licenses/Apache-2.0.txt"), True, "names the text licenses/Apache-2.0.txt, which is missing"),
        (lambda f: f.pop("licenses.json"), True, "licenses.json: not in the manifest, which must list it"),
        (lambda f: f.update({"licenses.json": as_json({"inside": []})}), True, "licenses.json: lists nothing"),
        (lambda f: f.update({"extra.txt": b"x"}), False, "extra.txt: not in the manifest"),
        (lambda f: f.update({"golden.json": f["golden.json"].replace(b'"label": "pear"', b'"label": "apple"')}), True,
         "label is 'pear', not 'apple'"),
        (lambda f: f.update({"golden.json": b"[1]"}), True, "golden.json can't be read"),
        (lambda f: f.update({"sbom.cdx.json": b"{}"}), True, "sbom.cdx.json: can't be read"),
        (lambda f: f.update({MANIFEST: b"{"}), False, "manifest.json is no JSON"),
    ],
)  # fmt: skip
def test_whatever_is_changed_is_found(
    change: Callable[[dict[str, bytes]], Any], anew: bool, words: str, made: Path, tmp_path: Path
) -> None:
    done = verify(changed(made, tmp_path / "b.zip", change, anew=anew))
    assert any(words in fault for fault in done.faults), done.faults
    assert all("\n" not in fault for fault in done.faults)
    with pytest.raises(ModelGPTError, match="fault"):
        done.check()


def test_another_model_is_told_by_its_answers(fruit: Path, made: Path, tmp_path: Path) -> None:
    tiny_model(tmp_path / "other.onnx", COLUMNS, labels=LABELS, weight={"mass": [-0.011, 0.01]})
    other = (tmp_path / "other.onnx").read_bytes()
    faults = verify(changed(made, tmp_path / "b.zip", lambda f: f.update({"model.onnx": other}), anew=True)).faults
    assert any(re.match(r"golden row \d of 8: probability_apple is", fault) for fault in faults), faults
    assert any("it is of another model.onnx" in fault for fault in faults)


def test_answers_may_differ_by_the_tolerance_alone() -> None:
    one = {"label": "a", "probability_a": 0.5003, "probability_b": 0.4997}
    expected = golden.Golden("x", [{}], [one], {}, {"absolute": 1e-3, "relative": 1e-3})
    near = {"label": "b", "probability_a": 0.4999, "probability_b": 0.5001}
    assert golden.differences(expected, [near]) == [], "a tie that another machine breaks otherwise"
    assert golden.differences(expected, [near | {"probability_a": 0.49}])
    boxes: dict[str, Any] = {"boxes": [{"label": "a", "score": 0.8, "box": [10.0, 12.3, 40.0, 50.0]}]}
    expected = golden.Golden("x", ["0.png"], [boxes], {}, {"absolute": 1e-3, "relative": 1e-3, "pixels": 0.6})
    moved: dict[str, Any] = {"boxes": [{"label": "a", "score": 0.8, "box": [10.1, 12.3, 40.5, 50.0]}]}
    assert golden.differences(expected, [moved]) == []
    other = boxes["boxes"][0] | {"score": 0.7}
    assert "is missing" in golden.differences(expected, [{"boxes": [other]}])[0]
    assert "is not expected" in golden.differences(expected, [{"boxes": [*moved["boxes"], other]}])[0]
    lenient = {**expected.tolerance, "shown": 0.695}
    barely = golden.Golden("x", ["0.png"], [boxes], {}, lenient)
    assert golden.differences(barely, [{"boxes": [*moved["boxes"], other]}]) == [], "another machine may show it"
    assert golden.differences(barely, [{"boxes": [*moved["boxes"], other | {"score": 0.71}]}])
    assert golden.differences(expected, [{"boxes": [other | {"score": float("nan")}]}])


def test_texts_and_images_bring_golden_rows(tmp_path: Path) -> None:
    write_model(tiny_text_model(labels=("good", "bad")), tmp_path / "t.onnx")
    write_model(image_model(), tmp_path / "i.onnx")
    for name in ("t", "i"):
        bundle(tmp_path / f"{name}.onnx", output=tmp_path / f"{name}.zip")
        assert verify(tmp_path / f"{name}.zip").faults == []
    files = read_bundle(tmp_path / "i.zip")
    assert {name for name in files if name.startswith("golden/")} == {f"golden/{k}.png" for k in range(4)}
    names = {one["name"]: one["spdx"] for one in json.loads(files["licenses.json"])["inside"]}
    assert names["EfficientNet-Lite0"] == "Apache-2.0"
    head = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert head["pipeline_tag"] == "image-classification"


def test_a_library_that_is_absent_is_no_fault(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: Any) -> Any:
        raise ModelGPTError("Pillow is needed.", "", "Install it: pip install pillow") from ImportError("PIL")

    monkeypatch.setattr(golden, "answers", answers)
    with pytest.raises(ModelGPTError, match="Pillow is needed"):
        verify(made)


def test_a_bundle_stands_for_its_model(fruit: Path, made: Path, bench: Bench) -> None:
    plain, packed = (bench.run("predict", path, fruit / "test.csv") for path in (fruit / "model.onnx", made))
    assert packed.out == plain.out
    assert bench.run("inspect", made).code == 0
    bench.refuse(2, "is a bundle", "export", made, "-o", "again.onnx")
    assert Model(made).sha256 == Model(fruit / "model.onnx").sha256
    pytest.importorskip("fastapi", reason="serving needs it")
    from tiny_server import client

    with client(made) as server:
        assert (
            server.post("/predict", json=[{"mass": 200, "colour": "green"}]).json()["predictions"][0]["label"] == "pear"
        )
    bench.write("no.zip", b"PK\x03\x04 and no more")
    bench.refuse(1, "is damaged", "predict", "no.zip", fruit / "test.csv")
    with zipfile.ZipFile(bench.folder / "other.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    bench.refuse(1, "without a model.onnx", "predict", "other.zip", fruit / "test.csv")
    with zipfile.ZipFile(bench.folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", bytes(100_000))
    bench.refuse(1, "is compressed", "predict", "packed.zip", fruit / "test.csv")


def test_the_commands(fruit: Path, made: Path, bench: Bench) -> None:
    done = bench.run("bundle", fruit / "model.onnx", "-o", "b.zip")
    assert done.out == "b.zip\n"
    assert "8 golden rows, made up from the model's inputs; not signed." in done.err
    done = bench.run("verify", "b.zip")
    assert done.out == f"sha256:{Model(fruit / 'model.onnx').sha256}\n"
    assert "golden rows  ok" in done.err
    changed(made, bench.folder / "bad.zip", lambda f: f.pop("README.md"))
    done = bench.refuse(3, "README.md: missing", "verify", "bad.zip")
    done = bench.run("verify", "bad.zip", "--json")
    assert done.code == 3
    assert json.loads(done.out)["faults"] == ["README.md: missing"]
    bench.refuse(2, "already exists", "bundle", fruit / "model.onnx", "-o", "b.zip")
    bench.refuse(2, "End the name in .zip", "bundle", fruit / "model.onnx", "-o", "b.tar")
    bench.refuse(2, "no SPDX licence", "bundle", fruit / "model.onnx", "-o", "c.zip", "--licence", "mine!")
    bench.refuse(2, "There is no file", "bundle", fruit / "model.onnx", "-o", "c.zip", "--data", "no.csv")
    bench.refuse(1, "is not a bundle of modelgpt", "verify", fruit / "model.onnx")
    bench.write("cut.zip", made.read_bytes()[:-100])
    bench.refuse(1, "is damaged or cut short", "verify", "cut.zip")


@pytest.mark.parametrize(
    ("name", "words"), [("../out.txt", "a file called"), ("/tmp/out.txt", "a file called"), ("model.onnx", "one name")]
)
def test_hostile_archives_are_refused(name: str, words: str, made: Path, tmp_path: Path) -> None:
    shutil.copy(made, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two files of one name
        archive.writestr(name, "x")
    with pytest.raises(ModelGPTError) as raised:
        verify(tmp_path / "b.zip")
    assert words in raised.value.cause


# Signatures -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem, pub.pem and other.pem, a public key of somebody else."""
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    root = tmp_path_factory.mktemp("keys")
    for name in ("pub.pem", "other.pem"):
        private = ec.generate_private_key(ec.SECP256R1())
        public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        (root / name).write_bytes(public)
        if name == "pub.pem":
            plain = form.NoEncryption()
            (root / "key.pem").write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain))
            wrong = rsa.generate_private_key(65537, 2048)
            (root / "rsa.pem").write_bytes(wrong.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain))
    return root


def test_a_signature_is_of_these_files_by_this_key(fruit: Path, keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    assert bundle(fruit / "model.onnx", output=path, key=keys / "key.pem").signed
    assert verify(path, key=keys / "pub.pem").checks["signature"] == "ok"
    assert verify(path).checks["signature"] == "not checked: give the public key with --key"
    assert "model.sig: " in verify(path, key=keys / "other.pem").faults[0]
    # Whoever changes a file and its hash can't change the signature.
    changed(path, tmp_path / "c.zip", lambda f: f.update({"README.md": b"Buy this!"}), anew=True)
    assert verify(tmp_path / "c.zip").faults == []
    assert [fault[:9] for fault in verify(tmp_path / "c.zip", key=keys / "pub.pem").faults] == ["model.sig"]
    changed(path, tmp_path / "d.zip", lambda f: f.pop(SIGNATURE))
    assert verify(tmp_path / "d.zip", key=keys / "pub.pem").faults == [
        "model.sig: missing, and --key asks for a signature"
    ]
    changed(path, tmp_path / "e.zip", lambda f: f.update({SIGNATURE: b"{}"}))
    assert verify(tmp_path / "e.zip", key=keys / "pub.pem").faults
    with pytest.raises(UsageError, match="is no public key"):
        verify(path, key=fruit / "test.csv")
    for other in ("pub.pem", "rsa.pem"):
        with pytest.raises(UsageError, match="is no private key"):
            bundle(fruit / "model.onnx", output=tmp_path / "f.zip", key=keys / other)
    assert not (tmp_path / "f.zip").exists()


def test_without_the_library_the_extra_is_named(
    fruit: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    (tmp_path / "key.pem").write_text("x")
    for run in (
        lambda: verify(made, key=tmp_path / "key.pem"),
        lambda: bundle(fruit / "model.onnx", output=tmp_path / "b.zip", key=tmp_path / "key.pem"),
    ):
        with pytest.raises(ModelGPTError) as raised:
            run()
        assert "modelgpt-cli[sign]" in raised.value.hint


def test_a_session_of_plain_onnxruntime_runs_what_is_in_it(made: Path) -> None:
    session = onnxruntime.InferenceSession(read_bundle(made)["model.onnx"])
    assert {one.name for one in session.get_inputs()} == set(COLUMNS)


# Licences -------------------------------------------------------------------------------------------------------------


def test_the_weights_of_every_card_have_a_licence() -> None:
    origins = {card.weights for card in find_cards()} - {"", "a file of yours"}
    assert origins <= set(ORIGINS), "each needs an entry in deployment/licences.py"
    assert all(part.licence != UNKNOWN for part in ORIGINS.values())


def test_weights_that_are_not_of_a_card_have_none(tmp_path: Path) -> None:
    write_model(image_model(), tmp_path / "i.onnx")
    made = Model(tmp_path / "i.onnx")
    assert [part.licence for part in components(made)] == ["Apache-2.0", "Apache-2.0"]
    made.metadata["provenance"] = {"weights": {"given": "ab"}}
    assert [part.licence for part in components(made)] == ["Apache-2.0", UNKNOWN]
    made.metadata["provenance"] = {"hub": {"someone/net": "0123"}}
    made.metadata["backbone"] = {"card": "someone/net"}
    assert [(part.name, part.version, part.licence) for part in components(made)][1] == ("someone/net", "0123", UNKNOWN)
    made.metadata["backbone"] = {"card": "resnet18"}
    assert components(made)[1].to_dict()["licence"] == "BSD-3-Clause"
