"""`publish`: builds the warehouse, or puts an older publication back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import export_tables, open_store, require_tables
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.warehouse.open_tables.tables import Export


class Tables(str, Enum):
    """Formats of open tables."""

    iceberg = "iceberg"
    none = "none"


def publish(
    force: Annotated[
        bool, typer.Option("--force", help="Publish even if nothing has changed, and rebuild every model.")
    ] = False,
    rollback: Annotated[
        bool,
        typer.Option("--rollback", help="Put an older publication back: PUBLICATION, or else the previous one."),
    ] = False,
    publication: Annotated[
        str | None, typer.Argument(help="Id of the publication that --rollback puts back; see `publications`.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Publish without the models of the dbt project.")] = False,
    keep: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Hours for which older publications are kept.")
    ] = 24,
    tables: Annotated[
        Tables | None,
        typer.Option(help="Format of the open tables that are brought up to date, too. METER_TABLES by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a new warehouse, test it, and replace the published one; if a test fails, nothing is replaced."""
    from meter_pipeline.store.warehouse.build import current, roll_back
    from meter_pipeline.store.warehouse.build import publish as build
    from meter_pipeline.store.warehouse.dbt import Project

    if publication and not rollback:
        raise typer.BadParameter("a publication is named only to put it back: add --rollback")
    if force and rollback:
        raise typer.BadParameter("--force and --rollback exclude each other: one builds, the other puts back")
    settings = Settings.from_env()
    if tables is not None:
        settings = replace(settings, tables=None if tables is Tables.none else tables.value)
    require_tables(settings)
    hours = timedelta(hours=keep)
    with open_store(settings) as store:
        if rollback:
            published = roll_back(store.ledger, settings.warehouse, publication)
        else:
            models = None if raw or settings.dbt_project is None else Project(settings.dbt_project)
            published = build(
                store.ledger,
                store.lake,
                settings.warehouse,
                models=models,
                force=force,
                keep=hours,
                cache=settings.lake_cache,
            )
        exported = export_tables(settings, store, hours)
    if as_json:
        print_json({**published.as_dict(), **({} if exported is None else {"open_tables": exported.as_dict()})})
    elif rollback:
        print_line(f"{settings.warehouse} is publication {published.publication_id} of {published.published_at} again")
    elif published.unchanged:
        print_line(f"nothing new since the last publication of {settings.warehouse}")
        shown = current(settings.warehouse)
        if shown is not None and shown.publication_id != published.publication_id:
            print_line(
                f"it is not the last one that is shown: {shown.publication_id} was put back; to go forward, "
                f"`meter-pipeline publish --rollback {published.publication_id}`"
            )
    else:
        print_line(f"published {settings.warehouse}")
    if exported is not None and not as_json:
        print_line(_describe(exported))


def _describe(exported: Export) -> str:
    if not exported.changed:
        return f"open tables: none of {exported.tables} has changed"
    return (
        f"open tables: {exported.changed} of {exported.tables} changed, "
        f"{count_of(exported.added, 'file')} came and {exported.removed:,} went"
    )
