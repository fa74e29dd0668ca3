"""`jobs`: single runs, those of the ledger and those at Meter."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, record, say, show
from meter_pipeline.commands.lookup import find_strategy, known_strategies, open_meter
from meter_pipeline.commands.options import Json, parse_object
from meter_pipeline.commands.usage import Commands
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import from_iso, parse_since
from meter_pipeline.connect import open_known_ledger
from meter_pipeline.store.ledger.states import STATES

jobs = Commands(help="List jobs, run strategies, show and compare single runs.")


@jobs.command("list")
def list_ledgers_jobs(
    strategy: Annotated[
        list[str] | None, typer.Option(help="Id, slug or name of a strategy.", autocompletion=complete.strategies)
    ] = None,
    schedule: Annotated[
        list[str] | None, typer.Option(help="Id of a schedule.", autocompletion=complete.schedules)
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"State here: {', '.join(STATES)}.", autocompletion=complete.states),
    ] = None,
    status: Annotated[list[str] | None, typer.Option(help="Status at Meter, such as completed or failed.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only jobs made after: an ISO time, or 24h, 7d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most jobs to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List the jobs that the ledger knows, the newest first, with their state here and their status at Meter.

    The API is not asked: `meter-pipeline sync` brings what is new there.
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
            strategy_ids=[row.strategy_id for name in strategy or () for row in known_strategies(ledger, name)],
            schedule_ids=schedule or (),
            states=state or (),
            statuses=status or (),
            since=iso(moment),
            limit=limit,
        )
        slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    if as_json:
        rows = [{**asdict(job), "strategy": slugs.get(job.strategy_id)} for job in found.jobs]
        emit({"jobs": rows, "total": found.total})
        return
    if not found.total:
        say("no job in the ledger matches")
        return
    columns = ("job", "strategy", "state", "status", "items", "made", "url", "reason")
    cells = (
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
    show(columns, cells)
    if (more := found.total - len(found.jobs)) > 0:
        say(f"{more:,} older jobs: give --limit")


@jobs.command("run")
def run_job(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    url: Annotated[list[str] | None, typer.Option(help="Page; the strategy's own by default.")] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON object for API strategies, or @FILE.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Run a strategy now; exit code 1 when the waited-for job failed."""
    given = parse_object(parameters, "--parameters")
    with open_meter(creates=True) as client:
        found = find_strategy(client, strategy)
        pages = url or ([found.url] if found.url else [])
        if not pages or (wait and len(pages) > 1):
            raise typer.BadParameter("give one --url" if pages else "the strategy has no page of its own: give --url")
        made: Any
        if wait:
            made = client.execute_job(strategy_id=found.strategy_id, url=pages[0], parameters=given)
        elif len(pages) == 1:
            made = client.create_job(strategy_id=found.strategy_id, url=pages[0], parameters=given)
        else:
            made = client.create_job(strategy_id=found.strategy_id, urls=pages, parameters=given)
    if as_json:
        emit(record(made))
    elif hasattr(made, "job_id"):
        say(f"job {made.job_id} is {made.status}" + (f": {made.error}" if made.error else ""))
    else:
        say(f"batch {made.batch_id} of {made.job_count} jobs is {made.status}")
    raise typer.Exit(1 if made.status == "failed" else 0)


@jobs.command("show")
def show_job(
    job: Annotated[str, typer.Argument(help="Id.")],
    items: Annotated[int, typer.Option(min=0, metavar="N", help="How many of its items to print.")] = 5,
    as_json: Json = False,
) -> None:
    """Show a job as Meter has it, with its first items."""
    from itertools import chain, islice

    with open_meter() as client, client.job_body(job) as body:
        rows = [json.loads(text) for text in islice(chain.from_iterable(body.batches()), items)]
        found = body.job
    if as_json:
        emit({**record(found), "items": rows})
        return
    show(("field", "value"), [(name, value) for name, value in record(found).items()], prose=["value"])
    for row in rows:
        say(json.dumps(row, ensure_ascii=False))


@jobs.command("compare")
def compare_jobs(
    job: Annotated[str, typer.Argument(help="Id.")],
    other: Annotated[str, typer.Argument(help="Id of the job to compare with.")],
    as_json: Json = False,
) -> None:
    """Let Meter compare two jobs."""
    with open_meter() as client:
        comparison = client.compare_jobs(job, other)
    if as_json:
        emit(record(comparison))
    else:
        show(("field", "value"), [(name, value) for name, value in record(comparison).items()], prose=["value"])
