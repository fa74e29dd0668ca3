"""`demo`: runs a sandbox and two syncs through Dagster, virtual days apart, and queries the result."""

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
from meter_pipeline.commands.console import print_line, print_table
from meter_pipeline.commands.dev import dagster_home
from meter_pipeline.commands.query import run_query
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import environment
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.extras import require_extra

if TYPE_CHECKING:
    import dagster as dg

    from meter_pipeline.sandbox import Sandbox

_LATER_DAYS = 1.5
# A job has no finding where the API itself contradicts its items, as with another count.
_BROKEN = """
select strftime(completed_at, '%m-%d %H:%M') as scraped, findings.field,
    regexp_replace(coalesce(findings.message, reason), ' \\(in this job: .*', '') as "held because",
    findings.samples ->> '$[0]' as seen
from meter.jobs as jobs
left join meter.findings as findings on findings.job_id = jobs.job_id and findings.position = 0
where state = 'held'
order by completed_at
limit 20
"""
_STATES = """
with feed as (select job_id, count(*) as changes from meter.item_changes group by job_id),
result as (select _meter_job_id as job_id, count(*) as items from results.flaky_shop group by job_id)
select state, count(*) as jobs, sum(jobs.items) as "items scraped", coalesce(sum(result.items), 0) as "rows in results",
    coalesce(sum(feed.changes), 0) as "rows in the feed"
from meter.jobs as jobs
left join result using (job_id)
left join feed using (job_id)
where strategy = 'flaky_shop'
group by state
order by jobs desc
"""
_MOVES = """
select strategy, label as item, currency, cast(old_price as decimal(18, 2)) as was,
    cast(new_price as decimal(18, 2)) as now, round(100 * relative_change, 1) as "change %", observed_at as seen
from marts.fct_price_changes
where observed_at > (select max(observed_at) - interval 7 days from marts.fct_price_changes)
order by abs(relative_change) desc nulls last, observed_at, label
limit 6
"""
_VARIANTS = """
select label as item, field, old_value ->> '$' as was, new_value ->> '$' as now,
    round(100 * relative_change, 1) as "change %", observed_at as seen
from meter.item_changes
inner join marts.dim_items using (strategy, target, item_key)
where strategy = 'bikes_with_variants' and field like 'variants%' and kind = 'changed'
order by observed_at desc, label, field
limit 6
"""
# Bikes whose price moved in all shops, the latest first: as the pages write it, and as the numbers read from it.
_CURRENCIES = """
with moves as (
    select label as item, url, old_value ->> '$' as was, new_value ->> '$' as now, new_number as number,
        new_currency as currency, round(100 * relative_change, 1) as "change %", observed_at as seen,
        max(observed_at) over (partition by item_key) as latest, count(*) over (partition by item_key) as moves
    from meter.item_changes
    inner join marts.dim_items using (strategy, target, url, item_key)
    where strategy = 'bikes_in_two_shops' and field = 'price'
)
select item, url, was, now, number, currency, "change %", seen
from moves
where moves > 1
order by latest desc, item, url
limit 6
"""
# The versions of the product whose price moved most often.
_PRODUCT = """
with moved as (
    select target from meter.item_changes where strategy = 'single_products' and field = 'price' and kind = 'changed'
    group by target order by count(*) desc, target limit 1
)
select items.label as item, version, versions.item ->> 'price' as price, versions.item ->> 'reviews' as reviews,
    versions.item ->> 'stock' as stock, valid_from as "valid from", valid_to as "valid to"
from meter.item_versions as versions
inner join moved using (target)
inner join marts.dim_items as items using (strategy, target, item_key)
where strategy = 'single_products'
order by version
limit 6
"""
_SLIDING = """
with seen as (
    select _meter_item_key as item_key, count(distinct _meter_url) as pages from results.classified_adverts
    group by item_key
), feed as (
    select item_key, count(*) filter (where kind = 'added') as came, count(*) filter (where kind = 'removed') as went
    from meter.item_changes where strategy = 'classified_adverts' group by item_key
)
select pages as "stood on pages", count(*) as adverts, coalesce(sum(came), 0) as came, coalesce(sum(went), 0) as went
from seen
left join feed using (item_key)
group by pages
order by pages
"""
# Noon of the Tuesday before the last observed day, or the first job if the data is younger.
_TUESDAY = """
with days as (
    select max(observed_at) as last, min(observed_at) as first from marts.fct_scrape_jobs
    where strategy = 'new_books' and outcome = 'accepted'
), moment as (
    select greatest(
        date_trunc('week', last at time zone 'UTC' - interval 1 day) + interval 36 hours, first at time zone 'UTC'
    ) at time zone 'UTC' as at
    from days
)
select moment.at as "as of", items.label as item, versions.item ->> 'price' as price
from meter.item_versions as versions
inner join moment on valid_from <= moment.at and (valid_to is null or valid_to > moment.at)
inner join marts.dim_items as items using (strategy, item_key)
where strategy = 'new_books'
order by items.label
limit 4
"""
_VANISHED = """
select label as posting, first_seen_at as "first seen", removed_at as removed, round(seconds_listed / 3600, 1) as hours
from marts.dim_items
where strategy = 'job_board' and seconds_listed < 2 * 86400
order by seconds_listed, label
limit 4
"""
_QUERIES = {
    "Broken scrapes of the flaky shop, held before they became data": _BROKEN,
    "What became of the flaky shop's jobs": _STATES,
    "Biggest price moves this week": _MOVES,
    "Prices and stock of variants, inside an array": _VARIANTS,
    "The same bikes in pounds and in euros": _CURRENCIES,
    "The page of one product, version by version": _PRODUCT,
    "Adverts that slide through a listing of five pages, compared as one list": _SLIDING,
    "What the bookshop looked like last Tuesday": _TUESDAY,
    "Postings that vanished within two days": _VANISHED,
}


