"""How the cells of a column are written: found once, where a model's data is first read, and obeyed ever after.

A rule makes the value of a cell a function of that cell alone, whatever file, chunk or neighbours it comes with. It
stands in the requirement file, where it can be read and changed, and in the model's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from modelgpt_cli.core.errors import UsageError

DECIMALS = (".", ",")
THOUSANDS = ("", ",", ".")
MARKERS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""Cells that are missing in a column of any type, unless its rule says otherwise."""
NO_NUMBER = (
    *("-", "--", "---", "–", "—", ".", "..", "…", ":", "*", "/", "n/a", "N/a", "na", "Na", "n.a.", "n. a.", "N.A."),
    *("#N/A", "#NA", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "<NA>", "None", "none", "NONE"),
    *("nil", "Nil", "NIL", "Null", "NaT", "nat", "k.A.", "k.a.", "k. A.", "keine Angabe", "missing", "Missing"),
    *("MISSING", "not available", "-nan", "-NaN", "NAN", "1.#QNAN", "-1.#IND"),
)
"""Cells of a column of numbers or dates that say that there is none, beside `MARKERS`."""
DURATION = "duration"
"""The `format` of a numeric column of durations, which are read as seconds."""
_MAX_MARK = 20


@dataclass(frozen=True)
class ReadingRule:
    """How the cells of a column are written.

    Cells that a file format types itself (a number in JSON, a date in a sheet) mean what they are; a rule is for text.
    """

    decimal: str = "."
    """Decimal sign of the numbers that the rule was made from: "." or ",". Either is read where there is no doubt."""
    thousands: str = ""
    """What a cell such as "1,234" or "1.234", whose sign may be either, has between thousands: "," or "."; "" if its
    sign is the decimal sign. Blanks and apostrophes between thousands are read in any case."""
    prefix: str = ""
    """What stands before the numbers: "$"."""
    suffix: str = ""
    """What stands behind the numbers: "%", "kg"."""
    missing: tuple[str, ...] | None = None
    """Cells that are missing, beside empty ones; by default `MARKERS`, of numbers and dates `NO_NUMBER` too."""
    true: str = ""
    """Of a column of two values that are a yes and a no: how yes is written ("true", "1"). Every spelling is read."""
    false: str = ""
    """How no is written."""
    format: str = ""
    """Of dates: the strptime format, or "ISO8601"; of numbers: "duration", or ""."""
    timezone: str = ""
    """Of dates: the zone of cells that name none, such as "UTC" or "+02:00", where the data's dates had zones. "" where
    they had none: then the zone of a cell is not looked at."""

    def __post_init__(self) -> None:
        for name, allowed in (("decimal", DECIMALS), ("thousands", THOUSANDS)):
            if getattr(self, name) not in allowed:
                shown = ", ".join(repr(sign) for sign in allowed)
                raise UsageError(f"reading: {name} can't be {getattr(self, name)!r}.", f"It is one of {shown}.")
        for name in ("prefix", "suffix"):
            mark = getattr(self, name)
            if len(mark) > _MAX_MARK or (any(map(str.isdigit, mark)) and name == "prefix"):
                raise UsageError(f"reading: {name} can't be {mark!r}.", "It is a short mark without digits.")
        if bool(self.true) != bool(self.false) or (self.true and self.true == self.false):
            raise UsageError("reading: true and false go together, and differ.", hint="Give both, or leave both out.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ReadingRule:
        """Read a rule from a requirement file or a model card.

        Raises
        ------
        UsageError
            An unknown key, or a value that no rule can have.
        """
        known = [f.name for f in fields(cls)]
        for key, value in values.items():
            if key not in known:
                raise UsageError(f"reading: there is no key {key!r}.", f"The keys are {', '.join(known)}.")
            if key == "missing":
                if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
                    raise UsageError("reading: missing must be a list, such as ['-', NA].", f"It is {value!r}."[:200])
            elif not isinstance(value, str):
                raise UsageError(f"reading: {key} must be one value.", f"It is {value!r}."[:200])
        kept: dict[str, Any] = {key: tuple(value) if key == "missing" else value for key, value in values.items()}
        return cls(**kept)

    def to_mapping(self) -> dict[str, Any]:
        """Return what differs from the default, as JSON values."""
        default = ReadingRule()
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {name: value for name, value in found.items() if value != getattr(default, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @property
    def markers(self) -> tuple[str, ...]:
        """Cells that are missing in a column of any type."""
        return MARKERS if self.missing is None else ("", *self.missing)


PLAIN = ReadingRule()
