"""The latest jobs of busy strategies, on either database."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter_pipeline.store.ledger.busy import ComparedJob, find_busy_jobs
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.store.records import commit, job, strategy

LATEST, SHARE = 3, 0.5


def _expected(known: list[tuple[ComparedJob, str]], chosen: str | None) -> list[ComparedJob]:
    """The same by going through all jobs, given with their states."""
    groups: dict[tuple[str, str], list[ComparedJob]] = {}
    for found, state in sorted(known, key=lambda entry: (entry[0].time, entry[0].job_id)):
        if state == "accepted" and found.items > 0 and chosen in (None, found.strategy_id):
            groups.setdefault((found.strategy_id, found.target_id), []).append(found)
    compared = [found for _, group in sorted(groups.items()) for found in group[1:][-LATEST:]]
    busy = []
    for id_ in sorted({found.strategy_id for found in compared}):
        own = [found for found in compared if found.strategy_id == id_]
        if sum(found.changes for found in own) >= SHARE * sum(found.items for found in own):
            busy += own
    return busy


@pytest.mark.parametrize("open_ledger", ["sqlite", "postgres_url", thorough.slow("pooled_url")], indirect=True)
@settings(max_examples=thorough.examples(2, 4), suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_the_latest_jobs_of_busy_strategies_are_those_that_all_jobs_show(
    open_ledger: Callable[[], Ledger], seed: int
) -> None:
    rng = Random(seed)
    ledger = open_ledger()
    names = [f"{seed:x}-{number}" for number in range(3)]
    ledger.record_strategies([strategy(name) for name in names])
    known: list[tuple[ComparedJob, str]] = []
    for name in names:
        rows = []
        for number in range(rng.choice([1, 12, 40])):
            # Several jobs of one time, too.
            time = f"2026-03-02T{rng.randint(0, 5):02}:00:00Z"
            listed = job(f"{name}-{number}", name, url=f"https://shop.example/{rng.randint(0, 3)}", completed_at=time)
            state = rng.choice(["accepted", "accepted", "held"])
            items, changes = rng.randint(0, 4), rng.choice([None, 0, 1, 4])
            ledger.record_jobs([listed])
            rows.append({"job_id": listed.job_id, "state": state, "items": items, "changes": changes})
            [stored] = ledger.jobs(ids=[listed.job_id])
            found = ComparedJob(
                name, stored.target_id or "", listed.job_id, stored.completed_at or "", items, changes or 0
            )
            known.append((found, state))
        commit(ledger, name, rows)
    own = {*names}
    assert [found for found in _find(ledger, None) if found.strategy_id in own] == _expected(known, None)
    for name in names:
        assert _find(ledger, name) == _expected(known, name)


def _find(ledger: Ledger, strategy_id: str | None) -> list[ComparedJob]:
    return find_busy_jobs(ledger, latest=LATEST, share=SHARE, strategy_id=strategy_id)
