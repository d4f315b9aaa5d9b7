"""``modelgpt inspect``: a model in, its card out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command("inspect", "modelgpt inspect model.onnx --json")
@click.argument("model")
@o.json_option
def inspect(model: str, as_json: bool) -> None:
    """Show the card of MODEL (a model.onnx or model.safetensors): inputs, labels, metrics, provenance, size."""
    from modelgpt_cli import api
    from modelgpt_cli.commands.cards import card_text
    from modelgpt_cli.commands.output import result, result_json

    card = api.inspect(model)
    if as_json:
        result_json(card)
    else:
        result(card_text(card))
