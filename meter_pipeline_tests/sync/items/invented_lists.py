"""Invented lists with known keys: what a page shows on several days, with names that mean nothing.

Each list is made from a seed alone. Around its key stand fields that could be taken for one: prices that move, ranks,
counters, times, titles that are edited or repeated, and categories.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from meter_pipeline.sync.items.keys import JobRef
from meter_pipeline.sync.items.samples import JobSample

_SYLLABLES = ("ba", "ko", "ri", "tu", "ven", "lo", "shi", "mar", "que", "zan", "ny", "ul", "fe", "gri", "pol", "ost")
_OTHER_NAMES = (
    "Bezeichnung",
    "référence",
    "matrícula",
    "品番",
    "артикул",
    "nimike",
    "Kennung",
    "المعرف",
    "kód",
    "numero",
)
_OWNER = "owner"
_START = datetime(2026, 3, 1, 6, tzinfo=timezone.utc)


@dataclass(frozen=True)
class InventedList:
    """Jobs of one strategy, and what identifies its items.

    Attributes:
        kind: What was invented.
        keys: The right answers: paths of fields; one of no fields stands for the page; none at all: there is no key.
        jobs: The jobs in order of time.
        owners: For each job, which item each row is about.
    """

    kind: str
    keys: tuple[tuple[str, ...], ...]
    jobs: tuple[JobSample, ...]
    owners: tuple[tuple[int, ...], ...]

    def read(self, jobs: Sequence[JobRef]) -> list[JobSample]:
        """The samples of jobs, as `find_key` asks for them."""
        whole = {job.job_id: job for job in self.jobs}
        return [
            JobSample.of(
                whole[job.job_id].values, job_id=job.job_id, target_id=job.target_id, time=job.time, run=job.run
            )
            for job in jobs
        ]

    @property
    def refs(self) -> list[JobRef]:
        """The jobs as `find_key` takes them."""
        return [JobRef(job.job_id, job.target_id, job.time, job.items, job.run) for job in self.jobs]

    def is_right(self, fields: tuple[str, ...]) -> bool:
        """Whether a key is the one that was invented, or tells the same items apart as well as it."""
        if fields in self.keys or tuple(reversed(fields)) in self.keys:
            return True
        return bool(fields) and self.mistakes(fields) <= 0.03

    def mistakes(self, fields: tuple[str, ...]) -> float:
        """Share of items that a key takes for others or loses from one job to the next."""
        last: dict[str, tuple[dict[Any, int], set[int]]] = {}
        mistakes = total = 0
        for job, owners in zip(self.jobs, self.owners, strict=True):
            values = [tuple(_value(item, path) for path in fields) for item in job.values]
            by_key = {
                key: owner for key, owner in zip(values, owners, strict=True) if None not in key and "" not in key
            }
            if job.target_id in last:
                before, owned = last[job.target_id]
                stayed = set(owners) & owned
                right = {owner for key, owner in by_key.items() if before.get(key) == owner}
                false = sum(key in before and before[key] != owner for key, owner in by_key.items())
                mistakes, total = mistakes + len(stayed - right) + false, total + len(stayed)
            last[job.target_id] = by_key, set(owners)
        return mistakes / total if total else 0.0


def _value(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


class _Inventor:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._names: set[str] = set()

    def name(self) -> str:
        while True:
            name = (
                self.random.choice(_OTHER_NAMES) if self.random.random() < 0.2 else self.word(self.random.randint(2, 3))
            )
            if name not in self._names:
                self._names.add(name)
                return name

    def word(self, syllables: int) -> str:
        return "".join(self.random.choice(_SYLLABLES) for _ in range(syllables))

    def words(self, count: int) -> str:
        return " ".join(self.word(self.random.randint(2, 4)) for _ in range(count)).title()

    def code(self, style: str, number: int) -> Any:
        if style == "code":
            return f"{self.word(1).upper()}-{number * 7919 % 1_000_003:06}"
        if style == "address":
            return f"https://{self.word(2)}.test/{self.word(2)}/{number * 104_729 % 15_485_863}"
        if style == "number":
            return 1_000 + number * 3 + self.random.randint(0, 2)
        if style == "large number":
            return 10**8 + number * 7919 % 10**8
        return f"{self.words(self.random.randint(2, 3))} {number * 7919 % 1_000_003:x}"


class _Fields:
    """The fields of a list beside its key, and how they move from day to day."""

    def __init__(self, inventor: _Inventor, *, moving: float, titled: str, is_ranked: bool) -> None:
        self.inventor, self.moving = inventor, moving
        chance = inventor.random.random
        self.price, self.rank, self.category, self.title = (inventor.name() for _ in range(4))
        self.counter = inventor.name() if chance() < 0.5 else None
        self.stamp = inventor.name() if chance() < 0.4 else None
        self.stock = inventor.name() if chance() < 0.4 else None
        self.is_ranked = is_ranked
        self.price_style = inventor.random.choice(("text", "whole", "fraction"))
        self.titled = titled
        self.categories = [inventor.words(1) for _ in range(inventor.random.randint(2, 12))]
        self.titles = [inventor.words(2) for _ in range(40)]

    def make(self) -> dict[str, Any]:
        draw = self.inventor.random
        item: dict[str, Any] = {self.category: draw.choice(self.categories), self.price: self._amount()}
        if self.titled == "repeated":
            item[self.title] = draw.choice(self.titles)
        elif self.titled == "edited":
            item[self.title] = self.inventor.words(4)
        if self.stock:
            item[self.stock] = draw.randint(0, 200)
        if self.counter:
            item[self.counter] = draw.randint(1, 10**6)
        return item

    def _amount(self) -> Any:
        cents = self.inventor.random.randint(100, 200_000)
        return {"text": f"€ {cents / 100:.2f}", "whole": cents, "fraction": cents / 100}[self.price_style]

    def move(self, item: dict[str, Any]) -> None:
        draw = self.inventor.random
        if draw.random() < self.moving:
            item[self.price] = self._amount()
        if self.stock and draw.random() < self.moving:
            item[self.stock] = max(0, item[self.stock] + draw.randint(-9, 9))
        if self.counter:
            item[self.counter] += draw.randint(1, 500)
        if self.titled == "edited" and draw.random() < 0.03:
            item[self.title] += " " + self.inventor.word(2)

    def shown(self, items: Sequence[dict[str, Any]], day: int, order: Sequence[str]) -> list[dict[str, Any]]:
        shown = []
        for place, item in enumerate(items):
            row = dict(item)
            if self.is_ranked:
                row[self.rank] = place + 1
            if self.stamp:
                row[self.stamp] = (_START + timedelta(days=day)).isoformat()
            shown.append({name: row[name] for name in order if name in row})
        return shown


def invent(seed: int, kind: str, *, items: int, days: int = 6) -> InventedList:
    """A list of one kind: `list`, `pair`, `pages` (one item each), or `keyless`.

    Args:
        seed: Decides everything that is left open.
        kind: What to invent.
        items: Number of items on a day, or of pages.
        days: Number of jobs of each target.
    """
    inventor = _Inventor(seed)
    draw = inventor.random
    moving = draw.choice((0.05, 0.1, 0.3))
    titled = draw.choice(("repeated", "edited", "none") if kind in ("list", "pages") else ("repeated", "none"))
    fields = _Fields(inventor, moving=moving, titled=titled, is_ranked=kind != "pages" and draw.random() < 0.4)
    key: tuple[str, ...] = (inventor.name(), inventor.name()) if kind == "pair" else (inventor.name(),)
    style = draw.choice(("code", "address", "number", "large number", "title"))
    churn = 0.0 if kind == "pages" else draw.choice((0.0, 0.02, 0.1, 0.3))
    gaps, repeats = (draw.choice((0.0, 0.02, 0.05)) if kind == "list" and items >= 20 else 0.0 for _ in range(2))
    arrangement = "kept" if kind == "pages" else draw.choice(("kept", "newest first", "shuffled", "by price"))
    nested = kind == "list" and draw.random() < 0.2
    groups = [inventor.words(1) + str(number) for number in range(max(2, int(items**0.5)))]
    number = 0

    def make() -> dict[str, Any]:
        nonlocal number
        number += 1
        item = fields.make() | {_OWNER: number}
        if kind == "pair":
            item[key[0]], item[key[1]] = groups[number % len(groups)], number // len(groups) + 100
        elif kind != "keyless":
            item[key[0]] = inventor.code(style, number)
        if draw.random() < gaps:
            item[key[0]] = draw.choice((None, ""))
        return item

    current = [make() for _ in range(items)]
    names = [*dict.fromkeys(name for item in current for name in item if name != _OWNER), fields.rank, fields.stamp]
    order = [name for name in names if name]
    draw.shuffle(order)
    jobs: list[JobSample] = []
    owners: list[tuple[int, ...]] = []
    for day in range(days):
        if day:
            current = [item for item in current if draw.random() >= churn]
            for item in current:
                fields.move(item)
            fresh = [make() for _ in range(max(0, items - len(current)))]
            current = [*fresh, *current] if arrangement == "newest first" else [*current, *fresh]
        if arrangement == "shuffled":
            draw.shuffle(current)
        elif arrangement == "by price":
            current.sort(key=lambda item: str(item[fields.price]))
        listed = list(current)
        for item in draw.sample(current, int(repeats * len(current))):
            listed.insert(draw.randint(0, len(listed)), item)
        shown = fields.shown(listed, day, order)
        if nested:
            shown = [{"q": {key[0]: item.pop(key[0])}, **item} for item in shown]
        time = (_START + timedelta(days=day)).isoformat()
        groups_of_jobs = [[item] for item in shown] if kind == "pages" else [shown]
        for page, values in enumerate(groups_of_jobs):
            target = f"page {page}" if kind == "pages" else "page"
            owners.append(tuple(item[_OWNER] for item in (listed[page : page + 1] if kind == "pages" else listed)))
            jobs.append(JobSample(f"{day:03}-{page:05}", target, time, len(values), values, str(day)))
    right: tuple[tuple[str, ...], ...] = (("q." + key[0],) if nested else key,)
    if kind == "pages":
        right += ((),)
    return InventedList(kind, () if kind == "keyless" else right, tuple(jobs), tuple(owners))
