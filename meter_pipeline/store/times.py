"""Times as the store keeps them, and arithmetic with them that never leaves the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import overload

_UTC = "+00:00"


def iso(moment: datetime | None) -> str | None:
    """A time as the ledger keeps it."""
    if moment is None:
        return None
    if moment.tzinfo is not timezone.utc:
        try:
            moment = moment.astimezone(timezone.utc)
        except (OverflowError, ValueError):
            # Within a day of either end of the calendar, in a zone whose clock already shows the year beyond.
            moment = moment.replace(tzinfo=timezone.utc)
    return moment.isoformat(timespec="microseconds")[: -len(_UTC)] + "Z"


def now() -> str:
    """This moment, as the ledger keeps it."""
    return str(iso(datetime.now(timezone.utc)))


@overload
def moment(text: str) -> datetime: ...


@overload
def moment(text: str | None) -> datetime | None: ...


def moment(text: str | None) -> datetime | None:
    """The inverse of `iso`."""
    return None if text is None else datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc)


def shift(moment: datetime, by: timedelta) -> datetime:
    """A time moved by a span; one that would leave the calendar (years 1 to 9999) stays at its end.

    Every sum of a time from the API and a span goes through here: a scraped clock may show any year.
    """
    try:
        return moment + by
    except OverflowError:
        return (datetime.max if by > timedelta(0) else datetime.min).replace(tzinfo=moment.tzinfo)


def back_off(attempts: int, first: timedelta, last: timedelta) -> timedelta:
    """How long to wait after `attempts` (1 or more) failures in a row: `first`, doubled each time, at most `last`."""
    # Bounded before it is computed: the count is as large as the failures were many, a span ends at 10^9 days.
    return min(first * 2 ** min(max(attempts, 1) - 1, 20), last)


def retry_at(attempts: int, first: timedelta, last: timedelta) -> str:
    """When to try again after `attempts` failures in a row, as the ledger keeps times; the wait is `back_off`'s."""
    return str(iso(shift(datetime.now(timezone.utc), back_off(attempts, first, last))))


def month_of(time: str | datetime) -> str:
    """The month of a time as the lake's folders name it, `YYYY-MM`: four digits for the year, as in the ledger's times.

    Not `strftime`: on Linux `%Y` writes the year 1 as `1`, while Arrow and DuckDB write `0001`.
    """
    return (time if isinstance(time, str) else time.isoformat())[:7]
