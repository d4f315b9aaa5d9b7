"""A domain from another package: its data are read and described without a change in shared code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgpt_cli.core import domain
from modelgpt_cli.core.errors import UsageError
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

MELODY = {
    "__init__": """
from modelgpt_cli.core.domain import Domain

DOMAIN = Domain("melody", "melodies", "melodies", __name__, {"melody": "notes"})
""",
    "read": """
import pandas as pd

from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import make_dataset
from modelgpt_cli.data.readers import Table

FILES = ".mel files"
OPTIONS = {"transposed": False}


class Melodies:
    columns = ["melody", "mood"]

    def __init__(self, folder):
        self.files = sorted(folder.glob("*/*.mel"))

    def frames(self, rows, columns):
        cells = {"melody": [f.read_text() for f in self.files], "mood": [f.parent.name for f in self.files]}
        yield pd.DataFrame({name: cells[name] for name in columns})

    def fingerprint(self):
        return "sha256:" + "0" * 64


def open_path(path):
    if not path.is_dir() or not any(path.glob("*/*.mel")):
        return None
    return Table(Melodies(path), path.name, path, path, domain="melody")


def single_item(name, start):
    return None


def detect(source):
    return isinstance(source.table.cells, Melodies)


def read(source):
    scanned = source.scanned({"melody": Column("melody", "notes", role="melody")})
    columns = tuple(Column(c.name, c.type, role=c.role) for c in scanned.columns)
    schema = Schema(columns, scanned.target.name, scanned.target.task, scanned.target.classes, "melody")
    return make_dataset(source, scanned, schema)
""",
    "profile": """
from modelgpt_cli.requirement_generator.profile import Vocabulary, common_profile
from modelgpt_cli.requirement_generator.prompt import profile_json as shown

PROMPT = "table"
ROLES = {"melody": "melody"}
HAS_SHEET = False


def profile(dataset, *, description="", rows=8, seed=0, clean=None):
    return common_profile(dataset, description=description, rows=rows, seed=seed, clean=clean)


def phrases(profile, n_names):
    return f"melody of {profile.name!r}", " as it is whistled" if n_names else ""


def vocabulary(profile):
    return Vocabulary("say how it sounds")
""",
    "requirement": """
def claims(requirement):
    return requirement.domain == "melody"


def check(requirement):
    pass


def keys_of(dataset):
    return {}
""",
}


@pytest.fixture
def melodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The domain, registered, and a folder of its data."""
    package = tmp_path / "whistling"
    package.mkdir()
    for name, text in MELODY.items():
        (package / f"{name}.py").write_text(text)
    for mood, notes in (("glad", "c e g"), ("sad", "c es g")):
        (tmp_path / "songs" / mood).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "songs" / mood / f"{i}.mel").write_text(f"{notes} {i}")
    monkeypatch.syspath_prepend(str(tmp_path))
    domain.register("melody", "whistling")
    yield tmp_path / "songs"
    domain.unregister("melody")
    for name in [name for name in sys.modules if name.partition(".")[0] == "whistling"]:
        del sys.modules[name]


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
