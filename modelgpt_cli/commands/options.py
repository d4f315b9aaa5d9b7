"""What all commands share: the global flags, where an option's value comes from, and the options many of them take.

A value comes from, in this order: the command line, ``MODELGPT_<COMMAND>_<OPTION>``, ``MODELGPT_<OPTION>`` for the
shared options, the command's section of the configuration file, its top level, the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from modelgpt_cli.commands.registry import COMMANDS

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """The global flags, wherever on the command line they stood."""

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    config: str | None = None


class Option(click.Option):
    """An option that can also be set by ``MODELGPT_<COMMAND>_<OPTION>`` and, where `shared`, ``MODELGPT_<OPTION>``."""

    def __init__(self, *args: Any, shared: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared = shared

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
    shared: dict[str, Any] = {"expose_value": False, "allow_from_autoenv": environment}
    flag: dict[str, Any] = {**shared, "is_flag": True, "show_default": False}
    return [
        Option(["-q", "--quiet"], help="Say nothing but warnings and errors.", callback=_keep("quiet"), **flag),
        Option(["-v", "--verbose"], help="Say more.", callback=_keep("verbose"), **flag),
        Option(["--debug"], help="Show the traceback of an error.", callback=_keep("debug"), **flag),
        Option(
            ["--config"],
            metavar="FILE",
            help="YAML file of options: names at the top level, or under a command's name.",
            callback=_keep("config"),
            # Read before the other options, whose defaults it holds.
            is_eager=True,
            **shared,
        ),
    ]


class Command(click.Command):
    """A command that takes the global flags too, and sets up the logging before it runs.

    ``meta-train`` has a ``--config`` of its own; there the global one stands before the command's name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = {param.name for param in self.params}
        self.params.extend(p for p in global_options(environment=False) if p.name not in own)

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


def command(name: str, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare the command `name`; `example` ends its help."""
    lines = "\n".join("  " + line for line in example.strip().splitlines())
    return click.command(name, cls=Command, short_help=COMMANDS[name], epilog=f"\b\nExample:\n{lines}")


def option(*args: Any, **kwargs: Any) -> Callable[[F], F]:
    """Declare an option of the `Option` class."""
    return click.option(*args, cls=Option, **kwargs)


def force_option(function: F) -> F:
    """``--force``."""
    return option("-f", "--force", is_flag=True, show_default=False, help="Replace the destination if it exists.")(
        function
    )


def json_option(function: F) -> F:
    """``--json``, as `as_json`."""
    return option("--json", "as_json", is_flag=True, show_default=False, help="Print the result as JSON.")(function)


def seed_option(function: F) -> F:
    """``--seed``."""
    return option("--seed", type=int, default=0, shared=True, help="Same seed, same result.")(function)


def device_option(function: F) -> F:
    """``--device``."""
    devices = click.Choice(["auto", "cpu", "cuda", "mps"])
    return option("--device", type=devices, default="auto", shared=True, help="Where to compute.")(function)


def types_option(function: F) -> F:
    """``--types``."""
    return option("--types", metavar="FILE", help="YAML file of column types, one 'name: type' a line.")(function)


def merge_labels_option(function: F) -> F:
    """``--merge-labels``."""
    return option(
        "--merge-labels",
        is_flag=True,
        show_default=False,
        help="Merge labels that differ only in case, blanks or final punctuation.",
    )(function)


def llm_options(function: F) -> F:
    """Whom to ask and how: ``--llm``, ``--provider``, ``--base-url``, ``--no-cache``, ``--timeout``, ``--retries``."""
    for one in (
        option(
            "--retries",
            type=click.IntRange(min=0),
            show_default="the provider's, or 3",
            help="How often a failed call is tried again.",
        ),
        option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            show_default="the provider's, or 60",
            help="Seconds to wait for the LLM.",
        ),
        option(
            "--no-cache",
            is_flag=True,
            shared=True,
            show_default=False,
            help="Ask anew what was answered before, and don't keep the answer.",
        ),
        option("--base-url", metavar="URL", shared=True, help="Any server that speaks the Chat Completions API."),
        option(
            "--provider",
            metavar="NAME",
            shared=True,
            help="The server by name: openai, ollama, vllm, llamacpp, or one of your own (docs/llm.md).",
        ),
        option("--llm", metavar="MODEL", shared=True, help="The LLM to ask.", show_default="the provider's"),
    ):
        function = one(function)
    return function


def redact_option(function: F) -> F:
    """``--redact``."""
    return option(
        "--redact",
        is_flag=True,
        shared=True,
        show_default=False,
        help="Show the LLM placeholders for e-mail addresses, phone numbers and long numbers.",
    )(function)


def catalog_option(function: F) -> F:
    """``--catalog``."""
    return option(
        "--catalog", metavar="DIR|FILE", shared=True, help="Cards of data sets: a folder, or one YAML or JSONL file."
    )(function)


def threads_option(function: F) -> F:
    """``--threads``."""
    return option(
        "--threads", type=click.IntRange(min=1), shared=True, show_default="all cores", help="CPU threads to use."
    )(function)
