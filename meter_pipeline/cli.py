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
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline import __version__
from meter_pipeline.commands import complete, curate, local_sandbox
from meter_pipeline.commands.console import emit, read_time, say, show, show_traceback, tell
from meter_pipeline.commands.jobs import jobs
from meter_pipeline.commands.schedules import schedules
from meter_pipeline.commands.strategies import strategies
from meter_pipeline.commands.sync import before_leaving, sync
from meter_pipeline.commands.usage import Commands, Group
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings, SettingsError
from meter_pipeline.config.spans import parse_since
from meter_pipeline.connect import open_client, open_ledger, open_store
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.causes import explain

PROGRAM = "meter-pipeline"
# A table for people; whoever wants more rows takes --json or --csv.
_ROWS_SHOWN = 200
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
curate.register(app)
app.command()(sync)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


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


@app.command()
def demo(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Virtual days before the first sync.")] = 3.0,
) -> None:
    """Load a sandbox's shop, job board and newsroom through Dagster, and show what came of it."""
    from meter_pipeline.commands.demo import play

    play(Settings.from_env(), days)


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address the Dagster UI listens on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds a second, of the sandbox.")] = 60.0,
    sandbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the sandbox; 0 takes a free one.")
    ] = local_sandbox.SANDBOX_PORT,
) -> None:
    """Open the Dagster UI; with no METER_API_KEY a sandbox runs beside it."""
    from meter_pipeline.commands.dev import serve

    settings = Settings.from_env()
    raise typer.Exit(serve(settings, host=host, port=port, speed=speed, sandbox_port=sandbox_port))


@app.command()
def check(as_json: Json = False) -> None:
    """See whether the settings, the API, the key, the folders, the ledger and the lake can be used."""
    from meter_pipeline.commands.health import examine

    findings = examine(Settings.from_env())
    if as_json:
        emit({"ok": all(f.ok for f in findings), "checks": findings})
    else:
        show(
            ("check", "", "detail"),
            [(f.name, "ok" if f.ok else "FAILED", f.detail) for f in findings],
            prose=["detail"],
        )
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)


@app.command()
def compare(
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Most pairs of jobs, each of them a request.")] = 100,
    as_json: Json = False,
) -> None:
    """Let Meter compare consecutive jobs, and see where its verdict is not ours."""
    from meter_pipeline.sync.comparisons import compare as engine

    settings = Settings.from_env()
    settings.require_key()
    origin.refuse_mixing(settings)
    with open_store(settings) as store, open_client(settings, store.ledger) as client:
        report = engine(client, store.ledger, store.lake, limit=limit)
    if as_json:
        emit(report.as_dict())
        raise typer.Exit(report.exit_code)
    if report.disagreements:
        rows = [(d.strategy, d.job_id, d.previous_job_id, d.meter_says, d.items_say) for d in report.disagreements]
        show(("strategy", "job", "previous job", "Meter says", "items say"), rows)
    for problem in report.problems:
        tell(problem)
    if report.stopped:
        tell(f"ended early: {report.stopped}")
    say(f"{report.compared:,} pairs compared, {report.agreed:,} as our own items say; {report.left:,} left")
    raise typer.Exit(report.exit_code)


@app.command()
def inbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8799,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE", help="Variable with the webhook secret(s); METER_WEBHOOK_SECRET, also from .env."
        ),
    ] = None,
) -> None:
    """Take Meter's webhooks, for the next sync to look into."""
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.webhooks.receiver import serve

    settings = Settings.from_env()
    if secret_env and not os.environ.get(secret_env):
        raise typer.BadParameter(f"--secret-env: there is no variable {secret_env}, or it is empty")
    told = os.environ.get(secret_env) if secret_env else settings.webhook_secret
    secrets = [secret.strip() for secret in (told or "").split(",")]
    serve(Inbox(settings.inbox), secrets, host=host, port=port, echo=say)


@app.command()
def status(as_json: Json = False) -> None:
    """Show the jobs by state and strategy, what is held or unreadable and why, runs that are missing, the last sync."""
    from meter_pipeline.commands.state import show_state

    show_state(Settings.from_env(), as_json)


