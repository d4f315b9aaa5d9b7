"""What all commands share: options from `core.options` as Click takes them, the help, and the global flags.

A value comes from, in this order: the command line, ``MODELGPT_<COMMAND>_<OPTION>``, ``MODELGPT_<OPTION>`` for the
shared options, the command's section of the configuration file, its top level, the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import click

from modelgpt_cli.commands.registry import COMMANDS
from modelgpt_cli.core.domain import all_domains
from modelgpt_cli.core.option_fields import Known, Options, known_options, options_of

F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound=Options)


class Heading(NamedTuple):
    """A heading in the help, and where it comes: the later, the fewer users need what is under it."""

    rank: tuple[int, ...]
    title: str


COMMON = Heading((0,), "Options")
GLOBAL = Heading((3,), "Global options")
_NO_BREAK = "\u00a0"
_FLAGS_WIDTH = 30
"""Columns for the flags in the help, at most: as many as leave 64 of 98 for words."""


@dataclass
class Settings:
    """The global flags, wherever on the command line they stood."""

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    config: str | None = None


class Option(click.Option):
    """An option that can also be set by ``MODELGPT_<COMMAND>_<OPTION>`` and, where `shared`, ``MODELGPT_<OPTION>``.

    Attributes
    ----------
    shared : bool
    heading : Heading
        What it stands under in the help.
    last : bool
        Whether it comes last there.
    """

    def __init__(
        self, *args: Any, shared: bool = False, heading: Heading = COMMON, last: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.shared = shared
        self.heading = heading
        self.last = last

    @property
    def long_name(self) -> str:
        """The name users know it by: ``--merge-labels`` is ``merge_labels``."""
        return next(o for o in self.opts if o.startswith("--"))[2:].replace("-", "_")

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Look in the environment, the command's own variable first."""
        if not self.allow_from_autoenv:
            return None
        names = [f"{ctx.auto_envvar_prefix}_{self.long_name.upper()}"]
        if self.shared:
            names.append(f"MODELGPT_{self.long_name.upper()}")
        return next((os.environ[name] for name in names if os.environ.get(name)), None)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return flags and help, short enough for a line: with the default, and without the range that errors name."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        extra = self.get_help_extra(ctx)
        default = extra.get("default", "").removeprefix("(").removesuffix(")")
        remark = extra.get("required", "") or (f"default: {default}" if default else "")
        flags = record[0]
        for on, off in zip(self.opts, self.secondary_opts, strict=False):
            flags = flags.replace(f"{on} / {off}", f"--[no-]{on[2:]}")
        return flags, f"{self.help}  [{remark}]" if remark else self.help or ""


def _apply_config(ctx: click.Context, settings: Settings) -> None:
    """Make the configuration file's values the command's defaults; only a file that was asked for costs its reader."""
    if settings.config and ctx.parent is not None and not ctx.resilient_parsing:
        from modelgpt_cli.commands.config import defaults

        ctx.default_map = defaults(ctx, settings.config)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Make a callback that keeps a global flag in the `Settings`; the last one given wins."""

    def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        settings = ctx.ensure_object(Settings)
        if value:
            setattr(settings, name, value)
            if name == "config":
                _apply_config(ctx, settings)

    return callback


def global_options(*, environment: bool) -> list[click.Parameter]:
    """Make the flags that work before and after the command's name; only the former also read the environment."""
    shared: dict[str, Any] = {"expose_value": False, "allow_from_autoenv": environment, "heading": GLOBAL}
    flag: dict[str, Any] = {**shared, "is_flag": True}
    return [
        Option(["-q", "--quiet"], help="Print only warnings and errors.", callback=_keep("quiet"), **flag),
        Option(["-v", "--verbose"], help="Print more detail.", callback=_keep("verbose"), **flag),
        Option(["--debug"], help="Show the traceback of an error.", callback=_keep("debug"), **flag),
        Option(
            ["--config"],
            metavar="FILE",
            help="YAML file of options, for all commands or under a command's name.",
            callback=_keep("config"),
            # Read before the other options, whose defaults it holds.
            is_eager=True,
            **shared,
        ),
    ]


