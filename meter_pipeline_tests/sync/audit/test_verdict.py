"""Verdicts on jobs that are right, odd or broken, and what holds, releases and settings do to later ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meter_pipeline.config.audit_rules import TESTS, AuditConfig
from meter_pipeline.sync.audit.baseline import PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, FLAGGED, HELD
from meter_pipeline.sync.audit.profile import load
from meter_pipeline.sync.audit.verdict import judge
from meter_pipeline_tests.sync.audit.pages import Item, Page, profile_of, shop, spoil


def price(item: Item) -> float:
    return float(item["price"][1:].replace(",", ""))


BROKEN: dict[str, tuple[str, str | None, Callable[[list[Item]], list[Item]]]] = {
    "no items": ("items", None, lambda items: []),
    "two fifths of the items": ("items", None, lambda items: items[: len(items) * 2 // 5]),
    "an empty price": ("filled", "price", lambda items: spoil(items, lambda item: item | {"price": None})),
    "no field price": (
        "filled",
        "price",
        lambda items: spoil(items, lambda item: {name: item[name] for name in item if name != "price"}),
    ),
    "a nested field empty": (
        "filled",
        "seller.name",
        lambda items: spoil(items, lambda item: item | {"seller": {"name": "", "city": "York"}}),
    ),
    "one title everywhere": (
        "equal",
        "title",
        lambda items: spoil(items, lambda item: item | {"title": "We use cookies"}),
    ),
    "every item twice": ("repeats", None, lambda items: items + items),
    "dollars for pounds": (
        "unit",
        "price",
        lambda items: spoil(items, lambda item: item | {"price": f"${price(item) * 1.3:,.2f}"}),
    ),
    "text for a price": ("form", "price", lambda items: spoil(items, lambda item: item | {"price": "see shop"})),
    "pence for pounds": (
        "step",
        "price",
        lambda items: spoil(items, lambda item: item | {"price": f"£{price(item) * 100:,.2f}"}),
    ),
    "prices by one factor": (
        "step",
        "price",
        lambda items: spoil(items, lambda item: item | {"price": f"£{price(item) * 1.27:,.2f}"}),
    ),
    "tags in titles": (
        "text",
        "title",
        lambda items: spoil(items, lambda item: item | {"title": f"<b>{item['title']}</b>"}),
    ),
    "damaged characters": (
        "text",
        "title",
        lambda items: spoil(items, lambda item: item | {"title": item["title"] + " cafÃ©"}),
    ),
    "the review count as price": (
        "other field",
        "price",
        lambda items: spoil(items, lambda item: item | {"price": f"£{item['reviews']}.00"}),
    ),
    "titles of the next item": (
        "other item",
        "title",
        lambda items: [
            item | {"title": other["title"]} for item, other in zip(items, items[1:] + items[:1], strict=True)
        ],
    ),
    "another order of dates": (
        "pattern",
        "added",
        lambda items: spoil(items, lambda item: item | {"added": "/".join(reversed(item["added"].split("-")))}),
    ),
    "dates of 1970": ("date", "added", lambda items: spoil(items, lambda item: item | {"added": "1970-01-01"})),
}
HEALTHY: dict[str, Callable[[list[Item]], list[Item]]] = {
    "a sale on everything": lambda items: spoil(items, lambda item: item | {"price": f"£{price(item) * 0.7:,.2f}"}),
    "another order": lambda items: items[::-1],
    "a new field": lambda items: spoil(items, lambda item: item | {"badge": "new"}),
    "half of the items new": lambda items: items[: len(items) // 2] + shop(1, items=100, seed=9)[0][70:],
    "more items": lambda items: items + shop(1, items=100, seed=9)[0][60:],
    "a quarter of the items gone": lambda items: items[::4] + items[1::4] + items[2::4],
    "one item without price": lambda items: [items[0] | {"price": None}, *items[1:]],
    "all sold out": lambda items: spoil(items, lambda item: item | {"in_stock": item["reviews"] % 10 == 0}),
}


@pytest.mark.parametrize("before", [3, 12])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_job_is_held_with_the_test_and_the_field(kind: str, before: int) -> None:
    test, field, spoiled = BROKEN[kind]
    days = shop(before + 2)
    page = Page()
    assert {verdict.outcome for verdict in page.scrape_all(days[:before])} == {ACCEPTED}
    verdict = page.scrape(spoiled(days[before]))
    assert verdict.outcome == HELD
    assert (test, field) in {(finding.test, finding.field) for finding in verdict.findings}
    assert verdict.reason
    assert page.scrape(days[before + 1]).outcome == ACCEPTED


@pytest.mark.parametrize("kind", HEALTHY)
def test_an_odd_but_right_job_and_those_after_it_pass(kind: str) -> None:
    days = shop(12)
    page = Page()
    page.scrape_all(days[:8])
    assert page.scrape(HEALTHY[kind](days[8])).findings == ()
    assert [verdict.outcome for verdict in page.scrape_all(days[9:])] == [ACCEPTED] * 3


def test_a_finding_names_the_field_what_was_expected_and_two_sample_items() -> None:
    days = shop(6)
    page = Page()
    page.scrape_all(days[:5])
    finding = page.scrape(spoil(days[5], lambda item: item | {"price": None})).findings[0]
    assert (finding.field, finding.seen, finding.low) == ("price", 0, 0.75)
    assert finding.samples == ("null", "null")
    assert finding.message == "price is empty in all items, while all of them had a value before"


def test_the_first_three_jobs_are_for_learning() -> None:
    page = Page()
    days = shop(4)
    assert [verdict.learning for verdict in page.scrape_all(days)] == [(0, 3), (1, 3), (2, 3), None]


def test_a_target_with_little_history_learns_from_the_other_targets_of_the_strategy() -> None:
    others = [profile_of(shop(1, seed=seed)[0]) for seed in (5, 6, 7)]
    broken = profile_of(spoil(shop(1)[0], lambda item: item | {"price": None}))
    assert judge(broken, [], others=others).outcome == FLAGGED
    assert judge(profile_of(shop(1)[0]), [], others=others).outcome == ACCEPTED


def test_items_of_another_page_of_the_strategy_are_held() -> None:
    page = Page()
    page.scrape_all(shop(6))
    elsewhere = [item | {"url": item["url"] + "/other"} for item in shop(1, seed=3)[0]]
    verdict = judge(profile_of(elsewhere), page.past, others=[profile_of(elsewhere)])
    assert ("known", HELD) in {(finding.test, finding.outcome) for finding in verdict.findings}


def test_empty_is_normal_once_it_was_accepted() -> None:
    page = Page()
    night = [{"case": f"C{number}", "place": "Quay"} for number in range(4)]
    assert [verdict.outcome for verdict in page.scrape_all([night, [], night[:2], [], night, []])] == [ACCEPTED] * 6


def test_held_jobs_teach_nothing_and_their_change_is_named_once() -> None:
    days = shop(12)
    page = Page()
    page.scrape_all(days[:6])
    broken = [spoil(items, lambda item: item | {"price": None}) for items in days[6:9]]
    verdicts = page.scrape_all(broken)
    assert [verdict.outcome for verdict in verdicts] == [HELD] * 3
    assert [verdict.again for verdict in verdicts] == [0, 2, 3]
    assert (verdicts[2].reason or "").startswith("the same change again, 3 jobs: price ")
    assert page.scrape(days[9]).outcome == ACCEPTED


def test_after_a_release_the_next_jobs_of_its_kind_pass() -> None:
    days = shop(14)
    page = Page()
    page.scrape_all(days[:8])

    def renamed(item: Item) -> Item:
        return {("name" if key == "title" else key): value for key, value in item.items()}

    assert page.scrape(spoil(days[8], renamed), release=True).outcome == HELD
    later = [page.scrape(spoil(items, renamed)) for items in days[9:]]
    assert [verdict.outcome for verdict in later] == [ACCEPTED] * 5


def test_a_new_version_of_a_strategy_only_flags_and_forgets_fields_that_went() -> None:
    days = shop(12)
    page = Page()
    for items in days[:6]:
        page.scrape(items, version=1)
    without = [spoil(items, lambda item: {key: item[key] for key in item if key != "added"}) for items in days[6:]]
    assert page.scrape(without[0], version=2).outcome == ACCEPTED
    broken = spoil(without[1], lambda item: item | {"price": None})
    assert page.scrape(broken, version=2).outcome == FLAGGED
    for items in without[2:4]:
        assert page.scrape(items, version=2).outcome == ACCEPTED
    assert page.scrape(spoil(without[4], lambda item: item | {"price": None}), version=2).outcome == HELD


@pytest.mark.parametrize(
    ("config", "outcome"),
    [
        (AuditConfig(off=frozenset({"filled"})), ACCEPTED),
        (AuditConfig(ignore=frozenset({"seller"})), ACCEPTED),
        (AuditConfig(flag=frozenset({"filled"})), FLAGGED),
        (AuditConfig(flag=frozenset({"*"})), FLAGGED),
        (AuditConfig(), HELD),
    ],
)
def test_settings_switch_tests_and_fields_off_or_soften_them(config: AuditConfig, outcome: str) -> None:
    days = shop(6)
    page = Page(config)
    page.scrape_all(days[:5])
    broken = spoil(days[5], lambda item: item | {"seller": {"name": None, "city": item["seller"]["city"]}})
    assert page.scrape(broken).outcome == outcome


def test_a_doubt_is_recorded_once_and_does_not_widen_what_is_normal() -> None:
    days = shop(12)
    page = Page(AuditConfig(flag=frozenset({"*"})))
    page.scrape_all(days[:6])
    broken = [spoil(items, lambda item: item | {"price": None}) for items in days[6:]]
    assert page.scrape(broken[0]).outcome == FLAGGED
    assert page.scrape(days[7]).outcome == ACCEPTED
    assert page.scrape(broken[2]).outcome == FLAGGED


def test_every_finding_has_a_test_that_settings_can_name() -> None:
    days = shop(6)
    for _, _, spoiled in BROKEN.values():
        page = Page()
        page.scrape_all(days[:5])
        assert {finding.test for finding in page.scrape(spoiled(days[5])).findings} <= set(TESTS)


def test_verdicts_from_stored_profiles_are_those_from_fresh_ones() -> None:
    days = shop(8)
    page = Page()
    page.scrape_all(days[:7])
    stored = [PastJob(load(job.profile.dump()), job.outcome, job.findings) for job in page.past]
    for _, _, spoiled in BROKEN.values():
        profile = profile_of(spoiled(days[7]), before=page.past[-1].profile)
        assert judge(load(profile.dump()), stored) == judge(profile, page.past)


def test_findings_are_right_for_one_and_for_many() -> None:
    *days, last = shop(8)

    def say(items: list[Item]) -> str:
        page = Page()
        page.scrape_all(days)
        return "; ".join(finding.message for finding in page.scrape(items).findings)

    assert "1 item, while the last 7 jobs had 60" in say(last[:1])
    assert "url has one value in 60 items, while all of its values differed before" in say(
        spoil(last, lambda item: item | {"url": "/"})
    )
    assert "url has 2 different values in 60 items" in say(
        [item | {"url": f"/p/{place % 2}"} for place, item in enumerate(last)]
    )
    assert "title has texts of 1 character (median)" in say(
        spoil(last, lambda item: item | {"title": item["title"][0]})
    )
    assert "added moved back by 24 hours (median) in 100 % of the items" in say(
        spoil(last, lambda item: item | {"added": f"{item['added'][:8]}{int(item['added'][8:]) - 1:02}"})
    )
    assert "url has no host" in say(
        spoil(last, lambda item: item | {"url": item["url"].removeprefix("https://shop.example")})
    )
