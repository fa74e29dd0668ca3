"""The page: the facts as words, pictures and tables in one HTML file; scraped text is escaped by the template."""

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
    """The page as HTML that needs nothing else, neither files nor a network.

    Args:
        facts: What happened.
        drawn: The pictures, in their order.
        span: The time it happened in.
        publication: What the facts were read from.
        notes: What a reader has to know before anything else, such as that the data is a sandbox's.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": _count,
        "clip": _clip,
        "every": _every,
        "money": charts.money,
        "moment": _moment,
        "names": _names,
        "share": _share,
        "spell": _spell,
    }
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    text = template.render(
        facts=facts,
        pictures=[
            {"title": chart.title, "about": chart.about, "wide": _inline(chart.png), "narrow": _inline(chart.narrow)}
            for chart in drawn
        ],
        span=span,
        publication=publication,
        notes=notes,
    )
    # A lone surrogate has no UTF-8 form.
    return text.encode("utf-8", "replace").decode()


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _count(number: int, thing: str, plural: str | None = None) -> str:
    """`1 job`, `1,200 jobs`, `no jobs`."""
    if number == 1:
        return f"1 {thing}"
    return f"{f'{number:,}' if number else 'no'} {plural or f'{thing}s'}"


def _clip(text: object, most: int = _LABEL) -> str:
    """Scraped text in one line of bearable length."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _spell(seconds: float | None) -> str:
    """A duration in words; nothing where it is not known."""
    return "" if seconds is None else spell(seconds)


def _every(schedule: Lateness) -> str:
    """How often a schedule runs: of a cron expression, the longest gap is known."""
    if not schedule.interval:
        return "now and then"
    return f"at least {every(schedule.interval)}" if schedule.cron else every(schedule.interval)


def _moment(at: datetime | None) -> str:
    """A time in UTC: `Fri 6 Mar 2026, 18:00`."""
    if at is None:
        return ""
    at = at.astimezone(timezone.utc)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M}"


def _names(names: Sequence[Any], of: int) -> str:
    """`A, B and 12 more`."""
    shown = [_clip(name, 48) for name in names]
    rest = of - len(shown)
    if rest > 0:
        return f"{', '.join(shown)} and {rest:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _share(change: float | None) -> str:
    """A relative change in percent, without its sign."""
    percent = abs(change or 0) * 100
    return f"{percent:,.0f} %" if percent >= 10 else f"{percent:.1f} %"
