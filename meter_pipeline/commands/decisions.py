"""`release`, `hold` and `drop`: what a person decides about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.commands.options import Json, Yes, confirm, count
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store

if TYPE_CHECKING:
    from meter_pipeline.sync.loading.withdraw import Withdrawal

Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Why, for whoever sees the job in the ledger.")]
_THEN = "publish the warehouse to see it"


def release(
    job: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of held jobs; `meter-pipeline status` lists them.", autocompletion=complete.held_jobs),
    ] = None,
    all_like: Annotated[
        str | None,
        typer.Option(
            "--all-like",
            metavar="JOB",
            help="Release this job and all jobs of its strategy held for the same reason; its numbers may differ.",
            autocompletion=complete.held_jobs,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Accept held jobs by hand: their items enter results and the change feed as they are."""
    from meter_pipeline.sync.loading.release import find_alike
    from meter_pipeline.sync.loading.release import release as release_jobs

    if not job and all_like is None:
        raise typer.BadParameter("give the ids of held jobs, or --all-like JOB: `meter-pipeline status` lists them")
    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        alike = find_alike(store.ledger, all_like) if all_like is not None else []
        reports = release_jobs(store.ledger, store.lake, [*(job or ()), *alike], config)
    if as_json:
        released = [{"strategy": report.slug, "jobs": report.accepted, "items": report.items} for report in reports]
        print_json({"released": released})
        return
    for report in reports:
        print_line(
            f"{report.slug}: {count(report.accepted, 'job')} with {count(report.items, 'item')} released; {_THEN}"
        )


def hold(
    job: Annotated[
        list[str],
        typer.Argument(
            help="Ids of accepted jobs; `meter-pipeline jobs list` shows them.", autocompletion=complete.accepted_jobs
        ),
    ],
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Hold accepted jobs by hand: results and the change feed become as if they had never been accepted.

    Their items stay in raw, and `meter-pipeline release` takes it back.
    """
    from meter_pipeline.sync.loading.withdraw import hold as hold_jobs

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        withdrawn = hold_jobs(store.ledger, store.lake, job, reason, config)
    _print_withdrawn(withdrawn, "held", as_json)


def drop(
    job: Annotated[
        list[str],
        typer.Argument(help="Ids of accepted, held, failed or unreadable jobs.", autocompletion=complete.loaded_jobs),
    ],
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Throw jobs away for good: their items leave results, the change feed and raw.

    No sync loads them again, unless you name them: `meter-pipeline sync --job JOB --again`.
    """
    from meter_pipeline.sync.loading.decisions import find_jobs
    from meter_pipeline.sync.loading.withdraw import DROP
    from meter_pipeline.sync.loading.withdraw import drop as drop_jobs

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        rows = find_jobs(store.ledger, job, DROP)
        items = sum(row.items or 0 for row in rows)
        confirm(
            yes,
            f"{count(len(rows), 'job')} with {count(items, 'item')}",
            " from results, change feed and raw",
        )
        withdrawn = drop_jobs(store.ledger, store.lake, job, reason, config)
    _print_withdrawn(withdrawn, "dropped", as_json)


def _print_withdrawn(withdrawn: Sequence[Withdrawal], done: str, as_json: bool) -> None:
    if as_json:
        print_json({done: [{"strategy": own.slug, "jobs": own.jobs, "items": own.items} for own in withdrawn]})
        return
    for own in withdrawn:
        print_line(f"{own.slug}: {count(own.jobs, 'job')} {done}, {count(own.items, 'item')} left the results; {_THEN}")
        if own.is_rewritten:
            print_line(f"{own.slug}: its columns are those of its other jobs now")
