"""An option as a dataclass field: declare one, look one up, check a value.

The options themselves stand in `core.options`, and in each domain's part ``options``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from modelgpt_cli.core.domain import Domain, all_domains
from modelgpt_cli.core.errors import UsageError

O = TypeVar("O", bound="Options")  # noqa: E741
_KEY = "option"
_MOST_NAME, _MOST_PATH = 255, 2048
"""Bytes of a file's or a folder's name on all usual file systems; and of a path, which is seen from a folder whose own
may be as long."""
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class About:
    """What is known of an option beside its name, type and default.

    Attributes
    ----------
    help : str
        One line, in the imperative.
    theme : str
        The heading that the option stands under in the help; "" is common use. A domain's own are under its title.
    short : str
        A one-letter flag: "-t".
    metavar : str
        What the help shows as the value: "FILE".
    choices : tuple of str
        What the value may be; empty where anything may be.
    least, most : float, optional
        Of a number.
    below : bool
        Whether the value must be less than `most`, rather than at most that.
    above : bool
        Whether the value must be more than `least`, rather than at least that.
    shown : str
        What the help says is the default, where that is not the field's own.
    shared : bool
        Whether ``MODELGPT_<OPTION>`` sets it for every command, beside ``MODELGPT_<COMMAND>_<OPTION>``.
    reading : bool
        Whether it says how the data are read, which is before their domain is known.
    any_object : bool
        Whether Python may give an object in place of a text, which the domain checks.
    path : {"", "path", "place"}
        "path": a file or folder. "place": a name, or a file or folder. A batch file's are found from where it is.
    """

    help: str
    theme: str = ""
    short: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: bool = False
    below: bool = False
    shown: str = ""
    shared: bool = False
    reading: bool = False
    any_object: bool = False
    path: Literal["", "path", "place"] = ""


def option(help: str, default: Any = None, **about: Any) -> Any:
    """Declare a field of an `Options` class as an option; `about` are `About`'s attributes.

    With the default ``dataclasses.MISSING`` it must be given.
    """
    return field(default=default, metadata={_KEY: About(help, **about)})


def option_like(kind: type, name: str, **changes: Any) -> Any:
    """Declare a field as the same option as another class's field, but for `changes`: `default`, `About`'s attributes.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class First(Options):
    ...     seed: int = option("Random seed.", 0)
    >>> @dataclass(frozen=True)
    ... class Second(Options):
    ...     seed: int = option_like(First, "seed", default=1)
    >>> options_of(Second)["seed"].about.help
    'Random seed.'
    """
    other = next(f for f in fields(kind) if f.name == name)
    default = changes.pop("default", other.default)
    return field(default=default, metadata={_KEY: replace(other.metadata[_KEY], **changes)})


@dataclass(frozen=True)
class Known:
    """An option of a verb, as the command line and batch files see it.

    Attributes
    ----------
    name : str
        The field's: "merge_labels" is ``--merge-labels``.
    type : type
        str, int, float or bool.
    default : object
    about : About
    domains : tuple of Domain
        Those that understand it; empty where all do.
    """

    name: str
    type: type
    default: Any
    about: About
    domains: tuple[Domain, ...] = ()

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    @property
    def flag(self) -> str:
        """The long flag; of an option that is on by default, the one that turns it off."""
        return ("--no-" if self.default is True else "--") + self.name.replace("_", "-")

    def check(self, value: object, name: str = "") -> Any:
        """Return a value as one of the option's type and range.

        Parameters
        ----------
        value : object
            None is always one.
        name : str
            What errors call the option; its flag by default.

        Raises
        ------
        UsageError
            It is none; names the option.
        """
        name = name or self.flag
        if value is None or (self.about.any_object and not isinstance(value, str)):
            return value
        if self.type is float and isinstance(value, int) and not isinstance(value, bool) and _is_finite(value):
            value = float(value)
        if not isinstance(value, self.type) or (self.type is int and isinstance(value, bool)):
            raise UsageError(f"{name} can't be {value!r}.", f"It is {_KINDS[self.type]}.")
        about = self.about
        if about.choices and value not in about.choices:
            raise UsageError(f"{name} can't be {value!r}.", f"It is one of {', '.join(about.choices)}.")
        if isinstance(value, str):
            _check_text(value, name, about.path)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = about.least, about.most
            if not _is_finite(value) or (low is not None and (value < low or (about.above and value == low))):
                raise UsageError(f"{name} can't be {_short(value)}.", self._range())
            if high is not None and (value > high or (about.below and value == high)):
                raise UsageError(f"{name} can't be {_short(value)}.", self._range())
        return value

    def _range(self) -> str:
        low, high = self.about.least, self.about.most
        parts = [f"{'above' if self.about.above else 'at least'} {low:g}"] if low is not None else []
        parts += [f"{'below' if self.about.below else 'at most'} {high:g}"] if high is not None else []
        return f"It is {' and '.join(parts)}." if parts else "It is a finite number."


def _short(value: float) -> str:
    """A number for an error, however large."""
    return f"{value:g}" if _is_finite(value) or isinstance(value, float) else "so large"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def _check_text(value: str, name: str, path: str) -> None:
    """Make sure that a text is one that the system takes, and a path one that can be."""
    if "\0" in value:
        raise UsageError(f"{name} holds a NUL character.", hint="Take it out.")
    if not path:
        return
    longest = max(len(part.encode(errors="backslashreplace")) for part in re.split(r"[/\\]", value))
    if longest > _MOST_NAME or len(value.encode(errors="backslashreplace")) > _MOST_PATH:
        most = f"A name has at most {_MOST_NAME} bytes, a path {_MOST_PATH:,}."
        raise UsageError(f"{name} names no file: {value[:60]!r}….", most)


@dataclass(frozen=True)
class Options:
    """Options of one verb. Values are checked on the way in.

    Raises
    ------
    UsageError
        A value is of another type, or out of range; names the flag.
    """

    def __post_init__(self) -> None:
        for known in options_of(type(self)).values():
            object.__setattr__(self, known.name, known.check(getattr(self, known.name)))

    def given(self) -> dict[str, Any]:
        """Return the values that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def options_of(kind: type[Options]) -> Mapping[str, Known]:
    """Return a class's options by name, in the order of its fields."""
    key: Any = kind  # mypy doesn't take a class whose objects have a hash of their own for hashable
    return _read_options(key)


