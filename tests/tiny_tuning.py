"""What tuning does to the network of a model that is made of its maps, whatever the model is for."""

from __future__ import annotations

from pathlib import Path

import torch

from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.image.dense.loop import FROZEN
from modelgpt_cli.domains.image.trunks import norms


def check_network_tuned(before: Path, after: Path) -> None:
    """All convolutions from the first tuned block on differ; those before it and every BatchNorm are as they were."""
    one, two = (load_model(path) for path in (before, after))
    old, new = one.trunk.state_dict(), two.trunk.state_dict()  # type: ignore[attr-defined]
    kept = {f"{name}." for name, _ in norms(one.trunk)}  # type: ignore[attr-defined]
    first = ("_conv_stem.", *(f"_blocks.{k}." for k in range(FROZEN)))
    for name, value in old.items():
        frozen = name.startswith(first) or any(name.startswith(norm) for norm in kept)
        assert torch.equal(new[name], value) == frozen, name
