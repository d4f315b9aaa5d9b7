"""The root command. A command's module is imported when it is called, so that ``modelgpt --help`` is instant."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import click

from modelgpt_cli.commands.options import global_options
from modelgpt_cli.commands.registry import COMMANDS
from modelgpt_cli.core.version import __version__

# The commands take these from the root; an `auto_envvar_prefix` of their own would lose their name from it.
_CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "MODELGPT",
    "max_content_width": 100,
    "show_default": True,
}

_EPILOG = """\b
Examples:
  modelgpt describe data.csv -o req.txt
  modelgpt build --req req.txt -o model.onnx
  modelgpt predict model.onnx new.csv -o preds.csv

\b
Every option can also come from --config FILE (YAML) or from the environment:
MODELGPT_BUILD_MEMBERS=8, or MODELGPT_SEED=1 for all commands.
The command line wins.

\b
Shell completion, for this and later sessions:
  bash:  echo 'eval "$(_MODELGPT_COMPLETE=bash_source modelgpt)"' >> ~/.bashrc
  zsh:   echo 'eval "$(_MODELGPT_COMPLETE=zsh_source modelgpt)"' >> ~/.zshrc
  fish:  _MODELGPT_COMPLETE=fish_source modelgpt > ~/.config/fish/completions/modelgpt.fish
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command in it."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"modelgpt_cli.commands.{name}"), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command; ``help COMMAND`` is ``COMMAND --help``, and a mistyped one is answered with the nearest."""
        if args and args[0] == "help":
            if len(args) == 1:
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()
            args = [args[1], "--help"]
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            more = f"Did you mean '{near[0]}'?" if near else f"The commands are: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command '{args[0]}'. {more}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    "modelgpt",
    cls=LazyGroup,
    params=global_options(environment=True),
    epilog=_EPILOG,
    context_settings=_CONTEXT_SETTINGS,
    no_args_is_help=False,
    invoke_without_command=True,
    help="From a requirement in words, and your data if you have any, to a small ready-to-deploy model, in seconds.",
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="modelgpt")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Print the help where no command is given; the callbacks of the global flags have done the rest."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), color=ctx.color)
