"""The demo: a sandbox, two syncs through Dagster with virtual days between them, and what SQL makes of the result."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands import local_sandbox
from meter_pipeline.commands.console import say, show
from meter_pipeline.commands.dev import dagster_home
from meter_pipeline.commands.query import ask
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings, environment
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.extras import require_extra

if TYPE_CHECKING:
    import dagster as dg

    from meter_pipeline.sandbox import Sandbox

_LATER_DAYS = 1.5
_SHOP = "new_books"
_MOVES = """
select strategy, label as item, cast(old_price as decimal(18, 2)) as was, cast(new_price as decimal(18, 2)) as now,
    round(100 * relative_change, 1) as "change %", observed_at as seen
from marts.fct_price_changes
where observed_at > (select max(observed_at) - interval 7 days from marts.fct_price_changes)
order by abs(relative_change) desc nulls last, observed_at, label
limit 8
"""
_VANISHED = """
select label as posting, first_seen_at as "first seen", removed_at as removed, round(seconds_listed / 3600, 1) as hours
from marts.dim_items
where strategy ilike '%job%' and seconds_listed < 2 * 86400
order by seconds_listed, label
limit 8
"""
# The Tuesday before the last day that was seen, at noon; the first job there is, where the data is younger than that.
_TUESDAY = """
with days as (
    select max(observed_at) as last, min(observed_at) as first from marts.fct_scrape_jobs
    where strategy = $strategy and outcome = 'accepted'
), moment as (
    select greatest(
        date_trunc('week', last at time zone 'UTC' - interval 1 day) + interval 36 hours, first at time zone 'UTC'
    ) at time zone 'UTC' as at
    from days
)
select moment.at as "as of", label as item, json_extract_string(versions.item, '$.price') as price
from meter.item_versions as versions
inner join moment on valid_from <= moment.at and (valid_to is null or valid_to > moment.at)
inner join marts.dim_items as items using (strategy, item_key)
where strategy = $strategy
order by label
limit 8
"""
_LATE = """
select strategy, cast(expected_interval_seconds / 60 as integer) as "every (min)", jobs, late_jobs as late,
    round(100 * late_share, 1) as "late %", round(longest_lag_seconds / 60, 1) as "longest lag (min)"
from marts.dim_schedules
order by late_jobs desc, longest_lag_seconds desc nulls last, strategy
limit 8
"""
# The versions of the book whose price moved most often.
_HISTORY = """
with moved as (
    select item_key from meter.item_changes where strategy = $strategy and field = 'price' and kind = 'changed'
    group by item_key order by count(*) desc, item_key limit 1
)
select label as item, version, json_extract_string(versions.item, '$.price') as price,
    valid_from as "valid from", valid_to as "valid to"
from meter.item_versions as versions
inner join moved using (item_key)
inner join marts.dim_items as items using (strategy, url, item_key)
where strategy = $strategy
order by version
limit 8
"""
_CHANGES = """
select strftime(observed_at, '%m-%d %H:%M') as seen, strategy, label as item, field, old_value ->> '$' as was,
    new_value ->> '$' as now
from meter.item_changes
inner join marts.dim_items using (strategy, url, item_key)
where kind = 'changed'
order by observed_at desc, strategy, label, field
limit 8
"""
_ACTIVITY = """
select strategy, day, jobs, items, items_added as added, items_removed as removed, items_changed as changed,
    failed_jobs as failed
from marts.fct_daily_activity
order by day desc, strategy
limit 12
"""
_STATES = "pivot meter.jobs on state using count(*) group by strategy order by strategy"


class DemoError(MeterPipelineError):
    """The demo could not be played; the message is one line."""


def demo(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Virtual days before the first sync.")] = 3.0,
) -> None:
    """Load a sandbox's shop, job board and newsroom through Dagster, and show what came of it."""
    play(Settings.from_env(), days)


