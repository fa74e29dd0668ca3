"""`compare`: lets Meter compare consecutive jobs, and checks its verdicts against the items loaded here."""

from __future__ import annotations

from typing import Annotated

import typer

from meter_pipeline.commands.console import print_json, print_line, print_stderr, print_table
from meter_pipeline.commands.options import Json
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_store


def compare(
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Most pairs of jobs to compare; each pair is one request.")
    ] = 100,
    as_json: Json = False,
) -> None:
    """Let Meter compare consecutive jobs, and show where its verdict differs from the items loaded here."""
    from meter_pipeline.sync.comparisons import compare as compare_pairs

    settings = Settings.from_env()
    settings.require_key()
    origin.refuse_mixing(settings)
    with open_store(settings) as store, open_client(settings, store.ledger) as client:
        report = compare_pairs(client, store.ledger, store.lake, limit=limit)
    if as_json:
        print_json(report.as_dict())
        raise typer.Exit(report.exit_code)
    if report.disagreements:
        rows = [(d.strategy, d.job_id, d.previous_job_id, d.meter_says, d.items_say) for d in report.disagreements]
        print_table(("strategy", "job", "previous job", "Meter says", "items say"), rows)
    for problem in report.problems:
        print_stderr(problem)
    if report.stopped:
        print_stderr(f"ended early: {report.stopped}")
    print_line(f"{report.compared:,} pairs compared, {report.agreed:,} agree with the items; {report.left:,} left")
    raise typer.Exit(report.exit_code)
