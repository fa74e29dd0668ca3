"""The report: what happened since a moment, as one HTML page that can be sent to anybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands.console import say
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.host.extras import require_extra
from meter_pipeline.store.errors import WarehouseError

# A day alone is no picture.
_PICTURES = timedelta(days=14)


def report(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only what was observed after: an ISO time, or a span as 24h or 7d.")
    ] = "24h",
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page about what happened: in words, pictures and tables; nothing else is needed to view it."""
    settings = Settings.from_env()
    now = origin.clock(settings.data_dir)
    notes = [note] if (note := origin.notice(settings.data_dir)) else []
    say(f"wrote {write_report(settings.warehouse, out, since=parse_since(since, now), now=now, notes=notes)}")


def write_report(
    warehouse: Path,
    out: Path,
    *,
    since: datetime | None = None,
    now: datetime | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Writes the page about what was observed since then, and returns its path.

    Args:
        warehouse: The published file.
        out: The page; its folder is made.
        since: The beginning of the time that the words are about; all of it by default. The pictures go back two weeks
            at least.
        now: The present of the data; this moment by default.
        notes: What stands above everything else, such as that the data is a sandbox's.

    Raises:
        WarehouseError: There is no warehouse, or it has no models, or models of another version.
        MissingExtraError: matplotlib is not installed.
    """
    require_extra("charts", "the report")
    import duckdb

    from meter_pipeline.report import Span, charts, gather, render
    from meter_pipeline.store.warehouse.build import reading

    span = Span(since, now or datetime.now(timezone.utc))
    drawn_since = min(since, span.now - _PICTURES) if since else None
    with reading(warehouse) as connection:
        try:
            facts = gather(connection, span)
            drawn = charts.all_of(connection, drawn_since)
            (publication,) = connection.execute("SELECT max(publication_id) FROM meter.publications").fetchall()[0]
        except duckdb.CatalogException:
            raise WarehouseError(f"{warehouse} has no models: run `meter-pipeline publish`") from None
        except duckdb.BinderException:
            raise WarehouseError(f"{warehouse} has models of another version: run `meter-pipeline publish`") from None
    page = render(facts, drawn.values(), span, publication=publication or "none", notes=notes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out
