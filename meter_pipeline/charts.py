"""Charts of the published warehouse as PNG images: for metadata of assets, and for the report.

Each comes in two sizes: to read, and small enough for Dagster to show it on an asset's page without a click.
"""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from meter_pipeline.store.tables import shift

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Twice the pixels of the width that a page gives them; few colours, since every materialisation keeps its own.
_SIZE, _DPI, _COLOURS = (7.2, 3.0), 140, 32
_SMALL_SIZE, _SMALL_DPI, _SMALL_COLOURS, _SMALL_LINES = (5.0, 0.8), 100, 5, 3
# In base64, with the words beside it, less than the thousand characters that Dagster shows at once.
_SMALL_BYTES = 560
_ITEMS, _STRATEGIES, _FIELDS = 6, 8, 10
_LABEL, _TOLD = 28, 3
_EVER = datetime(1970, 1, 1)
log = logging.getLogger("meter_pipeline.charts")
# Legible on a white page and on a dark one: the background is left out.
_INK = "#7f8691"
_LINES = ("#4f6bed", "#e8833a", "#2ca58d", "#d0527c", "#9b6dd7", "#b8922c", "#3fa0c9", "#8a8f98", "#7a9e3a", "#c46a4a")
_SHARES = "RdYlGn"
_ADDED, _REMOVED, _CHANGED = "#2ca58d", "#d9534f", "#4f6bed"

Series = Mapping[str, Sequence[tuple[datetime, float]]]


@dataclass(frozen=True)
class Chart:
    """A picture with its title and what it shows in words; `small` is the same without any text in it."""

    title: str
    about: str
    png: bytes
    small: bytes


# An item's price from when it was first seen to when it was last, a row for each move.
_MOVES = """
with moved as (
    select item_id, field, any_value(strategy) as strategy, any_value(label) as label, count(*) as moves,
        max(abs(relative_change)) as most
    from marts.fct_price_changes
    where observed_at >= $since
    group by item_id, field
    order by most desc nulls last, moves desc, label, item_id
    limit $items
)
select moved.label, moved.strategy, moved.field, item_id, observed_at, old_price, new_price,
    greatest(items.first_seen_at, $since::timestamptz), items.last_seen_at
from moved
inner join marts.fct_price_changes as changes using (item_id, field)
inner join marts.dim_items as items using (item_id)
where observed_at >= $since
order by most desc nulls last, moves desc, moved.label, item_id, observed_at
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
    """The prices of the items that moved most, over time; `None` when no price moved."""
    rows = connection.execute(_MOVES, {"since": since or _EVER, "items": _ITEMS}).fetchall()
    points: dict[tuple[str, ...], list[tuple[datetime, float]]] = {}
    last: dict[tuple[str, ...], datetime] = {}
    for label, strategy, field, item_id, at, old, new, first, end in rows:
        line = points.setdefault((label, strategy, field, item_id), [(min(first, at), old)])
        line.append((at, new))
        last[label, strategy, field, item_id] = max(end, at)
    if not points:
        return None
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for key, line in points.items():
        lines[_unlike(lines, *key)] = [*line, (last[key], line[-1][1])]
    told = [f"{_cut(name)} {line[0][1]:,.2f} → {line[-1][1]:,.2f}" for name, line in lines.items()]

    def draw(figure: Figure, most: int | None) -> None:
        axes = figure.subplots()
        _steps(axes, lines, most)
        axes.set_ylabel("price")

    return Chart("Prices that moved most", "; ".join(told[:_TOLD]), *_pictures(draw))


def _unlike(taken: Iterable[str], label: str, *more: str) -> str:
    """The item's label; where another item has the same, with what tells them apart."""
    name, rest = label, list(more)
    while name in taken and rest:
        name = f"{label} ({rest.pop(0)})"
    return name


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

    def draw(figure: Figure, most: int | None) -> None:
        if most is not None:
            stack(figure.subplots())
            return
        seen, changes = figure.subplots(2, sharex=True, height_ratios=(1, 2))
        seen.bar(days, [float(row[1] or 0) for row in rows], width=0.8, color=_INK)
        seen.set_ylabel("items")
        stack(changes)
        changes.set_ylabel("changes")
        _legend(changes)

    told = ", ".join(f"{sum(counts[name]):,.0f} {name}" for name in kinds)
    return Chart("Items and changes per day", f"{told} in {len(days)} days", *_pictures(draw))


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
    told = ", ".join(_cut(name) for name in list(ordered)[:_TOLD])

    def draw(figure: Figure, most: int | None) -> None:
        axes = figure.subplots()
        _steps(axes, ordered, most)
        axes.set_ylabel("items")
        axes.set_ylim(bottom=0)

    return Chart("Items per job", f"{which}; those that vary most: {told}", *_pictures(draw))


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

    def draw(figure: Figure, most: int | None) -> None:
        # Lines at 100 % would lie on each other.
        axes = figure.subplots()
        edges = [*times, shift(times[-1], (times[-1] - times[0]) / max(len(times) - 1, 1))]
        if len(times) == 1:
            edges = [times[0], shift(times[0], timedelta(hours=1))]
        cells = axes.pcolormesh(
            edges, range(len(names) + 1), [*zip(*shares_of, strict=True)], vmin=0, vmax=100, cmap=_SHARES
        )
        axes.set_yticks([place + 0.5 for place in range(len(names))], [_label(name) for name in names])
        axes.invert_yaxis()
        if most is None:
            bar = figure.colorbar(cells, ax=axes, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label("% of items with a value", color=_INK, fontsize=8)
            bar.ax.tick_params(labelsize=8, colors=_INK)

    mean = {name: sum(share[place] for share in shares_of) / len(rows) for place, name in enumerate(names)}
    told = ", ".join(
        f"{_cut(name)} {share:.0f} %" for name, share in sorted(mean.items(), key=lambda one: one[1])[:_TOLD]
    )
    return Chart(f"Field coverage of {strategy}", f"{told} over {len(rows)} jobs", *_pictures(draw))


def _fields(connection: duckdb.DuckDBPyConnection, strategy: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'results' AND table_name = ? "
        "AND NOT starts_with(column_name, '_meter_') ORDER BY column_index LIMIT ?",
        [strategy, _FIELDS],
    ).fetchall()
    return [name.replace('"', '""') for (name,) in rows]


# -- drawing -----------------------------------------------------------------------------------------------------------


def _steps(axes: Axes, lines: Series, most: int | None) -> None:
    for (name, points), colour in zip(list(lines.items())[:most], _LINES, strict=False):
        axes.step(*zip(*points, strict=True), where="post", label=_label(name), color=colour, linewidth=2)
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelcolor=_INK, fontsize=8)


