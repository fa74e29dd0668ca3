"""Charts of the published data as metadata of the assets that they describe."""

from __future__ import annotations

import base64
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.keys import WAREHOUSE
from meter_pipeline.defs.metadata.entries import escape_markdown, fits_inline

if TYPE_CHECKING:
    from meter_pipeline.report.pictures import Chart

_PLACES = {
    "breakage": dg.AssetKey(["marts", "fct_scrape_jobs"]),
    "prices": dg.AssetKey(["marts", "fct_price_changes"]),
    "activity": dg.AssetKey(["marts", "fct_daily_activity"]),
    "sizes": dg.AssetKey(["marts", "fct_scrape_jobs"]),
    "coverage": WAREHOUSE,
}


def draw_charts(path: Path, lake_url: str | None = None) -> dict[dg.AssetKey, dict[str, Any]]:
    """Draws the charts, by the asset that each belongs to; without the ones whose mart the warehouse lacks.

    Args:
        path: The published file.
        lake_url: The lake's URL, for a warehouse that reads a lake on S3 in place.
    """
    import duckdb

    from meter_pipeline.report import charts
    from meter_pipeline.store.warehouse.build import reading

    found: defaultdict[dg.AssetKey, dict[str, Any]] = defaultdict(dict)
    with reading(path, lake_url) as connection:
        for draw in charts.CHARTS:
            # Your own dbt project may have no marts of these names, or other columns in them.
            with suppress(duckdb.CatalogException, duckdb.BinderException):
                chart = draw(connection)
                if chart is not None:
                    shown = {chart.title: embed_small(chart), f"{chart.title}, large": embed_large(chart)}
                    found[_PLACES[draw.__name__]] |= shown
    return found


def embed_small(chart: Chart) -> dg.MarkdownMetadataValue:
    """Returns the chart for the asset's page; only its description if the image is too large to show there."""
    text = f"{_picture(chart.title, chart.small)}\n\n{escape_markdown(chart.about)}"
    return dg.MetadataValue.md(text if fits_inline(text) else escape_markdown(chart.about))


def embed_large(chart: Chart) -> dg.MarkdownMetadataValue:
    """Returns the full-size chart, which the UI shows after a click."""
    return dg.MetadataValue.md(f"{_picture(chart.title, chart.png)}\n\n{escape_markdown(chart.about)}")


def _picture(title: str, png: bytes) -> str:
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
