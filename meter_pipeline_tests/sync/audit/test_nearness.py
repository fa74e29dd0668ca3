"""A job that is near to the last accepted one spares tests, and none of these would have spoken."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.sync.audit.baseline import Baseline, PastJob
from meter_pipeline.sync.audit.comparison import Comparison, compare, compare_all
from meter_pipeline.sync.audit.nearness import find_near, find_near_all
from meter_pipeline.sync.audit.profile import JobProfile, load
from meter_pipeline.sync.audit.verdict import _find_near, _judge_all, _may_be_old, look_ahead
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.sync.audit.pages import Item, profile_of, shop

_FIELDS = ("title", "url", "price", "list_price", "reviews", "in_stock", "seller", "added")
_FLAT = tuple(name for name in _FIELDS if name != "seller")


def _times(name: str, factor: float) -> Callable[[Item], Item]:
    def change(item: Item) -> Item:
        value = item[name]
        if isinstance(value, str) and value[:1] == "£":
            return item | {name: f"£{float(value[1:].replace(',', '')) * factor:,.2f}"}
        return item | {name: round(value * factor)} if isinstance(value, int) else item

    return change


_CHANGES = st.one_of(
    st.sampled_from(_FIELDS).map(lambda name: lambda item: item | {name: None}),
    st.sampled_from(_FIELDS).map(lambda name: lambda item: {key: value for key, value in item.items() if key != name}),
    st.tuples(st.sampled_from(_FLAT), st.sampled_from(_FLAT)).map(
        lambda names: lambda item: item | {names[0]: item.get(names[1])}
    ),
    st.tuples(st.sampled_from(("price", "list_price", "reviews")), st.floats(0.5, 2)).map(lambda how: _times(*how)),
    st.sampled_from(("<b>x</b>", "n/a", "  blank ", "12", "2031-01-01", "кот", "€9.99", "-5", "", 0, -1, True)).flatmap(
        lambda value: st.sampled_from(_FLAT).map(lambda name: lambda item: item | {name: value})
    ),
    st.sampled_from((None, "Sponsored: our best offers")).map(lambda value: lambda item: dict.fromkeys(item, value)),
    st.just(
        lambda item: item | {"title": item.get("title", "") and f"{item['title']} {item['title']} {item['title']}"}
    ),
)


def _past(jobs: list[list[Item]]) -> list[PastJob]:
    past: list[PastJob] = []
    for day, items in enumerate(jobs):
        last = past[-1].profile if past else None
        past.append(PastJob(profile_of(items, f"2025-09-{1 + day:02d}T00:00:00Z", last), "accepted"))
    return past


@settings(max_examples=thorough.examples(25, 40))
@given(
    items=st.integers(1, 70),
    days=st.integers(4, 8),
    seed=st.integers(0, 10_000),
    changes=st.lists(st.tuples(_CHANGES, st.sampled_from((0.02, 0.05, 0.1, 0.2, 0.4, 0.7))), max_size=2),
    removed=st.sampled_from((0, 0, 0.1, 0.3)),
    repeated=st.sampled_from((0, 0, 0.05, 0.2)),
    again=st.booleans(),
)
def test_a_test_that_is_spared_would_have_been_silent(
    items: int,
    days: int,
    seed: int,
    changes: list[tuple[Callable[[Item], Item], float]],
    removed: float,
    repeated: float,
    again: bool,
) -> None:
    chance = random.Random(seed)
    *jobs, now = shop(days, items=items, seed=seed)
    if again:
        now = jobs[0]
    for change, share in changes:
        now = [change(dict(item)) if chance.random() < share else item for item in now]
    now = [item for item in now if chance.random() >= removed]
    now += [item for item in now if chance.random() < repeated]
    past = _past(jobs)
    profile = profile_of(now, "2025-10-01T00:00:00Z", past[-1].profile)
    near = _find_near(profile, past[-1], None)
    found = list(_judge_all(Baseline(profile, past), ()))
    assert list(_judge_all(Baseline(profile, past), (), near)) == found
    if near is not None and near.is_silent and not _may_be_old(profile, past):
        assert not found


@given(
    days=st.integers(2, 5),
    items=st.sampled_from((1, 7, 40, 300)),
    seed=st.integers(0, 10_000),
    changes=st.lists(st.tuples(_CHANGES, st.sampled_from((0.02, 0.1, 0.4))), max_size=3),
    added=st.sampled_from((0, 0, 1, 200)),
)
def test_jobs_that_are_compared_together_are_compared_as_each_alone(
    days: int, items: int, seed: int, changes: list[tuple[Callable[[Item], Item], float]], added: int
) -> None:
    """Pairs of jobs with the same fields and other ones, sketches with all items and with some, jobs without items."""
    chance = random.Random(seed)
    jobs = shop(days, items=items, seed=seed)
    jobs.append([item | {f"more {number}": number for number in range(added)} for item in jobs[-1]])
    for change, share in changes:
        jobs.append([change(dict(item)) if chance.random() < share else item for item in chance.choice(jobs)])
    jobs.append([])
    profiles = [job.profile for job in _past(jobs)]
    pairs = [(now, before) for before, now in combinations(profiles, 2)]
    for pair, found, near in zip(pairs, compare_all(pairs), find_near_all(pairs), strict=True):
        now, before = (load(profile.dump()) for profile in pair)
        assert _figures(found) == _figures(compare(now, before))
        assert near == find_near(now, before)


def _figures(found: Comparison | None) -> object:
    if found is None:
        return None
    whole = found.known, found.kept, found.now_items, found.matched, found.any_changed
    arrays = [found.changed, found.filled, *found.places, *vars(found.steps).values()]
    return repr(whole), [array.tolist() for array in arrays]


def test_judging_finds_jobs_compared_that_were_looked_at_ahead() -> None:
    profiles = [job.profile for job in _past(shop(6, seed=3))]
    look_ahead([profiles[:3], profiles[3:]])
    compared = {place for place, profile in enumerate(profiles) if profile.memory}
    assert compared == {1, 2, 4, 5}
    kept = compare(profiles[1], profiles[0])
    assert kept is not None
    assert compare_all([(profiles[1], profiles[0])])[0] is kept


@pytest.fixture
def quiet() -> tuple[JobProfile, list[PastJob]]:
    *jobs, now = shop(9, seed=3)
    past = _past(jobs)
    return profile_of(now, "2025-10-01T00:00:00Z", past[-1].profile), past


def test_an_ordinary_job_needs_no_test(quiet: tuple[JobProfile, list[PastJob]]) -> None:
    profile, past = quiet
    near = _find_near(profile, past[-1], None)
    assert near is not None
    assert near.is_silent
    assert not _may_be_old(profile, past)


@pytest.mark.parametrize(
    "last",
    [
        lambda job: PastJob(job.profile, "flagged"),
        lambda job: PastJob(job.profile, "held", is_released=True),
        lambda job: PastJob(job.profile, "accepted", version=2),
    ],
    ids=["flagged", "released", "of another version"],
)
def test_a_job_that_does_not_teach_all_tests_spares_none(
    quiet: tuple[JobProfile, list[PastJob]], last: Callable[[PastJob], PastJob]
) -> None:
    profile, past = quiet
    assert _find_near(profile, last(past[-1]), None) is None
