"""The demo: a sandbox, two syncs through Dagster with virtual days between them, and what SQL makes of the result."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from meter_pipeline import origin
from meter_pipeline.ask import ask
from meter_pipeline.console import say, show
from meter_pipeline.dev import dagster_home
from meter_pipeline.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from meter_pipeline.sandbox import Sandbox

_LATER_DAYS = 1.5
_PRICES = """
with seen as (
    select title, price, _meter_completed_at as seen_at,
        lag(price) over (partition by title order by _meter_completed_at) as before
    from results.new_books
), liveliest as (
    select title from seen where price <> before group by title order by count(*) desc, title limit 1
)
select title, seen_at, before as old_price, price as new_price
from seen semi join liveliest using (title)
where price is distinct from before
order by seen_at
limit 12
"""
_DAYS = """
with recent as (
    select strategy, strftime(completed_at, '%m-%d') as day
    from meter.items
    where completed_at > (select max(completed_at) - interval 6 days from meter.items)
)
pivot recent on day using count(*) group by strategy order by strategy
"""
_STATES = "pivot meter.jobs on state using count(*) group by strategy order by strategy"


class DemoError(Exception):
    """The demo could not be played; the message is one line."""


def play(settings: Settings, days: float) -> None:
    """Plays the demo on the data folder of `settings`; it can be played again and goes on where it stopped.

    Raises:
        SettingsError: The folder holds data that no sandbox made.
        DemoError: A run failed.
    """
    settings = replace(settings, api_key=None, ledger_url=None, lake_url=None, api_prefix="auto")
    origin.refuse_foreign(settings)
    again = origin.read(settings.data_dir) is not None
    with origin.continued(settings.data_dir, first_days=days) as sandbox:
        say(f"sandbox of the Meter API at {sandbox.url}, data in {settings.data_dir}")
        settings = replace(settings, base_url=sandbox.url)
        with _environment(settings, sandbox):
            if again:
                sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
            sandbox.advance(days=_LATER_DAYS)
            _load(settings, sandbox)
    _show(settings.warehouse)
    _next_lines()


@contextmanager
def _environment(settings: Settings, sandbox: Sandbox) -> Iterator[None]:
    """What the run's resources read, for as long as the demo lasts."""
    given = {
        "METER_API_KEY": sandbox.api_key,
        "METER_BASE_URL": settings.base_url,
        "METER_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(dagster_home(settings.data_dir)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
        "One product's price over time": _PRICES,
        "Items per strategy and day": _DAYS,
        "Jobs by state": _STATES,
    }
    for title, sql in questions.items():
        answer = ask(warehouse, sql)
        say()
        show(answer.columns, answer.rows, title)


def _next_lines() -> None:
    program = program_name()
    say("What next:")
    say("  make dev                      the Dagster UI on the same data, at http://127.0.0.1:3000")
    say(f'  {program} query "from results.new_books limit 5"')
    say(f"  {program} status")
    say(f"  METER_API_KEY=sk_live_… METER_DATA_DIR=data/mine {program} sync       your own data from Meter")


def program_name() -> str:
    """How this user starts the command: by name, or by its path where the virtual environment is not active."""
    if shutil.which("meter-pipeline"):
        return "meter-pipeline"
    path = Path(sys.executable).parent / "meter-pipeline"
    return os.path.relpath(path) if path.exists() else f"{sys.executable} -m meter_pipeline"
