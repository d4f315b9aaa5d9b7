"""What a check of the installation finds; domains have checks of their own, which `runtime.doctor` runs too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal, Protocol

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Check:
    """What one check found: a word, a detail, and the command that mends it."""

    name: str
    status: Status
    detail: str = ""
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        return asdict(self)


class Needs(Protocol):
    """A domain's part ``needs``. Imports nothing that only builds."""

    def checks(self, *, builds: bool) -> Iterator[Check]:
        """Check what this domain alone needs; none raises.

        Parameters
        ----------
        builds : bool
            Whether models are built here, and not only run.
        """


def installed_version(package: str) -> str | None:
    """Return the version of a distribution; None where it isn't installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
