"""The README keeps its word: its examples print what it shows, its links lead somewhere, and it stays short."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest
from conftest import ROOT, Cli
from warm_process import WarmProcess

README = ROOT / "README.md"
DOCUMENTS = [p for p in (README, *sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").rglob("*.md"))) if p.exists()]
MOST_BYTES = 15_360
GUIDE = ROOT / "docs" / "deploy.md"
GPP = shutil.which("g++")
HEADERS = Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime")) / "onnxruntime_cxx_api.h"

# A share may move by one row of the smallest example (1 of 24), a probability or a loss by as much, a size by 5 %.
ABSOLUTE, RELATIVE = 0.05, 0.05
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")
SECONDS = re.compile(r"\d[\d.,]* (?:ms|s|min|h)\b(?: \d+ (?:s|min)\b)?")


@pytest.fixture(scope="module")
def examples() -> ModuleType:
    """The script that writes the README's examples."""
    spec = importlib.util.spec_from_file_location("record_examples", ROOT / "scripts" / "record_examples.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def is_like(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that differ no more than another machine's would."""
    shown, printed = SECONDS.sub("TIME", shown), SECONDS.sub("TIME", printed)
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    numbers = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return all(abs(a - b) <= ABSOLUTE + RELATIVE * abs(a) for a, b in numbers)


@pytest.mark.timeout(900)  # three builds or more; a machine that is busy takes its time
@pytest.mark.parametrize("name", ["tables", "texts", "images"])
def test_examples_print_what_is_shown(name: str, examples: ModuleType, warm_process: WarmProcess | None) -> None:
    shown = examples.section(README.read_text(encoding="utf-8"), name)

    def execute(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
        if warm_process is None:
            return examples.execute(command, folder, environment)
        done = warm_process.run(command, stdin=None, env=environment, cwd=folder, timeout=600, one_stream=True)
        return done.returncode, done.stdout.decode()

    session = examples.record(name, execute)
    printed = examples.console(session).splitlines()
    differing = [f"- {a}\n+ {b}" for a, b in zip(shown.splitlines(), printed, strict=False) if not is_like(a, b)]
    assert not differing, "run scripts/record_examples.py, if this is meant:\n" + "\n".join(differing)
    assert len(shown.splitlines()) == len(printed)


def test_the_comparison_tells_numbers_and_words() -> None:
    assert is_like("Built in 0.6 s, 704 kB.", "Built in 12 s, 710 kB.")
    assert is_like("Built in 19.6 s, 90.8 MB.", "Built in 1 min 46 s, 90.8 MB.")
    assert is_like("model   0.9400  0.1039", "model  0.9333    0.1045")
    assert not is_like("model   0.9400", "model   0.7333")
    assert not is_like("Built in 0.6 s, 704 kB.", "Built in 0.6 s, 904 kB.")
    assert not is_like("model   0.9400", "linear  0.9400")


def test_the_picture_shows_the_example_of_tables(examples: ModuleType) -> None:
    drawn = examples.SESSION.read_text(encoding="utf-8")
    for step in examples.EXAMPLES["tables"].steps:
        assert examples.escape(step.command) in drawn


def test_readme_is_short() -> None:
    size = README.stat().st_size
    assert size <= MOST_BYTES, f"README.md has {size:,} bytes; long texts belong into docs/"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [t for t in targets if "://" not in t and not t.startswith("mailto:")]
    broken = [t for t in local if not (document.parent / t).exists()]
    assert not broken, f"{document.name} links to what is not there: {', '.join(broken)}"


def test_anchors_lead_to_headings() -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]+\.md)#([^)\s]+)\)", README.read_text(encoding="utf-8")):
        headings = re.findall(r"^#+ (.*)$", (ROOT / target).read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        assert anchor in slugs, f"{target} has no heading for #{anchor}"


def test_its_scripts_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for script in set(re.findall(r"(?<![\w/])(scripts/[\w.]+)", text)):
        assert (ROOT / script).exists(), f"README.md names {script}, which is not there"


@pytest.fixture(scope="module")
def folder_of_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `model` is made, once for all tests."""
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def model(examples: ModuleType, cli: Cli, folder_of_model: Path) -> Path:
    """The model of the example of tables."""
    path = folder_of_model / "model.onnx"
    if not path.exists():
        examples.write_iris(folder_of_model)
        describe, build = examples.EXAMPLES["tables"].steps[:2]
        for step in (describe, build):
            done = cli(*step.command.split()[1:], cwd=folder_of_model)
            assert done.returncode == 0, done.stderr
    return path


def test_its_python_runs(model: Path) -> None:
    """The Python snippet parses, and gives a label, on the model of the example."""
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        code = snippet.replace('"model.onnx"', repr(str(model)))
        found: dict[str, object] = {}
        exec(compile(ast.parse(code), "README.md", "exec"), found)
        assert list(found["label"]) == ["setosa"]  # type: ignore[call-overload]


def cpp_of(document: Path) -> str:
    """The C++ of a document, without indentation and comments."""
    found = re.search(r"```cpp\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    lines = (line.partition("  //")[0].strip() for line in found.group(1).splitlines())
    return "\n".join(line for line in lines if line)


def test_its_cpp_is_of_the_whole_program_and_names_what_the_model_has(model: Path) -> None:
    program = cpp_of(GUIDE)
    assert set(cpp_of(README).splitlines()) <= set(program.splitlines())
    session = onnxruntime.InferenceSession(model)
    for array, ports in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        listed = re.search(rf"{array}\[\] = {{(.*?)}};", program)
        assert listed
        assert re.findall(r'"([^"]+)"', listed.group(1)) == [port.name for port in ports]


@pytest.mark.skipif(not (GPP and HEADERS.exists()), reason=f"no C++ compiler, or no {HEADERS} (ONNXRUNTIME_INCLUDE)")
def test_its_cpp_compiles_and_runs(model: Path) -> None:
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"), None)
    if library is None:
        pytest.skip("this onnxruntime has no shared library to link")
    folder = model.parent
    (folder / "main.cpp").write_text(cpp_of(GUIDE), encoding="utf-8")
    linked = folder / ".".join(library.name.split(".")[:3])  # libonnxruntime.so.1, as the loader looks for it
    linked.symlink_to(library)
    rest = [f"-I{HEADERS.parent}", str(linked), f"-Wl,-rpath,{folder}", "-o", "classify"]
    subprocess.run([str(GPP), "-std=c++17", "main.cpp", *rest], cwd=folder, check=True)
    done = subprocess.run(["./classify"], cwd=folder, check=True, capture_output=True, text=True)
    label, probability = done.stdout.split()
    assert label == "setosa"
    assert float(probability) > 0.5


def test_every_command_has_its_page_in_the_reference() -> None:
    """The reference is made from the CLI: the page holds the marker that the site's hook fills in."""
    assert "<!-- commands -->" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
