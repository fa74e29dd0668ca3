"""`schedules`: what runs again and again at Meter."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, record, say, show
from meter_pipeline.commands.lookup import find_strategy, open_meter, say_deleted
from meter_pipeline.commands.options import Json, Yes, confirm, parse_interval, parse_object
from meter_pipeline.commands.usage import Commands

schedules = Commands(help="List, make, change and delete what runs again and again at Meter.")


def _rhythm(schedule: Any) -> str:
    return schedule.cron_expression or f"every {schedule.interval_seconds} s"


@schedules.command("list")
def list_schedules(as_json: Json = False) -> None:
    """List the schedules, with their strategies."""
    with open_meter() as client:
        found = client.schedules()
        names = {strategy.strategy_id: strategy.name for strategy in client.strategies()} if found else {}
    if as_json:
        emit([{**record(schedule), "strategy": names.get(schedule.strategy_id or "")} for schedule in found])
        return
    rows = [
        (
            s.schedule_id,
            names.get(s.strategy_id or "") or s.strategy_id,
            _pages(s),
            _rhythm(s),
            s.enabled,
            s.last_run_at,
        )
        for s in found
    ]
    show(("id", "strategy", "pages", "runs", "enabled", "last run"), rows)


def _pages(schedule: Any) -> str:
    """The page of a schedule, or how many pages there are and the first of them."""
    pages = list(schedule.urls or ([schedule.url] if schedule.url else ()))
    return f"{len(pages)} pages: {pages[0]}, ..." if len(pages) > 1 else "".join(pages)


@schedules.command("create")
def create_schedule(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    url: Annotated[list[str] | None, typer.Option(help="Page; the strategy's own by default.")] = None,
    every: Annotated[str | None, typer.Option(metavar="INTERVAL", help="Interval: seconds, or 15m, 6h, 1d.")] = None,
    cron: Annotated[str | None, typer.Option(help="Cron expression of five fields, UTC.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook", "--webhook-url", metavar="URL", help="Where Meter reports what it ran.")
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON object for API strategies, or @FILE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a strategy run again and again."""
    if (every is None) == (cron is None):
        raise typer.BadParameter("give either --every or --cron")
    interval, given = parse_interval(every), parse_object(parameters, "--parameters")
    with open_meter(creates=True) as client:
        found = find_strategy(client, strategy)
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
    schedule: Annotated[str, typer.Argument(help="Id.", autocompletion=complete.schedules)],
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Run it, or pause it.")] = None,
    url: Annotated[list[str] | None, typer.Option(help="New page.")] = None,
    every: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="New interval: seconds, or 15m, 6h, 1d.")
    ] = None,
    cron: Annotated[str | None, typer.Option(help="New cron expression, UTC.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook", "--webhook-url", metavar="URL", help="Where Meter reports what it ran.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a schedule."""
    if every is not None and cron is not None:
        raise typer.BadParameter("give either --every or --cron")
    changes: dict[str, Any] = {
        "enabled": enable,
        "url": url[0] if url and len(url) == 1 else None,
        "urls": url if url and len(url) > 1 else None,
        "interval_seconds": parse_interval(every),
        "cron_expression": cron,
        "webhook_url": webhook_url,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise typer.BadParameter("nothing to change: give at least one option")
    with open_meter() as client:
        updated = client.update_schedule(schedule, **changes)
    if as_json:
        emit(record(updated))
        return
    say(f"schedule {updated.schedule_id} is {'enabled' if updated.enabled else 'paused'}, runs {_rhythm(updated)}")
    if updated.webhook_secret:
        say(f"webhook secret, shown only now: {updated.webhook_secret}")


@schedules.command("delete")
def delete_schedule(
    schedule: Annotated[str, typer.Argument(help="Id.", autocompletion=complete.schedules)],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a schedule at Meter; its jobs stay."""
    with open_meter() as client:
        confirm(yes, f"schedule {schedule}")
        client.delete_schedule(schedule)
    say_deleted("schedule", schedule, as_json)
