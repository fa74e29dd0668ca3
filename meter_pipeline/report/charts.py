"""Charts of the published warehouse: for metadata of assets, and for the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from meter_pipeline.report.pictures import INK, Chart, Look, shorten
from meter_pipeline.store.times import shift

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS, _ITEMS, _STRATEGIES, _FIELDS = 3, 3, 8, 10
# Inches of a panel of prices, and of the axis below the last one.
_PANEL, _AXIS = 1.35, 0.6
_NAMED = 3
_EVER = datetime(1970, 1, 1)
log = logging.getLogger("meter_pipeline.report.charts")
_LINES = ("#4f6bed", "#e8833a", "#2ca58d", "#d0527c", "#9b6dd7", "#b8922c", "#3fa0c9", "#8a8f98", "#7a9e3a", "#c46a4a")
_SHARES = "RdYlGn"
_ADDED, _REMOVED, _CHANGED = "#2ca58d", "#d9534f", "#4f6bed"

Series = Mapping[str, Sequence[tuple[datetime, float]]]


# An item's price from when it was first seen to when it was last, a row for each move. Prices of one strategy, field
# and currency share a panel, and no others: 900 yen beside 9 euros say nothing.
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
# Where scrapes break, fields come and go.
_TROUBLED = """
select strategy from marts.dim_strategies where accepted_jobs > 1
order by held_jobs + failed_jobs + unreadable_jobs desc, accepted_jobs desc, strategy
limit 1
"""


def prices(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """The prices of the items that moved most, over time, a panel for each strategy; `None` when no price moved."""
    rows = connection.execute(_MOVES, {"since": since or _EVER, "panels": _PANELS, "items": _ITEMS}).fetchall()
    panels: dict[tuple[str, ...], dict[tuple[str, str], list[tuple[datetime, float]]]] = {}
    ends: dict[tuple[str, ...], tuple[datetime, float]] = {}
    for strategy, name, currency, label, item_id, at, old, new, first, end in rows:
        panel = (strategy, name, currency or "")
        line = panels.setdefault(panel, {}).setdefault((label, item_id), [(min(first, at), old)])
        line.append((at, new))
        ends[(*panel, label, item_id)] = (max(end, at), new)
    for name_of_panel, items in panels.items():
        for item, line in items.items():
            line.append(ends[(*name_of_panel, *item)])
    if not panels:
        return None
    lines = {panel: _named(items) for panel, items in panels.items()}
    moved = [
        f"{shorten(name)} {money(points[0][1], panel[-1])} → {money(points[-1][1], panel[-1])}"
        for panel, items in lines.items()
        for name, points in items.items()
    ]

    def draw(figure: Figure, look: Look) -> None:
        if look.small:
            _steps(figure.subplots(), next(iter(lines.values())), look)
            return
        rows_of_axes = figure.subplots(len(lines), sharex=True, squeeze=False)
        for (strategy, name, currency), (axes,) in zip(lines, rows_of_axes, strict=True):
            _steps(axes, lines[strategy, name, currency], look)
            axes.set_title(look.label(strategy), loc="left", color=INK, fontsize=8)
            axes.set_ylabel(look.label(f"{name}, {currency}" if currency else name))

    return Chart("Prices that moved most", "; ".join(moved[:_NAMED]), draw, _AXIS + _PANEL * max(len(lines), 2))


def _named(
    items: Mapping[tuple[str, str], list[tuple[datetime, float]]],
) -> dict[str, list[tuple[datetime, float]]]:
    """The lines by the items' labels; where several items have the same, with what tells them apart."""
    labels = [label for label, _ in items]
    return {label if labels.count(label) == 1 else f"{label} ({id_[:6]})": line for (label, id_), line in items.items()}


def money(value: float, currency: str | None) -> str:
    """A price as people write it: signs go before the number, codes after it."""
    if not currency:
        return f"{value:,.2f}"
    if currency.isalpha():
        return f"{value:,.2f} {currency}"
    return f"{'-' if value < 0 else ''}{currency}{abs(value):,.2f}"


