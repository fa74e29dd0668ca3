"""Which jobs are a run, and with what each run is compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from random import Random

import pytest

from meter_pipeline.config.item_rules import PATIENCE
from meter_pipeline.store.times import iso
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.changes.runs import find_runs, plan_steps

_START = datetime(2026, 3, 1, tzinfo=timezone.utc)


def job(page: str, minutes: float, batch: str | None = None) -> Seen:
    """The job of a page, some minutes after the start."""
    time = str(iso(_START + timedelta(minutes=minutes)))
    return Seen(f"{page}@{minutes:g}", "daily", page, None, page, time, batch_id=batch)


def divide(jobs: Sequence[Seen]) -> list[str]:
    """The pages of each run."""
    return ["".join(found.target_id for found in run.jobs) for run in find_runs(jobs)]


def daily(*days: str) -> list[Seen]:
    """A run on each day, with these pages, one a minute."""
    return [job(page, day * 1440 + place) for day, pages in enumerate(days) for place, page in enumerate(pages)]


@pytest.mark.parametrize("days", [("abc", "abc"), ("abc", "bca", "cab"), ("ab", "c", "abc"), ("abc", "c", "ab", "b")])
def test_a_day_is_a_run_whatever_pages_it_lacks(days: Sequence[str]) -> None:
    jobs = daily(*days)
    Random(1).shuffle(jobs)
    assert divide(jobs) == list(days)


def test_the_longest_pause_divides_runs_that_follow_each_other_closely() -> None:
    minutes = [("a", 0), ("b", 1), ("c", 2), ("c", 15), ("a", 16), ("b", 17), ("b", 30), ("c", 31)]
    assert divide([job(page, at) for page, at in minutes]) == ["abc", "cab", "bc"]


def test_without_pauses_a_run_ends_where_a_page_repeats() -> None:
    assert divide([job(page, at) for at, page in enumerate("abcabcab")]) == ["abc", "abc", "ab"]


def test_batches_of_meter_are_runs_however_long_they_take() -> None:
    slow = [job("a", 0, "one"), job("b", 90, "one"), job("c", 91, "two"), job("d", 92, "two")]
    assert divide(slow) == ["ab", "cd"]


def test_a_run_without_a_page_of_the_last_runs_is_compared_with_all_since_the_last_complete_one() -> None:
    steps = plan_steps(daily("abc", "abc", "ac", "ab", "abc", "abc"))
    assert [step.is_complete for step in steps] == [True, True, False, False, True, True]
    assert [len(step.before) for step in steps] == [0, 1, 1, 2, 3, 1]
    assert not steps[2].is_removed(0)
    assert steps[4].is_removed(2)


def test_a_page_that_stays_away_is_no_longer_expected() -> None:
    steps = plan_steps(daily("ab", *["a"] * (PATIENCE + 2)))
    assert [step.is_complete for step in steps] == [True, *[False] * PATIENCE, True, True]
    # What was on no page of as many runs is gone before that.
    assert [step.is_removed(0) for step in steps[1:]] == [*[False] * (PATIENCE - 1), True, True, True]
    assert max(len(step.before) for step in steps) == PATIENCE


def test_a_removed_item_has_the_job_of_its_page_or_the_last_one() -> None:
    *_, step = plan_steps(daily("abc", "abc", "cab"))
    first, second, _ = step.before[0].jobs
    assert step.find_remover(second).job_id == "b@2882"
    *_, step = plan_steps(daily("abc", "ca"))
    assert step.find_remover(second).job_id == "a@1441"
    assert step.find_previous(step.run.jobs[1]).job_id == first.job_id.replace("1440", "0")
