"""Charts as metadata: pictures of the published data on the pages of the assets that they are about."""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.keys import WAREHOUSE
from meter_pipeline.defs.metadata import fits, plain

if TYPE_CHECKING:
    from meter_pipeline.report.pictures import Chart

_PLACES = {
    "prices": dg.AssetKey(["marts", "fct_price_changes"]),
    "activity": dg.AssetKey(["marts", "fct_daily_activity"]),
    "sizes": dg.AssetKey(["marts", "fct_scrape_jobs"]),
    "coverage": WAREHOUSE,
}


def of_warehouse(path: Path) -> dict[dg.AssetKey, dict[str, Any]]:
    """The charts by the asset that they belong to, as far as the warehouse has the marts for them."""
    import duckdb

    from meter_pipeline.report import charts
    from meter_pipeline.store.warehouse.build import reading

    found: dict[dg.AssetKey, dict[str, Any]] = {}
    with reading(path) as connection:
        for draw in charts.CHARTS:
            # A project of somebody's own may have no marts of these names, or other columns in them.
            with suppress(duckdb.CatalogException, duckdb.BinderException):
                chart = draw(connection)
                if chart is not None:
                    shown = {chart.title: small(chart), f"{chart.title}, large": large(chart)}
                    found[_PLACES[draw.__name__]] = shown
    return found


def small(chart: Chart) -> dg.MarkdownMetadataValue:
    """The chart on the page itself; its words alone where that is more than the UI shows there."""
    text = f"{_picture(chart.title, chart.small)}\n\n{plain(chart.about)}"
    return dg.MetadataValue.md(text if fits(text) else plain(chart.about))


def large(chart: Chart) -> dg.MarkdownMetadataValue:
    """The chart to read, which the UI shows at a click."""
    return dg.MetadataValue.md(f"{_picture(chart.title, chart.png)}\n\n{plain(chart.about)}")


def _picture(title: str, png: bytes) -> str:
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
