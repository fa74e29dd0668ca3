"""The `meter-pipeline` command: wiring and printing; each command imports the parts of the pipeline that it needs.

Exit codes: 0 all well, 1 some jobs could not be loaded (they are named), 2 usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from meter_pipeline import __version__
from meter_pipeline.commands.check import check
from meter_pipeline.commands.compare import compare
from meter_pipeline.commands.console import emit, say, show_traceback, tell
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
from meter_pipeline.commands.release import release
from meter_pipeline.commands.report import report
from meter_pipeline.commands.sandbox import sandbox
from meter_pipeline.commands.schedules import schedules
from meter_pipeline.commands.status import status
from meter_pipeline.commands.strategies import strategies
from meter_pipeline.commands.sync import before_leaving, sync
from meter_pipeline.commands.usage import Commands, Group
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.causes import explain

PROGRAM = "meter-pipeline"
INTERRUPTED = 130
# Threads that wait for an answer keep an interrupted command for so long, not until the answer comes.
_GRACE_SECONDS = 3.0
# How long each thing that is done before an interrupted process leaves may take.
_LAST_SECONDS = 1.0


class Root(Group):
    """All commands, in the order in which people need them."""

    contents = {
        "Start": ("demo", "dev", "check"),
        "Load": ("sync", "status", "keys", "rekey", "release", "compare"),
        "Publish": ("publish", "publications", "model"),
        "Read": ("query", "report"),
        "Manage Meter": ("strategies", "schedules", "jobs"),
        "Serve": ("inbox", "sandbox"),
    }


app = Commands(help="Loads everything Meter scrapes into Parquet and DuckDB.", cls=Root, add_completion=True)
app.add_typer(strategies, name="strategies")
app.add_typer(schedules, name="schedules")
app.add_typer(jobs, name="jobs")
for _command in (
    demo, dev, check, sync, status, keys, rekey, release, compare,
    publish, publications, model, query, report, inbox, sandbox,
):  # fmt: skip
    app.command()(_command)


def main() -> None:
    """Entry point of the `meter-pipeline` command."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.excepthook = show_traceback
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks is no reason to end.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def _interrupt(number: int, frame: object) -> None:
    """Ctrl-C: unwinds, for a while; what is left half-done then, the next sync puts right as after any crash."""
    leave = threading.Timer(_GRACE_SECONDS, _leave)
    leave.daemon = True
    leave.start()
    raise KeyboardInterrupt


def _leave() -> None:
    if sys.stderr.isatty():
        # A progress bar has hidden the cursor.
        sys.stderr.write("\x1b[?25h\n")
    tell("interrupted")
    # Not in this thread: whoever hangs may hold what these need.
    for action in before_leaving:
        last = threading.Thread(target=action, daemon=True)
        last.start()
        last.join(_LAST_SECONDS)
    os._exit(INTERRUPTED)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; a user's mistake is one line on stderr."""
    try:
        code = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        # Typer makes this exit code of a KeyboardInterrupt, and says nothing.
        if code != INTERRUPTED:
            return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        pass
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _expected(error):
            raise
        tell(f"{PROGRAM}: {_line(error)}")
        if "--json" in arguments:
            emit({"error": _line(error)})
        return 2
    tell("interrupted")
    return INTERRUPTED


def _expected(error: Exception) -> bool:
    """Whether `error` is a user's matter: usage, one of this package's errors, or the machine's (disk, permissions)."""
    return isinstance(error, (MeterPipelineError, OSError)) or hasattr(error, "format_message")


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        text = explain(error)
    else:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(text.split()) or type(error).__name__


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Loads everything Meter scrapes into Parquet and DuckDB."""
    if show_version:
        say(f"{PROGRAM} {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
