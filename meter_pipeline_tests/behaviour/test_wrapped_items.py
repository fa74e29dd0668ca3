"""Items inside of wrappers: `items` in `meter.yaml` makes the elements of an array the items, at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync import audit_again
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import drop
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging
from meter_pipeline_tests.behaviour.thorough import slow

ON_DISK = Limits(batch_bytes=0, large_bytes=0)
FEED = ["job_id", "item_key", "kind", "field", "old_value", "new_value", "old_number", "new_number"]


def record(folder: Path) -> Path:
    """Two jobs of three plans inside of one item each; the price of one plan moves."""
    folder.mkdir()
    for day, price in ((1, 30), (2, 35)):
        about = {"strategy": "Plans", "url": "https://plans.test/", "completed_at": f"2026-03-0{day}T06:00:00Z"}
        plans = [
            {"name": name, "price": f"${now}/month"} for name, now in (("Basic", 10), ("Pro", price), ("Max", 100))
        ]
        lines = [about, {"page_title": "Pricing", "products": plans}]
        (folder / f"00{day}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def with_items(path: str | None, slug: str = "shop", **options: Any) -> Config:
    """A `meter.yaml` that says where the items are, by which the audit holds no job."""
    (audit,) = {entry.audit for entry in flagging(slug).strategies.values()}
    return Config(strategies={slug: StrategyConfig(items=path, audit=audit, **options)})


def feed(station: Station, slug: str = "shop") -> list[tuple[Any, ...]]:
    """The change feed, sorted."""
    rows = station.read("changes", slug, FEED).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_the_move_of_one_price_in_a_wrapper_is_one_row_with_and_without_the_setting(tmp_path: Path) -> None:
    with Sandbox(replay=record(tmp_path / "input"), speed=0) as sandbox, Station(tmp_path, sandbox) as station:
        assert not station.sync().problems
        ((*_, field, old, new, _, _),) = feed(station, "plans")
        assert (field, old, new) == ("products[name=Pro].price", '"$30/month"', '"$35/month"')
        station.sync(config=with_items("products", "plans", key=("name",)))
        ((_, key, kind, field, old, new, _, _),) = feed(station, "plans")
        assert (key, kind, field, old, new) == ("Pro", "changed", "price", '"$30/month"', '"$35/month"')
        assert station.results("plans")["name"].to_pylist() == ["Basic", "Pro", "Max"] * 2
        assert_whole(station)
        path = tmp_path / "warehouse.duckdb"
        publish(station.ledger, station.lake, path)
        with reading(path) as connection:
            items = connection.execute("SELECT item FROM meter.item_versions WHERE item_key = 'Pro'").fetchall()
    assert sorted(items) == [('{"name": "Pro", "price": "$30/month"}',), ('{"name": "Pro", "price": "$35/month"}',)]


def insert_wrapped(sandbox: Sandbox) -> list[str]:
    """Jobs of a shop whose items wrap lists: several wrappers, empty ones, none, others; one job is held."""
    sandbox.add_strategy("Shop", "https://shop.example/", items=[])

    def offers(day: int, *numbers: int) -> dict[str, Any]:
        found = [{"sku": f"s-{n}", "title": f"Lamp no. {n}", "price": f"${n + 10}.{day}0"} for n in numbers]
        return {"page": {"title": "Lamps", "offers": found}, "total": len(found)}

    days: list[list[Any]] = [
        [offers(1, *range(8)), offers(1, *range(8, 14))],
        [offers(2, *range(8)), offers(1, *range(8, 15))],
        [offers(2, *range(20)), {"page": {"title": "an advert"}}, offers(3)],
        [offers(3, *range(19, -1, -1))],
        [],
    ]
    first = sandbox.world.now - 86_400 * 9
    ids = [sandbox.insert_job("Shop", items=items, completed_at=first + 86_400 * day) for day, items in enumerate(days)]
    held = sandbox.insert_job("Shop", items=[offers(6, 1, 2)], item_count=9, completed_at=first + 86_400 * 6)
    wrappers = [offers(7, *range(n, n + 4)) for n in range(0, 24, 4)]
    with_reject = [*wrappers[:2], b'{"page": NaN}', *wrappers[2:]]
    return [*ids, held, sandbox.insert_job("Shop", items=with_reject, completed_at=first + 86_400 * 7)]


@pytest.mark.parametrize("limits", [Limits(), slow(ON_DISK)], ids=["in memory", "on disk"])
def test_where_the_items_are_can_be_set_changed_and_taken_back_at_any_time_without_the_api(
    tmp_path: Path, limits: Limits
) -> None:
    settings = (None, "page.offers", "page", None)
    with Sandbox(worlds=()) as sandbox:
        ids = insert_wrapped(sandbox)
        fresh = [Station(tmp_path / f"fresh {number}", sandbox) for number in range(3)]
        station = Station(tmp_path / "moved", sandbox)
        for other, path in zip(fresh, settings, strict=False):
            other.sync(config=with_items(path), limits=limits)
            assert_whole(other)
        station.sync(config=with_items(None), limits=limits)
        for job_id in ids:
            sandbox.delete_job(job_id)
        for path in settings[1:]:
            (before,) = station.ledger.strategies()
            station.sync(config=with_items(path), limits=limits)
            (after,) = station.ledger.strategies()
            assert after.version == before.version + 1, "one commit"
            expected = fresh[settings.index(path)]
            assert_whole(station)
            assert_equal(station, expected)
            assert feed(station) == feed(expected)
            assert [row.rejection for row in station.jobs().values()] == [
                row.rejection for row in expected.jobs().values()
            ]
            publish(station.ledger, station.lake, tmp_path / "warehouse.duckdb")
        for each in (*fresh, station):
            each.close()


def test_a_held_job_is_landed_again_too_and_can_be_released(tmp_path: Path) -> None:
    stations = []
    with Sandbox(worlds=()) as sandbox:
        sandbox.add_strategy("Shop", items=[])
        items = [{"rows": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "n": 3}]
        held = sandbox.insert_job("Shop", items=items, item_count=9)
        for name, paths in (("moved", (None, "rows")), ("fresh", ("rows",))):
            station = Station(tmp_path / name, sandbox)
            for path in paths:
                station.sync(config=with_items(path))
            assert station.jobs("held")[held].items == 3
            release(station.ledger, station.lake, [held], with_items("rows"))
            assert station.results("shop")["id"].to_pylist() == ["a", "b", "c"]
            assert_whole(station)
            stations.append(station)
        assert_equal(*stations)
        later = [{"rows": [{"id": "a"}, {"id": "d"}], "n": 2}]
        sandbox.insert_job("Shop", items=later, completed_at=sandbox.world.now + 60)
        for station in stations:
            # A strategy that is not in the file keeps its rules.
            station.sync()
            assert len(station.results("shop")) == 5
        assert_equal(*stations)
        dropped = [drop(station.ledger, station.lake, [held]) for station in stations]
        assert len(dropped) == 2
        assert_equal(*stations)
        for station in stations:
            assert station.read("received", "shop", ["job_id"])["job_id"].to_pylist() != [held]
            station.close()


def test_a_job_that_was_held_for_its_wrapper_is_judged_again_by_its_elements(
    station: Station, empty_sandbox: Sandbox
) -> None:
    shop = empty_sandbox.add_strategy("Shop", "https://shop.example/", items=[])
    for day in range(6):
        empty_sandbox.advance(days=1)
        empty_sandbox.insert_job(shop, items=offers_of(day))
    empty_sandbox.advance(days=1)
    wrapped = empty_sandbox.insert_job(shop, items=[{"page": "Offers", "products": offers_of(7)}])
    assert wrapped in {problem.job_id for problem in station.sync().problems}
    config = Config(strategies={"shop": StrategyConfig(items="products")})
    station.sync(config=config)
    found = audit_again(station.ledger, station.lake, shop, config=config, apply=True)
    assert (found.jobs, [(change.job_id, change.now, change.then) for change in found.changes]) == (
        7,
        [(wrapped, "held", "accepted")],
    )
    assert station.jobs("accepted")[wrapped].items == 20
    assert_whole(station)


def offers_of(day: int) -> list[dict[str, Any]]:
    """A page of twenty offers, of which one has another price each day."""
    return [{"sku": f"s{number}", "price": 10 + number + (number == day)} for number in range(20)]


def test_a_damaged_file_of_wrappers_costs_nothing_when_the_jobs_are_loaded_again(tmp_path: Path) -> None:
    with Sandbox(worlds=()) as sandbox, Station(tmp_path, sandbox) as station:
        ids = insert_wrapped(sandbox)
        station.sync(config=with_items("page.offers"))
        before, rows = station.rows(), feed(station)
        for part in station.parts("shop", "received"):
            (tmp_path / "lake" / part.name).write_bytes(b"")
        station.sync(config=with_items("page.offers"), jobs=ids, again=True)
        assert (station.rows(), feed(station)) == (before, rows)
        assert_whole(station)
        station.sync(config=with_items(None))
        assert_whole(station)
