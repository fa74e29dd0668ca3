"""Thin commands for what the API manages: strategies, schedules and jobs at Meter."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter_pipeline.commands.console import emit, record, say, show, tell
from meter_pipeline.connect import open_client, open_ledger
from meter_pipeline.settings import Settings

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient, Strategy

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

strategies = typer.Typer(help="Extraction plans at Meter.", rich_markup_mode=None, no_args_is_help=False)
schedules = typer.Typer(help="What runs again and again at Meter.", rich_markup_mode=None)
jobs = typer.Typer(help="Single runs at Meter.", rich_markup_mode=None)


@contextmanager
def _client(creates: bool = False) -> Iterator[MeterClient]:
    """The client; one that creates has the ledger for its intents, so that a lost answer makes nothing twice."""
    settings = Settings.from_env()
    if not creates:
        with open_client(settings) as client:
            yield client
        return
    settings.require_key()
    with open_ledger(settings) as ledger, open_client(settings, ledger) as client:
        yield client


def _find(client: MeterClient, name: str) -> Strategy:
    """The strategy with this id or, if only one has it, this name."""
    found = []
    for strategy in client.strategies():
        if strategy.strategy_id == name:
            return strategy
        if strategy.name == name:
            found.append(strategy)
    if len(found) != 1:
        reason = "no strategy has" if not found else f"{len(found)} strategies have"
        raise typer.BadParameter(f"{reason} the id or name {name!r}: see `meter-pipeline strategies list`")
    return found[0]


def _confirm(yes: bool, what: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is no terminal to ask whether to delete {what}: add --yes")
    if not typer.confirm(f"Delete {what} at Meter?", err=True):
        tell("nothing is deleted")
        raise typer.Exit(0)


def _object(text: str | None, option: str) -> dict[str, Any] | None:
    """The JSON object given as text, or as @FILE."""
    if text is None:
        return None
    try:
        given = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"{option}: {text[1:]} cannot be read: {reason}") from None
    try:
        value = json.loads(given, object_pairs_hook=lambda pairs: _unique(pairs, option))
    except ValueError as error:
        raise typer.BadParameter(f"{option} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]], option: str) -> dict[str, Any]:
    """A JSON object's members; JSON parsers keep the last value of a name that is there twice, and say nothing."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise typer.BadParameter(f"{option}: {name!r} is there twice: remove one")
        members[name] = value
    return members


def _seconds(text: str | None) -> int | None:
    """`900`, `15m`, `6h` or `1d` in seconds."""
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    if not number.isdigit() or int(number) * units[unit] < 60:
        raise typer.BadParameter(f"--every {text!r}: give seconds, or 15m, 6h, 1d; the API takes 60 seconds and more")
    return int(number) * units[unit]


# -- strategies ------------------------------------------------------------------------------------------------------


@strategies.command("list")
def list_strategies(as_json: Json = False) -> None:
    """List the strategies."""
    with _client() as client:
        found = list(client.strategies())
    if as_json:
        emit([record(strategy) for strategy in found])
    else:
        show(("id", "name", "url", "updated"), [(s.strategy_id, s.name, s.url, s.updated_at) for s in found])


@strategies.command("generate")
def generate_strategy(
    url: Annotated[str, typer.Argument(help="Page to scrape.")],
    description: Annotated[str, typer.Argument(help="What to take from it.")],
    name: Annotated[str, typer.Option(help="Name of the strategy.")],
    force_api: Annotated[bool, typer.Option("--force-api", help="Use the page's own API.")] = False,
    output_schema: Annotated[str | None, typer.Option(help="JSON schema of the items, or @FILE.")] = None,
    as_json: Json = False,
) -> None:
    """Make a strategy from a page and a description."""
    schema = _object(output_schema, "--output-schema")
    with _client(creates=True) as client:
        made = client.generate_strategy(
            url=url, description=description, name=name, force_api=force_api, output_schema=schema
        )
    _show_generated(made, as_json)


@strategies.command("refine")
def refine_strategy(
    strategy: Annotated[str, typer.Argument(help="Id or name.")],
    feedback: Annotated[str, typer.Argument(help="What to do better.")],
    as_json: Json = False,
) -> None:
    """Improve a strategy by feedback."""
    with _client(creates=True) as client:
        made = client.refine_strategy(_find(client, strategy).strategy_id, feedback)
    _show_generated(made, as_json)


def _show_generated(made: Any, as_json: bool) -> None:
    if as_json:
        emit(record(made))
        return
    say(f"strategy {made.strategy_id}, {made.attempts or 1} attempt(s); a preview of its items:")
    for item in list(made.preview or ())[:5]:
        say(json.dumps(item, ensure_ascii=False))


@strategies.command("delete")
def delete_strategy(
    strategy: Annotated[str, typer.Argument(help="Id or name.")], yes: Yes = False, as_json: Json = False
) -> None:
    """Delete a strategy at Meter; what was loaded stays."""
    with _client() as client:
        found = _find(client, strategy)
        _confirm(yes, f"strategy {found.name!r}")
        client.delete_strategy(found.strategy_id)
    _deleted("strategy", found.strategy_id, as_json)


def _deleted(kind: str, identifier: str, as_json: bool) -> None:
    if as_json:
        emit({"deleted": identifier})
    else:
        say(f"{kind} {identifier} is deleted")


# -- schedules -------------------------------------------------------------------------------------------------------


def _rhythm(schedule: Any) -> str:
    return schedule.cron_expression or f"every {schedule.interval_seconds} s"


