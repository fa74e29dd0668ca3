"""`sync`: loads what is new at Meter, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, progress, say, show, tell
from meter_pipeline.commands.options import Json
from meter_pipeline.config import origin
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.connect import open_client, open_store

if TYPE_CHECKING:
    from meter_pipeline.sync import SyncReport

# A report names so many strategies; --json names all.
_MOST_STRATEGIES = 40
# What is done before a process leaves that is interrupted and hangs.
before_leaving: list[Callable[[], None]] = []


def sync(
    strategy: Annotated[
        list[str] | None, typer.Option(help="Id, slug or name of a strategy.", autocompletion=complete.strategies)
    ] = None,
    schedule: Annotated[
        list[str] | None, typer.Option(help="Id of a schedule.", autocompletion=complete.schedules)
    ] = None,
    job: Annotated[list[str] | None, typer.Option(help="Id of a job.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Load the named jobs again, loaded or not.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only jobs made after: an ISO time, or 24h, 7d.")
    ] = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Walk all jobs and prove that none is missing.")
    ] = False,
    acknowledge: Annotated[
        bool | None,
        typer.Option(
            "--acknowledge/--no-acknowledge",
            help="Whether to mark changes as seen at Meter, for all consumers, once they are loaded; as in meter.yaml "
            "by default, and else to mark them.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Parallel fetches.")] = 8,
    as_json: Json = False,
) -> None:
    """Load what is new at Meter into the lake."""
    from meter_pipeline.sync import sync as engine
    from meter_pipeline.sync.ending import Ending, recorded
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.workers import OwnProcesses

    with ExitStack() as opened:
        attempt = opened.enter_context(recorded(Settings.of_ledger))
        settings = Settings.from_env()
        if again and not (job or strategy or schedule):
            raise typer.BadParameter("--again loads jobs again: name them with --job, --strategy or --schedule")
        moment = parse_since(since, origin.clock(settings.data_dir))
        settings.require_key()
        origin.refuse_mixing(settings)
        config = load_config(settings.config)
        if acknowledge is not None:
            config = replace(config, acknowledge=acknowledge)
        store = opened.enter_context(open_store(settings))
        client = opened.enter_context(open_client(settings, store.ledger))
        shown = opened.enter_context(progress(as_json))
        opened.callback(before_leaving.clear)
        before_leaving.append(partial(store.ledger.end_open_syncs, Ending.of(KeyboardInterrupt()).as_dict()))
        attempt.begin()
        report = engine(
            client,
            store.ledger,
            store.lake,
            strategies=strategy,
            schedules=schedule,
            jobs=job,
            since=moment,
            reconcile=reconcile,
            again=again,
            inbox=None if strategy else Inbox(settings.inbox),
            workers=workers,
            progress=shown,
            config=config,
            processes=OwnProcesses.of(settings),
        )
        labels = [label for row in store.ledger.strategies() for label in row.labels]
    for line in config.misnamed(labels):
        tell(line)
    if as_json:
        emit(report.as_dict())
    else:
        show_report(report, shown.told)
    raise typer.Exit(report.exit_code)


def show_report(report: SyncReport, told: set[str]) -> None:
    """A sync's report on stdout, its problems on stderr but for those that were `told` on the way."""
    columns = ("strategy", "landed", "accepted", "held", "failed", "unreadable", "items", "bytes")
    touched = [s for s in report.strategies.values() if s.landed or s.held or s.failed or s.unreadable]
    if touched:
        # Those with trouble first, then the largest; in the order of their names.
        worst = sorted(touched, key=lambda s: (-s.held - s.failed - s.unreadable, -s.items))[:_MOST_STRATEGIES]
        shown = sorted(worst, key=lambda s: s.slug)
        show(columns, [(s.slug, s.landed, s.accepted, s.held, s.failed, s.unreadable, s.items, s.bytes) for s in shown])
        if more := len(touched) - len(shown):
            say(f"and {more:,} more strategies: see `meter-pipeline status`, or --json")
    for s in touched:
        if s.new_columns and s.slug not in report.new_strategies:
            say(f"{s.slug}: new columns {', '.join(s.new_columns)}")
        if s.widened:
            say(f"{s.slug}: widened columns {', '.join(s.widened)}")
    for slug in report.skipped:
        say(f"{slug}: left to another sync that is working on it")
    for problem in report.problems:
        strategy = f"{problem.slug}: " if problem.slug else ""
        line = f"{strategy}{problem.subject}{problem.reason}"
        if line not in told:
            tell(line)
    for line in report.notes:
        tell(line)
    if report.stopped:
        tell(f"ended early: {report.stopped}")
    if report.gone:
        say(f"{report.gone:,} jobs are no longer listed by the API; what was loaded of them is kept")
    if report.changes or report.acknowledged:
        say(f"{report.changes:,} new changes, {report.acknowledged:,} acknowledged")
    landed = sum(s.landed for s in touched)
    say(f"{landed:,} jobs and {report.items:,} items loaded with {report.requests:,} requests")
