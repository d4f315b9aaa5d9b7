"""Architecture cards of the table domain: one network, and a card for each number of them that are merged into a model;
and the default card, which may have a kernel machine and boosted trees beside them.

Shapes: M members, f full and b flat features, d = f + b, K channels, H hidden units, C outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.shared.records import record
from modelgpt_cli.domains.tabular import options as own
from modelgpt_cli.domains.tabular.sizes import CHANNELS, HIDDEN, MAX_COLUMNS
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORAGES, Costs, Sizes, matrix_costs
from modelgpt_cli.parameter_generator.default_encoder import BYTES, PARAMETERS

MEMBERS = (8, 4, 2, 1)
"""Of the cards that a build tries by itself; `weights/tabular/members.yaml` has what each loses."""
SETTING = "members"
TREES, KERNEL = "trees", "kernel"
"""Of a card's settings: 1 where boosted trees, or a kernel machine, are mixed in if held-out rows gain by it."""
_NAME = re.compile(r"tabular-([1-9]\d{0,2})(\+kernel)?(\+trees)?")


def cards() -> Iterator[ArchitectureCard]:
    """Yield the cards: with kernel and trees, then those of networks alone, from the most members to one."""
    yield table_card(MEMBERS[0], trees=True, kernel=True)
    yield from (table_card(members) for members in MEMBERS)


def find(name: str) -> ArchitectureCard | None:
    """Return the card of a name: ``tabular-N`` with or without ``+kernel`` and ``+trees``, N up to 999."""
    found = _NAME.fullmatch(name)
    return table_card(int(found[1]), kernel=bool(found[2]), trees=bool(found[3])) if found else None


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs; see `table_costs`."""
    return table_costs(card.settings[SETTING], sizes)


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return the card of so many members as the options ask for: networks alone."""
    members = _asked_members(options)
    return None if members is None else table_card(members)


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return ``--members`` or ``--one-pass`` where it asks for another number of members, or for networks alone."""
    assert isinstance(options, own.BuildOptions)
    if _asked_members(options) not in (None, card.settings[SETTING]):
        return "--one-pass" if options.members is None else "--members"
    more = card.settings[TREES] or card.settings[KERNEL]
    return "--one-pass" if options.one_pass and more else ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Make sure that one pass is asked for nothing that takes rows which the model has not seen.

    Raises
    ------
    UsageError
        It is.
    """
    assert isinstance(options, own.BuildOptions)
    if not options.one_pass:
        return
    quality = next(iter(requirement.quality.to_mapping()), None)
    flags = [f"--{name}" for name in ("group", "time", "coverage", "teacher") if getattr(options, name)]
    if quality is not None or flags:
        what = flags[0] if quality is None else f"quality: {quality}"
        raise UsageError(f"{what} takes cross-validation, and --one-pass does without.", hint="Leave out one of them.")


def storages(*, data: bool) -> tuple[str, ...]:
    """Return all storages; none takes rows."""
    return tuple(STORAGES.values())


def _asked_members(options: BuildOptions) -> int | None:
    """Members that the options ask for; one pass has one by default."""
    assert isinstance(options, own.BuildOptions)
    return options.members or (1 if options.one_pass else None)


def table_card(members: int, *, trees: bool = False, kernel: bool = False) -> ArchitectureCard:
    """Return the card of so many members, with trees and a kernel or without."""
    known: Mapping[str, Any] = record("tabular", "members.yaml")
    recorded: Mapping[str, Any] = next((one for one in known.get("members", ()) if one["members"] == members), {})
    lost = recorded.get("lost", {})
    if not trees and lost:  # counted against the first card, which has them
        lost = {metric: lost[metric] + more for metric, more in known.get("without_trees", {}).items()}
    return ArchitectureCard(
        name=card_name(members, trees=trees, kernel=kernel),
        domain="tabular",
        architecture="tabular-mlp-128",
        settings={SETTING: members, TREES: int(trees), KERNEL: int(kernel)},
        generator="weights/tabular",
        limits={"columns": MAX_COLUMNS},
        quality=recorded.get("quality", {}),
        lost=lost,
    )


def card_name(members: int, *, trees: bool = False, kernel: bool = False) -> str:
    """Return what a card is called."""
    return f"tabular-{members}" + ("+kernel" if kernel else "") + ("+trees" if trees else "")


def table_costs(members: int, sizes: Sizes) -> Costs:
    """Compute the cost of M networks, merged: exact but for what is left out: kernel, trees, the text encoder's
    operations.

    Parameters
    ----------
    members : int
        M.
    sizes : Sizes
        `numbers` is f, `levels` b; with any `texts` the model carries the text encoder.
    """
    d, c = sizes.numbers + sizes.levels, sizes.outputs
    member = [(sizes.numbers * CHANNELS + sizes.levels, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, c), (HIDDEN, c)]
    matrices = [shape for shape in member for _ in range(members)] + [(d, c)]
    found = matrix_costs(matrices, members * 2 * HIDDEN + c, sum(columns for _, columns in matrices))
    if not sizes.texts:
        return found
    n_bytes = {storage: n + BYTES for storage, n in found.n_bytes.items()}
    return Costs(found.parameters + PARAMETERS, found.flops, n_bytes)
