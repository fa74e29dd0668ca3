"""The data of the benchmark: deterministic strategies, schedules and jobs, written to one file of precomputed answers.

A job's items are mostly those of the job before it (a few percent change, vanish or appear), as scraped pages are. All
bodies of a world stand back to back in ``bodies.bin``; ``index.json`` says where each begins, so that the server only
slices, and a body of 200 MB costs it no memory.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

BODIES = "bodies.bin"
INDEX = "index.json"

CHANGED, REMOVED, ADDED = 0.03, 0.01, 0.01
FIRST_RUN = datetime(2026, 3, 2, tzinfo=timezone.utc)
BETWEEN_RUNS = timedelta(hours=6)

_FIRST = ("Tide", "Salt", "Winter", "Paper", "Copper", "Night", "Glass", "Orchard", "Harbour", "Ivory", "Møn", "Café")
_SECOND = ("Tables", "Road", "Letters", "Gardens", "Atlas", "Ledger", "Songs", "Machines", "Maps", "Island", "Hours")
_CATEGORIES = ("Poetry", "Travel", "History", "Science", "Fiction", "Mystery", "Art", "Cooking")
_SELLERS = (("Harbour Books", "Bergen"), ("Leaf & Sons", "York"), ("Librería Sol", "Cádiz"), ("Nordlys", "Tromsø"))
_TAGS = ("new", "signed", "used", "boxed", "large print", "first edition")


@dataclass(frozen=True)
class Workload:
    """How much there is: strategies, jobs of each, items of each job (about), and why anyone would ask.

    Attributes:
        changed: Share of the items that have other values than in the job before.
        columns: Number of columns that items have beside those of a book.
        still: Number of the latest jobs whose items are those of the job before.
    """

    name: str
    strategies: int
    jobs: int
    items: int
    about: str
    changed: float = CHANGED
    columns: int = 0
    still: int = 0


WORKLOADS = {
    w.name: w
    for w in (
        Workload("small-many", 200, 25, 40, "200 strategies x 25 jobs x 40 items: many small bodies"),
        Workload("medium", 20, 20, 2_000, "20 strategies x 20 jobs x 2,000 items"),
        Workload("churn", 20, 10, 2_000, "20 strategies x 10 jobs x 2,000 items, every item changed in every job", 1.0),
        Workload("big", 1, 1, 1_000_000, "one job of 1,000,000 items in one body"),
    )
}
QUICK = {
    w.name: w
    for w in (
        Workload("small-many", 20, 5, 40, "20 strategies x 5 jobs x 40 items"),
        Workload("medium", 4, 5, 1_000, "4 strategies x 5 jobs x 1,000 items"),
        Workload("churn", 4, 3, 1_000, "4 strategies x 3 jobs x 1,000 items, every item changed in every job", 1.0),
        Workload("big", 1, 1, 50_000, "one job of 50,000 items in one body"),
    )
}


@dataclass(frozen=True)
class Totals:
    """What a correct load must add up to.

    Attributes:
        strategies: Strategies served.
        jobs: Jobs served, all of them completed.
        items: Items over all jobs.
        cents: Sum of all prices, in hundredths (the digits of each price text, read as an integer).
        stock: Sum of all stock numbers.
        rating_tenths: Sum of all ratings, times ten.
        body_bytes: Bytes of all job bodies.
    """

    strategies: int
    jobs: int
    items: int
    cents: int
    stock: int
    rating_tenths: int
    body_bytes: int


class Item(NamedTuple):
    """One book: its JSON text, and the numbers that the check sums up."""

    serial: int
    text: bytes
    cents: int
    stock: int
    rating_tenths: int


def write_world(workload: Workload, folder: Path) -> Totals:
    """Writes the answers of a world into a folder and returns what they add up to.

    Args:
        workload: Its size; the same size always gives the same bytes.
        folder: Created if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A million live items make every collection of the garbage collector a full walk, and none of it is garbage.
    gc.disable()
    try:
        return _write_world(workload, folder)
    finally:
        gc.enable()


