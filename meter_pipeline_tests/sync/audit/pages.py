"""Invented pages for the tests of the audit: a shop whose items change a little from job to job, and its past."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from meter_pipeline.config.audit_rules import AuditConfig
from meter_pipeline.sync.audit.baseline import PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, Verdict
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.profiler import Profiler
from meter_pipeline.sync.audit.verdict import judge
from meter_pipeline.sync.items.texts import Items, Texts

Item = dict[str, Any]
_NAMES = ("Tide Tables", "Salt Road", "Paper Atlas", "Glass Ledger", "Ivory Hours", "Copper Maps", "Night Gardens")


def shop(days: int, *, items: int = 60, seed: int = 1) -> list[list[Item]]:
    """The items of a shop on each of some days; one in twenty has another price, and reviews are added."""
    chance = random.Random(seed)
    stock = [_product(chance, number) for number in range(items)]
    result = []
    for _ in range(days):
        result.append([dict(item) for item in stock])
        for item in stock:
            if chance.random() < 0.05:
                item["price"] = _price(chance.uniform(0.9, 1.1) * float(item["price"][1:].replace(",", "")))
            if chance.random() < 0.1:
                item["reviews"] += 1
    return result


def _product(chance: random.Random, number: int) -> Item:
    return {
        "title": f"{chance.choice(_NAMES)} {chance.choice('ABCDEFGH')}{number}",
        "url": f"https://shop.example/p/{number}",
        "price": _price(chance.uniform(2, 1500)),
        "list_price": _price(chance.uniform(1600, 2500)),
        "reviews": chance.randrange(5, 300),
        "in_stock": chance.random() < 0.8,
        "seller": {"name": chance.choice(_NAMES), "city": chance.choice(["York", "Bergen"])},
        "added": f"2025-0{chance.randrange(1, 7)}-{chance.randrange(10, 28)}",
    }


def _price(amount: float) -> str:
    return f"£{amount:,.2f}"


def profile_of(
    items: Sequence[Any], time: str = "2025-09-01T00:00:00Z", before: JobProfile | None = None
) -> JobProfile:
    """The profile of a job's items."""
    texts = Texts()
    raw = [json.dumps(item).encode() for item in items]
    return Profiler(texts).profile(Items(texts, texts.take(raw)), time, before)


class Page:
    """A target with its past, scraped each day or every few `hours`; `scrape` adds a job and returns its verdict."""

    def __init__(self, config: AuditConfig | None = None, *, hours: int = 24) -> None:
        self.config, self._hours = config or AuditConfig(), hours
        self.past: list[PastJob] = []

    def scrape(self, items: Sequence[Any], *, release: bool = False, version: int | None = None) -> Verdict:
        """Judges a job and adds it to the past; `release`: a person accepts it if it is held."""
        accepted = [job for job in self.past if job.is_accepted]
        profile = profile_of(items, self._next_time(), accepted[-1].profile if accepted else None)
        verdict = judge(profile, self.past, config=self.config, version=version)
        self.past.append(PastJob(profile, verdict.outcome, verdict.findings, release, version))
        return verdict

    def _next_time(self) -> str:
        return f"{datetime(2025, 9, 1) + timedelta(hours=self._hours * len(self.past)):%Y-%m-%dT%H:%M:%SZ}"

    def scrape_all(self, jobs: Sequence[Sequence[Any]]) -> list[Verdict]:
        """The verdicts on some jobs."""
        return [self.scrape(items) for items in jobs]


def spoil(items: Sequence[Item], change: Callable[[Item], Item]) -> list[Item]:
    """The items, each changed."""
    return [change(dict(item)) for item in items]


def judge_after(days: list[list[Item]], last: list[Item]) -> Verdict:
    """The verdict on a job after some that were accepted without a finding."""
    page = Page()
    assert {verdict.outcome for verdict in page.scrape_all(days)} == {ACCEPTED}
    return page.scrape(last)


def named(verdict: Verdict) -> set[tuple[str, str | None]]:
    """The tests that spoke, each with its field."""
    return {(finding.test, finding.field) for finding in verdict.findings}
