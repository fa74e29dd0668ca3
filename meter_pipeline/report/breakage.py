"""Draws what the audit found: a field's profile from job to job, with the expected range and the held jobs marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from meter_pipeline.report.pictures import INK, Chart, Style, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS, _JOBS, _NAMED = 3, 60, 3
# Height in inches of a panel, and of the axis below the last panel.
_PANEL, _AXIS = 1.35, 0.6
_EVER = datetime(1970, 1, 1)
_LINE, _BAND, _HELD, _FLAGGED = "#4f6bed", "#2ca58d", "#d9534f", "#e8833a"


@dataclass(frozen=True)
class Measure:
    """A figure of a job that a test of the audit judges, and that accepted jobs have in their results.

    Attributes:
        label: What the axis says.
        sql: The figure, over the rows of a job; `{column}` is the field. None for the number of items.
        is_share: Whether it is a share of 1, drawn in percent.
    """

    label: str
    sql: str | None
    is_share: bool = False


#: Figures by the tests that judge them; other tests compare a job with another one, which results do not show.
MEASURES = {
    "items": Measure("items", None),
    "growth": Measure("items", None),
    "filled": Measure("% with a value", "count({column})::double / count(*)", is_share=True),
    "distinct": Measure("% different", "count(distinct {column})::double / nullif(count({column}), 0)", is_share=True),
    "equal": Measure(
        "% the same",
        "list_max(map_values(histogram({column}::varchar)))::double / nullif(count({column}), 0)",
        is_share=True,
    ),
    "length": Measure("characters", "median(length({column}::varchar))::double"),
    "level": Measure("median", "median(try_cast({column} as double))"),
}
_FOUND = """
select strategy, url, parameters, test, field, low, high, seen, observed_at, verdict = 'held', job_id
from meter.findings as findings
inner join marts.fct_scrape_jobs as jobs using (strategy, job_id)
where verdict in ('held', 'flagged') and observed_at >= $since and list_contains($tests, test)
order by observed_at desc, position
"""
_ACCEPTED = """
select job_id, observed_at, item_count::double
from marts.fct_scrape_jobs
where outcome = 'accepted' and strategy = $strategy and url is not distinct from $url
    and parameters is not distinct from $parameters and observed_at >= $since
order by observed_at desc
limit $jobs
"""
_COLUMN = """
select column_name, data_type from duckdb_columns()
where schema_name = 'results' and table_name = $slug and not starts_with(column_name, '_meter_')
    and (starts_with(comment, $said) or column_name = $field)
