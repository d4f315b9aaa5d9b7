"""The page of `export --for web`, of each model that is served: its files, without a folder. Beside `page`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.deployment.web.folder import check, contents
from modelgpt_cli.serving.models import Served

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
"""Of files, by their endings; others are bytes."""


class ModelPages:
    """The pages of all models, made when they are first asked for, and anew where a file was replaced."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, Mapping[str, Path | str | bytes]]] = {}

    def files(self, served: Served) -> Mapping[str, Path | str | bytes]:
        """Return the files of a model's page by name, as paths, texts or bytes.

        There are none where no page can run the model, or what pages run on isn't installed.
        """
        version, made = self._made.get(served.name, (0, {}))
        if version != served.version:
            version = served.version
            try:
                check()
                made = contents(served.model)
            except ModelGPTError:
                made = {}
            self._made[served.name] = (version, made)
        return made


def media_type(name: str) -> str:
    """Return the type of a page's file."""
    return TYPES.get(Path(name).suffix, "application/octet-stream")
