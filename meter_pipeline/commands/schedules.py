"""`schedules`: manages the schedules at Meter, which run strategies at an interval or by a cron expression."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line, print_table, to_document
from meter_pipeline.commands.lookup import find_strategy, open_meter, print_deleted
from meter_pipeline.commands.options import (
    Json,
    Pages,
    Parameters,
    StrategyArgument,
    Yes,
    confirm,
    parse_interval,
    parse_object,
)
from meter_pipeline.commands.usage import Commands
from meter_pipeline.text.durations import every

ScheduleArgument = Annotated[str, typer.Argument(help="Schedule id.", autocompletion=complete.schedules)]
Interval = Annotated[
    str | None,
    typer.Option("--every", metavar="INTERVAL", help="Interval: seconds, or a number with a unit such as 15m, 6h, 1d."),
]
Cron = Annotated[str | None, typer.Option(help="Cron expression with five fields, in UTC.")]
Webhook = Annotated[
    str | None,
    typer.Option("--webhook", "--webhook-url", metavar="URL", help="URL that Meter posts a report of each job to."),
]

schedules = Commands(help="List, create, change and delete schedules at Meter.")


def _describe_runs(schedule: Any) -> str:
    """When a schedule runs: its cron expression, or its interval in words."""
    if schedule.cron_expression:
        return f"by cron {schedule.cron_expression}"
    return "" if schedule.interval_seconds is None else every(schedule.interval_seconds)


@schedules.command("list")
def list_schedules(as_json: Json = False) -> None:
    """List the schedules with their strategies."""
    with open_meter() as client:
        found = client.schedules()
        names = {strategy.strategy_id: strategy.name for strategy in client.strategies()} if found else {}
    if as_json:
        print_json([{**to_document(schedule), "strategy": names.get(schedule.strategy_id or "")} for schedule in found])
        return
    rows = [
        (
            s.schedule_id,
            names.get(s.strategy_id or "") or s.strategy_id,
            _describe_pages(s),
            _describe_runs(s),
            s.enabled,
            s.last_run_at,
        )
        for s in found
    ]
    if not rows:
        print_line("no schedule at Meter: make one with `meter-pipeline schedules create STRATEGY --every 1h`")
        return
    print_table(("id", "strategy", "pages", "runs", "enabled", "last run"), rows)


def _describe_pages(schedule: Any) -> str:
    """The page of a schedule, or the number of its pages and the first of them."""
    pages = list(schedule.urls or ([schedule.url] if schedule.url else ()))
    return f"{len(pages)} pages: {pages[0]}, ..." if len(pages) > 1 else "".join(pages)


@schedules.command("create")
def create_schedule(
    strategy: StrategyArgument,
    url: Pages = None,
    interval: Interval = None,
    cron: Cron = None,
    webhook_url: Webhook = None,
    parameters: Parameters = None,
    as_json: Json = False,
) -> None:
    """Create a schedule that runs a strategy at an interval or by a cron expression."""
    if (interval is None) == (cron is None):
        raise typer.BadParameter("give either --every or --cron")
    seconds, job_parameters = parse_interval(interval), parse_object(parameters, "--parameters")
    with open_meter(creates=True) as client:
        found = find_strategy(client, strategy)
        pages = url or ([found.url] if found.url else [])
        if not pages:
            raise typer.BadParameter("the strategy has no page of its own: give --url")
        created = client.create_schedule(
            strategy_id=found.strategy_id,
            url=pages[0] if len(pages) == 1 else None,
            urls=pages if len(pages) > 1 else None,
            interval_seconds=seconds,
            cron_expression=cron,
            webhook_url=webhook_url,
            parameters=job_parameters,
        )
    if as_json:
        print_json(to_document(created))
        return
    print_line(f"schedule {created.schedule_id} runs {_describe_runs(created)}")
    if created.webhook_secret:
        print_line(f"webhook secret, printed only now: {created.webhook_secret}")
        print_line("add it to METER_WEBHOOK_SECRET (several are separated by commas) where `meter-pipeline inbox` runs")


@schedules.command("update")
def update_schedule(
    schedule: ScheduleArgument,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Resume the schedule, or pause it.")] = None,
    url: Annotated[list[str] | None, typer.Option(help="URL of a page to scrape, in place of the old pages.")] = None,
    interval: Interval = None,
    cron: Cron = None,
    webhook_url: Webhook = None,
    as_json: Json = False,
) -> None:
    """Change a schedule at Meter."""
    if interval is not None and cron is not None:
        raise typer.BadParameter("give either --every or --cron")
    changes: dict[str, Any] = {
        "enabled": enable,
        "url": url[0] if url and len(url) == 1 else None,
        "urls": url if url and len(url) > 1 else None,
        "interval_seconds": parse_interval(interval),
        "cron_expression": cron,
        "webhook_url": webhook_url,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise typer.BadParameter("nothing to change: give at least one option")
    with open_meter() as client:
        updated = client.update_schedule(schedule, **changes)
    if as_json:
        print_json(to_document(updated))
        return
    state = "enabled" if updated.enabled else "paused"
    print_line(f"schedule {updated.schedule_id} is {state}, runs {_describe_runs(updated)}")
    if updated.webhook_secret:
        print_line(f"webhook secret, printed only now: {updated.webhook_secret}")


@schedules.command("delete")
def delete_schedule(
    schedule: ScheduleArgument,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a schedule at Meter; its jobs are kept."""
    with open_meter() as client:
        confirm(yes, f"schedule {schedule}")
        client.delete_schedule(schedule)
    print_deleted("schedule", schedule, as_json)
