"""What the blocks of the requirement file share: values are read on the way in, unknown keys are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from modelgpt_cli.core.errors import UsageError

Self = TypeVar("Self", bound="Block")


@dataclass(frozen=True)
class Block:
    """A block of keys below the ``---``, such as ``limits``. Values with units are read on the way in.

    Raises
    ------
    UsageError
        If a value makes no sense; names block and key.
    """

    name: ClassVar[str]
    """The block's own key."""
    readers: ClassVar[Mapping[str, Callable[[object], Any]]]
    """Key → what reads its value."""
    moved: ClassVar[Mapping[str, str]] = {}
    """Key that once stood here → the block where it stands now."""

    def __post_init__(self) -> None:
        for key, reader in self.readers.items():
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, reader(value))

    @classmethod
    def from_mapping(cls: type[Self], values: Mapping[str, Any]) -> Self:
        """Read the block as the requirement file has it; unknown keys are a `UsageError` listing the known ones."""
        for key in values:
            if key in cls.moved:
                place = f"{cls.moved[key]}: {key}"
                raise UsageError(
                    f"{cls.name}: {key} is now {place}.", hint=f"Write {cls.moved[key]}: {{{key}: {values[key]}}}."
                )
            if key not in cls.readers:
                raise UsageError(
                    f"{cls.name}: there is no key called {str(key)!r}.", f"The keys are {', '.join(cls.readers)}."
                )
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Give the values that differ from their defaults, as the requirement file has them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