@app.command()
def publish(
    force: Annotated[
        bool, typer.Option("--force", help="Also when nothing has changed, and every model from nothing.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put an older publication back: the one named, or the one before.")
    ] = False,
    publication: Annotated[str | None, typer.Argument(help="Id of a publication to put back.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Without the models of the dbt project.")] = False,
    keep: Annotated[float, typer.Option(min=0, metavar="HOURS", help="Hours for which older publications stay.")] = 24,
    as_json: Json = False,
) -> None:
    """Build the warehouse anew, test it, and put it in place at once; nothing is published when a test fails."""
    from meter_pipeline.store.warehouse.build import publish as build
    from meter_pipeline.store.warehouse.build import roll_back
    from meter_pipeline.store.warehouse.dbt import Project

    if publication and not rollback:
        raise typer.BadParameter("a publication is named to put it back: add --rollback")
    settings = Settings.from_env()
    with open_store(settings) as store:
        if rollback:
            done = roll_back(store.ledger, settings.warehouse, publication)
        else:
            models = None if raw or settings.dbt_project is None else Project(settings.dbt_project)
            hours = timedelta(hours=keep)
            done = build(store.ledger, store.lake, settings.warehouse, models=models, force=force, keep=hours)
    if as_json:
        emit(done.as_dict())
    elif rollback:
        say(f"{settings.warehouse} is publication {done.publication_id} of {done.published_at} again")
    else:
        told = "nothing new since the last publication of" if done.unchanged else "published"
        say(f"{told} {settings.warehouse}")


@app.command()
def publications(as_json: Json = False) -> None:
    """List the publications that can be put back, and what was rejected and why."""
    from meter_pipeline.store.warehouse.publications import listing

    found = listing(Settings.from_env().warehouse)
    if as_json:
        emit(found)
    elif not found:
        say("nothing was published yet: run `meter-pipeline publish`")
    else:
        columns = ("publication", "state", "published at", "dbt invocation", "reason")
        rows = [(p.publication_id, p.state, read_time(p.published_at), p.dbt_invocation_id, p.reason) for p in found]
        show(columns, rows, prose=["reason"])


@app.command()
def model(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files if they are there.")] = False,
) -> None:
    """Write a staging model of one strategy's results into the dbt project, with its documentation and tests."""
    from meter_pipeline.commands.scaffold import choose_project, write_model

    settings = Settings.from_env()
    if settings.dbt_project is None:
        raise SettingsError("METER_DBT_PROJECT=none: name the folder of a dbt project to write a model into")
    project, is_default = choose_project(settings.dbt_project)
    with open_ledger(settings) as ledger:
        written = write_model(ledger.strategies(), strategy, project, force=force)
    for path in written:
        say(f"wrote {path}")
    if not is_default:
        say(f"{project} is a copy of the shipped models: put METER_DBT_PROJECT={project} into .env to publish with it")


@app.command()
def report(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only what was observed after: an ISO time, or a span as 24h or 7d.")
    ] = "24h",
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page about what happened: in words, pictures and tables; nothing else is needed to view it."""
    from meter_pipeline.commands.report import write_report

    settings = Settings.from_env()
    now = origin.clock(settings.data_dir)
    notes = [note] if (note := origin.notice(settings.data_dir)) else []
    say(f"wrote {write_report(settings.warehouse, out, since=parse_since(since, now), now=now, notes=notes)}")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="For example: select * from meter.jobs limit 5")],
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values; control characters show as escapes.")
    ] = False,
    safe_csv: Annotated[
        bool,
        typer.Option("--safe-csv", help="The same for spreadsheets: text that would be a formula begins with '."),
    ] = False,
    vertical: Annotated[
        bool, typer.Option("--vertical", help="Show each row upright, a line for each column.")
    ] = False,
) -> None:
    """Ask the published warehouse, read-only.

    On a terminal (or with COLUMNS set) a table is as wide as the screen, long text is shortened with an ellipsis, and a
    line below names the columns that are not shown. Into a pipe or a file it has every row and column, whole.
    --json keeps every character of the data.
    """
    from meter_pipeline.commands.ask import ask, write_csv

    if as_json + (as_csv or safe_csv) + vertical > 1:
        raise typer.BadParameter("--json, --csv and --vertical exclude each other")
    answer = ask(Settings.from_env().warehouse, sql)
    if as_csv or safe_csv:
        write_csv(answer, sys.stdout, safe=safe_csv)
    elif as_json:
        emit([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    else:
        whole = ("--csv", "--json", "--vertical")
        show(answer.columns, answer.rows, grouped=False, vertical=vertical, whole=whole, most=_ROWS_SHOWN)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds a second; 0 stands still.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Which world.")] = origin.SEED,
    days: Annotated[float, typer.Option(min=0, help="Virtual days that have passed at the start.")] = 3.0,
    world: Annotated[
        list[str] | None, typer.Option(help="bookshop, jobboard, newsroom or flakyshop; all by default.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of recorded jobs to serve.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Switch a fault on.")] = None,
) -> None:
    """Run an emulator of the Meter API on this machine."""
    from meter_pipeline.sandbox import parse_faults, serve

    faults = parse_faults(fault or [])
    serve(host=host, port=port, speed=speed, seed=seed, days=days, worlds=world, replay=replay, faults=faults, echo=say)
