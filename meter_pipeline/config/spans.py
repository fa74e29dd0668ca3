"""Points in time as people write them: an ISO 8601 time, or a duration before now such as `24h`."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from meter_pipeline.config.variables import SettingsError
from meter_pipeline.text.durations import parse_duration


def parse_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """`2026-03-02`, `2026-03-02T06:00:00Z`, `24h` or `7d` as an aware time; a time without a zone is UTC.

    Args:
        text: The time or duration; None and empty text give None.
        now: The time that a duration is subtracted from; the present by default.

    Raises:
        SettingsError: The text is neither a time nor a duration.
    """
    if not text:
        return None
    try:
        return (now or datetime.now(timezone.utc)) - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except ValueError:
        raise SettingsError(
            f"since {text!r} is not a valid time: give an ISO time such as 2026-03-02, or 24h, 7d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def from_iso(text: str | None) -> datetime | None:
    """An ISO 8601 time of the ledger, in UTC, as an aware time; None for None and for text that is not a time."""
    try:
        return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text)) if text else None
    except ValueError:
        return None
