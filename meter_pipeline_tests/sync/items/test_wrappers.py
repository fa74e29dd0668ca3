"""Items that wrap a list are noticed wherever the list is, with the rule for `meter.yaml` and a key for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.items.wrappers import find_lone_items, find_missing_lists, find_unmatched, find_wrappers
from meter_pipeline_tests.behaviour.station import Station, assert_whole

PLANS = [{"plan": name, "seats": seats, "price": "$10"} for name, seats in (("Basic", 1), ("Pro", 5), ("Max", 50))]
MORE = [{**plan, "seats": plan["seats"] * 2} for plan in PLANS]


def insert(sandbox: Sandbox, *items: Any, url: str = "https://plans.example/") -> None:
    """A job of one item for each of these, an hour apart."""
    for item in items:
        sandbox.advance(hours=1)
        sandbox.insert_job("Plans", url=url, items=[item])


def wrap(plans: Sequence[Any]) -> dict[str, Any]:
    """An item that has plans in an object."""
    return {"title": "Plans", "data": {"results": plans, "page": {"number": 1, "links": [{"href": "/2"}]}}}


def suggest(station: Station) -> str | None:
    """The rule that is suggested for the plans, None without any."""
    found = find_wrappers(station.ledger, station.lake, find_lone_items(station.ledger, station.ledger.strategies()))
    return re.findall(r"write `(.*)` into", found["plans"])[0] if found else None


def complaint(station: Station, items: str, folder: Path) -> dict[str, str]:
    """What is said of a rule after a sync with it."""
    path = folder / "meter.yaml"
    path.write_text(f"strategies:\n  plans: {{items: {items}}}\n", encoding="utf-8")
    station.sync(config=load_config(path))
    return find_missing_lists(station.ledger, station.lake, find_unmatched(station.ledger, station.ledger.strategies()))


def test_a_list_in_an_object_is_named_by_its_path_and_the_rule_works(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    insert(empty_sandbox, wrap(PLANS), wrap(MORE))
    station.sync()
    rule = suggest(station)
    assert rule == "items: data.results, key: plan"
    path = tmp_path / "meter.yaml"
    path.write_text(f"strategies:\n  plans: {{{rule}, audit: {{flag: ['*']}}}}\n", encoding="utf-8")
    station.sync(config=load_config(path))
    assert [row["_meter_item_key"] for row in station.results("plans").to_pylist()] == ["Basic", "Pro", "Max"] * 2
    assert {row["field"] for row in station.read("changes", "plans").to_pylist()} == {"seats"}
    assert suggest(station) is None
    assert_whole(station)


@pytest.mark.parametrize(
    ("named", "meant"), [("data.result", "did you mean data.results?"), ("plans", "give one of data.results")]
)
def test_a_rule_that_names_no_list_is_named_with_what_may_be_meant(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path, named: str, meant: str
) -> None:
    insert(empty_sandbox, wrap(PLANS), wrap(MORE))
    assert complaint(station, named, tmp_path) == {
        "plans": f"meter.yaml says items: {named}, but no item that was received has such a list: {meant}"
    }


def test_a_rule_is_right_though_every_list_has_one_element(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    insert(empty_sandbox, wrap(PLANS[:1]), wrap(MORE[:1]))
    assert complaint(station, "data.results", tmp_path) == {}


def test_without_any_list_there_is_none_to_name(station: Station, empty_sandbox: Sandbox, tmp_path: Path) -> None:
    insert(empty_sandbox, {"title": "Plans", "price": 3}, {"title": "Plans", "price": 4})
    assert complaint(station, "plans", tmp_path)["plans"].endswith("has such a list: they have no list of objects")


def test_a_list_in_the_elements_of_another_one_is_not_what_the_items_wrap(
    station: Station, empty_sandbox: Sandbox
) -> None:
    insert(empty_sandbox, {"answer": [wrap(PLANS)]}, {"answer": [wrap(MORE)]})
    station.sync()
    assert suggest(station) == "items: answer"


def test_names_with_marks_come_back_as_they_were_received(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    jobs = [[{"a: b": plan["plan"], "#": plan["seats"]} for plan in plans] for plans in (PLANS, MORE)]
    insert(empty_sandbox, *[{"the.data, all": {"[r]": plans}} for plans in jobs])
    station.sync()
    path = tmp_path / "meter.yaml"
    path.write_text(f"strategies:\n  plans: {{{suggest(station)}, audit: {{flag: ['*']}}}}\n", encoding="utf-8")
    station.sync(config=load_config(path))
    assert [row["_meter_item_key"] for row in station.results("plans").to_pylist()] == ["Basic", "Pro", "Max"] * 2


def test_a_key_of_two_fields_is_a_list(station: Station, empty_sandbox: Sandbox) -> None:
    jobs = [
        [{"size": size, "colour": colour, "left": left} for size in "SML" for colour in ("red", "blue")]
        for left in (5, 6)
    ]
    insert(empty_sandbox, *map(wrap, jobs))
    station.sync()
    assert suggest(station) == "items: data.results, key: [size, colour]"


def test_no_key_is_named_while_nothing_in_the_list_has_changed(station: Station, empty_sandbox: Sandbox) -> None:
    insert(empty_sandbox, wrap(PLANS), {**wrap(PLANS[::-1]), "title": "Our plans"})
    station.sync()
    assert suggest(station) == "items: data.results"


def test_jobs_of_another_page_say_nothing_about_the_key(station: Station, empty_sandbox: Sandbox) -> None:
    insert(empty_sandbox, wrap(PLANS), wrap(MORE), url="https://plans.example/old")
    insert(empty_sandbox, wrap(PLANS))
    station.sync()
    assert suggest(station) == "items: data.results"


@pytest.mark.parametrize(
    "item",
    [
        {"data": {"results": PLANS, "offers": PLANS}},
        {"data": {"about": "It is made of wool. " * 50, "sizes": [{"label": "M"}]}},
        {"data": {"results": ["a", "b"]}},
    ],
    ids=["two lists", "a small list", "a list of texts"],
)
def test_an_item_that_is_more_than_a_wrapper_is_none(station: Station, empty_sandbox: Sandbox, item: Any) -> None:
    insert(empty_sandbox, item, {**item, "title": "new"})
    station.sync()
    assert suggest(station) is None
