"""``--group`` and ``--time`` of texts and images in a table: how the head is cross-validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from image_models import TINY, random_trunk
from safetensors.torch import save_file
from tiny_images import blot, encoded, folder_of, zip_of
from tiny_texts import TOPICS, Make, stars_frame, topics_frame

from modelgpt_cli import build, describe
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.trunks import trunk_state

GROUPED = "by groups of 'author'"


def authors_frame() -> pd.DataFrame:
    """Ten authors with two words of their own and three texts each; the mood is the author's, whatever the words."""
    words = np.array([word for topic in TOPICS.values() for word in topic]).reshape(12, 2)
    moods = np.random.default_rng(1).permutation(["gay", "sad"] * 5)
    rows = [
        (f"{words[a][0]} {words[a][1]} {words[a][i % 2]} number {i} of them", f"writer {a}", moods[a])
        for i in range(3)
        for a in range(10)
    ]
    return pd.DataFrame(rows, columns=["text", "author", "mood"])


def test_texts_of_one_author_are_held_out_together(make: Make) -> None:
    frame = authors_frame()
    random = make(frame, text="text", target="mood").report
    built = make(frame, text="text", target="mood", group="author")
    grouped = built.report
    assert random.metrics["model"]["accuracy"] > 0.9
    assert grouped.metrics["model"]["accuracy"] < random.metrics["model"]["accuracy"] - 0.15
    assert grouped.metrics["linear"]["accuracy"] < 0.85
    assert (random.validated, grouped.validated, grouped.n_rows) == ("", GROUPED, 30)
    blueprint = built.model.blueprint
    assert blueprint.validated == GROUPED
    assert blueprint.provenance["split"] == {"by": "group", "column": "author", "groups": 10}
    assert [c.name for c in blueprint.used] == ["text"]
    assert any("10 groups" in note for note in grouped.notes)


def test_forward_in_time_a_number_that_drifts(make: Make) -> None:
    frame = stars_frame(30).assign(day=pd.date_range("2024-01-01", periods=30).strftime("%d.%m.%Y"))
    frame["stars"] = frame["stars"] + np.arange(30)
    built = make(frame.sample(frac=1, random_state=0), text="text", target="stars", time="day")
    assert built.report.validated == "forward in time by 'day'"
    assert built.report.n_rows == 25  # the first sixth is only learned from
    assert built.report.metrics["model"]["r2"] < 0  # later numbers are higher than all before


def test_the_columns_name_says_that_the_rest_are_texts(tmp_path: Path) -> None:
    frame = authors_frame()
    assert load_dataset(frame, target="mood").schema.domain == "tabular"  # the author may be an input
    found = describe(frame, target="mood", group="author", offline=True).requirement
    assert (found.domain, [c.name for c in found.columns if c.used]) == ("text", ["text"])
    types = tmp_path / "types.yaml"
    types.write_text("author: categorical\n")
    assert load_dataset(frame, target="mood", group="author", types=types).schema.domain == "tabular"


def test_what_texts_cannot_be_divided_by_is_refused(make: Make, tmp_path: Path) -> None:
    frame = authors_frame()
    for words, options in {
        "can't be given together": {"group": "author", "time": "author"},
        "no such column 'writer'": {"group": "writer"},
        "It is the target": {"group": "mood"},
        "it is what the model reads": {"group": "text"},
        "neither dates nor numbers": {"time": "author"},
    }.items():
        with pytest.raises(UsageError, match=words):
            make(frame, text="text", target="mood", **options)
    for label in ("one", "two"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        for i, text in enumerate(topics_frame(6)["text"]):
            (tmp_path / "texts" / label / f"{i}.txt").write_text(text)
    with pytest.raises(UsageError, match="texts is no table"):
        build(tmp_path / "texts", group="author", output=tmp_path / "m.onnx", offline=True)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in trunk_state(random_trunk(TINY)).items()}, str(path))
    return {"backbone": TINY, "backbone_weights": str(path), "device": "cpu", "offline": True}


def things(folder: Path) -> Path:
    """Seven things, each in a colour of its own, photographed four times; the class is the thing's."""
    rng = np.random.default_rng(0)
    rows = []
    for thing, colour in enumerate(rng.integers(0, 255, (7, 3)).tolist()):
        for i in range(4):
            name = f"{thing}-{i}.jpg"
            (folder / name).write_bytes(encoded(blot(i, tuple(colour), 48)))
            rows.append((name, f"thing {thing}", ["new", "old"][thing % 2], 10 * i + thing))
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    rows.append(("cut.jpg", "thing 0", "new", 0))
    pd.DataFrame(rows, columns=["photo", "thing", "state", "minute"]).to_csv(folder / "things.csv", index=False)
    return folder / "things.csv"


@pytest.mark.slow
def test_images_of_one_thing_are_held_out_together(tmp_path: Path, network: dict[str, Any]) -> None:
    common = {"target": "state", **network}
    table = things(tmp_path)
    grouped = build(table, group="thing", output=tmp_path / "grouped.safetensors", **common)
    later = build(table, time="minute", output=tmp_path / "later.safetensors", **common)
    assert grouped.metrics["model"]["accuracy"] < 0.7  # where they are held out at random, 1.0
    assert (grouped.validated, later.validated) == ("by groups of 'thing'", "forward in time by 'minute'")
    assert later.n_rows < 28 == grouped.n_rows
    blueprint: Any = load_model(tmp_path / "grouped.safetensors").blueprint
    assert blueprint.provenance["split"]["groups"] == 7
    assert set(blueprint.provenance["weights"]) == {"given"}, "no licence of ours holds for them"
    assert {c.name: c.note for c in load_dataset(table, target="state", group="thing").schema.columns} == {
        "photo": "",
        "thing": "groups the rows in cross-validation",
        "minute": "not used beside the image",
    }


def test_a_folder_of_images_has_no_groups(bench: Bench) -> None:
    folder = folder_of(bench.folder / "pets", 3)
    archive = zip_of(folder, bench.folder / "pets.zip")
    for data in (folder, archive):
        for flag in ("--group", "--time"):
            told = bench.refuse(2, "is no table", "build", data, flag, "owner", "-o", "m.onnx")
            assert "a column 'owner'" in told.err