def activity(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Items that were seen, and items that came, went and changed, by day."""
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

    def draw(figure: Figure, look: Look) -> None:
        if look.small:
            stack(figure.subplots())
            return
        seen, changes = figure.subplots(2, sharex=True, height_ratios=(1, 2))
        seen.bar(days, [float(row[1] or 0) for row in rows], width=0.8, color=INK)
        seen.set_ylabel("items")
        stack(changes)
        changes.set_ylabel("changes")
        look.legend(changes)

    told = ", ".join(f"{sum(counts[name]):,.0f} {name}" for name in kinds)
    return Chart("Items and changes per day", f"{told} in {len(days)} days", draw)


def sizes(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """How many items each accepted job had, by strategy."""
    rows = connection.execute(_JOBS, {"since": since or _EVER, "items": _STRATEGIES}).fetchall()
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for at, strategy, items, _ in rows:
        lines.setdefault(strategy, []).append((at, float(items or 0)))
    if not lines:
        return None
    # Those that vary most come first: they are what the chart is looked at for.
    ordered = dict(sorted(lines.items(), key=lambda one: (-_spread(one[1]), one[0])))
    of = rows[0][3]
    which = f"{len(lines)} of {of:,} strategies" if of > len(lines) else f"{len(lines)} strategies"
    told = ", ".join(shorten(name) for name in list(ordered)[:_NAMED])

    def draw(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        _steps(axes, ordered, look)
        axes.set_ylabel("items")
        axes.set_ylim(bottom=0)

    return Chart("Items per job", f"{which}; those that vary most: {told}", draw)


def _spread(points: Sequence[tuple[datetime, float]]) -> float:
    values = [value for _, value in points]
    return (max(values) - min(values)) / (max(values) or 1)


def coverage(
    connection: duckdb.DuckDBPyConnection, since: datetime | None = None, strategy: str | None = None
) -> Chart | None:
    """The share of items with a value, by field, over the jobs of a strategy; by default the one in most trouble."""
    if strategy is None:
        found = connection.execute(_TROUBLED).fetchall()
        if not found:
            return None
        strategy = found[0][0]
    names = _fields(connection, strategy)
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

    def draw(figure: Figure, look: Look) -> None:
        # Lines at 100 % would lie on each other.
        axes = figure.subplots()
        edges = [*times, shift(times[-1], (times[-1] - times[0]) / max(len(times) - 1, 1))]
        if len(times) == 1:
            edges = [times[0], shift(times[0], timedelta(hours=1))]
        cells = axes.pcolormesh(
            edges, range(len(names) + 1), [*zip(*shares_of, strict=True)], vmin=0, vmax=100, cmap=_SHARES
        )
        axes.set_yticks([place + 0.5 for place in range(len(names))], [look.label(name) for name in names])
        axes.invert_yaxis()
        if not look.small:
            bar = figure.colorbar(cells, ax=axes, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label("% of items with a value", color=INK, fontsize=8)
            bar.ax.tick_params(labelsize=8, colors=INK)

    mean = {name: sum(share[place] for share in shares_of) / len(rows) for place, name in enumerate(names)}
    told = ", ".join(
        f"{shorten(name)} {share:.0f} %" for name, share in sorted(mean.items(), key=lambda one: one[1])[:_NAMED]
    )
    return Chart("Field coverage", f"{strategy}: {told} over {len(rows)} jobs", draw)


def _fields(connection: duckdb.DuckDBPyConnection, strategy: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'results' AND table_name = ? "
        "AND NOT starts_with(column_name, '_meter_') ORDER BY column_index LIMIT ?",
        [strategy, _FIELDS],
    ).fetchall()
    return [name.replace('"', '""') for (name,) in rows]


def _steps(axes: Axes, lines: Series, look: Look) -> None:
    for (name, points), colour in zip(list(lines.items())[: look.lines], _LINES, strict=False):
        axes.step(*zip(*points, strict=True), where="post", label=look.label(name), color=colour, linewidth=2)
    look.legend(axes)


def all_of(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Mapping[str, Chart]:
    """Every chart that has something to show, by name."""
    drawn: Iterable[tuple[str, Chart | None]] = ((draw.__name__, _drawn(draw, connection, since)) for draw in CHARTS)
    return {name: chart for name, chart in drawn if chart is not None}


def _drawn(
    draw: Callable[..., Chart | None], connection: duckdb.DuckDBPyConnection, since: datetime | None
) -> Chart | None:
    """A chart, or None where the data cannot be drawn: an axis that would leave the calendar, say."""
    try:
        chart: Chart | None = draw(connection, since)
        if chart is not None:
            chart.png  # noqa: B018  drawn here, where it can still be left out
        return chart
    except (ValueError, OverflowError) as error:
        log.warning("the chart of %s cannot be drawn and is left out: %s", draw.__name__, str(error).splitlines()[0])
        return None


CHARTS: Sequence[Callable[..., Chart | None]] = (prices, activity, sizes, coverage)
