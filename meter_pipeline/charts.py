"""Charts of the published warehouse as PNG images: for metadata of assets, and for the report."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes

_SIZE, _DPI = (7.2, 3.0), 80
_ITEMS, _STRATEGIES, _FIELDS = 6, 8, 10
_LABEL = 32
_EVER = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Chart:
    """A picture with its title and what it shows in words."""

    title: str
    about: str
    png: bytes


_MOVES = """
with moved as (
    select item_id, field, any_value(label) as label, count(*) as moves, max(abs(relative_change)) as most
    from marts.fct_price_changes
    where observed_at >= $since
    group by all
    order by most desc nulls last, moves desc, label
    limit $items
)
select label, observed_at, old_price, new_price
from marts.fct_price_changes inner join moved using (item_id, field, label)
where observed_at >= $since
order by label, observed_at
"""
_ACTIVITY = """
select day, sum(items), sum(items_added), sum(items_removed), sum(items_changed)
from marts.fct_daily_activity where day >= cast($since as date) group by day order by day
"""
_JOBS = """
select observed_at, strategy, item_count
from marts.fct_scrape_jobs
where outcome = 'accepted' and observed_at >= $since and strategy in (
    select strategy from marts.dim_strategies order by accepted_jobs desc, strategy limit $items
)
order by observed_at
"""
_LIVELIEST = (
    "select strategy from marts.dim_strategies where accepted_jobs > 1 order by accepted_jobs desc, strategy limit 1"
)


def prices(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """The prices of the items that moved most, over time; `None` when no price moved."""
    rows = connection.execute(_MOVES, {"since": since or _EVER, "items": _ITEMS}).fetchall()
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for label, at, old, new in rows:
        line = lines.setdefault(label, [])
        line += [(at, old), (at, new)]
    if not lines:
        return None

    def draw(axes: Axes) -> None:
        for label, points in lines.items():
            axes.plot([at for at, _ in points], [price for _, price in points], marker=".", label=_clip(label))
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return Chart("Prices that moved most", f"{len(lines)} items with the largest moves", _png(draw))


def activity(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Items that were seen, and items that came, went and changed, by day."""
    rows = connection.execute(_ACTIVITY, {"since": since or _EVER}).fetchall()
    if not rows:
        return None
    days = [row[0] for row in rows]

    def draw(axes: Axes) -> None:
        bottom = [0.0] * len(days)
        for place, name in ((2, "added"), (3, "removed"), (4, "changed")):
            values = [float(row[place] or 0) for row in rows]
            axes.bar(days, values, bottom=bottom, label=name, width=0.8)
            bottom = [below + value for below, value in zip(bottom, values, strict=True)]
        axes.set_ylabel("changes", fontsize=8)
        seen = axes.twinx()
        seen.plot(days, [float(row[1] or 0) for row in rows], color="0.4", marker=".", label="items seen")
        seen.set_ylabel("items seen", fontsize=8)
        seen.tick_params(labelsize=7)
        axes.legend(fontsize=7, loc="upper left")

    return Chart("Items and changes per day", f"{len(days)} days", _png(draw))


def sizes(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """How many items each accepted job had, by strategy."""
    rows = connection.execute(_JOBS, {"since": since or _EVER, "items": _STRATEGIES}).fetchall()
    lines: dict[str, list[tuple[datetime, int]]] = {}
    for at, strategy, items in rows:
        lines.setdefault(strategy, []).append((at, items or 0))
    if not lines:
        return None

    def draw(axes: Axes) -> None:
        for strategy, points in sorted(lines.items()):
            axes.plot([at for at, _ in points], [items for _, items in points], marker=".", label=_clip(strategy))
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return Chart("Items per job", f"{len(lines)} strategies", _png(draw))


def coverage(
    connection: duckdb.DuckDBPyConnection, since: datetime | None = None, strategy: str | None = None
) -> Chart | None:
    """The share of items with a value, by field, over the jobs of a strategy; by default the one with most jobs."""
    if strategy is None:
        found = connection.execute(_LIVELIEST).fetchall()
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

    def draw(axes: Axes) -> None:
        for place, name in enumerate(names, start=1):
            axes.plot([row[0] for row in rows], [100 * row[place] for row in rows], marker=".", label=_clip(name))
        axes.set_ylim(-4, 104)
        axes.set_ylabel("% with a value", fontsize=8)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return Chart(f"Field coverage of {strategy}", f"{len(rows)} jobs, {len(names)} fields", _png(draw))


def _fields(connection: duckdb.DuckDBPyConnection, strategy: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'results' AND table_name = ? "
        "AND NOT starts_with(column_name, '_meter_') ORDER BY column_index LIMIT ?",
        [strategy, _FIELDS],
    ).fetchall()
    return [name.replace('"', '""') for (name,) in rows]


def _png(draw: Callable[[Axes], None]) -> bytes:
    # Without pyplot: no state outside of the figure, no window system, any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Says that it builds its list of fonts, the first time, to whoever listens.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for label in axes.get_xticklabels():
        label.set_rotation(20)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _clip(text: Any) -> str:
    # A dollar sign begins a formula in a label of matplotlib's.
    cut = str(text) if len(str(text)) <= _LABEL else f"{str(text)[: _LABEL - 1]}…"
    return cut.replace("$", r"\$").lstrip("_")


def all_of(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Mapping[str, Chart]:
    """Every chart that has something to show, by name."""
    drawn: Iterable[tuple[str, Chart | None]] = ((draw.__name__, draw(connection, since)) for draw in CHARTS)
    return {name: chart for name, chart in drawn if chart is not None}


CHARTS: Sequence[Callable[..., Chart | None]] = (prices, activity, sizes, coverage)
