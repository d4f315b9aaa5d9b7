"""What the folders of other runtimes have alike: a model's numeric core, what stands in for the rest, and a README."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.deployment.numeric import PREPROCESSING, NumericCore
from modelgpt_cli.deployment.probe import Verified
from modelgpt_cli.deployment.schema import as_json, schema, write_common
from modelgpt_cli.deployment.templates import render
from modelgpt_cli.runtime.session import Model


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep all that a library prints from the user, also what it prints past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as nowhere, contextlib.redirect_stdout(io.StringIO()):
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            for there, own in zip(kept, (1, 2), strict=True):
                os.dup2(there, own)
                os.close(there)


def missing_library(title: str, extra: str) -> ModelGPTError:
    """Make the error for a library that isn't there."""
    return ModelGPTError(f"{title} is not installed.", "", f'Install it: pip install "modelgpt-cli[{extra}]"')


def write_core_folder(
    model: Model, folder: Path, core: NumericCore, template: Path, *, verified: Verified, **more: Any
) -> None:
    """Write what describes a numeric core: schema, labels, preprocessing and README."""
    described = core.described()
    made = schema(model) | described
    made |= {"verified": {"rows": verified.rows, "max_difference": verified.max_difference}}
    write_common(model, folder, made)
    if core.preprocessing:
        (folder / PREPROCESSING).write_text(as_json(core.preprocessing), encoding="utf-8")
    render(
        template,
        folder / "README.md",
        title=made["title"],
        tokenizer=made["tokenizer"],
        verified=verified,
        preprocessing=core.preprocessing,
        dropped=core.dropped,
        **described,
        **more,
    )
