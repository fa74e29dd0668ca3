"""Draws charts from the published warehouse, for the metadata of assets and for the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from meter_pipeline.report.breakage import breakage
from meter_pipeline.report.pictures import INK, Chart, Style, shorten
from meter_pipeline.store.times import shift

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS, _ITEMS, _STRATEGIES, _FIELDS = 3, 3, 8, 10
# Height in inches of a panel of prices, and of the axis below the last panel.
_PANEL, _AXIS = 1.35, 0.6
_NAMED = 3
_EVER = datetime(1970, 1, 1)
log = logging.getLogger("meter_pipeline.report.charts")
_LINES = ("#4f6bed", "#e8833a", "#2ca58d", "#d0527c", "#9b6dd7", "#b8922c", "#3fa0c9", "#8a8f98", "#7a9e3a", "#c46a4a")
_SHARES = "RdYlGn"
_ADDED, _REMOVED, _CHANGED = "#2ca58d", "#d9534f", "#4f6bed"

Series = Mapping[str, Sequence[tuple[datetime, float]]]


# An item's price from when it was first seen to when it was last, a row for each move. A panel has the prices of one
# strategy, field and currency: 900 yen and 9 euros do not compare.
_MOVES = """
with moved as (
    select item_id, strategy, field, currency, any_value(label) as label, count(*) as moves,
        max(abs(relative_change)) as most
    from marts.fct_price_changes
    where observed_at >= $since
    group by item_id, strategy, field, currency
), panels as (
    select strategy, field, currency, max(most) as top
    from moved
    group by all
    order by top desc nulls last, strategy, field, currency
    limit $panels
), chosen as (
    select moved.*, top
    from moved
    inner join panels
        on moved.strategy = panels.strategy and moved.field = panels.field
        and moved.currency is not distinct from panels.currency
    qualify row_number() over (
        partition by moved.strategy, moved.field, moved.currency
        order by most desc nulls last, moves desc, label, item_id
    ) <= $items
)
select chosen.strategy, chosen.field, chosen.currency, chosen.label, item_id, observed_at, old_price, new_price,
    greatest(items.first_seen_at, $since::timestamptz), items.last_seen_at
from chosen
inner join marts.fct_price_changes as changes using (item_id, field)
inner join marts.dim_items as items using (item_id)
where observed_at >= $since and chosen.currency is not distinct from changes.currency
order by top desc nulls last, chosen.strategy, chosen.field, chosen.currency,
    most desc nulls last, moves desc, chosen.label, item_id, observed_at
"""
_ACTIVITY = """
select day, sum(items), sum(items_added), sum(items_removed), sum(items_changed)
from marts.fct_daily_activity where day >= cast($since as date) group by day order by day
"""
_JOBS = """
select observed_at, strategy, item_count, (select count(*) from marts.dim_strategies where accepted_jobs > 0)
from marts.fct_scrape_jobs
where outcome = 'accepted' and observed_at >= $since and strategy in (
    select strategy from marts.dim_strategies order by accepted_jobs desc, strategy limit $items
)
order by observed_at
"""
# Field coverage matters most where scrapes break.
_TROUBLED = """
select strategy from marts.dim_strategies where accepted_jobs > 1
order by held_jobs + failed_jobs + unreadable_jobs desc, accepted_jobs desc, strategy
limit 1
"""


def prices(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Draws the prices that moved most, a panel per strategy, field and currency; `None` if no price moved."""
    rows = connection.execute(_MOVES, {"since": since or _EVER, "panels": _PANELS, "items": _ITEMS}).fetchall()
    panels: dict[tuple[str, ...], dict[tuple[str, str], list[tuple[datetime, float]]]] = {}
    ends: dict[tuple[str, ...], tuple[datetime, float]] = {}
    for strategy, name, currency, label, item_id, at, old, new, first, end in rows:
        panel: tuple[str, ...] = (strategy, name, currency or "")
        line = panels.setdefault(panel, {}).setdefault((label, item_id), [(min(first, at), old)])
        line.append((at, new))
        ends[(*panel, label, item_id)] = (max(end, at), new)
    for panel, items in panels.items():
        for item, line in items.items():
            line.append(ends[(*panel, *item)])
    if not panels:
        return None
    lines = {panel: _label_lines(items) for panel, items in panels.items()}
    moved = [
        f"{shorten(name)} {money(points[0][1], panel[-1])} → {money(points[-1][1], panel[-1])}"
        for panel, items in lines.items()
        for name, points in items.items()
    ]

    def draw(figure: Figure, style: Style) -> None:
        if style.small:
            _draw_steps(figure.subplots(), next(iter(lines.values())), style)
            return
        rows_of_axes = figure.subplots(len(lines), sharex=True, squeeze=False)
        for (strategy, name, currency), (axes,) in zip(lines, rows_of_axes, strict=True):
            _draw_steps(axes, lines[strategy, name, currency], style)
            axes.set_title(style.escape_label(strategy), loc="left", color=INK, fontsize=8)
            axes.set_ylabel(style.escape_label(f"{name}, {currency}" if currency else name))

    return Chart("Prices that moved most", "; ".join(moved[:_NAMED]), draw, _AXIS + _PANEL * max(len(lines), 2))


