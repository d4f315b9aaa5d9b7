"""A domain from another package: it goes from describe to evaluate without a change in shared code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgpt_cli import build, evaluate, export, inspect, predict, tune
from modelgpt_cli.core import domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.source import Reader
from modelgpt_cli.domains.image import profile as image_profile
from modelgpt_cli.domains.image import read as image_read
from modelgpt_cli.domains.image import requirement as image_requirement
from modelgpt_cli.domains.tabular import profile as tabular_profile
from modelgpt_cli.domains.tabular import read as tabular_read
from modelgpt_cli.domains.tabular import requirement as tabular_requirement
from modelgpt_cli.domains.text import profile as text_profile
from modelgpt_cli.domains.text import read as text_read
from modelgpt_cli.domains.text import requirement as text_requirement
from modelgpt_cli.requirement_generator.describe import describe
from modelgpt_cli.requirement_generator.domain import Claims, domain_of
from modelgpt_cli.requirement_generator.profile import Profiler
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement, read_requirement

READERS: tuple[Reader, ...] = (image_read, tabular_read, text_read)
PROFILERS: tuple[Profiler, ...] = (image_profile, tabular_profile, text_profile)
CLAIMS: tuple[Claims, ...] = (image_requirement, tabular_requirement, text_requirement)


@pytest.fixture
def melodies(tmp_path: Path) -> Iterator[Path]:
    """The domain, registered, and a folder of its data."""
    for mood, notes in (("glad", "c e g"), ("sad", "c es g")):
        (tmp_path / "songs" / mood).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "songs" / mood / f"{i}.mel").write_text(f"{notes} {'abd'[i % 3]}")
    domain.register("melody", "melody")
    yield tmp_path / "songs"
    domain.unregister("melody")


def test_it_goes_from_data_to_predictions(melodies: Path, tmp_path: Path) -> None:
    """Everything that it needs is in its own folder: no shared code knows of it."""
    describe(melodies, offline=True, output=tmp_path / "req.txt")
    report = build(tmp_path / "req.txt", output=tmp_path / "model.onnx")
    assert (report.card, report.data_used) == ("notes", True)
    assert inspect(tmp_path / "model.onnx")["domain"] == "melody"
    (tmp_path / "new" / "unheard").mkdir(parents=True)
    for name, notes in (("1", "es g"), ("2", "e g")):
        (tmp_path / "new" / "unheard" / f"{name}.mel").write_text(notes)
    found = predict(tmp_path / "model.onnx", tmp_path / "new")
    assert found.label is not None
    assert found.label.tolist() == ["sad", "glad"]
    assert evaluate(tmp_path / "model.onnx", melodies)["accuracy"] == 1.0
    export(tmp_path / "model.onnx", output=tmp_path / "again.onnx")
    assert build(melodies, output=tmp_path / "one_step.safetensors").requirement == tmp_path / "one_step.req.txt"
    with pytest.raises(ModelGPTError, match="There is no tune for melodies yet"):
        tune(tmp_path / "model.onnx", data=melodies, output=tmp_path / "tuned.onnx")


def test_its_data_are_read_and_described(melodies: Path, tmp_path: Path) -> None:
    dataset = load_dataset(melodies)
    assert (dataset.name, dataset.schema.domain, dataset.schema.classes) == ("songs", "melody", ("glad", "sad"))
    assert [(column.name, column.type, column.role) for column in dataset.schema.used] == [
        ("melody", "notes", "melody")
    ]
    describe(melodies, offline=True, output=tmp_path / "req.txt")
    found = read_requirement(tmp_path / "req.txt")
    assert found.sentence == "Classify each melody of 'songs' by mood into glad or sad as it is whistled."
    assert domain_of(found).name == found.domain == "melody"
    assert parse_requirement("S.\n---\ncolumns: {tune: notes}").columns[0].role == "melody"


def test_other_data_are_not_its(melodies: Path, iris_csv: Path) -> None:
    assert load_dataset(iris_csv).schema.domain == "tabular"
    with pytest.raises(UsageError, match="songs holds melodies, and tables are asked for"):
        load_dataset(melodies, domain="tabular")
    with pytest.raises(UsageError, match="the role melody is for the melody domain, and domain is text"):
        Requirement("S.", domain="text", columns=(parse_requirement("S.\n---\ncolumns: {a: notes}").columns))


def test_an_option_is_known_to_a_domain(iris_csv: Path) -> None:
    assert load_dataset(iris_csv, text_columns=3).schema.domain == "tabular"
    with pytest.raises(TypeError, match="unexpected keyword argument 'txt'"):
        load_dataset(iris_csv, txt="sepal length")
