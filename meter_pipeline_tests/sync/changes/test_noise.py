"""Fields that change in nearly every job for nearly every item are named; prices, and what changes once, are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.changes.noise import FieldChanges, Noise, find_candidates, find_noise, judge
from meter_pipeline_tests.behaviour.station import Station, flagging

Item = dict[str, Any]


def noisy(job: int, place: int) -> Item:
    """An item with views, sessions and a time that always change, at some depth."""
    links = [{"name": "buy", "url": f"/buy?session={job}-{place}"}, {"name": "see", "url": f"/see?s={job}.{place}"}]
    views = {"views": 100 * place + 7 * job}
    return {"id": place, "title": f"Lamp {place}", "stats": views, "links": links, "odd, name": f"{job}:{place}"}


def priced(job: int, place: int) -> Item:
    """An item whose price and rate always change, and that became dearer in points once, as all did."""
    points = 10 * place + (3 if job >= 5 else 0)
    return {"id": place, "price": f"${10 + place + job}.50", "rate": 1.5 + place + job / 7, "points": points}


def noise_of(station: Station) -> dict[str, Noise]:
    busy = find_candidates(station.ledger)
    return find_noise(station.ledger, station.lake, station.ledger.strategies(), busy)


def load(folder: Path, items: Callable[[int, int], Item], *, jobs: int, count: int, pages: int = 1) -> Noise | None:
    """The noise in jobs of pages with `count` items each."""
    with Sandbox(worlds=()) as sandbox, Station(folder, sandbox) as station:
        sandbox.add_strategy("Shop", items=[])
        for job in range(jobs):
            for page in range(pages):
                sandbox.insert_job(
                    "Shop",
                    url=f"https://shop.example/{page}",
                    items=[items(job, page * count + place) for place in range(count)],
                    completed_at=sandbox.world.now - 100_000 + 3_600 * job + page,
                )
        station.sync(config=flagging("shop"))
        return noise_of(station).get("shop")


def test_fields_that_always_change_are_named_with_a_rule_that_ends_the_noise(tmp_path: Path) -> None:
    with Sandbox(worlds=()) as sandbox, Station(tmp_path, sandbox) as station:
        sandbox.add_strategy("Shop", items=[])
        for job in range(7):
            items = [noisy(job, place) for place in range(12)]
            sandbox.insert_job("Shop", items=items, completed_at=sandbox.world.now - 9_000 + 60 * job)
        station.sync(config=flagging("shop"))
        found = noise_of(station)["shop"]
        assert [(field.path, field.jobs, field.share) for field in found.fields] == [
            ("links.url", 6, 1),
            ("odd, name", 6, 1),
            ("stats.views", 6, 1),
        ]
        assert found.rule == "ignore: [links.url, 'odd, name', stats.views]"
        assert found.message == (
            "fields that change in nearly every job for nearly every item: links.url (in 6 of 6 jobs), odd, name (in 6 "
            f"of 6 jobs), stats.views (in 6 of 6 jobs); where they are noise, write `{found.rule}` into meter.yaml"
        )
        ignore = tuple(field.path for field in found.fields)
        station.sync(config=Config(strategies={"shop": StrategyConfig(ignore=ignore)}))
        assert noise_of(station) == {}
        assert station.read("changes", "shop").num_rows == 0


@pytest.mark.parametrize(("items", "count", "pages"), [(priced, 12, 1), (priced, 1, 30)])
def test_prices_and_what_changes_once_for_every_item_are_no_noise(
    tmp_path: Path, items: Callable[[int, int], Item], count: int, pages: int
) -> None:
    assert load(tmp_path, items, jobs=7, count=count, pages=pages) is None


def test_few_jobs_are_not_judged(tmp_path: Path) -> None:
    assert load(tmp_path, noisy, jobs=5, count=40) is None


def test_pages_of_one_item_and_large_jobs_show_noise_as_well(tmp_path: Path) -> None:
    pages = load(tmp_path / "pages", noisy, jobs=6, count=1, pages=8)
    # 2,500 rows of changes and more in a job, which are not all read.
    large = load(tmp_path / "large", noisy, jobs=6, count=700)
    for found in (pages, large):
        assert found is not None
        assert [field.path for field in found.fields] == ["links.url", "odd, name", "stats.views"]
        assert all(field.share > 0.98 for field in found.fields)


COUNTS = st.lists(st.integers(0, 30), min_size=0, max_size=12)


@given(COUNTS, COUNTS, st.randoms())
def test_noise_does_not_depend_on_the_order_of_jobs_and_never_names_what_seldom_changes(
    views: list[int], stock: list[int], chance: Random
) -> None:
    jobs = [FieldChanges(30, {"views": seen, "stock": left}) for seen, left in zip(views, stock, strict=False)]
    shuffled = chance.sample(jobs, len(jobs))
    found = judge(jobs)
    assert judge(shuffled) == found
    named = {field.path for field in found.fields} if found else set()
    for path, counts in (("views", views), ("stock", stock)):
        used = counts[: len(jobs)]
        always = len(used) >= 5 and sum(map(bool, used)) >= 0.9 * len(used) and sum(used) >= 0.8 * 30 * len(used)
        assert (path in named) == always
    assert judge(jobs, ("views", "stock")) is None
