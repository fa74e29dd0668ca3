"""`report`: writes one HTML page about what happened since a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands.console import print_line
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import parse_since
from meter_pipeline.host.extras import require_extra
from meter_pipeline.store.errors import WarehouseError

# A chart of a single day shows no trend.
_MIN_CHARTED = timedelta(days=14)


def report(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Report from this time on: an ISO time, or an age such as 24h or 7d.")
    ] = "24h",
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page about what happened, with sentences, charts and tables; any browser shows it offline."""
    settings = Settings.from_env()
    now = origin.clock(settings.data_dir)
    notes = [note] if (note := origin.notice(settings.data_dir)) else []
    start = parse_since(since, now)
    page = write_report(settings.warehouse, out, since=start, now=now, notes=notes, lake_url=settings.lake)
    print_line(f"wrote {page}")


def write_report(
    warehouse: Path,
    out: Path,
    *,
    since: datetime | None = None,
    now: datetime | None = None,
    notes: Sequence[str] = (),
    lake_url: str | None = None,
) -> Path:
    """Writes the page and returns its path.

    Args:
        warehouse: The published file.
        out: The file to write; its folder is created.
        since: The text covers what was observed from this time on; everything by default. The charts cover at least
            two weeks.
        now: The present time of the data; the current time by default.
        notes: Lines at the top of the page, such as that the data is a sandbox's.
        lake_url: The lake's URL, for a warehouse that reads a lake on S3 in place.

    Raises:
        WarehouseError: There is no warehouse, or its models are missing or of another version.
        MissingExtraError: matplotlib is not installed.
    """
    require_extra("charts", "the report")
    import duckdb

    from meter_pipeline.report import Span, charts, gather, render
    from meter_pipeline.store.warehouse.build import reading

    span = Span(since, now or datetime.now(timezone.utc))
    charted_since = min(since, span.now - _MIN_CHARTED) if since else None
    with reading(warehouse, lake_url) as connection:
        try:
            facts = gather(connection, span)
            drawn = charts.all_of(connection, charted_since)
            (publication,) = connection.execute("SELECT max(publication_id) FROM meter.publications").fetchall()[0]
        except duckdb.CatalogException:
            raise WarehouseError(f"{warehouse} has no models: run `meter-pipeline publish`") from None
        except duckdb.BinderException:
            raise WarehouseError(f"{warehouse} has models of another version: run `meter-pipeline publish`") from None
    page = render(facts, drawn.values(), span, publication=publication or "none", notes=notes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out
