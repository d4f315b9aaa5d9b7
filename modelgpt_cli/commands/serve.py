"""``modelgpt serve``: models behind an address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import ServeOptions

if TYPE_CHECKING:
    from modelgpt_cli.serving.models import Models


@o.command(
    "serve",
    """
modelgpt serve model.onnx
modelgpt serve churn.onnx reviews=texts.onnx --port 8080 --workers 2
curl localhost:8000/predict -H 'Content-Type: text/csv' --data-binary @new.csv""",
    ServeOptions,
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
def serve(models: tuple[str, ...], **options: Any) -> None:
    """Answer requests over HTTP with MODELs (each a model.onnx, called as its file, or NAME=FILE): POST rows as JSON,
    CSV, text or files to /predict, or speak the Open Inference Protocol v2. The page at / shows how.

    A file that is replaced is loaded anew. Ctrl-C or SIGTERM ends it once all requests are answered. Needs
    pip install "modelgpt-cli[serve]".
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, say

    def ready(loaded: Models, address: str) -> None:
        for served in loaded:
            labels = f": {', '.join(served.model.labels[:5])}" if served.model.labels else ""
            more = ", ..." if len(served.model.labels) > 5 else ""
            result(f"{served.name}: {served.model.domain.title}, {served.model.task}{labels}{more}")
        result(f"Serving on {address}")
        if options["host"] not in ("127.0.0.1", "localhost", "::1") and not options["api_key"]:
            say("Anyone who reaches this address can ask. Set MODELGPT_API_KEY to ask for a key.")
        sys.stdout.flush()  # whoever waits for the address reads it from a pipe

    api.serve(models, ready=ready, **options)
