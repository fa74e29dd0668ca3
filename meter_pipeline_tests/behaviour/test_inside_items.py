"""What is inside an item: variants in an array, tags, a second copy of an advert, as a user's history shows them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from meter_pipeline.config.audit_rules import ALL, AuditConfig
from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_whole

ON_DISK = Limits(batch_bytes=0, large_bytes=0)
COLUMNS = ["item_key", "kind", "field", "old_value", "new_value", "old_number", "new_number"]


def config_of_shop(**options: Any) -> Config:
    """A `meter.yaml` about the shop, by which the audit holds no job: what is odd about them is meant."""
    return Config(strategies={"shop": StrategyConfig(audit=AuditConfig(flag=frozenset({ALL})), **options)})


@contextmanager
def published(station: Station) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, published again."""
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        yield connection


def insert_days(sandbox: Sandbox, days: list[list[Any]]) -> list[str]:
    """Jobs of a shop, one a day."""
    first = sandbox.world.now - 86_400 * len(days)
    return [
        sandbox.insert_job("Shop", items=items, completed_at=first + 86_400 * day) for day, items in enumerate(days)
    ]


def changes(station: Station, *columns: str) -> list[tuple[Any, ...]]:
    """The feed, sorted."""
    rows = station.read("changes", "shop", list(columns or COLUMNS)).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def shirts(*, price: str = "24.50", reverse: bool = False) -> list[dict[str, Any]]:
    """Five shirts in three sizes; the middle size of the third one has a price of its own."""
    found = []
    for number in range(5):
        sizes = [{"id": n, "label": label, "price": "24.50"} for n, label in enumerate(("S", "M", "L"), 70)]
        if number == 2:
            sizes[1]["price"] = price
        found.append({"id": number, "title": f"Shirt no. {number}", "variants": sizes[::-1] if reverse else sizes})
    return found


@pytest.mark.parametrize("array_order", [None, False])
@pytest.mark.parametrize("limits", [Limits(), ON_DISK], ids=["in memory", "on disk"])
def test_the_price_of_one_variant_moves_and_another_order_is_no_change(
    station: Station, empty_sandbox: Sandbox, array_order: bool | None, limits: Limits
) -> None:
    days = [shirts(), shirts(price="19.90"), shirts(price="19.90", reverse=True)]
    insert_days(empty_sandbox, days)
    config = config_of_shop(key=("id",), array_order=array_order)
    assert not station.sync(config=config, limits=limits).problems
    assert changes(station) == [("2", "changed", "variants[id=71].price", '"24.50"', '"19.90"', 24.5, 19.9)]
    assert_whole(station)
    # An array's order is kept where the rules say so; then each reversed list is a row.
    station.sync(config=config_of_shop(key=("id",), array_order=True), limits=limits)
    assert changes(station, "field") == [*[("variants",)] * 5, ("variants[id=71].price",)]


