"""The choice under the contract: candidates are made, written and measured, in the order of what they lose.

A candidate is a card in a storage. Those that can't meet a limit by computation are left out before anything is made;
of the others the first that meets all is taken, unless a later one could lose less. Between `measure` and `build`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.artifacts.metadata import with_entries
from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.errors import VerificationError
from modelgpt_cli.core.metrics import LOSS
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORED, Costs
from modelgpt_cli.model_generator.measure import Rows, measured
from modelgpt_cli.model_generator.measured_limits import asked_for, find_missed, measure_limits
from modelgpt_cli.model_generator.messages import limits_table, missed_words
from modelgpt_cli.model_generator.quantised import Comparison, held_back, loss_of

STORED_LIMITS = {"size", "latency_ms", "memory"}
"""Limits that another storage may mend."""


@dataclass
class Body:
    """A model of a card, before it is written.

    Attributes
    ----------
    metrics : dict
        Cross-validated, by the name of the model or baseline; empty where there were too few rows.
    n_rows : int
        That they were found on.
    rows, truth, card
        `Builder.shown`, `Builder.truth` and `Builder.built`.
    """

    model: TargetModel
    metrics: dict[str, dict[str, float]]
    n_rows: int
    rows: Rows
    truth: np.ndarray | None
    card: str = ""
    compared: Comparison = field(init=False)

    def __post_init__(self) -> None:
        self.compared = Comparison(self.model, self.rows, self.truth)


@dataclass
class Attempt:
    """A candidate, as far as it was tried.

    Attributes
    ----------
    measured : dict
        Limit or metric → what was measured; of one left out, the computed floors.
    missed : dict
        Those that aren't met → by which factor.
    lost : dict
        Metric → what the storage costs on the user's rows.
    total : float
        What it loses in the metric of `LOSS`: the card's on record, and the storage's as measured.
    path : Path, optional
        Its file; None where there is none.
    body : Body, optional
        None where it was left out.
    reason : str
        Why its file could not be made.
    """

    card: ArchitectureCard
    storage: str
    measured: dict[str, Any] = field(default_factory=dict)
    missed: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)
    total: float = math.inf
    path: Path | None = None
    body: Body | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """What it is called before users."""
        return f"{self.card_name} in {STORED[self.storage]}"

    @property
    def card_name(self) -> str:
        """The card that the model turned out to be of; before it is made, the one that it is begun with."""
        return (self.body.card if self.body is not None else "") or self.card.name

    @property
    def kept(self) -> bool:
        """Whether it was made and meets everything."""
        return self.body is not None and not self.missed and not self.reason

    @property
    def distance(self) -> float:
        """How far it is from what is asked: the factors by which it misses, multiplied, as a logarithm."""
        return sum(math.log(factor) for factor in self.missed.values())


@dataclass
class Search:
    """Everything that a choice needs to know.

    Attributes
    ----------
    cards : sequence of ArchitectureCard
        In the order of what they lose.
    storages : sequence of str
        In which each may be written, likewise.
    make : callable
        Builds a card's model; called once for each.
    costs : callable
        Computes what a card's model costs, where that is known; not called where there is no limit on it.
    write : callable
        Given a body, a storage and a path, writes the verified file there. None: no file is measured
        (``model.safetensors``).
    folder : Path
        For the files.
    attempts, left_out : list of Attempt
        What was tried, and what was not, because of computed floors.
    """

    wanted: Requirement
    task: str
    cards: Sequence[ArchitectureCard]
    storages: Sequence[str]
    make: Callable[[ArchitectureCard], Body]
    costs: Callable[[ArchitectureCard], Costs | None]
    write: Callable[[Body, str, Path], None] | None
    folder: Path
    attempts: list[Attempt] = field(default_factory=list)
    left_out: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked = asked_for(self.wanted.limits, self.wanted.quality)
        self._bodies: dict[str, Body] = {}

    def run(self, best_effort: bool = False) -> Attempt:
        """The best candidate that meets everything; with `best_effort`, else the one that comes nearest.

        Raises
        ------
        VerificationError
            None does.
        """
        best: Attempt | None = None
        for card in self.cards:
            if best is not None and self._recorded(card) >= best.total:
                break
            if card.lost and self._too_bad():
                continue  # what loses more on record could reach the quality by luck alone
            out = self._left_out(card)
            self.left_out += out
            for storage in (s for s in self.storages if s not in {a.storage for a in out}):
                attempt = self._try(card, storage)
                self.attempts.append(attempt)
                if attempt.kept and (best is None or attempt.total < best.total):
                    best = attempt
                if self._settled(attempt):
                    break
        if best is not None:
            return best
        if best_effort:
            for attempt in self.left_out:
                self.attempts.append(self._try(attempt.card, attempt.storage))
        made = [attempt for attempt in self.attempts if attempt.body is not None and not attempt.reason]
        if best_effort and made:
            return min(made, key=lambda attempt: (attempt.distance, attempt.total))
        raise self._refusal()

    @property
    def tried(self) -> list[Attempt]:
        """All candidates but those that there was no need to try, in the order of the cards."""
        names = [card.name for card in self.cards]
        return sorted([*self.left_out, *self.attempts], key=lambda attempt: names.index(attempt.card.name))

    def _settled(self, attempt: Attempt) -> bool:
        """Whether a card's other storages need not be tried: they could not lose less, or not mend what is missed."""
        if attempt.kept:
            return attempt.total <= self._recorded(attempt.card)
        return bool(attempt.missed) and not set(attempt.missed) & STORED_LIMITS

    def _too_bad(self) -> bool:
        """Whether a model of a card on record is not good enough in any storage."""
        asked = self.wanted.quality.to_mapping()
        made = [body.metrics.get("model", {}) for body in self._bodies.values()]
        return any(find_missed(self.asked, {key: metrics.get(key) for key in asked}) for metrics in made)

    def _left_out(self, card: ArchitectureCard) -> list[Attempt]:
        """The candidates of a card that can't meet a limit, whatever is measured."""
        limits = self.wanted.limits
        if limits.size is None and limits.parameters is None and limits.flops is None:
            return []
        costs = self.costs(card)
        found = []
        for storage in self.storages if costs is not None else ():
            floors = costs.exceeding(limits, storage, file=self.write is not None)  # type: ignore[union-attr]
            if floors:
                found.append(Attempt(card, storage, dict(floors), find_missed(self.asked, floors)))
        return found

    def _recorded(self, card: ArchitectureCard) -> float:
        """What a card loses, on record; infinite without one, but for the first."""
        if card is self.cards[0]:
            return 0.0
        return max(0.0, card.lost.get(LOSS.get(self.task, ""), math.inf))

    def _try(self, card: ArchitectureCard, storage: str) -> Attempt:
        """Make, write and measure a candidate."""
        if card.name not in self._bodies:
            self._bodies[card.name] = self.make(card)
        body = self._bodies[card.name]
        attempt = Attempt(card, storage, body=body)
        if self.write is not None:
            attempt.path = self.folder / f"{len(self.attempts)}.onnx"
            try:
                self.write(body, storage, attempt.path)
            except VerificationError as error:
                if len(self.cards) * len(self.storages) == 1:
                    raise
                attempt.reason = error.cause or error.problem
                return attempt
            if storage != "none" and self.asked:
                attempt.lost = body.compared.lost(attempt.path)
        attempt.total = self._recorded(card) + loss_of(self.task, attempt.lost)
        reached = held_back(body.metrics.get("model", {}), attempt.lost)
        limits, quality = self.wanted.limits, self.wanted.quality
        attempt.measured = measure_limits(limits, quality, body.model, attempt.path, reached, body.rows)
        attempt.missed = find_missed(self.asked, attempt.measured)
        if attempt.path is not None and self.asked:
            self._tell(attempt, attempt.path)
        return attempt

    def _tell(self, attempt: Attempt, path: Path) -> None:
        """Put the figures into the file's metadata, its size with them included."""
        raw = path.read_bytes()
        written = raw
        for _ in range(4):  # the figures' digits are part of the size
            if "size" in attempt.measured:
                attempt.measured["size"] = len(written)
                attempt.missed = find_missed(self.asked, attempt.measured)
            written = with_entries(raw, entries(attempt))
            if attempt.measured.get("size", len(written)) == len(written):
                break
        path.write_bytes(written)

    def _refusal(self) -> VerificationError:
        """Which limits there are, what came nearest to each, and what to do."""
        made = [attempt for attempt in [*self.left_out, *self.attempts] if not attempt.reason]
        if not made:
            return VerificationError(
                "No candidate could be written; nothing was written.",
                "\n".join(f"{attempt.name}: {attempt.reason}" for attempt in self.attempts),
                "Please report it.",
            )
        nearest = min(made, key=lambda attempt: (attempt.distance, attempt.total))
        return VerificationError(
            "No model meets the requirement's limits; nothing was written.",
            f"{limits_table(self.asked, made)}\nNearest: {nearest.name}, misses {missed_words(nearest, self.asked)}.",
            _advice(nearest),
        )


def entries(attempt: Attempt) -> dict[str, Any]:
    """What a model's card says of how it was chosen, beside what the requirement asks for."""
    return {
        "chosen": {"card": attempt.card_name, "storage": STORED[attempt.storage]},
        "measured": attempt.measured,
        "missed": sorted(attempt.missed),
    }


def _advice(nearest: Attempt) -> str:
    model = None if nearest.body is None else nearest.body.model
    smaller = "" if model is None else measured(model.blueprint.domain).smaller(model)
    option = f"{smaller}, " if smaller else ""
    return f"Loosen a limit, try {option}another --card, or --best-effort to get the nearest all the same."