@cache  # a batch asks for them at each of its lines
def _read_options(kind: type[Options]) -> Mapping[str, Known]:
    hints = get_type_hints(kind)
    found = {}
    for f in fields(kind):
        about = f.metadata.get(_KEY)
        if about is not None:
            found[f.name] = Known(f.name, _plain_type(hints[f.name], f), f.default, about)
    return MappingProxyType(found)


def known_options(base: type[Options]) -> dict[str, Known]:
    """Return all options of a verb by name: those of every domain, then each domain's own.

    Parameters
    ----------
    base : type of Options
        The verb's class in `core.options`.
    """
    common = options_of(base)
    own: dict[str, Known] = {}
    for domain in all_domains():
        for name, known in options_of(domain_options(base, domain)).items():
            if name not in common:
                before = own[name].domains if name in own else ()
                own[name] = Known(name, known.type, known.default, known.about, (*before, domain))
    return {**common, **own}


def domain_options(base: type[O], domain: Domain) -> type[O]:
    """Return a domain's class of a verb's options; the verb's own where the domain adds none."""
    if not domain.has("options"):
        return base
    found: type[O] = getattr(domain.part("options"), base.__name__, base)
    return found


def make_options(base: type[O], domain: Domain, values: Mapping[str, Any]) -> O:
    """Make a domain's options of a verb from values by name; None stands for the default.

    Raises
    ------
    UsageError
        A name is unknown, an option is for another domain, or a value is out of range.
    """
    kind = domain_options(base, domain)
    mine = options_of(kind)
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if name in mine:
            continue
        known = known_options(base)
        if name not in known:
            raise UsageError(f"There is no option {name!r}.", f"There are {', '.join(known)}.")
        if value == known[name].default:
            continue
        titles = " and ".join(other.title for other in known[name].domains)
        raise UsageError(f"{known[name].flag} is for {titles}.", f"This is about {domain.title}.", "Leave it out.")
    return kind(**{name: value for name, value in given.items() if name in mine})


def _plain_type(hint: Any, f: Field[Any]) -> type:
    """The type of an option's values, None left out."""
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        hint = next(one for one in get_args(hint) if one is not type(None))
    if hint not in _KINDS:
        raise TypeError(f"The option {f.name} can't be of type {hint}.")
    kind: type = hint
    return kind
