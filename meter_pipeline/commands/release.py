"""`release`: accepts held jobs by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, say
from meter_pipeline.commands.options import Json
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store


def release(
    job: Annotated[
        list[str],
        typer.Argument(help="Ids of held jobs: see `meter-pipeline status`.", autocompletion=complete.held_jobs),
    ],
    as_json: Json = False,
) -> None:
    """Accept held jobs by hand: they go to results and the change feed as they were landed."""
    from meter_pipeline.sync.loading.release import release as accept

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        reports = accept(store.ledger, store.lake, job, config)
    if as_json:
        emit({"released": [{"strategy": one.slug, "jobs": one.accepted, "items": one.items} for one in reports]})
        return
    for one in reports:
        say(f"{one.slug}: {one.accepted:,} jobs with {one.items:,} items released; publish the warehouse to see them")
