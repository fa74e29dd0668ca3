"""A check of the schedules after a sync: late ones, but not those that somebody paused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import SCHEDULES
from meter_pipeline.defs.metadata.entries import list_rows

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger

NAME = "no_late_schedules"
# Maximum characters of a cell and of an id; schedules that the description names.
_CELL, _ID, _NAMED = 120, 36, 3


def make_specs() -> list[dg.AssetCheckSpec]:
    """Returns the check."""
    return [
        dg.AssetCheckSpec(
            NAME,
            asset=SCHEDULES,
            description="Every schedule had a job within two of its intervals. Schedules that are paused at Meter are "
            "counted apart, and are not late.",
        )
    ]


def evaluate(selected: Iterable[dg.AssetCheckKey], ledger: Ledger) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the check if it is selected."""
    from meter_pipeline.store.ledger.troubles import find_silences

    if dg.AssetCheckKey(SCHEDULES, NAME) not in selected:
        return
    silences = find_silences(ledger)
    late = [silence for silence in silences if not silence.is_paused]
    rows = [
        (silence.slug, silence.schedule_id, silence.describe(silence.since[:19].replace("T", " ")))
        for silence in silences
    ]
    named = "; ".join(f"{slug}: schedule {id_} {words}" for slug, id_, words in rows[: min(len(late), _NAMED)])
    more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
    yield dg.AssetCheckResult(
        passed=not late,
        asset_key=SCHEDULES,
        check_name=NAME,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{named}{more}" if late else "no schedule is late",
        metadata={
            "late": len(late),
            "paused": len(silences) - len(late),
            **({"schedules": list_rows(rows, cell=_CELL, word=_ID)} if rows else {}),
        },
    )
