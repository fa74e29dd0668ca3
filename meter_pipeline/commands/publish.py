"""`publish`: builds the warehouse, or puts an older publication back."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from meter_pipeline.commands.console import emit, say
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store


def publish(
    force: Annotated[
        bool, typer.Option("--force", help="Also when nothing has changed, and every model from nothing.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put an older publication back: the one named, or the one before.")
    ] = False,
    publication: Annotated[str | None, typer.Argument(help="Id of a publication to put back.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Without the models of the dbt project.")] = False,
    keep: Annotated[float, typer.Option(min=0, metavar="HOURS", help="Hours for which older publications stay.")] = 24,
    as_json: Json = False,
) -> None:
    """Build the warehouse anew, test it, and put it in place at once; nothing is published when a test fails."""
    from meter_pipeline.store.warehouse.build import publish as build
    from meter_pipeline.store.warehouse.build import roll_back
    from meter_pipeline.store.warehouse.dbt import Project

    if publication and not rollback:
        raise typer.BadParameter("a publication is named to put it back: add --rollback")
    settings = Settings.from_env()
    with open_store(settings) as store:
        if rollback:
            done = roll_back(store.ledger, settings.warehouse, publication)
        else:
            models = None if raw or settings.dbt_project is None else Project(settings.dbt_project)
            hours = timedelta(hours=keep)
            done = build(store.ledger, store.lake, settings.warehouse, models=models, force=force, keep=hours)
    if as_json:
        emit(done.as_dict())
    elif rollback:
        say(f"{settings.warehouse} is publication {done.publication_id} of {done.published_at} again")
    else:
        told = "nothing new since the last publication of" if done.unchanged else "published"
        say(f"{told} {settings.warehouse}")
