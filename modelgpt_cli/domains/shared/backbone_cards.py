"""What the shelves of all domains with a backbone share: which card the options decide on. Beside `backbone_build`."""

from __future__ import annotations

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.domains.shared.options import BackboneBuildOptions


def asked_backbone(options: BuildOptions) -> str | None:
    """Return the backbone that the options name."""
    assert isinstance(options, BackboneBuildOptions)
    return options.backbone


def backbone_conflict(name: str, options: BuildOptions) -> str:
    """Return ``--backbone`` where it names another card than this."""
    return "" if asked_backbone(options) in (None, name) else "--backbone"
