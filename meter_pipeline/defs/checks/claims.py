"""Check of the claims after a sync: strategies that several syncs in a row have left to another process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import JOBS
from meter_pipeline.defs.metadata.entries import list_rows

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.claim_rows import ClaimRow

_NAME = "no_strategy_is_held_up"
_NAMED = 3
# Maximum characters of a holder and of a slug.
_CELL, _WORD = 120, 60


def make_specs() -> list[dg.AssetCheckSpec]:
    """Returns the check, of the jobs of all strategies."""
    description = (
        "No strategy was skipped by three syncs or more in a row because another process holds it and loads nothing."
    )
    return [dg.AssetCheckSpec(_NAME, asset=JOBS, description=description)]


def evaluate(selected: Iterable[dg.AssetCheckKey], held_up: Sequence[ClaimRow]) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the check if it is selected.

    Args:
        selected: The checks to evaluate; those of other modules are ignored.
        held_up: The claims from `Claims.find_held_up`.
    """
    if not any(check.name == _NAME and check.asset_key == JOBS for check in selected):
        return
    rows = [(row.name, f"{row.describe()}, skipped {row.skips} times") for row in held_up]
    named = "; ".join(f"{slug}: {line}" for slug, line in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    yield dg.AssetCheckResult(
        passed=not rows,
        asset_key=JOBS,
        check_name=_NAME,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{named}{more}" if rows else "no strategy is held up",
        metadata={"held up": len(rows), **({"strategies": list_rows(rows, cell=_CELL, word=_WORD)} if rows else {})},
    )