def _label_lines(
    items: Mapping[tuple[str, str], list[tuple[datetime, float]]],
) -> dict[str, list[tuple[datetime, float]]]:
    """Returns the lines by the items' labels; a label that several items share gets a part of the item id."""
    labels = [label for label, _ in items]
    return {
        label if labels.count(label) == 1 else f"{label} ({item_id[:6]})": line
        for (label, item_id), line in items.items()
    }


def money(value: float, currency: str | None) -> str:
    """Formats a price: a currency sign goes before the number, a code after it."""
    if not currency:
        return f"{value:,.2f}"
    if currency.isalpha():
        return f"{value:,.2f} {currency}"
    return f"{'-' if value < 0 else ''}{currency}{abs(value):,.2f}"


def activity(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Draws items seen, added, removed and changed per day; `None` without jobs."""
    rows = connection.execute(_ACTIVITY, {"since": since or _EVER}).fetchall()
    if not rows:
        return None
    days = [row[0] for row in rows]
    kinds = {"added": _ADDED, "removed": _REMOVED, "changed": _CHANGED}
    counts = {name: [float(row[place] or 0) for row in rows] for place, name in enumerate(kinds, start=2)}

    def stack(axes: Axes) -> None:
        bottom = [0.0] * len(days)
        for name, colour in kinds.items():
            axes.bar(days, counts[name], bottom=bottom, label=name, width=0.8, color=colour)
            bottom = [below + value for below, value in zip(bottom, counts[name], strict=True)]

    def draw(figure: Figure, style: Style) -> None:
        if style.small:
            stack(figure.subplots())
            return
        seen, changes = figure.subplots(2, sharex=True, height_ratios=(1, 2))
        seen.bar(days, [float(row[1] or 0) for row in rows], width=0.8, color=INK)
        seen.set_ylabel("items")
        stack(changes)
        changes.set_ylabel("changes")
        style.add_legend(changes)

    totals = ", ".join(f"{sum(counts[name]):,.0f} {name}" for name in kinds)
    return Chart("Items and changes per day", f"{totals} in {len(days)} days", draw)


def sizes(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Draws the number of items of each accepted job, by strategy; `None` without jobs."""
    rows = connection.execute(_JOBS, {"since": since or _EVER, "items": _STRATEGIES}).fetchall()
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for at, strategy, items, _ in rows:
        lines.setdefault(strategy, []).append((at, float(items or 0)))
    if not lines:
        return None
    # Strategies that vary most come first, since they show trouble.
    ordered = dict(sorted(lines.items(), key=lambda line: (-_measure_spread(line[1]), line[0])))
    total = rows[0][3]
    which = f"{len(lines)} of {total:,} strategies" if total > len(lines) else f"{len(lines)} strategies"
    most_varying = ", ".join(shorten(name) for name in list(ordered)[:_NAMED])

    def draw(figure: Figure, style: Style) -> None:
        axes = figure.subplots()
        _draw_steps(axes, ordered, style)
        axes.set_ylabel("items")
        axes.set_ylim(bottom=0)

    return Chart("Items per job", f"{which}; those that vary most: {most_varying}", draw)


def _measure_spread(points: Sequence[tuple[datetime, float]]) -> float:
    values = [value for _, value in points]
    return (max(values) - min(values)) / (max(values) or 1)


def coverage(
    connection: duckdb.DuckDBPyConnection, since: datetime | None = None, strategy: str | None = None
) -> Chart | None:
    """Draws the share of items with a value per field and job of a strategy; by default the most troubled one."""
    if strategy is None:
        found = connection.execute(_TROUBLED).fetchall()
        if not found:
            return None
        strategy = found[0][0]
    names = _read_fields(connection, strategy)
    if not names:
        return None
    shares = ", ".join(f'count("{name}") / count(*)' for name in names)
    rows = connection.execute(
        f'SELECT _meter_completed_at, {shares} FROM results."{strategy}" WHERE _meter_completed_at >= $since '  # noqa: S608
        "GROUP BY _meter_completed_at ORDER BY _meter_completed_at",
        {"since": since or _EVER},
    ).fetchall()
    if not rows:
        return None
    times, shares_of = [row[0] for row in rows], [[100 * share for share in row[1:]] for row in rows]

    def draw(figure: Figure, style: Style) -> None:
        # A heat map, since lines at 100 % would cover each other.
        axes = figure.subplots()
        edges = [*times, shift(times[-1], (times[-1] - times[0]) / max(len(times) - 1, 1))]
        if len(times) == 1:
            edges = [times[0], shift(times[0], timedelta(hours=1))]
        cells = axes.pcolormesh(
            edges, range(len(names) + 1), [*zip(*shares_of, strict=True)], vmin=0, vmax=100, cmap=_SHARES
        )
        axes.set_yticks([place + 0.5 for place in range(len(names))], [style.escape_label(name) for name in names])
        axes.invert_yaxis()
        if not style.small:
            bar = figure.colorbar(cells, ax=axes, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label("% of items with a value", color=INK, fontsize=8)
            bar.ax.tick_params(labelsize=8, colors=INK)

    mean = {name: sum(share[place] for share in shares_of) / len(rows) for place, name in enumerate(names)}
    lowest = ", ".join(
        f"{shorten(name)} {share:.0f} %" for name, share in sorted(mean.items(), key=lambda field: field[1])[:_NAMED]
    )
    return Chart("Field coverage", f"{strategy}: {lowest} over {len(rows)} jobs", draw)


def _read_fields(connection: duckdb.DuckDBPyConnection, strategy: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'results' AND table_name = ? "
        "AND NOT starts_with(column_name, '_meter_') ORDER BY column_index LIMIT ?",
        [strategy, _FIELDS],
    ).fetchall()
    return [name.replace('"', '""') for (name,) in rows]


def _draw_steps(axes: Axes, lines: Series, style: Style) -> None:
    for (name, points), colour in zip(list(lines.items())[: style.lines], _LINES, strict=False):
        axes.step(*zip(*points, strict=True), where="post", label=style.escape_label(name), color=colour, linewidth=2)
    style.add_legend(axes)


def all_of(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Mapping[str, Chart]:
    """Draws every chart that has data, by name."""
    drawn: Iterable[tuple[str, Chart | None]] = (
        (draw.__name__, _try_to_draw(draw, connection, since)) for draw in CHARTS
    )
    return {name: chart for name, chart in drawn if chart is not None}


def _try_to_draw(
    draw: Callable[..., Chart | None], connection: duckdb.DuckDBPyConnection, since: datetime | None
) -> Chart | None:
    """Draws a chart; returns None if the data cannot be drawn, for example an axis beyond the year 9999."""
    try:
        chart: Chart | None = draw(connection, since)
        if chart is not None:
            chart.png  # noqa: B018  drawn here, where a failure can still be caught
        return chart
    except (ValueError, OverflowError) as error:
        log.warning("the chart of %s cannot be drawn and is left out: %s", draw.__name__, str(error).splitlines()[0])
        return None


CHARTS: Sequence[Callable[..., Chart | None]] = (breakage, prices, activity, sizes, coverage)
