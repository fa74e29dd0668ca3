"""Keys are found, changed and recovered after a kill without the API; held jobs are released from their raw rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.rebuild import RekeyError, asked, rekey
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour.station import Station, assert_whole, flagging


def scrape(sandbox: Sandbox, count: int = 3, *, start: int = 0, **job: Any) -> list[str]:
    """Jobs of a shop whose prices move."""
    return [
        sandbox.insert_job(
            "Shop",
            items=[{"sku": f"s{n}", "name": f"n{n % 3}", "price": n + second % 2} for n in range(6)],
            completed_at=sandbox.world.now - 1000 + second,
            **job,
        )
        for second in range(start, start + count)
    ]


def changes(station: Station) -> list[tuple[Any, ...]]:
    """The feed, without times and ids."""
    names = ["item_key", "kind", "field", "old_value", "new_value"]
    return sorted((tuple(row.values()) for row in station.read("changes", "shop", names).to_pylist()), key=repr)


def key(station: Station) -> tuple[str, ...]:
    """The fields that identify the shop's items."""
    return item_rules.load(station.ledger.strategies()[0].identity).key


def config_of_shop(**options: Any) -> Config:
    """A `meter.yaml` about the shop."""
    return Config(strategies={"shop": StrategyConfig(**options)})


def test_a_key_is_found_as_soon_as_two_jobs_can_be_compared_and_rows_follow(
    station: Station, empty_sandbox: Sandbox
) -> None:
    scrape(empty_sandbox, 1)
    station.sync()
    assert key(station) == ()
    assert all(len(found) == 32 for found in station.results("shop")["_meter_item_key"].to_pylist())
    scrape(empty_sandbox, 1, start=1)
    station.sync()
    (row,) = station.ledger.strategies()
    chosen = item_rules.load(row.identity)
    assert (chosen.key, chosen.source) == (("sku",), "suggested")
    evidence = dict(chosen.evidence or {})
    assert evidence.pop("agreement") >= 0.4
    assert evidence == {"uniqueness": 1.0, "coverage": 1.0, "stability": 1.0, "jobs": 2, "items": 12}
    assert set(station.results("shop")["_meter_item_key"].to_pylist()) == {f"s{n}" for n in range(6)}
    assert changes(station) == [(f"s{n}", "changed", "price", str(n), str(n + 1)) for n in range(6)]
    assert_whole(station)


