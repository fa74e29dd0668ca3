"""Profiles of jobs: what they follow from, how large they are, and that any items have one."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.sync.audit import counting
from meter_pipeline.sync.audit.baseline import PastJob
from meter_pipeline.sync.audit.comparison import compare
from meter_pipeline.sync.audit.profile import JobProfile, load
from meter_pipeline.sync.audit.profiler import MOST_ROWS, JobItems, PieceProfiler, Profiler
from meter_pipeline.sync.audit.verdict import judge
from meter_pipeline.sync.items.texts import Items, Texts
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.sync.audit.pages import profile_of, shop

_TIME = "2025-09-01T00:00:00Z"
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30)
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
_items = st.lists(st.dictionaries(st.sampled_from(["id", "a", "b", "c.d", ""]), _values) | _values, max_size=12)


def by_pieces(items: list[Any], piece: int) -> JobProfile:
    profiler = PieceProfiler(_TIME)
    for start in range(0, len(items), piece):
        profiler.feed(items[start : start + piece])
    return profiler.finish()


@settings(max_examples=20 * thorough.TIMES)
@given(st.lists(_items, min_size=1, max_size=6))
def test_any_items_have_a_profile_and_a_verdict_that_survive_storing(jobs: list[list[Any]]) -> None:
    past: list[PastJob] = []
    stored: list[PastJob] = []
    for items in jobs:
        before = past[-1].profile if past else None
        profile = profile_of(items, before=before)
        verdict = judge(profile, past)
        assert load(profile.dump()).dump() == profile.dump()
        assert judge(load(profile.dump()), stored) == verdict
        past.append(PastJob(profile, "accepted", verdict.findings))
        stored.append(PastJob(load(profile.dump()), "accepted", verdict.findings))


@settings(max_examples=20 * thorough.TIMES)
@given(st.integers(1, 90), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_profile_by_pieces_is_that_of_the_items_in_memory(count: int, piece: int, chance: random.Random) -> None:
    items = shop(1, items=count, seed=chance.randrange(1000))[0]
    assert by_pieces(items, piece).dump() == profile_of(items).dump()


def test_what_other_jobs_hold_does_not_change_a_profile() -> None:
    first, second = shop(2)
    texts = Texts()
    numbers = [texts.take([json.dumps(item).encode() for item in items]) for items in (first, second)]
    profiler = Profiler(texts)
    profiles = [profiler.profile(Items(texts, chosen), _TIME) for chosen in numbers]
    assert [profile.dump() for profile in profiles] == [profile_of(items).dump() for items in (first, second)]


def test_thousands_of_values_of_other_jobs_do_not_change_a_profile() -> None:
    texts = Texts()
    profiler = Profiler(texts)
    many = [json.dumps({"id": number, "note": f"{'-' * (number % 90)} {number}"}).encode() for number in range(6_000)]
    profiler.profile_all(
        [JobItems("", Items(texts, texts.take(many[at : at + 500])), _TIME) for at in range(0, 6_000, 500)], {}
    )
    (items,) = shop(1)
    numbers = texts.take([json.dumps(item).encode() for item in items])
    assert profiler.profile(Items(texts, numbers), _TIME).dump() == profile_of(items).dump()


def test_the_order_of_items_changes_nothing_but_their_places() -> None:
    items = shop(1, items=3_000)[0]
    shuffled = random.Random(4).sample(items, len(items))
    straight, other = by_pieces(items, 500), by_pieces(shuffled, 700)
    assert straight.rows == other.rows == MOST_ROWS
    assert np.array_equal(straight.sketch.ids, other.sketch.ids)
    assert np.array_equal(straight.sketch.marks, other.sketch.marks)
    assert np.array_equal(straight.forms, other.forms)
    assert straight.samples == other.samples


def test_a_zero_is_the_same_number_with_and_without_a_minus() -> None:
    items = [{"id": f"n{number}", "price": price} for number, price in enumerate(("-£0.00", "£0.00", "£1.00"))]
    assert profile_of(items).numbers.tobytes() == profile_of(items[1::-1] + items[2:]).numbers.tobytes()


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_the_same_whether_keys_are_counted_or_sorted(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    items = shop(1, items=60, seed=seed)[0]
    counted = profile_of(items).dump()
    monkeypatch.setattr(counting, "_MOST_EMPTY", 0)
    assert profile_of(items).dump() == counted


def test_sketches_of_large_jobs_hold_the_same_items() -> None:
    days = shop(2, items=5_000)
    found = compare(by_pieces(days[1], 1_000), by_pieces(days[0][:4_000], 1_000))
    assert found is not None
    assert 0.7 < found.known < 0.9
    assert found.kept == 1
    assert found.matched > 150


@pytest.mark.parametrize(("fields", "items", "most"), [(30, 3_000, 20_000), (30, 50, 20_000), (600, 300, 90_000)])
def test_a_profile_stays_small(fields: int, items: int, most: int) -> None:
    chance = random.Random(2)
    job = [
        {"id": number} | {f"field {place}": chance.choice(["x", "y"]) * chance.randrange(40) for place in range(fields)}
        for number in range(items)
    ]
    assert len(pa.compress(profile_of(job).dump(), "zstd", asbytes=True)) <= most


def test_fields_beyond_the_first_thousand_are_left_out_by_how_often_they_occur() -> None:
    job = [{"id": number, f"only {number}": 1} for number in range(1_500)]
    profile = profile_of(job)
    assert len(profile.paths) <= 1_000
    assert "id" in profile.paths


def test_bytes_that_are_no_profile_are_refused() -> None:
    with pytest.raises(ValueError, match="not a profile"):
        load(b"nothing")


@pytest.mark.parametrize(
    ("item", "identity"),
    [
        ({"title": "Oak {n}", "url": "https://shop.example/{n}", "price": "£{n}.50"}, ("url",)),
        ({"score": "{n}:1", "team": "Oak {n}"}, ("team",)),
        ({"price": "£{n}.50", "headline": "Oak {n}", "teaser": "Ash {n}"}, ("headline",)),
        ({"maker": "Oak", "model": "{n}"}, ("maker", "model")),
        ({"seller": "Oak", "price": "{n}.50 €"}, ("seller", "price")),
        ({"price": "{n}.50 €", "weight": "{n} kg"}, ()),
    ],
)
def test_items_are_told_apart_by_a_name_or_by_two_fields(item: dict[str, str], identity: tuple[str, ...]) -> None:
    job = [{name: text.replace("{n}", str(number)) for name, text in item.items()} for number in range(30)]
    assert profile_of(job).identity == identity


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 40), max_size=90)), min_size=1, max_size=6))
def test_jobs_that_are_profiled_together_have_the_profiles_that_each_has_alone(
    jobs: list[tuple[str, list[int]]],
) -> None:
    texts = Texts()
    made = [
        JobItems(target_id, Items(texts, texts.take([json.dumps(_odd_item(n)).encode() for n in numbers])), f"{day}")
        for day, (target_id, numbers) in enumerate(jobs)
    ]
    together = Profiler(texts).profile_all(made, {})
    last: dict[str, JobProfile] = {}
    for job, profile in zip(made, together, strict=True):
        alone = Profiler(texts).profile(job.items, job.time, last.get(job.target_id))
        assert profile.dump() == alone.dump()
        last[job.target_id] = alone


def _odd_item(number: int) -> object:
    """Items of unlike make: numbers, objects of unlike fields, lists, nulls."""
    return [
        None,
        number,
        {"id": number, "price": f"£{number}.50", "tags": ["x"] * (number % 3)},
        {"id": f"n{number}", "seller": {"city": None if number % 2 else "York"}, f"only {number}": -number / 8},
        {"id": number % 7, "text": "<b>a</b>" * (number % 4), "": number > 20},
    ][number % 5]
