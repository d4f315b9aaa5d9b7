"""What a search may set, and to which values. A domain's part ``space`` says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelgpt_cli.core.domain import Domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Schema
from modelgpt_cli.model_generator.cards import find_cards

Value = str | int | float | bool
Setting = dict[str, Value]
"""Parameter → value, of those that count."""
AUTO = "auto"
"""A choice that leaves it to the build."""
EPOCHS, LR, WEIGHT_DECAY = "epochs", "lr", "weight_decay"
TUNING = (EPOCHS, LR, WEIGHT_DECAY)
"""Parameters of the tuning, as `TuneSettings` has them; all others are the build's."""


@dataclass(frozen=True)
class Parameter:
    """One thing that a search sets.

    Attributes
    ----------
    name : str
    help : str
        What it is, in a few words: an LLM is shown them.
    default : str, int, float or bool
        What a build does by itself.
    choices : tuple
        The values; empty where they are an interval.
    low, high : float
        The interval's ends, both included; drawn on a logarithmic scale.
    only_with : (str, tuple), optional
        Another parameter, and its values at which this one counts.
    """

    name: str
    help: str
    default: Value
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    only_with: tuple[str, tuple[Value, ...]] | None = None

    def counts(self, setting: Mapping[str, Value]) -> bool:
        """Whether it counts beside what is set already."""
        return self.only_with is None or setting.get(self.only_with[0]) in self.only_with[1]

    def check(self, value: Any) -> Value:
        """Return a value as one of its own.

        Raises
        ------
        ValueError
            It is none; says what would be.
        """
        if self.choices:
            same = [one for one in self.choices if one == value and isinstance(one, bool) == isinstance(value, bool)]
            if not same:
                raise ValueError(f"{self.name} can't be {value!r}; it is one of {', '.join(map(str, self.choices))}")
            return same[0]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{self.name} can't be {value!r}; it is a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name} can't be {value:g}; it is {self.low:g} to {self.high:g}")
        return float(value)

    def form(self) -> dict[str, Any]:
        """Return the JSON schema of its values; null stands for one that doesn't count."""
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
        kind = [kinds[type(self.default)], *(["null"] if self.only_with else [])]
        values = {"enum": [*self.choices, *([None] if self.only_with else [])]} if self.choices else {}
        return {"type": kind, "description": self.words(), **values}

    def words(self) -> str:
        """Say what it is and which values it has."""
        values = ", ".join(map(str, self.choices)) if self.choices else f"{self.low:g} to {self.high:g}"
        only = f"; only where {self.only_with[0]} is {_one_of(self.only_with[1])}" if self.only_with else ""
        return f"{self.help}: {values}{only}"


@dataclass(frozen=True)
class Space:
    """All parameters of a search, those that others depend on first."""

    parameters: tuple[Parameter, ...]

    @property
    def default(self) -> Setting:
        """What a build does by itself."""
        return self.complete({})

    def complete(self, given: Mapping[str, Value]) -> Setting:
        """Return values with the defaults of what counts beside them, and without what doesn't count."""
        found: Setting = {}
        for one in self.parameters:
            if one.counts(found):
                found[one.name] = given.get(one.name, one.default)
        return found

    def check(self, values: Mapping[str, Any]) -> Setting:
        """Return values from elsewhere as a setting.

        Raises
        ------
        ValueError
            A name or a value is none of the space's, or one that counts is missing.
        """
        known = {one.name: one for one in self.parameters}
        for name in values:
            if name not in known:
                raise ValueError(f"there is no parameter {name!r}; there are {', '.join(known)}")
        found: Setting = {}
        for one in self.parameters:
            if not one.counts(found):
                continue
            if values.get(one.name) is None:
                raise ValueError(f"{one.name} is missing")
            found[one.name] = one.check(values[one.name])
        return found

    def changed(self, setting: Mapping[str, Value]) -> Setting:
        """Return what is not as in a build by itself."""
        known = {one.name: one.default for one in self.parameters}
        return {name: value for name, value in setting.items() if value != known[name]}


class Searched(Protocol):
    """A domain's part ``space``.

    Attributes
    ----------
    METRIC : (str, bool), optional
        What trials are judged by, as builds report it, and whether less of it is better; None where the task says so.
    """

    METRIC: tuple[str, bool] | None

    def parameters(self, schema: Schema) -> tuple[Parameter, ...]:
        """Return what a search may set for data of a schema, those that others depend on first."""

    def build_options(self, setting: Mapping[str, Value]) -> dict[str, Any]:
        """Return the options of a build that a setting stands for, by name; nothing for what is as usual."""


def searched(domain: Domain) -> Searched:
    """Return a domain's part ``space``.

    Raises
    ------
    UsageError
        It has none.
    """
    if not domain.has("space"):
        raise UsageError(f"There is no search for {domain.title} yet.", hint="Leave out --search and --minutes.")
    found: Searched = domain.part("space")
    return found


def card_parameter(domain: str) -> Parameter:
    """Return the choice among a domain's cards whose weights are on this machine; the first is what a build takes."""
    others = [card.name for card in find_cards(domain) if card.at_hand][1:]
    return Parameter("card", "Architecture; auto is the build's own choice", AUTO, (AUTO, *others))


def card_options(setting: Mapping[str, Value]) -> dict[str, Any]:
    """Return the build's options of a setting whose other parameters are called as these are."""
    left = (*TUNING, *(name for name, value in setting.items() if value == AUTO))
    return {name: value for name, value in setting.items() if name not in left}


def tuning(
    epochs: tuple[int, ...],
    lr: tuple[float, float, float] | None = None,
    decay: tuple[float, float, float] | None = None,
) -> tuple[Parameter, ...]:
    """Return the parameters of a tuning.

    Parameters
    ----------
    epochs : tuple of int
        The default, 0 for none, first.
    lr, decay : (float, float, float), optional
        Lowest, usual and highest learning rate, and weight decay.
    """
    tuned = (EPOCHS, tuple(n for n in epochs if n))
    found = [Parameter(EPOCHS, "Passes of finetuning over the rows, 0 for none", epochs[0], epochs)]
    for name, what, ends in ((LR, "Learning rate", lr), (WEIGHT_DECAY, "Weight decay", decay)):
        if ends is not None:
            found.append(Parameter(name, f"{what} of finetuning", ends[1], low=ends[0], high=ends[2], only_with=tuned))
    return tuple(found)


def in_words(setting: Mapping[str, Value]) -> str:
    """Say a setting in a line."""
    return ", ".join(f"{name} {_brief(value)}" for name, value in setting.items()) or "default"


def _one_of(values: tuple[Value, ...]) -> str:
    return str(values[0]) if len(values) == 1 else f"one of {', '.join(map(str, values))}"


def _brief(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