def _write_world(workload: Workload, folder: Path) -> Totals:
    strategies, schedules = [], []
    rows: list[tuple[str, dict[str, object], int, int]] = []
    sums = dict.fromkeys(("items", "cents", "stock", "rating_tenths"), 0)
    with (folder / BODIES).open("wb") as out:
        for number in range(workload.strategies):
            strategies.append(strategy_record(number))
            schedules.append(schedule_record(number, workload.jobs))
            for run, items in enumerate(_runs(workload, number)):
                row = job_record(number, run, _id("job", number, run), len(items), _hash(items))
                begin = out.tell()
                write_body(out, row, items)
                rows.append((str(row["created_at"]), row, begin, out.tell() - begin))
                sums["items"] += len(items)
                for item in items:
                    sums["cents"] += item.cents
                    sums["stock"] += item.stock
                    sums["rating_tenths"] += item.rating_tenths
        size = out.tell()
    # Job lists are newest first, as the API's are by usage; ties are broken by id so that pages never shuffle.
    rows.sort(key=lambda r: (r[0], str(r[1]["id"])), reverse=True)
    totals = Totals(strategies=len(strategies), jobs=len(rows), body_bytes=size, **sums)
    index = {
        "totals": asdict(totals),
        "strategies": strategies,
        "schedules": schedules,
        "jobs": [(row, begin, length) for _, row, begin, length in rows],
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return totals


def _runs(workload: Workload, number: int) -> Iterator[list[Item]]:
    """The items of each job of one strategy, oldest first."""
    rng = random.Random(f"{workload.name}/{number}")
    items = [_item(rng, number, serial, workload.columns) for serial in range(workload.items)]
    serial = len(items)
    yield items
    for _ in range(workload.jobs - 1 - workload.still):
        kept = [
            _item(rng, number, old.serial, workload.columns) if rng.random() < workload.changed else old
            for old in items
            if rng.random() >= REMOVED
        ]
        for _ in range(sum(rng.random() < ADDED for _ in range(workload.items))):
            kept.append(_item(rng, number, serial, workload.columns))
            serial += 1
        items = kept
        yield items
    for _ in range(workload.still):
        yield items


def _item(rng: random.Random, strategy: int, serial: int, columns: int = 0) -> Item:
    """A book whose price, stock and rating are drawn, and whose identity follows from its serial number."""
    return make_item(strategy, serial, rng.randrange(300, 9_000), rng.randrange(0, 40), rng.randrange(10, 51), columns)


def make_item(strategy: int, serial: int, cents: int, stock: int, rating: int, columns: int = 0) -> Item:
    """A book of a strategy's shop; `rating` is in tenths. Further columns are numbers, prices and words in turn."""
    fixed = strategy * 7_919 + serial
    seller, city = _SELLERS[fixed % len(_SELLERS)]
    tags = [_TAGS[(fixed + i) % len(_TAGS)] for i in range(fixed % 4)]
    book: dict[str, object] = {
        "title": f"{_FIRST[fixed % len(_FIRST)]} {_SECOND[fixed // 12 % len(_SECOND)]} {serial}",
        "url": f"https://shop{strategy}.example/b/{serial}",
        "price": f"£{cents // 100}.{cents % 100:02d}",
        "rating": rating / 10,
        "stock": stock,
        "available": stock > 0,
        "category": _CATEGORIES[fixed // 3 % len(_CATEGORIES)],
        "seller": {"name": seller, "city": city},
        "tags": tags,
    }
    for column in range(columns):
        drawn = fixed * 31 + column * 17 + (cents if column % 40 == 0 else 0)
        word = f"{_FIRST[drawn % len(_FIRST)]} {drawn % 100}"
        book[f"column {column}"] = (drawn % 1_000, f"£{drawn % 100}.50", word)[column % 3]
    return Item(serial, _encode(book), cents, stock, rating)


def strategy_record(number: int, begin: datetime = FIRST_RUN) -> dict[str, object]:
    """A strategy as a list shows it; `begin` is the time of the first run of all."""
    made = encode_time(begin - timedelta(days=1) + timedelta(seconds=number))
    return {
        "strategy_id": _id("strategy", number),
        "name": f"Books of shop {number}",
        "description": "title, price, rating and stock of every book",
        "url": f"https://shop{number}.example/",
        "preview_data": [],
        "scraper_type": "css",
        "created_at": made,
        "updated_at": made,
    }


def schedule_record(number: int, runs: int, begin: datetime = FIRST_RUN) -> dict[str, object]:
    """The schedule of a strategy after some number of runs."""
    begin += timedelta(seconds=number)
    return {
        "schedule_id": _id("schedule", number),
        "strategy_id": _id("strategy", number),
        "url": f"https://shop{number}.example/",
        "urls": None,
        "schedule_type": "interval",
        "interval_seconds": int(BETWEEN_RUNS.total_seconds()),
        "cron_expression": None,
        "enabled": True,
        "webhook_url": None,
        "parameters": None,
        "next_run_at": encode_time(begin + BETWEEN_RUNS * runs),
        "last_run_at": encode_time(begin + BETWEEN_RUNS * (runs - 1)),
        "created_at": encode_time(begin - timedelta(days=1)),
        "updated_at": encode_time(begin - timedelta(days=1)),
    }


def job_record(
    number: int, run: int, job_id: str, item_count: int, content_hash: str, begin: datetime = FIRST_RUN
) -> dict[str, object]:
    """A job as a list shows it: run `run`, counted from 0, of a strategy."""
    created = begin + timedelta(seconds=number) + BETWEEN_RUNS * run
    return {
        "id": job_id,
        "strategy_id": _id("strategy", number),
        "schedule_id": _id("schedule", number),
        "url": f"https://shop{number}.example/",
        "status": "completed",
        "item_count": item_count,
        "content_hash": content_hash,
        "error": None,
        "started_at": encode_time(created + timedelta(seconds=1)),
        "completed_at": encode_time(created + timedelta(seconds=9)),
        "created_at": encode_time(created),
    }


def _hash(items: list[Item]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for item in items:
        digest.update(item.text)
    return digest.hexdigest()


def write_body(out: BinaryIO, row: dict[str, object], items: list[Item]) -> None:
    """Writes a job as the API prints it: the results stand in the middle of the object."""
    head = {k: row[k] for k in ("id", "strategy_id", "schedule_id", "url", "status")}
    tail = {k: v for k, v in row.items() if k not in head}
    tail["structural_signature"] = {"fields": ["price", "title"], "count": len(items)}
    out.write(_encode(head)[:-1] + b',"results":[')
    for begin in range(0, len(items), 10_000):
        out.write((b"," if begin else b"") + b",".join(i.text for i in items[begin : begin + 10_000]))
    out.write(b"]," + _encode(tail)[1:])


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encode_time(moment: datetime) -> str:
    """A time as the API prints it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1 << 15)
def _id(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(map(str, parts))))
