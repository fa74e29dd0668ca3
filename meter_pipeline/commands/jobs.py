"""`jobs`: lists the ledger's jobs; runs, shows and compares jobs at Meter."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line, print_table, to_document
from meter_pipeline.commands.lookup import find_known_strategies, find_strategy, open_meter
from meter_pipeline.commands.options import (
    Json,
    Pages,
    Parameters,
    ScheduleFilter,
    Since,
    StrategyArgument,
    StrategyFilter,
    parse_object,
)
from meter_pipeline.commands.usage import Commands
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import from_iso, parse_since
from meter_pipeline.connect import open_known_ledger
from meter_pipeline.store.ledger.states import STATES
from meter_pipeline.text.counts import count_of

jobs = Commands(help="List the loaded jobs; run a strategy; show and compare jobs at Meter.")


@jobs.command("list")
def list_known_jobs(
    strategy: StrategyFilter = None,
    schedule: ScheduleFilter = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"State in the ledger: {', '.join(STATES)}.", autocompletion=complete.states),
    ] = None,
    status: Annotated[list[str] | None, typer.Option(help="Status at Meter, such as completed or failed.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most jobs to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List the jobs in the ledger, newest first, with their state here and their status at Meter.

    This command does not call the API; run `meter-pipeline sync` first to include new jobs.
    """
    from meter_pipeline.store.ledger.listings import list_jobs
    from meter_pipeline.store.times import iso

    if unknown := sorted(set(state or ()) - set(STATES)):
        raise typer.BadParameter(f"--state {unknown[0]!r} is not a state: give one of {', '.join(STATES)}")
    settings = Settings.from_env()
    moment = parse_since(since, origin.clock(settings.data_dir))
    with open_known_ledger(settings) as ledger:
        if ledger is None:
            raise typer.BadParameter("there is no ledger yet: run `meter-pipeline sync`")
        if unknown := sorted(set(schedule or ()) - {row.schedule_id for row in ledger.schedules()}):
            raise typer.BadParameter(f"no schedule {unknown[0]!r}: see `meter-pipeline schedules list`, and sync first")
        found = list_jobs(
            ledger,
            strategy_ids=[row.strategy_id for name in strategy or () for row in find_known_strategies(ledger, name)],
            schedule_ids=schedule or (),
            states=state or (),
            statuses=status or (),
            since=iso(moment),
            limit=limit,
        )
        slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    if as_json:
        documents = [{**asdict(job), "strategy": slugs.get(job.strategy_id)} for job in found.jobs]
        print_json({"jobs": documents, "total": found.total})
        return
    if not found.total:
        print_line("no job in the ledger matches")
        return
    columns = ("job", "strategy", "state", "status", "items", "created", "url", "reason")
    rows = (
        (
            job.job_id,
            slugs.get(job.strategy_id),
            job.state,
            job.status,
            job.item_count if job.items is None else job.items,
            from_iso(job.created_at or job.time),
            job.url,
            job.reason or job.error,
        )
        for job in found.jobs
    )
    print_table(columns, rows)
    if (more := found.total - len(found.jobs)) > 0:
        print_line(f"{more:,} older jobs: give --limit")


@jobs.command("run")
def run_job(
    strategy: StrategyArgument,
    url: Pages = None,
    parameters: Parameters = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Run a strategy now; with --wait, exit with 1 if the job fails."""
    job_parameters = parse_object(parameters, "--parameters")
    with open_meter(creates=True) as client:
        found = find_strategy(client, strategy)
        pages = url or ([found.url] if found.url else [])
        if not pages or (wait and len(pages) > 1):
            raise typer.BadParameter("give one --url" if pages else "the strategy has no page of its own: give --url")
        created: Any
        if wait:
            created = client.execute_job(strategy_id=found.strategy_id, url=pages[0], parameters=job_parameters)
        elif len(pages) == 1:
            created = client.create_job(strategy_id=found.strategy_id, url=pages[0], parameters=job_parameters)
        else:
            created = client.create_job(strategy_id=found.strategy_id, urls=pages, parameters=job_parameters)
    if as_json:
        print_json(to_document(created))
    elif hasattr(created, "job_id"):
        print_line(f"job {created.job_id} is {created.status}" + (f": {created.error}" if created.error else ""))
    else:
        print_line(f"batch {created.batch_id} of {count_of(created.job_count, 'job')} is {created.status}")
    raise typer.Exit(1 if created.status == "failed" else 0)


@jobs.command("show")
def show_job(
    job: Annotated[str, typer.Argument(help="Job id.")],
    items: Annotated[int, typer.Option(min=0, metavar="N", help="Most items to print.")] = 5,
    as_json: Json = False,
) -> None:
    """Show a job at Meter, with its first items."""
    from itertools import chain, islice

    with open_meter() as client, client.job_body(job) as body:
        rows = [_parse_item(text) for text in islice(chain.from_iterable(body.batches()), items)]
        found = body.job
    if as_json:
        print_json({**to_document(found), "items": rows})
        return
    print_table(("field", "value"), [(name, value) for name, value in to_document(found).items()], prose=["value"])
    for row in rows:
        print_line(json.dumps(row, ensure_ascii=False))


def _parse_item(text: bytes) -> Any:
    """An item's value; the text itself of one that is not JSON."""
    from meter_pipeline.store.item_json import ItemError, parse_items

    try:
        return parse_items([text])[0]
    except ItemError:
        return text.decode("utf-8", "backslashreplace")


@jobs.command("compare")
def compare_jobs(
    job: Annotated[str, typer.Argument(help="Job id.")],
    other: Annotated[str, typer.Argument(help="Id of the job to compare with.")],
    as_json: Json = False,
) -> None:
    """Let Meter compare two jobs."""
    with open_meter() as client:
        comparison = client.compare_jobs(job, other)
    if as_json:
        print_json(to_document(comparison))
    else:
        print_table(
            ("field", "value"), [(name, value) for name, value in to_document(comparison).items()], prose=["value"]
        )
