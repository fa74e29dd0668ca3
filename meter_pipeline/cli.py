"""The `meter-pipeline` command: wires the commands together and turns errors and signals into lines and exit codes.

Exit codes: 0 success, 1 some jobs could not be loaded (the output names them), 2 an error that ended the command (one
line on stderr names it), 130 interrupted. Any other exception is a fault of this program: it leaves a traceback.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_pipeline import __version__
from meter_pipeline.commands.audit import audit
from meter_pipeline.commands.check import check
from meter_pipeline.commands.compare import compare
from meter_pipeline.commands.console import print_json, print_line, print_stderr, print_traceback
from meter_pipeline.commands.decisions import drop, hold, release
from meter_pipeline.commands.deliver import deliver
from meter_pipeline.commands.demo import demo
from meter_pipeline.commands.dev import dev
from meter_pipeline.commands.inbox import inbox
from meter_pipeline.commands.jobs import jobs
from meter_pipeline.commands.keys import keys
from meter_pipeline.commands.model import model
from meter_pipeline.commands.publications import publications
from meter_pipeline.commands.publish import publish
from meter_pipeline.commands.query import query
from meter_pipeline.commands.rekey import rekey
from meter_pipeline.commands.report import report
from meter_pipeline.commands.sandbox import sandbox
from meter_pipeline.commands.schedules import schedules
from meter_pipeline.commands.status import status
from meter_pipeline.commands.strategies import strategies
from meter_pipeline.commands.sync import exit_actions, sync
from meter_pipeline.commands.usage import Commands, Group, describe_usage
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.causes import explain
from meter_pipeline.host.imports import spare_pandas
from meter_pipeline.host.memory import spare_memory

PROGRAM = "meter-pipeline"
INTERRUPTED = 130
# An interrupted command ends after this time at the latest, even while threads wait for an answer of the API.
_GRACE_SECONDS = 3.0
# Bound of each of the actions that run before an interrupted process exits.
_EXIT_ACTION_SECONDS = 1.0


class Root(Group):
    """All commands, in the order in which people need them."""

    contents = {
        "Start": ("demo", "dev", "check"),
        "Load": ("sync", "status", "keys", "rekey", "audit", "release", "hold", "drop", "compare"),
        "Publish": ("publish", "publications", "deliver", "model"),
        "Read": ("query", "report"),
        "Manage Meter": ("strategies", "schedules", "jobs"),
        "Serve": ("inbox", "sandbox"),
    }


app = Commands(help="Loads everything Meter scrapes into Parquet and DuckDB.", cls=Root, add_completion=True)
app.add_typer(strategies, name="strategies")
app.add_typer(schedules, name="schedules")
app.add_typer(jobs, name="jobs")
for _command in (
    demo, dev, check, sync, status, keys, rekey, audit, release, hold, drop, compare,
    publish, publications, deliver, model, query, report, inbox, sandbox,
):  # fmt: skip
    app.command()(_command)


def main() -> None:
    """Entry point of the `meter-pipeline` command."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.excepthook = print_traceback
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    is_sync = sys.argv[1:2] == ["sync"]
    if is_sync:
        spare_memory()
    if is_sync or {"publish", "--raw"} <= set(sys.argv[1:]):
        # These make many arrays and no DataFrame; models of a user's project may.
        spare_pandas()
    sys.exit(run(sys.argv[1:]))


def _replace_closed_streams() -> None:
    """Opens the null device for standard streams that were closed at the start (`>&-`), in which Python has None.

    It takes their numbers, too: else the first file that is opened, such as the ledger, would be the standard output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115


def _interrupt(number: int, frame: object) -> None:
    """Handles Ctrl-C: lets the command unwind, then exits. The next sync repairs unfinished work, as after a crash."""
    timer = threading.Timer(_GRACE_SECONDS, _exit)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _exit() -> None:
    """Ends a process that did not unwind in time."""
    if sys.stderr.isatty():
        # A progress bar has hidden the cursor.
        sys.stderr.write("\x1b[?25h\n")
    print_stderr("interrupted")
    # Each in its own thread: the thread that hangs may hold a lock that the action needs.
    for action in exit_actions:
        thread = threading.Thread(target=action, daemon=True)
        thread.start()
        thread.join(_EXIT_ACTION_SECONDS)
    os._exit(INTERRUPTED)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code.

    An error that a user can do something about is one line on stderr and, with `--json`, one document on stdout.

    Args:
        arguments: The words after the program's name.

    Raises:
        Exception: A fault of this program.
    """
    try:
        # Not `app(...)`: that replaces the hook for uncaught exceptions, which makes their text safe for a terminal.
        code = _build_commands()(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        # Typer turns a KeyboardInterrupt into this exit code and prints nothing.
        if code != INTERRUPTED:
            return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        pass
    except (BrokenPipeError, SystemExit) as ended:
        # Typer and Rich end the process with code 1, as if jobs had been held.
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        # The reader of the pipe (head, less) has ended. Python flushes stdout once more at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        message = _one_line(error)
        print_stderr(f"{PROGRAM}: {message}")
        if "--json" in arguments:
            # The error may be that nothing can be written there.
            with suppress(OSError):
                print_json({"error": message})
        return 2
    print_stderr("interrupted")
    return INTERRUPTED


@cache
def _build_commands() -> Any:
    """All commands with their options; finding these out takes as long as many a command."""
    return typer.main.get_command(app)


def _is_for_the_user(error: Exception) -> bool:
    """Whether a user can do something about `error`: usage, this package's errors, or the machine's (a full disk)."""
    return isinstance(error, (MeterPipelineError, OSError)) or _is_usage(error)


def _is_usage(error: Exception) -> bool:
    # Usage errors are Click's, which Typer vendors or depends on, by version: only they format their message.
    return hasattr(error, "format_message")


def _one_line(error: Exception) -> str:
    if isinstance(error, MeterPipelineError):
        text = str(error)
    elif isinstance(error, OSError):
        text = explain(error)
    else:
        text = describe_usage(error, PROGRAM) if _is_usage(error) else str(error)
    return " ".join(text.split()) or type(error).__name__


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Loads everything Meter scrapes into Parquet and DuckDB."""
    if show_version:
        print_line(f"{PROGRAM} {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