def test_rows_that_an_older_version_made_are_made_again_in_one_commit_without_the_api(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = insert_days(empty_sandbox, [shirts(), shirts(price="19.90"), shirts(price="19.90", reverse=True)])
    station.sync(config=config_of_shop(key=("id",), array_order=True))
    assert len(changes(station)) == 6
    (row,) = station.ledger.strategies()
    form = json.loads(row.identity or "")
    assert form.pop("version") == item_rules.RULES_VERSION
    with station.ledger.writing() as connection:
        connection.execute(text("UPDATE strategies SET identity = :identity"), {"identity": json.dumps(form)})
    for job_id in ids:
        empty_sandbox.delete_job(job_id)
    assert not station.sync().problems
    (after,) = station.ledger.strategies()
    assert item_rules.load(after.identity).version == item_rules.RULES_VERSION
    assert after.version == row.version + 1
    assert changes(station, "field") == [("variants[id=71].price",)]
    assert_whole(station)
    files = station.files()
    station.sync()
    assert station.files() == files


_SIZES = st.lists(st.sampled_from("SML"), max_size=3)
_OFFER = st.fixed_dictionaries({"sku": st.sampled_from("abcdef"), "price": st.sampled_from(["$5", "$6"]), "in": _SIZES})
_OFFERS = st.lists(_OFFER, max_size=4, unique_by=lambda offer: str(offer["sku"]))
_ITEM = st.fixed_dictionaries({"offers": _OFFERS, "tags": _SIZES})
_DAYS = st.lists(st.lists(_ITEM, min_size=1, max_size=4), min_size=2, max_size=5)


@settings(
    max_examples=2 * thorough.TIMES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(days=_DAYS, order=st.randoms(use_true_random=False))
def test_changes_inside_arrays_are_the_same_in_memory_on_disk_in_any_order_and_rebuilt(
    days: list[list[Any]], order: Any
) -> None:
    config, other = config_of_shop(key=("id",)), config_of_shop(key=("id",), ignore=("offers",))
    with tempfile.TemporaryDirectory() as folder, Sandbox(worlds=()) as sandbox:
        sandbox.add_strategy("Shop", items=[])
        ids = insert_days(sandbox, [[{"id": n // 2, **item} for n, item in enumerate(items)] for items in days])
        found = []
        for name, limits in (("memory", Limits()), ("disk", ON_DISK)):
            with Station(Path(folder, name), sandbox) as station:
                assert not station.sync(config=config, limits=limits).problems
                assert_whole(station)
                found.append(changes(station))
                station.sync(config=other, limits=limits)
                station.sync(config=config, limits=limits)
                found.append(changes(station))
        with Station(Path(folder, "late"), sandbox) as station:
            for job_id in order.sample(ids, len(ids)):
                assert not station.sync(jobs=[job_id], config=config).problems
            found.append(changes(station))
        assert all(rows == found[0] for rows in found)


def adverts(day: int, *promoted: int) -> list[dict[str, Any]]:
    """Thirty adverts, three of which are dearer from the second day on; some stand on top once more."""
    usual = [
        {"url": f"https://ads.example/{n}", "title": f"Boat {n}", "price": 200 + n + (day > 0 and n < 3), "top": False}
        for n in range(30)
    ]
    return [*({**usual[number], "top": True} for number in promoted), *usual]


MOVES = [(f"https://ads.example/{n}", "changed", "price") for n in range(3)]


@pytest.mark.parametrize("limits", [Limits(), ON_DISK], ids=["in memory", "on disk"])
def test_a_promoted_copy_of_one_day_makes_no_other_advert_change(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    insert_days(empty_sandbox, [adverts(0, 7), adverts(1), adverts(2), adverts(3)])
    station.sync(config=config_of_shop(key=("url",)), limits=limits)
    rows = changes(station, "item_key", "kind", "field")
    assert rows == sorted([*MOVES, ("https://ads.example/7#2", "removed", None)], key=repr)
    assert_whole(station)


@pytest.mark.parametrize("limits", [Limits(), ON_DISK], ids=["in memory", "on disk"])
def test_of_the_copies_that_are_promoted_every_day_one_comes_and_one_goes(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    # The second one among those whose price moves, and the last at the end of the list.
    days = [adverts(day, promoted) for day, promoted in enumerate((7, 1, 12, 29))]
    insert_days(empty_sandbox, [*days[:-1], days[-1][::-1]])
    config = config_of_shop(key=("url",))
    station.sync(config=config, limits=limits)
    rows = changes(station, "item_key", "kind", "field")
    copies = [f"https://ads.example/{n}#2" for n in (7, 1, 12, 29)]
    come = [(key, "added", None) for key in copies[1:]]
    gone = [(key, "removed", None) for key in copies[:-1]]
    assert rows == sorted([*MOVES, *come, *gone], key=repr)
    assert_whole(station)
    expected = (station.rows(), changes(station))
    station.sync(config=config_of_shop(key=("title",)), limits=limits)
    station.sync(config=config, limits=limits)
    assert (station.rows(), changes(station)) == expected


def stock(first: int, last: int) -> list[dict[str, Any]]:
    """Two products with their stock by store."""
    return [{"id": f"p{n}", "stock": {f"s{store}": store % 7 for store in range(first, last)}} for n in range(2)]


def test_the_type_of_an_object_keyed_by_stores_never_turns_over_and_no_value_is_lost(
    station: Station, empty_sandbox: Sandbox
) -> None:
    first = empty_sandbox.world.now - 10 * 86_400
    types = []
    for day, (start, end) in enumerate(((0, 20), (10, 400), (300, 1_200))):
        empty_sandbox.insert_job("Shop", items=stock(start, end), completed_at=first + 86_400 * day)
        station.sync(config=config_of_shop(key=("id",)))
        types.append(station.results("shop").schema.field("stock").type)
        with published(station) as connection:
            column = connection.execute("SELECT typeof(stock), stock->>'$.s15' FROM results.shop").fetchall()[0]
        assert column == ("VARCHAR", "1")
    assert len(set(types)) == 1
    kept = [json.loads(text) for text in station.results("shop")["stock"].to_pylist()]
    assert sorted(kept, key=len) == [
        items["stock"] for start, end in ((0, 20), (10, 400), (300, 1_200)) for items in stock(start, end)
    ]
    assert_whole(station)


def test_a_wide_record_of_an_older_version_becomes_a_map_when_its_rows_are_made_again(
    station: Station, empty_sandbox: Sandbox
) -> None:
    insert_days(empty_sandbox, [stock(0, 12), stock(0, 12)])
    config = config_of_shop(key=("id",))
    station.sync(config=config)
    (row,) = station.ledger.strategies()
    assert json.loads(row.fields)[1]["kind"] == "struct"
    form = json.loads(row.fields)
    last = form[1]["fields"][-1]
    # Fields that no job has any more: the older version had a record of these.
    form[1]["fields"] += [{**last, "name": f"s{n}"} for n in range(12, 40)]
    rules = {name: value for name, value in json.loads(row.identity or "").items() if name != "version"}
    with station.ledger.writing() as connection:
        connection.execute(
            text("UPDATE strategies SET fields = :fields, identity = :identity"),
            {"fields": json.dumps(form), "identity": json.dumps(rules)},
        )
    station.sync(config=config)
    assert [json.loads(text) for text in station.results("shop")["stock"].to_pylist()] == [
        item["stock"] for item in stock(0, 12) * 2
    ]
    assert_whole(station)


def test_one_price_in_the_only_item_of_a_page_moves(station: Station, empty_sandbox: Sandbox) -> None:
    days = [
        [{"page": "Plans", "plans": [{"name": "Solo", "fee": "$9/month"}, {"name": "Team", "fee": f"${fee}/month"}]}]
        for fee in (40, 45)
    ]
    insert_days(empty_sandbox, days)
    station.sync(config=config_of_shop(key=("page",)))
    assert changes(station) == [
        ("Plans", "changed", "plans[name=Team].fee", '"$40/month"', '"$45/month"', 40.0, 45.0)
    ]  # fmt: skip
