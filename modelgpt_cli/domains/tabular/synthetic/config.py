"""What the synthetic prior for tables may draw: family weights and ranges. First file of the prior; see `prior`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from modelgpt_cli.core.errors import UsageError

FAMILIES = ("network", "forest", "additive", "clusters", "categories", "rules")


def _default_weights() -> Mapping[str, float]:
    return MappingProxyType({"network": 0.35, "forest": 0.25, "additive": 0.10, "clusters": 0.10, "categories": 0.20})


@dataclass(frozen=True)
class PriorConfig:
    """Weights of the families and ranges of everything drawn around them."""

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    """Family → weight; they need not sum to one, and a family left out isn't drawn."""
    network_depth: int = 6
    """Most layers of a random network."""
    network_width: int = 48
    """Most nodes per layer of a random network (more where many outputs ask for it)."""
    trees: int = 60
    """Most trees of a random forest."""
    tree_depth: int = 6
    """Most splits between a tree's root and its leaves."""
    max_levels: int = 20
    """Most levels of a usual categorical column; one in fifty has up to twice as many."""
    p_categorical: float = 0.45
    """Share of tasks (outside the category family) with categorical columns."""
    p_distractors: float = 0.45
    """Share of tasks with irrelevant, permuted or noisily duplicated columns."""
    p_warp: float = 0.65
    """Share of tasks whose numeric columns are warped, rounded or spiked."""
    p_outliers: float = 0.10
    """Share of tasks with a few cells far out."""
    p_missing: float = 0.30
    """Share of tasks with missing cells."""
    missing_rate: tuple[float, float] = (0.01, 0.5)
    """Smallest and largest share of missing cells in a column that has any."""
    p_noise: float = 0.65
    """Share of tasks with noise on the scores behind the target."""
    p_label_noise: float = 0.25
    """Share of classification tasks with some labels replaced at random."""

    p_rare: float = 0.0
    """Share of categorical columns with one or two common levels and many rare ones."""
    p_duplicates: float = 0.0
    """Share of tasks some of whose rows are copies of others, with labels that don't always agree."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(FAMILIES))
        if unknown:
            raise UsageError(
                f"weights names an unknown family: {', '.join(unknown)}", hint=f"Known families: {', '.join(FAMILIES)}."
            )
        if any(w < 0 for w in self.weights.values()) or sum(self.weights.values()) <= 0:
            raise UsageError("weights must be 0 or more, and at least one above 0", cause=f"got {dict(self.weights)}")
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name.startswith("p_") and not 0.0 <= value <= 1.0:
                raise UsageError(f"{f.name} must lie between 0 and 1", cause=f"got {value}")
            if isinstance(value, int) and value < 1:
                raise UsageError(f"{f.name} must be at least 1", cause=f"got {value}")
        low, high = self.missing_rate
        if not 0.0 < low <= high < 1.0:
            raise UsageError("missing_rate must be two shares, 0 < low <= high < 1", cause=f"got {self.missing_rate}")
        if self.max_levels < 2:
            raise UsageError("max_levels must be at least 2", cause=f"got {self.max_levels}")
