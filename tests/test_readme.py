"""The README keeps its word: its tree lists every file of the repository, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from conftest import Cli

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [p for p in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))) if p.exists()]


def read_tree(text: str) -> dict[str, str]:
    """Paths (or patterns with ``*``) of the block below the marker, with their descriptions.

    Two spaces of indentation are one folder deeper; a line that ends its name with ``/`` opens a folder.
    """
    block = re.search(r"<!-- tree -->\s*```\w*\n(.*?)```", text, re.DOTALL)
    assert block, "README.md has no <!-- tree --> block"
    entries: dict[str, str] = {}
    folders: list[str] = []
    for line in block.group(1).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, description = line.strip().partition("  ")
        assert depth <= len(folders), f"indented too far: {line!r}"
        folders[depth:] = []
        path = "".join(folders) + name
        assert path not in entries, f"listed twice: {path}"
        entries[path] = description.strip()
        if name.endswith("/"):
            folders.append(name)
    return entries


@pytest.fixture(scope="module")
def files() -> list[str]:
    """Every tracked file, and every new one that git does not ignore."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted({f for f in listed if f and (ROOT / f).exists()})


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    return read_tree(README.read_text(encoding="utf-8"))


def test_every_file_is_in_the_tree(tree: dict[str, str], files: list[str]) -> None:
    patterns = [p for p in tree if not p.endswith("/")]
    missing = [f for f in files if not any(fnmatchcase(f, p) for p in patterns)]
    assert not missing, "add a line to the README's tree for: " + ", ".join(missing)


def test_every_line_of_the_tree_is_a_file(tree: dict[str, str], files: list[str]) -> None:
    gone = [p for p in tree if not any(f.startswith(p) if p.endswith("/") else fnmatchcase(f, p) for f in files)]
    assert not gone, "the README's tree lists what is not there: " + ", ".join(gone)


def test_every_line_of_the_tree_says_what_it_is(tree: dict[str, str]) -> None:
    bare = [p for p, words in tree.items() if len(words) < 10]
    assert not bare, "no description in the README's tree for: " + ", ".join(bare)


def test_the_tree_reader_sees_folders_and_patterns() -> None:
    text = (
        "<!-- tree -->\n```text\na/  a folder of things\n  b.py  the first\n  c/  deeper\n    *.md  pages\nd  last\n```"
    )
    expected = {"a/": "a folder of things", "a/b.py": "the first", "a/c/": "deeper", "a/c/*.md": "pages", "d": "last"}
    assert read_tree(text) == expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [t for t in targets if "://" not in t]
    broken = [t for t in local if not (document.parent / t).exists()]
    assert not broken, f"{document.name} links to what is not there: {', '.join(broken)}"


def test_its_commands_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for script in set(re.findall(r"(?<![\w/])(scripts/[\w.]+)", text)):
        assert (ROOT / script).exists(), f"README.md names {script}, which is not there"


def test_every_command_is_explained(cli: Cli) -> None:
    """Each command that `modelgpt --help` lists has its line in the README, and each that the README lists exists."""
    text = README.read_text(encoding="utf-8")
    commands_table = re.search(r"## Commands\n(.*?)\n## ", text, re.DOTALL)
    assert commands_table
    explained = set(re.findall(r"^\| `modelgpt ([\w-]+)", commands_table.group(1), re.MULTILINE))
    shown = cli("--help")
    assert shown.returncode == 0, shown.stderr
    listed = set(re.findall(r"^  ([a-z][\w-]*)  ", shown.stdout.partition("Commands:")[2], re.MULTILINE))
    assert listed, shown.stdout
    assert explained == listed
