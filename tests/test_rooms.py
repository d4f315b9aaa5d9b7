"""The rooms of the package: imports go one way, shared rooms name no domain, domains have the parts they must have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from modelgpt_cli.core.domain import PARTS, all_domains, domain_names

PACKAGE = Path(__file__).resolve().parents[1] / "modelgpt_cli"
ROOMS = (
    "core",
    "data",
    "llm",
    "parameter_generator",
    "requirement_generator",
    "runtime",
    "artifacts",
    "training",
    "sources",
    "model_generator",
    "batch",
    "deployment",
    "serving",
    "domains",
    "api",
    "agents",
    "commands",
    "cli",
    "__main__",
)
"""A room imports from those before it, and from itself. CONTRIBUTING.md says what lives in each."""
OPTIONAL = {"answers", "core", "options", "page", "needs", "space", "tune", "train"}
"""Parts that a domain may lack."""
COLUMN_TYPE = {
    "batch/requests.py": "an option of that name",
    "commands/build.py": "an option of that name",
    "core/schema.py": "the column type of free text",
    "data/target.py": "what a column of labels may be called",
    "llm/messages.py": "OpenAI's type of a part of a message",
    "llm/usage.py": "OpenAI's type of a part of a message",
    "requirement_generator/prompt.py": "OpenAI's type of a part of a message",
    "sources/generator/form.py": "JSON's strings, to an LLM",
    "sources/generator/plan.py": "JSON's strings, to an LLM",
}
"""Shared files in which the string "text" is something else than the domain of that name."""


@cache
def modules() -> list[tuple[str, str, ast.Module]]:
    """Room, path in the package, and syntax tree of each module below a room, or of a room that is a module."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE)
        if path.name != "__init__.py" or len(path.parts) > 1:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found.append((path.parts[0].removesuffix(".py"), path.as_posix(), tree))
    return found


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of the package that is imported anywhere, also lazily or for types."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            whole = node.module == "modelgpt_cli"
            names = [f"modelgpt_cli.{alias.name}" for alias in node.names] if whole else [node.module]
        yield from ((node.lineno, name) for name in names if name.partition(".")[0] == "modelgpt_cli")


def test_every_module_is_in_a_room() -> None:
    assert {room for room, _, _ in modules()} == set(ROOMS)


def test_no_import_runs_back_up() -> None:
    wrong = []
    for room, path, tree in modules():
        for line, name in imported(tree):
            other = name.split(".")[1] if "." in name else "the package itself"
            if other not in ROOMS or ROOMS.index(other) > ROOMS.index(room):
                wrong.append(f"{path}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_domains_import_each_other_through_what_they_share_alone() -> None:
    wrong = []
    for room, path, tree in modules():
        own = path.split("/")[1] if room == "domains" else ""
        for line, name in imported(tree):
            parts = name.split(".")
            if room == "domains" and len(parts) > 2 and parts[1] == "domains" and parts[2] not in (own, "shared"):
                wrong.append(f"{path}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_shared_rooms_name_no_domain() -> None:
    wrong = []
    for room, path, tree in modules():
        if room in ("domains", "api") or path == "core/domain.py":  # the registry, and the public names
            continue
        for node in ast.walk(tree):
            named = isinstance(node, ast.Constant) and node.value in domain_names()
            if named and not (node.value == "text" and path in COLUMN_TYPE):  # type: ignore[attr-defined]
                wrong.append(f"{path}:{node.lineno} says {node.value!r}")  # type: ignore[attr-defined]
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if "tabular" in name.lower() or name in ("is_text_model", "is_image_model"):
                wrong.append(f"{path}:{node.lineno} says {name}")  # type: ignore[attr-defined]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", domain_names())
def test_domains_have_their_parts_under_the_same_names(name: str) -> None:
    domain = next(one for one in all_domains() if one.name == name)
    assert {part for part in PARTS if not domain.has(part)} <= OPTIONAL