class DemoError(MeterPipelineError):
    """The demo failed; the message is one line."""


def demo(
    days: Annotated[float, typer.Option(min=0.1, max=60, help="Virtual days of history before the first sync.")] = 3.0,
) -> None:
    """Load a sandbox's shops, adverts and job board through Dagster, and show the results."""
    play_demo(Settings.from_env(), days)


def play_demo(settings: Settings, days: float) -> None:
    """Runs the demo on the data folder of `settings`; a second run continues where the first one stopped.

    Raises:
        SettingsError: The folder holds data that is not a sandbox's.
        DemoError: A run failed.
        MissingExtraError: Dagster is not installed.
    """
    require_extra("dagster", "the demo")
    settings = replace(settings, api_key=None, ledger_url=None, lake_url=None, api_prefix="auto")
    local_sandbox.refuse_foreign(settings)
    is_second_run = origin.read(settings.data_dir) is not None
    with local_sandbox.continue_sandbox(settings.data_dir, first_days=days) as sandbox:
        print_line(f"sandbox of the Meter API at {sandbox.url}, data in {settings.data_dir}")
        settings = replace(settings, base_url=sandbox.url)
        with environment(_variables(settings, sandbox)):
            if is_second_run:
                sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
            sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
    _print_results(settings.warehouse)
    _print_next_steps()


def _variables(settings: Settings, sandbox: Sandbox) -> dict[str, str]:
    """Environment variables that Dagster's resources read."""
    return {
        "METER_API_KEY": sandbox.api_key,
        "METER_BASE_URL": settings.base_url,
        "METER_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(dagster_home(settings.data_dir)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def _load(settings: Settings, sandbox: Sandbox) -> None:
    """Runs Dagster's `sync` job and prints one line; its definitions include what the last run found."""
    import dagster as dg

    from meter_pipeline.defs import build_defs

    started = time.monotonic()
    job = build_defs(settings).resolve_job_def("sync")
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        result = job.execute_in_process(instance=instance, run_config=_QUIET, tags=_TAGS, raise_on_error=False)
    if not result.success:
        raise DemoError(f"the Dagster run {result.run_id} failed: {_read_reason(result)}")
    print_line(
        f"{sandbox.now:%Y-%m-%d %H:%M} virtual time: Dagster job sync, run {result.run_id[:8]}: "
        f"{_read_number(result, 'jobs loaded'):,} jobs, {_read_number(result, 'items loaded'):,} items, "
        f"warehouse published, {time.monotonic() - started:.1f} s"
    )


# What a run has that the UI starts: without it, the job's page lists no run of the demo.
_TAGS = {".dagster/repository": "__repository__@meter_pipeline"}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _read_reason(result: dg.ExecuteInProcessResult) -> str:
    """Returns why the run failed, in one line.

    Raises:
        KeyboardInterrupt: It was interrupted, which Dagster reports as a failure.
    """
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None) if event.is_failure else None
        if error is not None:
            if error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            return " ".join(error.message.split())
    return "see the run in the Dagster UI"


def _read_number(result: dg.ExecuteInProcessResult, name: str) -> int:
    """Returns a number from the metadata of the run's Meter assets; 0 if nothing was new."""
    for event in result.get_asset_materialization_events():
        found = event.materialization.metadata.get(name)
        if found is not None and event.materialization.asset_key.path[0] == "meter":
            return int(str(found.value))
    return 0


def _print_results(warehouse: Path) -> None:
    for title, sql in _QUERIES.items():
        result = run_query(warehouse, sql)
        print_line()
        print_table(result.columns, result.rows, title, prose=("held because",), full_options=())
    print_line()


def _print_next_steps() -> None:
    program = program_name()
    print_line("What next:")
    print_line(f"  {program} dev                   the Dagster UI on the same data, at http://127.0.0.1:3000")
    print_line(f"  {program} audit                 the held jobs, with all that is wrong with them")
    print_line(f"  {program} keys                  what identifies the items of each strategy")
    print_line(f'  {program} query "from results.new_books limit 5"')
    print_line(f"  {program} status")
    print_line(f"  {program} report                a page with charts about all of it")
    print_line(f"  METER_API_KEY=sk_live_… METER_DATA_DIR=data/mine {program} sync       your own data from Meter")


def program_name() -> str:
    """Returns how this user starts the command: by name, or by path if the virtual environment is not active."""
    path = Path(sys.executable).parent / "meter-pipeline"
    found = shutil.which("meter-pipeline")
    # A program of this name may belong to another installation.
    if found and Path(found).resolve() == path.resolve():
        return "meter-pipeline"
    return os.path.relpath(path) if path.exists() else f"{sys.executable} -m meter_pipeline"
