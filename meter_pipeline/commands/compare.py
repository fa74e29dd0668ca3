"""`compare`: lets Meter compare consecutive jobs, and checks its verdicts against our own items."""

from __future__ import annotations

from typing import Annotated

import typer

from meter_pipeline.commands.console import emit, say, show, tell
from meter_pipeline.commands.options import Json
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_store


def compare(
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Most pairs of jobs, each of them a request.")] = 100,
    as_json: Json = False,
) -> None:
    """Let Meter compare consecutive jobs, and see where its verdict is not ours."""
    from meter_pipeline.sync.comparisons import compare as engine

    settings = Settings.from_env()
    settings.require_key()
    origin.refuse_mixing(settings)
    with open_store(settings) as store, open_client(settings, store.ledger) as client:
        report = engine(client, store.ledger, store.lake, limit=limit)
    if as_json:
        emit(report.as_dict())
        raise typer.Exit(report.exit_code)
    if report.disagreements:
        rows = [(d.strategy, d.job_id, d.previous_job_id, d.meter_says, d.items_say) for d in report.disagreements]
        show(("strategy", "job", "previous job", "Meter says", "items say"), rows)
    for problem in report.problems:
        tell(problem)
    if report.stopped:
        tell(f"ended early: {report.stopped}")
    say(f"{report.compared:,} pairs compared, {report.agreed:,} as our own items say; {report.left:,} left")
    raise typer.Exit(report.exit_code)