def play(settings: Settings, days: float) -> None:
    """Plays the demo on the data folder of `settings`; it can be played again and goes on where it stopped.

    Raises:
        SettingsError: The folder holds data that no sandbox made.
        DemoError: A run failed.
        MissingExtraError: Dagster is not installed.
    """
    require_extra("dagster", "the demo")
    settings = replace(settings, api_key=None, ledger_url=None, lake_url=None, api_prefix="auto")
    local_sandbox.refuse_foreign(settings)
    again = origin.read(settings.data_dir) is not None
    with local_sandbox.continued(settings.data_dir, first_days=days) as sandbox:
        say(f"sandbox of the Meter API at {sandbox.url}, data in {settings.data_dir}")
        settings = replace(settings, base_url=sandbox.url)
        with environment(_variables(settings, sandbox)):
            if again:
                sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
            sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
    _show(settings.warehouse)
    _next_lines()


def _variables(settings: Settings, sandbox: Sandbox) -> dict[str, str]:
    """What the run's resources read."""
    return {
        "METER_API_KEY": sandbox.api_key,
        "METER_BASE_URL": settings.base_url,
        "METER_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(dagster_home(settings.data_dir)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def _load(settings: Settings, sandbox: Sandbox) -> None:
    """One run of Dagster's `sync` job, told in one line; its definitions know what the last run found."""
    import dagster as dg

    from meter_pipeline.defs import build_defs

    started = time.monotonic()
    job = build_defs(settings).resolve_job_def("sync")
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        result = job.execute_in_process(instance=instance, run_config=_QUIET, raise_on_error=False)
    if not result.success:
        raise DemoError(f"the Dagster run {result.run_id} failed: {_reason(result)}")
    say(
        f"{sandbox.now:%Y-%m-%d %H:%M} virtual time: Dagster job sync, run {result.run_id[:8]}: "
        f"{_number(result, 'jobs landed'):,} jobs, {_number(result, 'items landed'):,} items, "
        f"warehouse published, {time.monotonic() - started:.1f} s"
    )


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """Why the run failed, in one line.

    Raises:
        KeyboardInterrupt: It was interrupted; Dagster makes a failure of that.
    """
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None) if event.is_failure else None
        if error is not None:
            if error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            return " ".join(error.message.split())
    return "see the run in the Dagster UI"


def _number(result: dg.ExecuteInProcessResult, name: str) -> int:
    """A number of the run's materialisations of what Meter manages; 0 where there was no news."""
    for event in result.get_asset_materialization_events():
        found = event.materialization.metadata.get(name)
        if found is not None and event.materialization.asset_key.path[0] == "meter":
            return int(str(found.value))
    return 0


def _show(warehouse: Path) -> None:
    questions = {
        "Biggest price moves this week": _MOVES,
        "Postings that vanished within two days": _VANISHED,
        "What the bookshop looked like last Tuesday": _TUESDAY.replace("$strategy", f"'{_SHOP}'"),
        "Which schedules run late": _LATE,
        "The price of one book, version by version": _HISTORY.replace("$strategy", f"'{_SHOP}'"),
        "The latest changes": _CHANGES,
        "Items and changes per strategy and day": _ACTIVITY,
        "Jobs by state": _STATES,
    }
    for title, sql in questions.items():
        answer = ask(warehouse, sql)
        say()
        show(answer.columns, answer.rows, title, whole=())
    say()


def _next_lines() -> None:
    program = program_name()
    say("What next:")
    say(f"  {program} dev                   the Dagster UI on the same data, at http://127.0.0.1:3000")
    say(f'  {program} query "from results.new_books limit 5"')
    say(f"  {program} status")
    say(f"  {program} report                a page with charts of it all")
    say(f"  METER_API_KEY=sk_live_… METER_DATA_DIR=data/mine {program} sync       your own data from Meter")


def program_name() -> str:
    """How this user starts the command: by name, or by its path where the virtual environment is not active."""
    path = Path(sys.executable).parent / "meter-pipeline"
    found = shutil.which("meter-pipeline")
    # One that is found by name may belong to another installation.
    if found and Path(found).resolve() == path.resolve():
        return "meter-pipeline"
    return os.path.relpath(path) if path.exists() else f"{sys.executable} -m meter_pipeline"
