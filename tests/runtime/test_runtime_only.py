"""Predict, evaluate, inspect and doctor where nothing is installed that only builds models."""

from __future__ import annotations

import configparser
import csv
import io
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, clean_environment
from image_models import image_folder, image_model
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from text_models import tiny_text_model
from tiny_models import tiny_model

from modelgpt_cli.artifacts.export import write_model

REQUIREMENTS = ROOT / "requirements-runtime.txt"
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}
"""Package → module, where they are called differently."""
BLOCKED = """
import sys
blocked, *sys.argv[1:] = sys.argv[1:]
for name in blocked.split(","):
    sys.modules[name] = None
from modelgpt_cli.cli import entry
entry()
"""

BUILD = """
import setuptools, sys
wheel = setuptools.Distribution()
wheel.script_name = "setup.py"
wheel.parse_config_files()
command = wheel.get_command_obj("build_py")
command.build_lib, command.include_package_data = sys.argv[1], False
command.ensure_finalized()
command.run()
"""
"""Copy what a wheel holds into a folder."""


def needed(lines: str) -> dict[str, str]:
    """Package → version, of a list of requirements."""
    found = (re.match(r"([\w-]+)\s*([<>=!].*)?$", line.split(";")[0].strip()) for line in lines.splitlines())
    return {match[1].lower(): (match[2] or "") for match in found if match}


@pytest.fixture(scope="module")
def core() -> dict[str, str]:
    """What the whole of modelgpt needs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return needed(config["options"]["install_requires"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of a table, of texts and of images, with data for each; texts/ has a folder per class."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    weight = {"a": [1.0, -1.0], "c": [0.0, 1.0]}
    tiny_model(folder / "table.onnx", {"a": "numeric", "c": "categorical"}, labels=["x", "y"], weight=weight)
    frame = pd.DataFrame({"a": rng.normal(size=40), "c": rng.choice(["yes", "no"], 40)})
    frame.assign(target=rng.choice(["x", "y"], 40)).to_csv(folder / "table.csv", index=False)
    write_model(tiny_text_model(labels=("bad", "good")), folder / "texts.onnx")
    for label, text in (("bad", "a slow, bad book"), ("good", "The film was good.")):
        (folder / "texts" / label).mkdir(parents=True)
        (folder / "texts" / label / "1.txt").write_text(text)
    write_model(image_model(), folder / "images.onnx")
    image_folder(folder / "images", per_class=1)
    return folder


def check_commands(command: list[str], place: Path, env: dict[str, str]) -> None:
    """All four commands on tables and texts."""

    def run(*args: str) -> str:
        done = subprocess.run([*command, *args], capture_output=True, text=True, timeout=280, env=env, cwd=place)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for name, data, rows in (("table", "table.csv", 40), ("texts", "texts", 2)):
        assert len(list(csv.DictReader(io.StringIO(run("predict", f"{name}.onnx", data, "--proba"))))) == rows
        assert '"log_loss"' in run("evaluate", f"{name}.onnx", data, "--json")
        assert "input" in run("inspect", f"{name}.onnx")
    checks = run("doctor")
    assert "broken" not in checks
    assert "runs models: predict, evaluate, inspect. The other commands also need torch" in checks


def test_commands_need_nothing_that_only_builds(core: dict[str, str], place: Path) -> None:
    others = core.keys() - needed(REQUIREMENTS.read_text()).keys()
    absent = {MODULES.get(name, name.replace("-", "_")) for name in others}
    assert {"torch", "transformers", "PIL", "onnx", "sklearn", "openai", "peft"} <= absent
    command = [sys.executable, "-c", BLOCKED, ",".join(sorted(absent))]
    check_commands(command, place, clean_environment())
    done = subprocess.run([*command, "predict", "images.onnx", "images"], capture_output=True, text=True, cwd=place)
    assert done.returncode == 1
    assert "Install it: pip install pillow" in done.stderr


def test_images_need_pillow_beside_it(place: Path) -> None:
    absent = sorted({"torch", "torchvision", "transformers", "onnx", "sklearn", "openai", "peft"})
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, ",".join(absent), "predict", "images.onnx", "images"],
        capture_output=True,
        text=True,
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_the_list_is_a_part_of_what_the_package_needs(core: dict[str, str]) -> None:
    text = REQUIREMENTS.read_text()
    wanted = needed(text)
    assert wanted == {name: core[name] for name in wanted}
    optional = needed(re.sub(r"^# (\S+>=\S+) .*", r"\1", text, flags=re.M))
    assert {"pillow", "python-calamine"} <= optional.keys()
    assert optional.items() <= (core | {k: v for k, v in optional.items() if k not in core}).items()


def test_commands_in_a_clean_environment(place: Path, tmp_path: Path) -> None:
    """In an environment that holds what pip would install: the listed packages, those that they need, and the wheel."""
    venv.create(tmp_path / "env")
    python = next(path for path in (tmp_path / "env").glob("*/python*") if path.stem == "python")
    packages = next((tmp_path / "env").rglob("site-packages"))
    for name in installed_with(needed(REQUIREMENTS.read_text())):
        link_files(metadata.distribution(name), packages)
    subprocess.run([sys.executable, "-c", BUILD, str(packages)], cwd=ROOT, capture_output=True, check=True)
    env = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    check_commands([str(python), "-c", "from modelgpt_cli.cli import entry; entry()"], place, env)


def installed_with(names: Iterable[str]) -> set[str]:
    """The packages of these names and all that they need."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        lines = map(Requirement, metadata.requires(name) or ())
        wanted += [canonicalize_name(r.name) for r in lines if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def link_files(package: metadata.Distribution, folder: Path) -> None:
    """Let a folder have a package's modules and its metadata."""
    tops = {path.parts[0] for path in package.files or () if path.parts[0] not in ("..", "__pycache__")}
    for top in tops - {path.name for path in folder.iterdir()}:
        (folder / top).symlink_to(str(package.locate_file(top)))