order by starts_with(comment, $said) desc nulls last
limit 1
"""


@dataclass(frozen=True)
class Mark:
    """A job with a finding: when it was scraped, what was seen, and whether it is held."""

    at: datetime
    seen: float
    is_held: bool


@dataclass(frozen=True)
class Panel:
    """A figure of a page from job to job.

    Attributes:
        strategy: The strategy.
        field: Path of the field; None for a figure of the job as a whole.
        measure: The figure.
        points: Times and figures of accepted jobs, in order of time.
        marks: The jobs with a finding, in order of time.
        low: The least that was expected of the last of these.
        high: The most that was expected of it.
    """

    strategy: str
    field: str | None
    measure: Measure
    points: Sequence[tuple[datetime, float]]
    marks: Sequence[Mark]
    low: float | None
    high: float | None

    def describe(self) -> str:
        """The last finding in words."""
        last = self.marks[-1]
        bounds = {"at least": self.low, "at most": self.high}
        spelled = {word: self._spell(bound) for word, bound in bounds.items() if bound is not None}
        is_one = len(spelled) == 2 and len({*spelled.values()}) == 1
        expected = spelled["at least"] if is_one else " and ".join(f"{word} {text}" for word, text in spelled.items())
        subject = f"{shorten(self.strategy)}: {shorten(self.field)} " if self.field else f"{shorten(self.strategy)}: "
        outcome = "held" if last.is_held else "doubted"
        seen = f"{self._spell(last.seen)} {self.measure.label.removeprefix('% ')}"
        return f"{subject}{seen}, expected {expected} ({outcome} on {last.at.day} {last.at:%b})"

    def _spell(self, value: float) -> str:
        return f"{100 * value:.3g} %" if self.measure.is_share else f"{value:,.4g}"


def breakage(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> Chart | None:
    """Draws the figures that held and flagged jobs broke out of, the latest first; None if there are none."""
    panels = read_panels(connection, since)
    if not panels:
        return None

    def draw(figure: Figure, style: Style) -> None:
        shown = panels[:1] if style.small else panels
        rows_of_axes = figure.subplots(len(shown), sharex=True, squeeze=False)
        for panel, (axes,) in zip(shown, rows_of_axes, strict=True):
            _draw_panel(axes, panel, style)
        if not style.small:
            style.add_legend(rows_of_axes[-1 if style.narrow else 0][0])

    about = "; ".join(panel.describe() for panel in panels[:_NAMED])
    return Chart("Held and doubted jobs", about, draw, _AXIS + _PANEL * max(len(panels), 2))


def read_panels(connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> list[Panel]:
    """Reads the figures of the fields that were found to be broken last."""
    start = since or _EVER
    rows = connection.execute(_FOUND, {"since": start, "tests": list(MEASURES)}).fetchall()
    # Tests of one figure, such as a number of items that is too small and one that is too large, share a panel.
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for strategy, url, parameters, test, field, *facts in rows:
        found.setdefault((strategy, url, parameters, field, MEASURES[test]), []).append(tuple(facts))
    panels: list[Panel] = []
    shown: set[str] = set()
    for (strategy, url, parameters, field, measure), facts in found.items():
        # What else is odd about the same job would take the room of other jobs.
        if facts[0][-1] in shown:
            continue
        page = {"strategy": strategy, "url": url, "parameters": parameters, "since": start, "jobs": _JOBS}
        points = _read_points(connection, page, field, measure)
        if len(points) < 2:
            continue
        marks = [Mark(at, seen, is_held) for _, _, seen, at, is_held, _ in facts if at >= points[0][0]]
        if marks:
            low, high = facts[0][:2]
            shown |= {job_id for *_, job_id in facts}
            panels.append(Panel(strategy, field, measure, points, marks[::-1], low, high))
        if len(panels) == _PANELS:
            break
    return panels


def _read_points(
    connection: duckdb.DuckDBPyConnection, page: dict[str, Any], field: str | None, measure: Measure
) -> list[tuple[datetime, float]]:
    jobs = connection.execute(_ACCEPTED, page).fetchall()
    if measure.sql is None:
        return sorted((at, count) for _, at, count in jobs if count is not None)
    column = _find_column(connection, page["strategy"], field or "")
    if column is None or not jobs:
        return []
    slug = page["strategy"].replace('"', '""')
    figure = measure.sql.format(column=column)
    figures = dict(
        connection.execute(
            f'SELECT _meter_job_id, {figure} FROM results."{slug}" '  # noqa: S608
            "WHERE _meter_completed_at >= $first AND list_contains($jobs, _meter_job_id) GROUP BY _meter_job_id",
            {"jobs": [job_id for job_id, _, _ in jobs], "first": jobs[-1][1]},
        ).fetchall()
    )
    return sorted((at, figures[job_id]) for job_id, at, _ in jobs if figures.get(job_id) is not None)


def _find_column(connection: duckdb.DuckDBPyConnection, slug: str, field: str) -> str | None:
    """The column of a field at the top of items, quoted; None if there is none, as for a field inside of another."""
    # Comments of columns have the field's name as received.
    found = connection.execute(_COLUMN, {"slug": slug, "said": f"field {field!r},", "field": field}).fetchone()
    return None if found is None else '"' + found[0].replace('"', '""') + '"'


def _draw_panel(axes: Any, panel: Panel, style: Style) -> None:
    scale = 100 if panel.measure.is_share else 1
    times, values = zip(*panel.points, strict=True)
    axes.step(times, [scale * value for value in values], where="post", color=_LINE, linewidth=2, label="accepted")
    for is_held, colour, marker, label in ((True, _HELD, "X", "held"), (False, _FLAGGED, "o", "doubted")):
        marks = [mark for mark in panel.marks if mark.is_held is is_held]
        # Also without a job of the kind: one panel's legend is that of all.
        axes.plot(
            [mark.at for mark in marks],
            [scale * mark.seen for mark in marks],
            marker=marker,
            markersize=3 if style.small else 7,
            linestyle="none",
            color=colour,
            label=label,
        )
    axes.margins(y=0.15)
    bottom, top = axes.get_ylim()
    # A range without one of its ends goes on to the edge; one that is a single number is still to be seen.
    lowest = bottom if panel.low is None else scale * panel.low
    highest = top if panel.high is None else scale * panel.high
    least = (top - bottom) / 50
    axes.axhspan(
        min(lowest, highest - least),
        max(highest, lowest + least),
        color=_BAND,
        alpha=0.2,
        linewidth=0,
        label="expected",
    )
    axes.set_ylim(bottom, top)
    if not style.small:
        title = f"{panel.strategy}: {panel.field}" if panel.field else panel.strategy
        axes.set_title(style.escape_label(title), loc="left", color=INK, fontsize=8)
        axes.set_ylabel(style.escape_label(panel.measure.label))
