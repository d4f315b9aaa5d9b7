"""Generators and text encoders for builds, which only run them: read once in a process, however many builds there are.

A file that has changed since is read anew.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator, load_generator
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder


def shared_generator(path: Path) -> tuple[Generator, dict[str, Any]]:
    """See `load_generator`; on the CPU until a build moves it."""
    return _generator(path, modified(path))


def shared_adapter_generator(path: Path, domain: str) -> tuple[AdapterGenerator, dict[str, Any]]:
    """See `load_adapter_generator`."""
    return _adapter_generator(path, domain, modified(path))


@lru_cache(maxsize=1)
def shared_encoder(source: str | None) -> TextEncoder:
    """See `TextEncoder`."""
    return TextEncoder(source)


def modified(path: str | Path) -> int:
    """When a file, or any in a folder, was last changed, in ns; 0 where there is none, which its reader will tell."""
    path = Path(path).expanduser()
    files = path.iterdir() if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


@lru_cache(maxsize=1)
def _generator(path: Path, _: int) -> tuple[Generator, dict[str, Any]]:
    return load_generator(path)


@lru_cache(maxsize=1)
def _adapter_generator(path: Path, domain: str, _: int) -> tuple[AdapterGenerator, dict[str, Any]]:
    return load_adapter_generator(path, domain=domain)
