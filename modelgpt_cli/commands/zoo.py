"""``modelgpt zoo``: the cards that a build chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import ZooOptions


@o.command(
    "zoo",
    """
modelgpt zoo
modelgpt zoo show tabular-4 --columns 30 --classes 5
modelgpt zoo bench minilm-l6 --threads 2""",
    ZooOptions,
)
@click.argument("action", type=click.Choice(["list", "show", "bench"]), default="list", required=False)
@click.argument("name", required=False)
@o.json_option
def zoo(action: str, name: str | None, as_json: bool, **options: Any) -> None:
    """List the cards that a build chooses from, or show or measure (bench) one by its NAME.

    A card is an architecture with its generator; each can be stored as fp32, fp16 or int8. What it costs is computed;
    latency and memory are those that bench has measured on this machine.
    """
    from modelgpt_cli.commands.output import result, result_json
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.model_generator import zoo as cards

    if (name is None) != (action == "list") and action != "bench":
        raise UsageError("zoo list takes no NAME, and zoo show takes one.", hint="See: modelgpt zoo")
    setting = ZooOptions(**options)
    found = cards.bench(name, setting) if action == "bench" else cards.zoo(name, setting)
    if as_json:
        result_json(found[0] if action == "show" else {"cards": found})
    elif action == "show":
        result(_card_text(found[0]))
    else:
        result(_table_text(found))


def _table_text(cards: Sequence[Mapping[str, Any]]) -> str:
    from modelgpt_cli.commands.output import table

    header = ["card", "at hand", "parameters", "operations", "fp32", "fp16", "int8", "ms", "memory", "on record"]
    rows = []
    for card in cards:
        n_bytes, measured = card["bytes"] or {}, card["measured"] or {}
        best = measured.get("fp32", {})
        rows.append(
            [
                card["name"],
                "yes" if card["at_hand"] else "no",
                _short(card["parameters"]),
                _short(card["flops"]),
                *(_size(measured.get(s, {}).get("size") or n_bytes.get(s)) for s in ("fp32", "fp16", "int8")),
                best.get("latency_ms"),
                _size(best.get("memory")),
                _record(card),
            ]
        )
    at = cards[0]["at"]
    threads = f"{at['threads']} thread{'s' if at['threads'] > 1 else ''}"
    note = (
        f"For {at['columns']} columns (tables) and {at['classes']} classes; operations of texts at a full window.\n"
        f"ms and memory: fp32, batches of {at['batch_size']}, {threads}, where zoo bench has measured them here;\n"
        "bytes where it has not: of the weights."
    )
    return f"{table(header, rows)}\n\n{note}"


def _card_text(card: Mapping[str, Any]) -> str:
    from modelgpt_cli.commands.output import number, table

    facts = [[key, card[key]] for key in ("name", "domain", "architecture")]
    facts += [list(setting) for setting in card["settings"].items()]
    facts += [[key, card[key]] for key in ("generator", "weights")]
    facts.append(["at hand", "yes" if card["at_hand"] else "no"])
    facts += [[f"most {name}", number(value)] for name, value in card["limits"].items()]
    facts.append(["parameters", number(card["parameters"])])
    at = f" at {card['flops_at']}" if card["flops_at"] else ""
    facts.append(["operations a row", number(card["flops"]) + at])
    facts += [[f"on record: {name}", number(value)] for name, value in card["quality"].items()]
    if not card["quality"]:
        facts.append(["on record", "nothing" + ("" if card["generator"] else ": no generator was trained for it")])
    facts += [[f"loses on record: {name}", number(value)] for name, value in card["lost"].items()]
    lines = [f"{key + ':':<26}{value}" for key, value in facts if value is not None]
    measured = card["measured"] or {}
    rows = []
    for storage in ("fp32", "fp16", "int8"):
        one = measured.get(storage, {})
        weights = _size((card["bytes"] or {}).get(storage))
        rows.append(
            [
                storage,
                weights,
                _size(one.get("size")),
                one.get("latency_ms"),
                one.get("latency_p95_ms"),
                _size(one.get("memory")),
            ]
        )
    lines += ["", table(["", "weights", "file", "ms", "ms p95", "memory"], rows)]
    if measured:
        lines.append(f"Measured {measured['date']} on {measured['machine']}, onnxruntime {measured['onnxruntime']}.")
    else:
        lines.append(f"Not measured here yet: modelgpt zoo bench {card['name']}")
    return "\n".join(lines)


def _record(card: Mapping[str, Any]) -> str:
    """A figure on record: of tables the ROC AUC, of texts and images the score with the most rows."""
    from modelgpt_cli.commands.output import number

    quality = card["quality"]
    name = "roc_auc" if "roc_auc" in quality else next(reversed(quality), None)
    return "-" if name is None else f"{name}: {number(quality[name])}"


def _short(value: int | None) -> str:
    """A count to three digits: ``2.87 G``."""
    if value is None:
        return "-"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)


def _size(value: int | None) -> str:
    from modelgpt_cli.commands.output import size

    return "-" if value is None else size(value)
