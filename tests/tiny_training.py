"""Settings of a tiny run of the table generator's meta-training."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "width": 32,
    "blocks": 1,
    "batch": 2,
    "min_support": 16,
    "max_support": 32,
    "query": 24,
    "max_features": 6,
    "max_classes": 3,
    "lr": 3e-3,
    "warmup": 5,
    "validate_every": 20,
    "validation_batches": 4,
}
