"""The sandbox's time: a clock that stands still, runs at a chosen speed, or is advanced by calls.

Every time in the sandbox comes from this clock, so that a test (or a demo) passes a week in a moment and gets the
same jobs each time. Instants are seconds since 1970 as floats: cheap to compare, and
exact to the microsecond for the years that matter here.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from croniter import croniter

from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.text.durations import parse_duration

#: The default start of every world, a Monday morning: 2026-03-02T06:00:00Z.
START = 1772431200.0

Moment = datetime | str | int | float
Span = timedelta | int | float


class VirtualClock:
    """A clock that begins at `start` and runs `speed` virtual seconds per real second (0 stands still)."""

    def __init__(self, start: float = START, speed: float = 0.0) -> None:
        self._base = start
        self._since = time.monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Virtual seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._base, self._since, self._speed = self.now(), time.monotonic(), speed

    def now(self) -> float:
        """The current instant, in seconds since 1970."""
        if not self._speed:
            return self._base
        return self._base + (time.monotonic() - self._since) * self._speed

    def advance(self, seconds: float) -> float:
        """Move the clock forward and return the new instant."""
        if seconds < 0:
            raise SandboxError(f"the clock only moves forward, not by {seconds} seconds")
        self._base += seconds
        return self.now()


def parse_instant(moment: Moment) -> float:
    """Seconds since 1970 of an ISO 8601 text, a datetime (naive means UTC) or a number.

    Raises:
        SandboxError: The text is not a valid time.
    """
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return float(moment)
    if isinstance(moment, str):
        # Python 3.10 reads fractions of three or six digits only.
        text = re.sub(r"\.(\d+)", lambda digits: f".{digits[1][:6]:0<6}", moment.strip())
        text = text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SandboxError(f"{moment!r} is not a valid ISO 8601 time, e.g. 2026-03-02T06:00:00Z") from None
    if not isinstance(moment, datetime):
        raise SandboxError(f"{moment!r} is not a valid time")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return aware.timestamp()


def parse_since(text: str, now: float) -> float:
    """Parse a `since` parameter: an ISO time, or a span before `now` such as `24h` or `7d`."""
    with suppress(ValueError):
        return now - parse_duration(text.strip()).total_seconds()
    # A "+00:00" that was not percent-encoded arrives as " 00:00".
    return parse_instant(re.sub(r" (\d\d:\d\d)$", r"+\1", text))


def to_seconds(span: Span) -> float:
    """Seconds of a timedelta or a number of seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else float(span)


def to_datetime(instant: float) -> datetime:
    """The instant as an aware UTC datetime."""
    return datetime.fromtimestamp(round(instant, 6), timezone.utc)


@lru_cache(maxsize=1 << 16)
def format_instant(instant: float | None, style: str = "z") -> str | None:
    """An instant as the API prints it.

    Args:
        instant: seconds since 1970, or None for a time not reached yet.
        style: `z` (2026-03-02T06:00:11Z), `offset` (+00:00), `naive` (no zone) or `fraction` (microseconds and Z).
    """
    if instant is None:
        return None
    moment = to_datetime(instant).replace(tzinfo=None)
    text = moment.isoformat(timespec="microseconds" if style == "fraction" else "auto")
    return text + {"z": "Z", "fraction": "Z", "offset": "+00:00", "naive": ""}[style]


def is_cron(expression: str) -> bool:
    """Whether the text is a cron expression of five fields."""
    return len(expression.split()) == 5 and bool(croniter.is_valid(expression))


class Rhythm:
    """When a schedule runs: at an interval in seconds, or by a cron expression in UTC."""

    def __init__(self, interval_seconds: int | None, cron_expression: str | None, start: float) -> None:
        self._interval = interval_seconds
        self._cron = croniter(cron_expression, to_datetime(start), ret_type=datetime) if cron_expression else None
        self._last = start

    def next_due(self) -> float:
        """The next due time in seconds since 1970; each call moves to the one after."""
        if self._cron is not None:
            return float(self._cron.get_next(datetime).timestamp())
        self._last += self._interval or 86400
        return self._last
