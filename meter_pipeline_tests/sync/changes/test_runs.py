"""Pages of one run are one list: what its feed says is what happens to the items, in whatever order jobs come."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rekey
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.sync.changes.listings import DAY, START, expect, served, slide, tell

BY_RUN = Config(strategies={"shop": StrategyConfig(key=("sku",), compare="run")})
KEYED = Config(strategies={"shop": StrategyConfig(key=("sku",))})
BY_PAGE = Config(strategies={"shop": StrategyConfig(key=("sku",), compare="page")})


def rows(station: Station, table: str = "changes") -> list[str]:
    """All rows of the shop, in one order."""
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in station.read(table, "shop").to_pylist())


@settings(
    max_examples=thorough.examples(2, 3),
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(seed=st.integers(0, 10_000), pages=st.integers(3, 6), data=st.data())
def test_the_feed_of_a_sliding_listing_is_the_truth_in_any_order_of_loading(
    seed: int, pages: int, data: st.DataObject
) -> None:
    days = slide(seed, pages, days=6)
    with tempfile.TemporaryDirectory() as folder, served(days, pages) as (sandbox, ids):
        sound = [id_ for (day, page), id_ in ids.items() if page not in days[day].missing]
        with Station(Path(folder, "whole"), sandbox) as whole:
            assert not whole.sync(jobs=sound, config=BY_RUN).problems
            assert tell(whole, ids) == expect(days, pages)
            assert_whole(whole)
            expected = rows(whole)
        order = data.draw(st.permutations(sound))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(sound) - 1), max_size=5)))
        with Station(Path(folder, "parts"), sandbox) as parts:
            for start, end in zip([0, *cuts], [*cuts, len(sound)], strict=True):
                assert not parts.sync(jobs=order[start:end], config=BY_RUN).problems
            assert rows(parts) == expected
            assert_whole(parts)


@settings(
    max_examples=2 * thorough.TIMES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(seed=st.integers(0, 10_000))
def test_a_page_that_is_held_removes_nothing_until_it_is_released(seed: int) -> None:
    days = slide(seed, 3, days=6)
    whole = [day.__class__(day.prices) for day in days]
    with tempfile.TemporaryDirectory() as folder, served(days, 3) as (sandbox, ids):
        held = [ids[number, page] for number, day in enumerate(days) for page in sorted(day.missing)]
        with Station(Path(folder, "station"), sandbox) as station:
            assert not station.sync(config=BY_RUN).problems
            assert tell(station, ids) == expect(whole, 3)
            before = rows(station)
            if held:
                hold(station.ledger, station.lake, held, config=BY_RUN)
            assert tell(station, ids) == expect(days, 3)
            assert_whole(station)
            for job_id in reversed(held):
                release(station.ledger, station.lake, [job_id], config=BY_RUN)
            assert rows(station) == before
            assert_whole(station)


@pytest.mark.parametrize("limits", [thorough.slow(Limits()), Limits(large_bytes=0)], ids=["in memory", "on disk"])
def test_runs_that_are_compared_later_have_the_rows_of_runs_compared_at_once(limits: Limits, tmp_path: Path) -> None:
    days = slide(3, 5, days=8)
    with served(days, 5) as (sandbox, ids), Station(tmp_path, sandbox) as station:
        sound = [id_ for (day, page), id_ in ids.items() if page not in days[day].missing]
        assert not station.sync(jobs=sound, config=BY_RUN, limits=limits).problems
        assert tell(station, ids) == expect(days, 5)
        before = rows(station)
        for config in (BY_PAGE, BY_RUN):
            (strategy,) = station.ledger.strategies()
            rules = item_rules.load(strategy.identity).wanted(config.strategies["shop"], "2026-03-01T00:00:00.000000Z")
            assert rekey(station.lake, station.ledger, strategy, rules, limits)
            assert (rows(station) == before) == (config is BY_RUN)
        assert rows(station) == before
        assert_whole(station)


@pytest.mark.parametrize(("pages", "order"), [(3, 1), (3, -1), thorough.slow(50, 1)])
def test_that_a_listing_slides_is_found_whatever_the_order_of_loading(pages: int, order: int, tmp_path: Path) -> None:
    days = slide(5, pages, days=5, missing=False)
    with served(days, pages) as (sandbox, ids), Station(tmp_path, sandbox) as station:
        for day in range(len(days))[::order]:
            assert not station.sync(jobs=[ids[day, page] for page in range(pages)]).problems
        found = item_rules.load(station.ledger.strategies()[0].identity)
        assert (found.compare, found.compare_source, found.key) == ("run", "found", ("sku",))
        assert tell(station, ids) == expect(days, pages)
        assert not station.jobs("held")
        assert_whole(station)


@settings(
    max_examples=2 * thorough.TIMES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_whether_pages_or_runs_are_compared_does_not_depend_on_the_order_of_loading(
    seed: int, data: st.DataObject
) -> None:
    days = slide(seed, 3, days=5)
    with tempfile.TemporaryDirectory() as folder, served(days, 3) as (sandbox, ids):
        sound = [id_ for (day, page), id_ in ids.items() if page not in days[day].missing]
        with Station(Path(folder, "whole"), sandbox) as whole:
            assert not whole.sync(jobs=sound, config=KEYED).problems
            judged, expected = judgement(whole), rows(whole)
        order = data.draw(st.permutations(sound))
        with Station(Path(folder, "parts"), sandbox) as parts:
            for start in range(0, len(order), 4):
                assert not parts.sync(jobs=order[start : start + 4], config=KEYED).problems
            assert (judgement(parts), rows(parts)) == (judged, expected)
            extra = data.draw(st.sampled_from(order))
            hold(parts.ledger, parts.lake, [extra], config=KEYED)
            without = [id_ for id_ in sound if id_ != extra]
            with Station(Path(folder, "without"), sandbox) as never:
                assert not never.sync(jobs=without, config=KEYED).problems
                assert (judgement(parts), rows(parts)) == (judgement(never), rows(never))


def test_pages_with_items_of_their_own_are_compared_page_by_page(station: Station, empty_sandbox: Sandbox) -> None:
    urls = [f"https://shop.example/{name}" for name in ("lamps", "books", "tools")]
    empty_sandbox.add_strategy("Shop", items=[])
    schedule = empty_sandbox.add_schedule("Shop", urls=urls, interval_seconds=int(DAY), runs=False)
    for day in range(5):
        for page, url in enumerate(urls):
            items = [{"sku": f"{page}-{number}", "price": number} for number in range(day, day + 6)]
            time = START + day * DAY + page
            empty_sandbox.insert_job("Shop", url=url, items=items, schedule=schedule, completed_at=time)
    assert not station.sync().problems
    rules = item_rules.load(station.ledger.strategies()[0].identity)
    assert (rules.compare, rules.compare_source) == ("page", "none")
    assert rules.compare_reason == "items do not move to other pages"
    found = station.read("changes", "shop", ["kind", "url", "item_key"]).to_pylist()
    assert sorted((row["kind"], row["url"], row["item_key"]) for row in found) == sorted(
        (kind, url, f"{page}-{day + shift}")
        for day in range(4)
        for page, url in enumerate(urls)
        for kind, shift in (("removed", 0), ("added", 6))
    )


def judgement(station: Station) -> tuple[str, object]:
    """What is compared of the shop, and what is known of its lists."""
    rules = item_rules.load(station.ledger.strategies()[0].identity)
    return rules.compare, rules.pages
