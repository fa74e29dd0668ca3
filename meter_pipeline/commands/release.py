"""`release`: accepts held jobs by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.commands.options import Json
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store


def release(
    job: Annotated[
        list[str],
        typer.Argument(help="Ids of held jobs; `meter-pipeline status` lists them.", autocompletion=complete.held_jobs),
    ],
    as_json: Json = False,
) -> None:
    """Accept held jobs by hand: their items enter results and the change feed as they are."""
    from meter_pipeline.sync.loading.release import release as release_jobs

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        reports = release_jobs(store.ledger, store.lake, job, config)
    if as_json:
        released = [{"strategy": report.slug, "jobs": report.accepted, "items": report.items} for report in reports]
        print_json({"released": released})
        return
    for report in reports:
        print_line(
            f"{report.slug}: {report.accepted:,} jobs with {report.items:,} items released; "
            "publish the warehouse to see them"
        )
