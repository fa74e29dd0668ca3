"""Renders the report as one HTML page; the template escapes scraped text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from meter_pipeline.report import charts
from meter_pipeline.text.durations import every, spell

if TYPE_CHECKING:
    from meter_pipeline.report.facts import Facts, Lateness, Span
    from meter_pipeline.report.pictures import Chart

_LABEL = 90


def render(facts: Facts, drawn: Iterable[Chart], span: Span, *, publication: str, notes: Sequence[str] = ()) -> str:
    """Returns the page as self-contained HTML: it needs no other files and no network.

    Args:
        facts: What happened.
        drawn: The charts, in order.
        span: The span of time that the page covers.
        publication: Id of the publication that the facts were read from.
        notes: Notices at the top of the page, such as that a sandbox made up the data.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": _format_count,
        "clip": _clip,
        "every": _format_interval,
        "money": charts.money,
        "moment": _format_time,
        "names": _format_names,
        "share": _format_share,
        "spell": _format_duration,
    }
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    text = template.render(
        facts=facts,
        pictures=[
            {
                "title": chart.title,
                "about": chart.about,
                "wide": _make_data_url(chart.png),
                "narrow": _make_data_url(chart.narrow),
            }
            for chart in drawn
        ],
        span=span,
        publication=publication,
        notes=notes,
    )
    # A lone surrogate has no UTF-8 form.
    return text.encode("utf-8", "replace").decode()


def _make_data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _format_count(number: int, thing: str, plural: str | None = None) -> str:
    """Formats a count: `1 job`, `1,200 jobs`, `no jobs`."""
    if number == 1:
        return f"1 {thing}"
    return f"{f'{number:,}' if number else 'no'} {plural or f'{thing}s'}"


def _clip(text: object, most: int = _LABEL) -> str:
    """Returns scraped text as one line of at most `most` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _format_duration(seconds: float | None) -> str:
    """Formats a duration in words; empty if it is not known."""
    return "" if seconds is None else spell(seconds)


def _format_interval(schedule: Lateness) -> str:
    """Formats how often a schedule runs; for a cron expression, only its longest gap is known."""
    if not schedule.interval:
        return "at unknown intervals"
    return f"at least {every(schedule.interval)}" if schedule.cron else every(schedule.interval)


def _format_time(at: datetime | None) -> str:
    """Formats a time in UTC: `Fri 6 Mar 2026, 18:00`."""
    if at is None:
        return ""
    at = at.astimezone(timezone.utc)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M}"


def _format_names(names: Sequence[Any], total: int) -> str:
    """Formats names and how many there are beyond: `A, B and 12 more`."""
    shown = [_clip(name, 48) for name in names]
    rest = total - len(shown)
    if rest > 0:
        return f"{', '.join(shown)} and {rest:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _format_share(change: float | None) -> str:
    """Formats a relative change in percent, without its sign."""
    percent = abs(change or 0) * 100
    return f"{percent:,.0f} %" if percent >= 10 else f"{percent:.1f} %"
