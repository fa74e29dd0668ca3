"""What people write for "since when": an ISO time, or a span before now such as `24h`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from meter_pipeline.config.settings import SettingsError

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """`2026-03-02`, `2026-03-02T06:00:00Z`, `24h` or `7d` as an aware time; a time without a zone is UTC.

    Args:
        text: What was written.
        now: What spans are counted from; the present by default.

    Raises:
        SettingsError: It is none of these.
    """
    if not text:
        return None
    try:
        if span := _SPAN.fullmatch(text.strip()):
            return (now or datetime.now(timezone.utc)) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except (ValueError, OverflowError):
        raise SettingsError(f"since {text!r} is no time: give an ISO time such as 2026-03-02, or 24h, 7d") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def from_iso(text: str | None) -> datetime | None:
    """A time of the ledger, ISO 8601 text in UTC, as an aware time; `None` for what is none."""
    try:
        return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text)) if text else None
    except ValueError:
        return None
