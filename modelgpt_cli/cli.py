"""The ``modelgpt`` command: the one place where errors become words and exit codes. Everything else is imported inside.

Exit codes: 0 done, 1 error, 2 usage, 3 a limit or a verification failed, 4 an LLM or hub out of reach, 130 interrupted,
129 and 143 ended by SIGHUP and SIGTERM.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from modelgpt_cli.core.signals import begin_to_leave, exit_code, handle_signals, leave, say_ended, signal_behind

_GC_THRESHOLD = (100_000, 20, 20)
"""New objects before Python looks for garbage among them, and how many such looks before it looks at older ones."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    args : sequence of str, optional
        The words after ``modelgpt``; those of the process by default.
    """
    # How long GNU OpenMP's idle threads spin, read when torch loads it: its default makes small builds on busy cores
    # several times slower, none at all makes those on idle cores a second slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Loading torch makes a million objects, none of them garbage; to look for some among them takes time.
    gc.set_threshold(*_GC_THRESHOLD)
    # The imports stand inside the net, so that Ctrl-C while they load is a word and not a traceback.
    try:
        from modelgpt_cli.commands.options import Settings

        settings = Settings()
        try:
            return _run(args, settings)
        except BrokenPipeError:
            return _reader_gone()
        except Exception as error:
            if (signum := signal_behind(error)) is not None:
                return _ended(signum)
            if settings.debug:
                import traceback

                traceback.print_exc()
            return _report(error)
    except KeyboardInterrupt as error:
        return _ended(signal_behind(error))


def _run(args: Sequence[str] | None, settings: object) -> int:
    """Let Click read the words and run the command; anything that goes wrong is raised."""
    import click

    from modelgpt_cli.commands.group import cli

    try:
        code = cli.main(args=args, prog_name="modelgpt", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except click.Abort as error:
        return _ended(signal_behind(error))
    except SystemExit:  # how Click leaves when nobody reads its output
        return _reader_gone()
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """Say what went wrong on stderr, once, and return the exit code that goes with it."""
    import click

    from modelgpt_cli.core.errors import ModelGPTError

    if isinstance(error, ModelGPTError):
        _say_error(error.problem, error.cause, error.hint)
        return error.exit_code
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "modelgpt"
        _say_error(error.format_message(), "", f"'{where} -h' shows the options and an example.")
        return 2
    if isinstance(error, click.ClickException):
        _say_error(error.format_message())
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        _say_error(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)
        return 1
    detail = " ".join(str(error).split())
    kind = type(error).__name__
    _say_error(f"unexpected {kind}{': ' + detail[:300] if detail else ''} (run again with --debug to see where)")
    return 1


def _say_error(problem: str, cause: str = "", hint: str = "") -> None:
    """Write one error to stderr: the problem, with the cause and the next command indented below it."""
    from modelgpt_cli.commands.output import paint
    from modelgpt_cli.core.printable import printable

    lines = [paint("Error:", "red", stream=sys.stderr) + " " + printable(problem)]
    lines += ["  " + printable(line) for part in (cause, hint) for line in part.splitlines()]
    print("\n".join(lines), file=sys.stderr)


def _ended(signum: int | None) -> int:
    """Ctrl-C and its like are no error: one word, and the exit code that shells expect. To decline is Ctrl-C."""
    signum = signal.SIGINT if signum is None else signum
    say_ended(signum)
    return exit_code(signum)


def _reader_gone() -> int:
    """Whoever read our output has left (``| head``): be quiet, also when Python flushes stdout at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _prepare_streams() -> None:
    """Make the standard streams take any text, and be there even if the caller has closed them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # The lowest number that is free, so that no file of ours gets one that libraries print to.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for good
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def entry() -> NoReturn:
    """Run the command line of this process and leave at once.

    What is registered for the exit is done and all output written; taking every loaded module apart, which costs Python
    as long as the work of a small build, is left to the operating system.
    """
    handle_signals()
    _prepare_streams()
    try:
        code = main()
    except KeyboardInterrupt as error:  # a second one, while the first is told
        code = _ended(signal_behind(error))
    begin_to_leave()
    atexit._run_exitfuncs()
    leave(code)


if __name__ == "__main__":
    sys.exit(main())