def test_a_key_that_late_jobs_refute_is_given_up_and_the_history_follows(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station = make_station(empty_sandbox)
    scrape(empty_sandbox)
    station.sync()
    assert key(station) == ("sku",)
    for second in (10, 11):
        items = [{"sku": "same", "id": n} for n in range(40)]
        empty_sandbox.insert_job("Shop", items=items, completed_at=empty_sandbox.world.now - 5_000 + second)
    report = station.sync(config=flagging("Shop"))
    assert report.strategies["shop"].rewritten
    assert_whole(station)
    at_once = make_station(empty_sandbox, "at once")
    at_once.sync(config=flagging("Shop"))
    assert key(station) == key(at_once) == ()
    assert station.rows() == at_once.rows()
    assert changes(station) == changes(at_once)


def test_jobs_that_are_withdrawn_take_the_key_that_they_support_with_them(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = scrape(empty_sandbox)
    station.sync()
    assert key(station) == ("sku",)
    hold(station.ledger, station.lake, ids[1:])
    assert key(station) == ()
    assert all(len(found) == 32 for found in station.results("shop")["_meter_item_key"].to_pylist())
    assert_whole(station)
    release(station.ledger, station.lake, ids[1:])
    assert key(station) == ("sku",)
    assert {kind for _, kind, *_ in changes(station)} == {"changed"}
    assert_whole(station)


def test_rules_in_meter_yaml_are_applied_once_by_the_next_sync(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox)
    station.sync()
    assert key(station) == ("sku",)
    config = config_of_shop(key=("name",), ignore=("price",), types={"sku": "json", "price": "text"})
    assert station.sync(config=config).exit_code == 0
    assert key(station) == ("name",)
    assert changes(station) == []
    assert station.results("shop")["price"].to_pylist()[:2] == ["0", "1"]
    assert station.ledger.duplicates() == {station.ledger.strategies()[0].strategy_id: 9}
    assert_whole(station)
    before = station.files()
    station.sync(config=config)
    assert station.files() == before
    # A strategy that is no longer in meter.yaml keeps its rules.
    station.sync()
    assert station.files() == before
    station.sync(config=config_of_shop(key=()))
    assert {kind for _, kind, *_ in changes(station)} == {"added", "removed"}
    assert_whole(station)


def test_a_rekey_that_was_killed_changes_nothing_and_can_be_repeated(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrape(empty_sandbox)
    station.sync()
    (row,) = station.ledger.strategies()
    wanted = asked(Config(), row, ["sku", "name"], None)
    before = (station.rows(), changes(station), station.parts("shop"))
    replace = Draft.replace

    def dying_at(table: str) -> Callable[..., None]:
        def dying(draft: Draft, name: str, *arguments: Any) -> None:
            replace(draft, name, *arguments)
            if name == table:
                raise KeyboardInterrupt

        return dying

    for table in ("results", "changes"):
        monkeypatch.setattr(Draft, "replace", dying_at(table))
        with pytest.raises(KeyboardInterrupt):
            rekey(station.lake, station.ledger, row, wanted)
        assert (station.rows(), changes(station), station.parts("shop")) == before
    monkeypatch.setattr(Draft, "replace", replace)
    assert rekey(station.lake, station.ledger, row, wanted)
    assert key(station) == ("sku", "name")
    keys = {f'["s{n}","n{n % 3}"]' for n in range(6)}
    assert set(station.results("shop")["_meter_item_key"].to_pylist()) == keys
    assert {row[0] for row in changes(station)} == keys
    assert_whole(station)
    assert rekey(station.lake, station.ledger, row, asked(Config(), row, ["sku"], None))


def test_a_rekey_by_hand_cannot_contradict_meter_yaml(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox)
    station.sync()
    (row,) = station.ledger.strategies()
    config = config_of_shop(key=("sku",), line=7)
    assert asked(config, row, ["sku"], None).key == ("sku",)
    with pytest.raises(RekeyError, match="7 says how shop is keyed: change it there and sync"):
        asked(config, row, ["name"], None)
    assert asked(config_of_shop(ignore=("price",)), row, ["name"], None).key == ("name",)


def test_a_released_job_is_typed_and_compared_like_a_late_job(station: Station, empty_sandbox: Sandbox) -> None:
    first, held, last = (
        empty_sandbox.insert_job(
            "Shop",
            items=[{"sku": "a", "price": price}, {"sku": "b", "price": 1}, *more],
            completed_at=empty_sandbox.world.now - 1000 + second,
            **job,
        )
        for second, price, more, job in ((0, 1, [], {}), (1, 2, [{"sku": "c"}], {"item_count": 9}), (2, 3, [], {}))
    )
    station.sync(config=config_of_shop(key=("sku",)))
    assert changes(station) == [("a", "changed", "price", "1", "3")]
    before = station.jobs()[held]
    (report,) = release(station.ledger, station.lake, [held], config_of_shop(key=("sku",)))
    assert (report.accepted, report.items) == (1, 3)
    job = station.jobs()[held]
    assert (job.state, job.reason, job.released_at is not None) == ("accepted", before.reason, True)
    assert changes(station) == [
        ("a", "changed", "price", "1", "2"),
        ("a", "changed", "price", "2", "3"),
        ("c", "added", None, None, '{"sku":"c"}'),
        ("c", "removed", None, '{"sku":"c"}', None),
    ]
    assert_whole(station)
    # Loaded again, it stays released; a job that is held now leaves the feed.
    station.sync(jobs=[held], again=True)
    assert station.jobs()[held].state == "accepted"
    assert len(changes(station)) == 4
    for job_id, message in ((first, "is accepted: only held jobs can be released"), ("nobody", "no job nobody")):
        with pytest.raises(DecisionError, match=message):
            release(station.ledger, station.lake, [job_id])
    assert last in station.jobs("accepted")


def test_an_accepted_job_that_is_held_on_a_reload_leaves_no_row_behind(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = scrape(empty_sandbox, 3)
    station.sync(config=config_of_shop(key=("sku",)))
    job = next(job for job in empty_sandbox.world.jobs if job.job_id == ids[1])
    row = station.jobs()[ids[1]]
    record = {"job_id": row.job_id, "strategy_id": row.strategy_id, "url": row.url, "status": "completed"}
    job.body = json.dumps(
        {**record, "completed_at": row.completed_at, "item_count": 9, "results": [{"sku": "x"}]}
    ).encode()
    station.sync(jobs=[ids[1]], again=True, config=config_of_shop(key=("sku",)))
    assert station.jobs()[ids[1]].state == "held"
    assert changes(station) == []
    assert_whole(station)


def test_a_job_that_cannot_be_parsed_cannot_be_released(station: Station, empty_sandbox: Sandbox) -> None:
    held = empty_sandbox.insert_job("Shop", items=[{"a": 1}], item_count=7)
    station.sync()
    raw = station.read("raw", "shop")
    broken = raw.set_column(raw.column_names.index("item"), "item", pa.array(['{"a":']))
    (part,) = station.parts("shop", "raw")
    pq.write_table(broken, station.folder / "lake" / part.name)
    with pytest.raises(DecisionError, match="cannot be released: an item is not valid JSON") as raised:
        release(station.ledger, station.lake, [held])
    assert "\n" not in str(raised.value)
    assert station.jobs()[held].state == "held"


def test_a_loaded_job_that_cannot_be_fetched_again_keeps_its_rows(station: Station, empty_sandbox: Sandbox) -> None:
    ids = scrape(empty_sandbox)
    station.sync()
    before = station.files()
    empty_sandbox.set_faults(garbage_jobs={ids[1]})
    report = station.sync(jobs=[ids[1]], again=True)
    assert [problem.job_id for problem in report.problems] == [ids[1]]
    assert station.jobs()[ids[1]].state == "accepted"
    after = {name: data for name, data in station.files().items() if not name.startswith("unreadable/")}
    assert after == before
    assert json.loads(station.ledger.strategies()[0].identity or "{}")["key"] == ["sku"]
