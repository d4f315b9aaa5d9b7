"""``modelgpt zoo``: the cards with their figures, computed, on record, and measured on this machine.

Measurements are kept in a small file in the cache folder, by card, storage and what they were taken at; those of
another version of modelgpt or onnxruntime, or of another machine, are passed over.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import tempfile
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.options import ZooOptions
from modelgpt_cli.core.paths import cache_folder, keep
from modelgpt_cli.model_generator.cards import ArchitectureCard, find_card, find_cards, shelf
from modelgpt_cli.model_generator.costs import STORAGES, Sizes

log = logging.getLogger("modelgpt")


def zoo(name: str | None = None, setting: ZooOptions | None = None) -> list[dict[str, Any]]:
    """The cards with all that is known of them.

    Parameters
    ----------
    name : str, optional
        One card; all by default.

    Raises
    ------
    UsageError
        There is no such card.
    """
    setting = setting or ZooOptions()
    cards = find_cards() if name is None else [find_card(name)]
    return [_figures(card, setting) for card in cards]


def bench(name: str | None = None, setting: ZooOptions | None = None) -> list[dict[str, Any]]:
    """Measure size, latency and memory of a card's models on this machine, in each storage, and keep the figures.

    Parameters
    ----------
    name : str, optional
        One card; by default all that are at hand.

    Raises
    ------
    UsageError
        There is no such card.
    ModelGPTError
        Its weights are not at hand.
    """
    setting = setting or ZooOptions()
    cards = [find_card(name)] if name is not None else [card for card in find_cards() if card.at_hand]
    for card in cards:
        if not card.at_hand:
            raise ModelGPTError(
                f"The weights of {card.name!r} are not on this machine.",
                f"They come from {card.weights}.",
                "A build with this --backbone loads them where it can.",
            )
        log.info("Measuring %s ...", card.name)
        _keep(card, setting, _measure(card, setting))
    return [_figures(card, setting) for card in cards]


def _figures(card: ArchitectureCard, setting: ZooOptions) -> dict[str, Any]:
    costs = card.costs(Sizes(setting.classes, numbers=setting.columns))
    return {
        "name": card.name,
        "domain": card.domain,
        "architecture": card.architecture,
        "settings": dict(card.settings),
        "generator": card.generator or None,
        "weights": card.weights or None,
        "at_hand": card.at_hand,
        "limits": dict(card.limits),
        "quality": dict(card.quality),
        "lost": dict(card.lost),
        "parameters": costs.parameters if costs else None,
        "flops": costs.flops if costs else None,
        "flops_at": (costs.at if costs else "") or None,
        "bytes": {name: costs.n_bytes[storage] for name, storage in STORAGES.items()} if costs else None,
        "at": asdict(setting),
        "measured": _known().get(card.name, {}).get(_key(setting, card)),
    }


def _measure(card: ArchitectureCard, setting: ZooOptions) -> dict[str, Any]:
    """A dummy model's figures, by storage."""
    from modelgpt_cli.artifacts.export import write_model
    from modelgpt_cli.model_generator.measure import measure_latency, measure_memory, measured

    part, storages = measured(card.domain), shelf(find_domain(card.domain)).storages(data=True)
    model, rows = part.dummy_model(card, setting.columns, setting.classes), part.bench_rows()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, storage in STORAGES.items():
            if storage not in storages:
                continue
            path = Path(folder) / f"{name}.onnx"
            write_model(model, path, quantize=storage, rows=rows)
            median, high = measure_latency(path, setting.batch_size, setting.threads, rows)
            memory = measure_memory(path, setting.batch_size, setting.threads, rows)
            found[name] = {
                "size": path.stat().st_size,
                "latency_ms": median,
                "latency_p95_ms": high,
                "memory": memory,
            }
    return found | {"date": date.today().isoformat()} | _here()


def _key(setting: ZooOptions, card: ArchitectureCard) -> str:
    """What of a setting matters to a card's speed."""
    parts = [f"batch {setting.batch_size}", f"threads {setting.threads}", f"classes {setting.classes}"]
    return ", ".join(parts + ([f"columns {setting.columns}"] if "columns" in card.limits else []))


def _here() -> dict[str, str]:
    """Where and with what is measured; nothing that names the machine."""
    processor = platform.processor() or platform.machine()
    return {
        "machine": f"{processor}, {os.cpu_count()} cores, {platform.system()}",
        "modelgpt": version("modelgpt-cli"),
        "onnxruntime": version("onnxruntime"),
    }


def _path() -> Path:
    return cache_folder() / "zoo.json"


def _known() -> dict[str, dict[str, Any]]:
    """Card → setting → what was measured here."""
    try:
        kept = parse_json(_path().read_text(encoding="utf-8"))
        here = _here()
        return {
            card: {key: one for key, one in settings.items() if {k: one.get(k) for k in here} == here}
            for card, settings in kept.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def _keep(card: ArchitectureCard, setting: ZooOptions, measured: dict[str, Any]) -> None:
    known = _known()
    known.setdefault(card.name, {})[_key(setting, card)] = measured
    keep(_path(), (json.dumps(known, indent=1) + "\n").encode())
