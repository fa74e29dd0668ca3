"""The report: one HTML page about the published data of a time range, with everything it needs inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meter_pipeline.commands.console import cell
from meter_pipeline.store.errors import WarehouseError

if TYPE_CHECKING:
    import duckdb

_EVER = datetime(1970, 1, 1)
_TABLES = {
    "Biggest price moves": """
        select strategy, label as item, field, old_price, new_price, round(100 * relative_change, 1) as "change in %",
            observed_at
        from marts.fct_price_changes where observed_at >= $since
        order by abs(relative_change) desc nulls last, observed_at desc limit 15""",
    "What vanished soonest": """
        select strategy, label as item, first_seen_at, removed_at, round(seconds_listed / 3600, 1) as "hours listed"
        from marts.dim_items where removed_at >= $since order by seconds_listed, removed_at desc limit 15""",
    "Activity by strategy": """
        select strategy, sum(jobs) as jobs, sum(items) as items, sum(items_added) as added,
            sum(items_removed) as removed, sum(items_changed) as changed,
            sum(held_jobs + failed_jobs + unreadable_jobs) as "jobs in trouble"
        from marts.fct_daily_activity where day >= cast($since as date) group by strategy order by strategy""",
    "Schedules": """
        select strategy, coalesce(cron_expression, expected_interval_seconds || ' s') as runs, jobs.jobs, jobs.late,
            round(jobs.longest / 60, 1) as "longest lag in minutes", last_job_at
        from marts.dim_schedules inner join (
            select schedule_id, count(*) as jobs, count(*) filter (where is_late) as late,
                max(lag_seconds) as longest
            from marts.fct_scrape_jobs where observed_at >= $since group by schedule_id
        ) as jobs using (schedule_id)
        order by jobs.late desc, strategy limit 30""",
    "Jobs in trouble": """
        select strategy, job_id, outcome, reason, observed_at
        from marts.fct_scrape_jobs
        where outcome in ('held', 'failed', 'unreadable') and observed_at >= $since
        order by observed_at desc limit 30""",
}
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Scraped with Meter</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem } p.note { color: #666 }
table { border-collapse: collapse; font-size: 0.85rem } th, td { padding: 0.25rem 0.7rem 0.25rem 0; text-align: left }
th { border-bottom: 1px solid #999 } td { border-bottom: 1px solid #e5e5e5; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100%; height: auto }
</style></head><body>
<h1>Scraped with Meter</h1>
<p class="note">{{ range }}; publication {{ publication }}.</p>
{% for chart in charts %}<h2>{{ chart.title }}</h2>
<img alt="{{ chart.title }}" src="data:image/png;base64,{{ chart.data }}">
{% endfor %}
{% for table in tables %}<h2>{{ table.title }}</h2>
{% if table.rows %}<table><tr>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>
{%- for value, number in row %}<td{% if number %} class="number"{% endif %}>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table>{% else %}<p class="note">Nothing in this time.</p>{% endif %}
{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class _Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[tuple[str, bool]]]


def write_report(warehouse: Path, out: Path, *, since: datetime | None = None) -> Path:
    """Writes the page about what was observed since then, and returns its path.

    Raises:
        WarehouseError: There is no warehouse, or it has no models.
    """
    import duckdb
    from jinja2 import Environment

    from meter_pipeline import charts
    from meter_pipeline.store.warehouse import reading

    with reading(warehouse) as connection:
        try:
            drawn = list(charts.all_of(connection, since).values())
            tables = [_table(connection, title, sql, since) for title, sql in _TABLES.items()]
            (publication,) = connection.execute("SELECT max(publication_id) FROM meter.publications").fetchall()[0]
        except duckdb.CatalogException:
            raise WarehouseError(f"{warehouse} has no models: run `meter-pipeline publish`") from None
    pictures = [{"title": chart.title, "data": base64.b64encode(chart.png).decode()} for chart in drawn]
    page = Environment(autoescape=True).from_string(_PAGE)
    span = f"What was observed since {since:%Y-%m-%d %H:%M} UTC" if since else "Everything that was ever observed"
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page.render(range=span, publication=publication, charts=pictures, tables=tables)
    out.write_text(text.encode("utf-8", "replace").decode(), encoding="utf-8")
    return out


def _table(connection: duckdb.DuckDBPyConnection, title: str, sql: str, since: datetime | None) -> _Table:
    cursor = connection.execute(sql, {"since": since or _EVER})
    columns = [column[0] for column in cursor.description or ()]
    return _Table(title, columns, [[_cell(value) for value in row] for row in cursor.fetchall()])


def _cell(value: Any) -> tuple[str, bool]:
    return cell(value), isinstance(value, (int, float)) and not isinstance(value, bool)
