"""`predict`, `evaluate` and `inspect` on images, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Cli
from image_models import LABELS, image, image_folder, image_model
from PIL import Image

from modelgpt_cli import evaluate, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError

MANY = tuple(f"class {i}" for i in range(7))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, model.safetensors, and images/ with a folder per class."""
    folder = tmp_path_factory.mktemp("images")
    model = image_model()
    write_model(model, folder / "model.onnx")
    write_model(model, folder / "model.safetensors")
    image_folder(folder / "images")
    return folder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_gives_a_row_for_each_image(place: Path, cli: Cli) -> None:
    done = cli("predict", place / "model.onnx", place / "images", "--proba", "--topk", "2")
    assert done.returncode == 0, done.stderr
    got = rows(done.stdout)
    files = sorted((place / "images").rglob("*.*"))
    assert [row["file"] for row in got] == [str(path) for path in files]
    expected = image_model().predict([np.asarray(Image.open(path).convert("RGB")) for path in files])
    for row, p in zip(got, expected, strict=True):
        order = np.argsort(-p)
        assert (row["label"], row["label_2"]) == (LABELS[order[0]], LABELS[order[1]])
        assert float(row["probability"]) == pytest.approx(p[order[0]], abs=1e-3)
        assert [float(row[f"probability_{label}"]) for label in LABELS] == pytest.approx(p.tolist(), abs=1e-3)


def test_files_globs_zips_and_tables_give_the_same(place: Path, tmp_path: Path) -> None:
    folder = place / "images"
    expected = predict(place / "model.onnx", folder)
    assert expected.probabilities is not None
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder))
        archive.writestr("__MACOSX/._1.jpg", b"")
        archive.writestr("notes.txt", b"")
    lines = ["path,label", *(f"{path},{path.parent.name}" for path in sorted(folder.rglob("*.*")))]
    (tmp_path / "paths.csv").write_text("\n".join(lines))
    table = pd.read_csv(tmp_path / "paths.csv")
    files = (str(folder / "*" / "*"), tmp_path / "all.zip", tmp_path / "paths.csv", sorted(folder.iterdir()))
    for source in (*files, table, table.to_dict("records")):
        got = predict(place / "model.onnx", source)
        np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-6)
    assert evaluate(place / "model.onnx", tmp_path / "all.zip").rows == 9
    assert (
        evaluate(place / "model.onnx", tmp_path / "paths.csv")["accuracy"]
        == evaluate(place / "model.onnx", folder)["accuracy"]
    )


def test_unreadable_images_get_empty_cells_and_a_word(place: Path, tmp_path: Path, cli: Cli) -> None:
    Image.fromarray(image(50, 60)).save(tmp_path / "good.png")
    (tmp_path / "none.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    done = cli("predict", place / "model.onnx", tmp_path, "-o", "out.csv", cwd=tmp_path)
    assert done.returncode == 0
    assert "2 of 3 images can't be read and have empty cells" in done.stderr
    got = rows((tmp_path / "out.csv").read_text())
    assert [bool(row["label"]) for row in got] == [True, False, False]
    alone = cli("predict", place / "model.onnx", tmp_path / "none.jpg", "-o", "never.csv", cwd=tmp_path)
    assert alone.returncode == 1
    assert "The image can't be read." in alone.stderr
    assert not (tmp_path / "never.csv").exists()


def test_requests_that_are_off(place: Path, tmp_path: Path) -> None:
    for source, message in (("absent.jpg", "no file"), ("no*.jpg", "No file is named like"), (tmp_path, "no images")):
        with pytest.raises(UsageError, match=message):
            predict(place / "model.onnx", source)
    with pytest.raises(UsageError, match="--topk can't be 4"):
        predict(place / "model.onnx", place / "images", topk=4)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no column of images"):
        predict(place / "model.onnx", tmp_path / "table.csv")
    (tmp_path / "bad.zip").write_bytes(b"PK not really")
    with pytest.raises(ModelGPTError, match="no ZIP archive"):
        predict(place / "model.onnx", tmp_path / "bad.zip")


def test_links_in_a_circle_end(place: Path, tmp_path: Path) -> None:
    image_folder(tmp_path / "p", per_class=1)
    (tmp_path / "p" / "circle" / "back").symlink_to(tmp_path / "p")
    assert predict(place / "model.onnx", tmp_path / "p").rows == 3


def test_evaluate_measures_and_draws(tmp_path: Path, cli: Cli) -> None:
    model = image_model(labels=MANY)
    write_model(model, tmp_path / "m.onnx")
    folder = image_folder(tmp_path / "domain" / "photos", labels=MANY, per_class=2)
    (folder / "class 0" / "broken.jpg").write_bytes(b"?")
    done = cli("evaluate", tmp_path / "m.onnx", tmp_path / "domain", "--json", "--plot", tmp_path / "plot.png")
    assert done.returncode == 0, done.stderr
    assert "1 of 15 images can't be read and are left out" in done.stderr
    found = json.loads(done.stdout)
    files = [p for p in sorted(folder.rglob("*.*")) if p.name != "broken.jpg"]
    p = model.predict([np.asarray(Image.open(path).convert("RGB")) for path in files])
    true = np.array([MANY.index(path.parent.name) for path in files])
    ranks = (p > p[np.arange(len(true)), true][:, None]).sum(1)
    for name, k in (("accuracy", 1), ("top_3_accuracy", 3), ("top_5_accuracy", 5)):
        assert found["metrics"][name] == pytest.approx((ranks < k).mean())
    assert sum(map(sum, found["confusion"]["matrix"])) == found["rows"] == 14
    assert [c["rows"] for c in found["classes"].values()] == [2] * 7
    assert Image.open(tmp_path / "plot.png").width > 500
    shown = cli("evaluate", tmp_path / "m.onnx", tmp_path / "domain").stdout
    assert "14 images" in shown
    assert "top-3 accuracy" in shown
    assert "class 6" in shown


def test_inspect_shows_what_the_model_reads(place: Path, cli: Cli) -> None:
    for name in ("model.onnx", "model.safetensors"):
        done = cli("inspect", place / name)
        assert done.returncode == 0, done.stderr
        assert "efficientnet_lite0_11" in done.stdout
        assert "images of any size: the short side resized to 64 pixels, of that the middle 64 x 64" in done.stdout


def test_predict_needs_no_torch(place: Path) -> None:
    code = (
        "import sys; from modelgpt_cli import predict; "
        f"predict({str(place / 'model.onnx')!r}, {str(place / 'images')!r}); "
        "sys.exit(bool({'torch', 'torchvision', 'pandas'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
