"""Worlds that test which item is which: what their scrapes show, compared with what exists at that instant."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from meter_pipeline.sandbox import WORLDS, Sandbox, SandboxError
from meter_pipeline.sandbox.listings import KEYS
from meter_pipeline.sandbox.records import Job

Make = Callable[..., Sandbox]


def _runs(sandbox: Sandbox, name: str) -> dict[float, list[Job]]:
    """The completed jobs of a strategy by their run."""
    strategy = sandbox.world.find_strategy(name)
    assert strategy is not None
    runs: dict[float, list[Job]] = {}
    for job in strategy.jobs:
        if job.status == "completed":
            runs.setdefault(job.created_at, []).append(job)
    return runs


def _items(sandbox: Sandbox, job: Job) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(sandbox.world.content(job).text)
    return items


def test_the_pages_of_a_sliding_listing_are_one_list_and_items_change_their_page(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["sliding"], days=6)
    homes: dict[str, set[str]] = {}
    alive: list[set[str]] = []
    for at, jobs in _runs(sandbox, "Classified adverts").items():
        shown = [item for job in jobs for item in _items(sandbox, job)]
        assert shown == sandbox.catalogue("Classified adverts", at=at)
        alive.append({item["advert"] for item in shown})
        assert len(alive[-1]) == len(shown)
        for job in jobs:
            for item in _items(sandbox, job):
                homes.setdefault(item["advert"], set()).add(job.url)
    assert sum(len(urls) > 1 for urls in homes.values()) > 30
    assert all(earlier - later and later - earlier for earlier, later in zip(alive, alive[2:], strict=False))
    # Some go although newer and older ones stay, so that those after them slide back.
    assert any(
        name not in later and any(int(name[1:]) > int(other[1:]) for other in later)
        for earlier, later in pairwise(alive) for name in earlier
    )  # fmt: skip


def test_variants_move_in_price_come_go_and_change_their_order(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["variants"], days=12)
    prices: dict[int, set[float]] = {}
    orders: dict[str, set[tuple[int, ...]]] = {}
    for jobs in _runs(sandbox, "Bikes with variants").values():
        for item in _items(sandbox, jobs[0]):
            ids = tuple(variant["id"] for variant in item["variants"])
            assert len(set(ids)) == len(ids)
            orders.setdefault(item["model"], set()).add(ids)
            for variant in item["variants"]:
                prices.setdefault(variant["id"], set()).add(variant["price"])
    assert max(map(len, prices.values())) > 2
    some = next(iter(orders.values()))
    assert len({frozenset(ids) for ids in some}) < len(some)  # the same variants in another order
    assert any(len({frozenset(ids) for ids in each}) > 1 for each in orders.values())


def test_one_price_is_written_as_each_country_writes_it(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["currencies"], days=2)
    shops = {job.url[-2:]: _items(sandbox, job) for job in next(iter(_runs(sandbox, "Bikes in two shops").values()))}
    at, jobs = next(iter(_runs(sandbox, "Bikes by currency").items()))
    by_parameter = {job.parameters["currency"]: _items(sandbox, job) for job in jobs if job.parameters}
    true = sandbox.catalogue("Bikes in two shops", at=at)
    assert [item["article"] for item in shops["gb"]] == [item["article"] for item in shops["de"]]
    assert [item["article"] for item in shops["gb"]] == [item["article"] for item in true]
    dear = next(place for place, item in enumerate(true) if item["price"] > 1000)
    pounds = true[dear]["price"]
    assert shops["gb"][dear]["price"] == by_parameter["GBP"][dear]["price"] == f"£{pounds:,.2f}"
    euros = shops["de"][dear]["price"]
    assert euros.endswith("\u00a0€")
    assert float(euros[:-2].replace(".", "").replace(",", ".")) == pytest.approx(pounds * 1.15, abs=0.01)
    zloty = by_parameter["PLN"][dear]["price"]
    assert zloty.endswith("\u00a0zł")
    assert float(zloty[:-3].replace("\u00a0", "").replace(",", ".")) == pytest.approx(pounds * 5.05, abs=0.01)


def test_a_product_page_has_one_item_whose_price_moves(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["products"], days=20)
    seen: dict[str, set[str]] = {}
    for jobs in _runs(sandbox, "Single products").values():
        assert len(jobs) == 12
        for job in jobs:
            (item,) = _items(sandbox, job)
            assert "article" not in item
            seen.setdefault(job.url, set()).add(item["price"])
    assert all(len(prices) > 1 for prices in seen.values())


def test_promoted_items_stand_twice_others_every_day(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["promoted"], days=6)
    promoted = set()
    for at, jobs in _runs(sandbox, "Promoted lamps").items():
        items = _items(sandbox, jobs[0])
        twice = [item["article"] for item in items if item.get("badge")]
        assert items[len(twice) :] == sandbox.catalogue("Promoted lamps", at=at)
        assert set(twice) <= {item["article"] for item in items[len(twice) :]}
        promoted.add(tuple(twice))
    assert len(promoted) > 3


def test_a_wrapped_list_is_one_item(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["wrapped"], days=1)
    for at, jobs in _runs(sandbox, "Wrapped lamps").items():
        (item,) = _items(sandbox, jobs[0])
        assert item["products"] == sandbox.catalogue("Wrapped lamps", at=at)
        assert item["total"] == len(item["products"]) > 20


def test_the_named_key_identifies_the_items_of_every_catalogue(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=[name for name in WORLDS if name not in ("bookshop", "jobboard", "newsroom")], days=3)
    for name, key in KEYS.items():
        keys = [item[key] for item in sandbox.catalogue(name)] if key else [0]
        assert len(set(keys)) == len(keys) > 0
    with pytest.raises(SandboxError, match="has a catalogue"):
        sandbox.catalogue("Nobody")


def test_worlds_can_be_broken_like_any_other(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["variants", "wrapped"])
    sandbox.alter("Bikes with variants", "field_null", "variants.price")
    sandbox.alter("Wrapped lamps", "cents", "products.price")
    sandbox.advance(hours=13)
    bikes, lamps = ([job for jobs in _runs(sandbox, name).values() for job in jobs] for name in
                    ("Bikes with variants", "Wrapped lamps"))  # fmt: skip
    assert all(variant["price"] is None for item in _items(sandbox, bikes[0]) for variant in item["variants"])
    assert all(variant["price"] for item in _items(sandbox, bikes[1]) for variant in item["variants"])
    assert _items(sandbox, lamps[0])[0]["products"][0]["price"].endswith(".00")
