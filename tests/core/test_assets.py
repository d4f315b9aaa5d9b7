"""What travels with the code is found, in a checkout and in a wheel, and is what it says it is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from modelgpt_cli.core import assets
from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.tabular.generator import load_generator

# The paper's setting reproduced, and what generators were trained on: setup.cfg keeps them out of the wheel.
CHECKOUT_ONLY = {"__pycache__", "tabular-paper10", "tabular-training"}

OUTPUTS = """
import json, setuptools
wheel = setuptools.Distribution()
wheel.script_name = "setup.py"
wheel.parse_config_files()
command = wheel.get_command_obj("build_py")
command.build_lib, command.include_package_data = ".", False
command.ensure_finalized()
print(json.dumps(command.get_outputs(include_bytecode=0)))
"""


@pytest.fixture(scope="module")
def wheel_files() -> set[str]:
    """The files that a wheel will hold, as setuptools lists them; nothing is built."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    done = subprocess.run(
        [sys.executable, "-c", OUTPUTS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return {str(Path(name)) for name in json.loads(done.stdout.splitlines()[-1])}


def test_shipped_generator_is_found_and_loads() -> None:
    path = asset("weights", "tabular", "generator.safetensors")
    generator, header = load_generator(path)
    assert header["domain"] == "tabular"
    assert header["step"] > 0
    assert not generator.training
    assert sum(p.numel() for p in generator.parameters()) > 100_000


def test_prompt_is_found() -> None:
    assert asset("prompts", "table.yaml").read_text(encoding="utf-8").strip()


def test_absent_asset_says_where_it_was_looked_for() -> None:
    with pytest.raises(ModelGPTError, match=r"weights/music/generator\.safetensors") as caught:
        asset("weights", "music", "generator.safetensors")
    assert str(ROOT / "weights" / "music") in caught.value.cause
    assert "pip install" in caught.value.hint


def test_package_goes_before_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "modelgpt_cli"
    for root in (package, tmp_path):
        (root / "prompts").mkdir(parents=True)
        (root / "prompts" / "a.yaml").touch()
    (tmp_path / "prompts" / "b.yaml").touch()
    monkeypatch.setattr(assets, "_PACKAGE", package)
    assert asset("prompts", "a.yaml") == package / "prompts" / "a.yaml"
    assert asset("prompts", "b.yaml") == tmp_path / "prompts" / "b.yaml"


def test_wheel_holds_prompts_and_weights_where_they_are_looked_for(wheel_files: set[str]) -> None:
    for folder in ("prompts", "weights"):
        shipped = [p for p in (ROOT / folder).rglob("*") if p.is_file() and not CHECKOUT_ONLY & set(p.parts)]
        assert shipped
        missing = [p for p in shipped if f"modelgpt_cli/{p.relative_to(ROOT)}" not in wheel_files]
        assert not missing, f"not in the wheel: {missing}"


def test_wheel_leaves_reproductions_in_the_checkout(wheel_files: set[str]) -> None:
    """They are megabytes that no command reads unless a user names them."""
    assert (ROOT / "weights" / "tabular-paper10" / "generator.safetensors").exists()
    travelled = [name for name in wheel_files if CHECKOUT_ONLY & set(Path(name).parts)]
    assert not travelled, f"in the wheel: {travelled}"


def test_wheel_is_typed(wheel_files: set[str]) -> None:
    assert "modelgpt_cli/py.typed" in wheel_files


def test_wheel_holds_the_providers(wheel_files: set[str]) -> None:
    assert "modelgpt_cli/llm/providers.yaml" in wheel_files


def test_wheel_holds_every_module(wheel_files: set[str]) -> None:
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "modelgpt_cli").rglob("*.py")}
    assert not modules - wheel_files, "a package is missing from setup.cfg"