@schedules.command("list")
def list_schedules(as_json: Json = False) -> None:
    """List the schedules."""
    with _client() as client:
        found = client.schedules()
    if as_json:
        emit([record(schedule) for schedule in found])
        return
    rows = [(s.schedule_id, s.url or ", ".join(s.urls), _rhythm(s), s.enabled, s.last_run_at) for s in found]
    show(("id", "url", "runs", "enabled", "last run"), rows)


@schedules.command("create")
def create_schedule(
    strategy: Annotated[str, typer.Argument(help="Id or name.")],
    url: Annotated[list[str] | None, typer.Option(help="Page; the strategy's own by default, again for more.")] = None,
    every: Annotated[str | None, typer.Option(help="Interval: seconds, or 15m, 6h, 1d.")] = None,
    cron: Annotated[str | None, typer.Option(help="Cron expression of five fields, UTC.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook", "--webhook-url", help="Where Meter reports what it ran.")
    ] = None,
    parameters: Annotated[str | None, typer.Option(help="JSON object for API strategies, or @FILE.")] = None,
    as_json: Json = False,
) -> None:
    """Let a strategy run again and again."""
    if (every is None) == (cron is None):
        raise typer.BadParameter("give either --every or --cron")
    interval, given = _seconds(every), _object(parameters, "--parameters")
    with _client(creates=True) as client:
        found = _find(client, strategy)
        pages = url or ([found.url] if found.url else [])
        if not pages:
            raise typer.BadParameter("the strategy has no page of its own: give --url")
        made = client.create_schedule(
            strategy_id=found.strategy_id,
            url=pages[0] if len(pages) == 1 else None,
            urls=pages if len(pages) > 1 else None,
            interval_seconds=interval,
            cron_expression=cron,
            webhook_url=webhook_url,
            parameters=given,
        )
    if as_json:
        emit(record(made))
        return
    say(f"schedule {made.schedule_id} runs {_rhythm(made)}")
    if made.webhook_secret:
        say(f"webhook secret, shown only now: {made.webhook_secret}")
        say("add it to METER_WEBHOOK_SECRET (several are separated by commas) where `meter-pipeline inbox` runs")


@schedules.command("update")
def update_schedule(
    schedule: Annotated[str, typer.Argument(help="Id.")],
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Run it, or pause it.")] = None,
    url: Annotated[list[str] | None, typer.Option(help="New page; again for more.")] = None,
    every: Annotated[str | None, typer.Option(help="New interval: seconds, or 15m, 6h, 1d.")] = None,
    cron: Annotated[str | None, typer.Option(help="New cron expression, UTC.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook", "--webhook-url", help="Where Meter reports what it ran.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a schedule."""
    changes: dict[str, Any] = {
        "enabled": enable,
        "url": url[0] if url and len(url) == 1 else None,
        "urls": url if url and len(url) > 1 else None,
        "interval_seconds": _seconds(every),
        "cron_expression": cron,
        "webhook_url": webhook_url,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise typer.BadParameter("nothing to change: give at least one option")
    with _client() as client:
        updated = client.update_schedule(schedule, **changes)
    if as_json:
        emit(record(updated))
        return
    say(f"schedule {updated.schedule_id} is {'enabled' if updated.enabled else 'paused'}, runs {_rhythm(updated)}")
    if updated.webhook_secret:
        say(f"webhook secret, shown only now: {updated.webhook_secret}")


@schedules.command("delete")
def delete_schedule(
    schedule: Annotated[str, typer.Argument(help="Id.")], yes: Yes = False, as_json: Json = False
) -> None:
    """Delete a schedule at Meter; its jobs stay."""
    with _client() as client:
        _confirm(yes, f"schedule {schedule}")
        client.delete_schedule(schedule)
    _deleted("schedule", schedule, as_json)


# -- jobs ------------------------------------------------------------------------------------------------------------


@jobs.command("run")
def run_job(
    strategy: Annotated[str, typer.Argument(help="Id or name.")],
    url: Annotated[list[str] | None, typer.Option(help="Page; the strategy's own by default, again for more.")] = None,
    parameters: Annotated[str | None, typer.Option(help="JSON object for API strategies, or @FILE.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Run a strategy now; exit code 1 when the waited-for job failed."""
    given = _object(parameters, "--parameters")
    with _client(creates=True) as client:
        found = _find(client, strategy)
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
    items: Annotated[int, typer.Option(min=0, help="How many of its items to print.")] = 5,
    as_json: Json = False,
) -> None:
    """Show a job as Meter has it, with its first items."""
    from itertools import chain, islice

    with _client() as client, client.job_body(job) as body:
        rows = [json.loads(text) for text in islice(chain.from_iterable(body.batches()), items)]
        found = body.job
    if as_json:
        emit({**record(found), "items": rows})
        return
    show(("field", "value"), [(name, value) for name, value in record(found).items()])
    for row in rows:
        say(json.dumps(row, ensure_ascii=False))


@jobs.command("compare")
def compare_jobs(
    job: Annotated[str, typer.Argument(help="Id.")],
    other: Annotated[str, typer.Argument(help="Id of the job to compare with.")],
    as_json: Json = False,
) -> None:
    """Let Meter compare two jobs."""
    with _client() as client:
        comparison = client.compare_jobs(job, other)
    if as_json:
        emit(record(comparison))
    else:
        show(("field", "value"), [(name, value) for name, value in record(comparison).items()])