def _pictures(draw: Callable[[Figure, int | None], None]) -> tuple[bytes, bytes]:
    """The chart to read, and the small one, which has as many lines as there are bytes for."""
    # Without pyplot: no state outside of the figure, no window system, any thread.
    _load_fonts()
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained", facecolor="none")
    draw(figure, None)
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            continue
        dates = AutoDateLocator()
        axes.xaxis.set_major_locator(dates)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
        axes.xaxis.get_offset_text().set(color=_INK, fontsize=8)
        axes.set_facecolor("none")
        axes.tick_params(labelsize=8, colors=_INK)
        axes.yaxis.label.set(color=_INK, fontsize=8)
        axes.grid(alpha=0.3, color=_INK, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_INK)
    for most in range(_SMALL_LINES, 0, -1):
        small = _small(draw, most)
        if len(small) <= _SMALL_BYTES:
            break
    return _png(figure, _COLOURS), small


def _load_fonts() -> None:
    """Imports matplotlib's list of fonts without the warning that it is being built; logging is as before afterwards.

    Charts are drawn in processes that run a user's code too, which may want to hear of fonts.
    """
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        importlib.import_module("matplotlib.font_manager")
    finally:
        logger.setLevel(level)


def _small(draw: Callable[[Figure, int | None], None], most: int) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SMALL_SIZE, dpi=_SMALL_DPI, facecolor="none")
    draw(figure, most)
    figure.subplots_adjust(0, 0.02, 1, 0.98)
    for axes in figure.axes:
        axes.set_axis_off()
        if axes.get_legend():
            axes.get_legend().remove()
        for shape in [*axes.lines, *axes.patches]:
            # Hard edges are a fraction of the bytes.
            shape.set_antialiased(False)
    return _png(figure, _SMALL_COLOURS)


def _png(figure: Figure, colours: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    image = image.quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _cut(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _label(text: str) -> str:
    # A dollar sign begins a formula in a label of matplotlib's, and an underscore hides one.
    return _cut(text).replace("$", r"\$").lstrip("_")


def all_of(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Mapping[str, Chart]:
    """Every chart that has something to show, by name."""
    drawn: Iterable[tuple[str, Chart | None]] = ((draw.__name__, _drawn(draw, connection, since)) for draw in CHARTS)
    return {name: chart for name, chart in drawn if chart is not None}


def _drawn(draw: Callable[..., Chart | None], connection: duckdb.DuckDBPyConnection, since: datetime | None) -> Any:
    """A chart, or None where the data cannot be drawn: an axis that would leave the calendar, say."""
    try:
        return draw(connection, since)
    except (ValueError, OverflowError) as error:
        log.warning("the chart of %s cannot be drawn and is left out: %s", draw.__name__, str(error).splitlines()[0])
        return None


CHARTS: Sequence[Callable[..., Chart | None]] = (prices, activity, sizes, coverage)