class Command(click.Command):
    """A command that takes the global flags and the options of some classes, and sets up the logging before it runs.

    The classes are looked up anew for each call, so that a domain that was registered since is in them.
    ``meta-train`` has a ``--config`` of its own; there the global one stands before the command's name.
    """

    def __init__(self, *args: Any, kinds: Sequence[type[Options]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kinds = kinds

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, the options of its classes, and the global flags."""
        kept = ctx.meta.setdefault(f"{__name__}.{self.name}", [])  # the same objects throughout a call
        if not kept:
            kept += [_click_option(known) for kind in self._kinds for known in known_options(kind).values()]
            own = {param.name for param in [*self.params, *kept]}
            kept += [param for param in global_options(environment=False) if param.name not in own]
        *own_params, help_option = super().get_params(ctx)
        return [*own_params, *kept, help_option]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by heading: the common ones, those of a theme, those of domains, the global flags."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        headings: dict[Heading, list[tuple[str, str]]] = {COMMON: []}
        for option in sorted(options, key=lambda option: getattr(option, "last", False)):
            record = option.get_help_record(ctx)
            if record is not None:
                headings.setdefault(getattr(option, "heading", GLOBAL), []).append(record)
        width = min(max(len(flags) for records in headings.values() for flags, _ in records), _FLAGS_WIDTH)
        for heading in sorted(headings, key=lambda heading: heading.rank):
            if headings[heading]:
                with formatter.section(heading.title):
                    rows = [(f"{flags:<{width}}", _keep_together(words)) for flags, words in headings[heading]]
                    formatter.write_dl(rows, col_max=width)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return super().get_help(ctx).replace(_NO_BREAK, " ")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, with the configuration file given before the command's name as defaults."""
        _apply_config(ctx, ctx.ensure_object(Settings))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command once all flags are known."""
        from modelgpt_cli.commands.output import set_up_logging

        settings = ctx.ensure_object(Settings)
        set_up_logging(quiet=settings.quiet, verbose=settings.verbose or settings.debug)
        return super().invoke(ctx)


def _keep_together(words: str) -> str:
    """Keep the remark at the end of an option's help on one line."""
    text, gap, remark = words.partition("  [")
    return text + gap + remark.replace(" ", _NO_BREAK)


def theme(title: str) -> Heading:
    """Return the heading of a theme; themes come in the order in which they are first met."""
    return Heading((1,), title)


def _heading(known: Known) -> Heading:
    """Return the heading of an option: that of its domains, such as "Texts and images", or of its theme."""
    if not known.domains:
        return theme(known.about.theme) if known.about.theme else COMMON
    order = [domain.name for domain in all_domains()][::-1]  # the most general first
    ranks = sorted((order.index(domain.name), domain.title) for domain in known.domains)
    *others, last = [title for _, title in ranks]
    title = (f"{', '.join(others)} and {last}" if others else last).capitalize()
    return Heading((2, len(ranks), *(rank for rank, _ in ranks)), title)


def _click_option(known: Known) -> Option:
    """Make the command line's option of a field."""
    about = known.about
    flags = [about.short, known.flag] if about.short else [known.flag]
    given: dict[str, Any] = {"help": about.help, "shared": about.shared, "heading": _heading(known)}
    if known.required:
        given["required"] = True
    if about.shown:
        given["show_default"] = about.shown
    if known.type is not bool:
        metavar = about.metavar or "|".join(about.choices) or ("N" if known.type is int else "NUMBER")
        given |= {"type": _click_type(known), "metavar": metavar}
        if not known.required:
            given["default"] = known.default
    elif known.default is None:
        flags[-1] += f"/--no-{known.flag[2:]}"
        given["default"] = None
    else:
        given["is_flag"] = True
        if known.default:
            given["callback"] = _negate
    return Option([*flags, known.name], **given)


def _click_type(known: Known) -> Any:
    """Give the range or the choices of an option to Click, whose errors show them."""
    about = known.about
    if about.choices:
        return click.Choice(about.choices)
    if known.type is str or (about.least is None and about.most is None):
        return known.type
    if known.type is int:
        least, most = (None if end is None else int(end) for end in (about.least, about.most))
        return click.IntRange(least, most, min_open=about.above, max_open=about.below)
    return click.FloatRange(about.least, about.most, min_open=about.above, max_open=about.below)


def _negate(_ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    """Make of "--no-cache given" the value of `cache`."""
    return not value


def command(name: str, example: str, *kinds: type[Options]) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare the command `name`.

    Parameters
    ----------
    name : str
        One of `COMMANDS`.
    example : str
        Ends its help.
    *kinds : type of Options
        Whose options it takes, as keyword arguments; those of all domains are among them.
    """
    lines = "\n".join("  " + line for line in example.strip().splitlines())
    title = "Examples" if "\n" in lines else "Example"
    epilog = f"\b\n{title}:\n{lines}"
    return click.command(name, cls=Command, kinds=kinds, short_help=COMMANDS[name], epilog=epilog)


def take(options: dict[str, Any], kind: type[K]) -> K:
    """Remove a class's options from those of a command, and return them as one."""
    return kind(**{name: options.pop(name) for name in options_of(kind)})


def option(*args: Any, **kwargs: Any) -> Callable[[F], F]:
    """Declare an option of the `Option` class."""
    return click.option(*args, cls=Option, **kwargs)


def off_option(flag: str, name: str, help: str, **kwargs: Any) -> Callable[[F], F]:
    """Declare a flag that sets `name`, which is true otherwise, to false."""
    return option(flag, name, is_flag=True, callback=_negate, help=help, **kwargs)


def requirement_option(**kwargs: Any) -> Callable[[F], F]:
    """``--req``."""
    return option("-r", "--req", metavar="FILE", help="Requirement file; '-' for stdin.", **kwargs)


def stdout_option(help: str) -> Callable[[F], F]:
    """``--output`` of a command that writes to stdout without it."""
    return option("-o", "--output", metavar="FILE", default="-", show_default="stdout", help=help)


def force_option(function: F) -> F:
    """``--force``."""
    return option("-f", "--force", is_flag=True, last=True, help="Replace existing files.")(function)


def json_option(function: F) -> F:
    """``--json``, as `as_json`."""
    return option("--json", "as_json", is_flag=True, last=True, help="Print the result as JSON.")(function)
