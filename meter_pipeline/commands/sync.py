"""`sync`: loads what is new at Meter and reports it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands.console import open_progress, print_json, print_line, print_stderr, print_table
from meter_pipeline.commands.options import Json, ScheduleFilter, Since, StrategyFilter
from meter_pipeline.config import origin
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.mismatches import find_mismatches
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.sync import SyncReport

# Strategies in the printed report; --json has all.
_MAX_STRATEGIES = 40
# Actions that run before an interrupted process exits without unwinding.
exit_actions: list[Callable[[], None]] = []


def sync(
    strategy: StrategyFilter = None,
    schedule: ScheduleFilter = None,
    job: Annotated[list[str] | None, typer.Option(help="Job id.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Load the selected jobs again, even if they are loaded already.")
    ] = False,
    since: Since = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="List all jobs at Meter and check that none is missing here.")
    ] = False,
    acknowledge: Annotated[
        bool | None,
        typer.Option(
            "--acknowledge/--no-acknowledge",
            help="Mark loaded changes as seen at Meter, for all consumers, or leave them unseen; by default as "
            "meter.yaml says, or else mark them.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Jobs to fetch in parallel.")] = 8,
    as_json: Json = False,
) -> None:
    """Load what is new at Meter into the lake."""
    from meter_pipeline.sync import sync as load_news
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
        store.ledger.claims.work = "meter-pipeline sync"
        client = opened.enter_context(open_client(settings, store.ledger))
        progress = opened.enter_context(open_progress(as_json))
        opened.callback(exit_actions.clear)
        exit_actions.append(partial(store.ledger.end_open_syncs, Ending.of(KeyboardInterrupt()).as_dict()))
        attempt.begin()
        report = load_news(
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
            progress=progress,
            config=config,
            processes=OwnProcesses.of(settings, store.ledger.claims.work),
        )
        mismatches = find_mismatches(config, store.ledger.strategies())
    for line in mismatches:
        print_stderr(line)
    if as_json:
        print_json(report.as_dict())
    else:
        print_report(report, progress.printed)
    raise typer.Exit(report.exit_code)


def print_report(report: SyncReport, printed: set[str]) -> None:
    """Prints a sync's report on stdout, and its problems on stderr unless they were `printed` while it ran."""
    columns = ("strategy", "loaded", "accepted", "held", "failed", "unreadable", "items", "bytes")
    touched = [s for s in report.strategies.values() if s.loaded or s.held or s.failed or s.unreadable]
    if touched:
        # Choose strategies with problems first, then the largest; print them in the order of their names.
        worst = sorted(touched, key=lambda s: (-s.held - s.failed - s.unreadable, -s.items))[:_MAX_STRATEGIES]
        shown = sorted(worst, key=lambda s: s.slug)
        print_table(
            columns, [(s.slug, s.loaded, s.accepted, s.held, s.failed, s.unreadable, s.items, s.bytes) for s in shown]
        )
        if more := len(touched) - len(shown):
            print_line(f"and {more:,} more strategies: see `meter-pipeline status`, or --json")
    for s in touched:
        if s.key and s.slug not in report.new_strategies:
            print_line(f"{s.slug}: its items are identified by {s.key} now, and its history was made again")
        if s.new_columns and s.slug not in report.new_strategies:
            print_line(f"{s.slug}: new columns {', '.join(s.new_columns)}")
        if s.widened:
            print_line(f"{s.slug}: widened columns {', '.join(s.widened)}")
        if s.rejected:
            print_line(f"{s.slug}: {count_of(s.rejected, 'item')} rejected, see meter.rejected_items: {s.rejection}")
    for slug in report.skipped:
        print_line(f"{slug}: skipped, it is being loaded by {report.holders[slug]}")
    for problem in report.problems:
        strategy = f"{problem.slug}: " if problem.slug else ""
        line = f"{strategy}{problem.subject}{problem.reason}"
        if line not in printed:
            print_stderr(line)
    for line in report.notes:
        print_stderr(line)
    if report.stopped:
        print_stderr(f"ended early: {report.stopped}")
    if report.gone:
        print_line(f"{report.gone:,} jobs are no longer listed by the API; what was loaded of them is kept")
    if report.changes or report.acknowledged:
        print_line(f"{count_of(report.changes, 'new change')}, {report.acknowledged:,} acknowledged")
    jobs = sum(s.loaded for s in touched)
    loaded = f"{count_of(jobs, 'job')} and {count_of(report.items, 'item')} loaded"
    print_line(f"{loaded} with {count_of(report.requests, 'request')}")
