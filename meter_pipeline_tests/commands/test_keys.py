"""`keys` shows the candidates with their numbers, and `status` names strategies whose items have no key."""

from __future__ import annotations

import json

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command


def scrape(shop: Sandbox, jobs: int, *, codes: bool) -> None:
    """Jobs of a page whose items have a code or none."""
    for day in range(jobs):
        shop.advance(hours=1)
        items = [
            {**({"krell": f"k{number}"} if codes else {}), "kind": number % 3, "price": f"{number % 5 + day}.50"}
            for number in range(12)
        ]
        shop.insert_job("Lamps", url="https://lamps.example/", items=items)


def test_the_candidates_of_a_strategy_are_shown_with_their_numbers(shop: Sandbox, meter: Command) -> None:
    scrape(shop, 4, codes=True)
    assert meter("sync", "--strategy", "lamps").code == 0
    overview = meter("keys").out
    assert "krell" in overview
    assert "verdict" not in overview
    shown = meter("keys", "lamps").out
    assert "met again" in shown
    assert "stays with an item while other fields change" in shown
    assert "neither text nor whole numbers, or an amount" in shown
    (lamps,) = json.loads(meter("keys", "lamps", "--json").out)["strategies"]
    assert lamps["finding"] is None
    best = lamps["candidates"][0]
    assert (best["fields"], best["verdict"], best["presence"], best["uniqueness"]) == (["krell"], "accepted", 1, 1)
    assert "no key: every" not in meter("status").out


def test_a_strategy_without_a_key_is_named_with_what_to_do(shop: Sandbox, meter: Command) -> None:
    scrape(shop, 10, codes=False)
    meter("sync", "--strategy", "lamps")
    line = "lamps: no key: every change shows as removed + added; candidates: "
    for command in ("status", "keys"):
        shown = " ".join(meter(command).out.split())
        assert line in shown
        assert "kind (75% of items repeat another one's)" in shown
        assert "set one with `key` in meter.yaml" in shown
    (finding,) = json.loads(meter("status", "--json").out)["keys"]
    assert finding["strategy"] == "lamps"
    meter("rekey", "lamps", "--by-hash")
    assert "no key" not in meter("status").out


def test_a_strategy_without_loaded_jobs_has_no_key(shop: Sandbox, meter: Command) -> None:
    scrape(shop, 2, codes=True)
    meter("sync", "--strategy", "books")
    shown = {found["strategy"]: found for found in meter("keys", "--json").document["strategies"]}
    assert (shown["lamps"]["key"], shown["lamps"]["types"], shown["lamps"]["candidates"]) == ([], {}, [])


def test_a_key_that_was_set_can_be_looked_for_in_the_data_again(shop: Sandbox, meter: Command) -> None:
    scrape(shop, 6, codes=True)
    meter("sync", "--strategy", "lamps")
    found = meter("keys", "lamps", "--json").document["strategies"][0]
    assert found["key"] == ["krell"]
    assert "keyed by price" in meter("rekey", "lamps", "--key", "price").out
    assert meter("keys", "lamps", "--json").document["strategies"][0]["source"] == "configured"
    assert "lamps: keyed by krell" in meter("rekey", "lamps", "--found").out
    again = meter("keys", "lamps", "--json").document["strategies"][0]
    assert {name: again[name] for name in again if name != "chosen_at"} == {
        name: found[name] for name in found if name != "chosen_at"
    }
    assert "exclude each other" in meter("rekey", "lamps", "--found", "--by-hash").err


def test_a_sync_that_finds_another_key_prints_a_line(shop: Sandbox, meter: Command) -> None:
    lines = []
    for _ in range(5):
        scrape(shop, 1, codes=True)
        lines.append(meter("sync", "--strategy", "lamps").out)
    named = ["lamps: its items are identified by krell now" in line for line in lines]
    assert named.count(True) == 1
    assert not named[0]
    assert meter("keys", "lamps", "--json").document["strategies"][0]["key"] == ["krell"]


def test_an_object_is_no_key(shop: Sandbox, meter: Command) -> None:
    shop.insert_job("Lamps", url="https://lamps.example/", items=[{"site": {"place": "Rye", "floor": 1}, "n": 1}])
    meter("sync", "--strategy", "lamps")
    refused = meter("rekey", "lamps", "--key", "site")
    assert "'site' is an object in the items of lamps: name a field in it, such as site.place" in refused.err
