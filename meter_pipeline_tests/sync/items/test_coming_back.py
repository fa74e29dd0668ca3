"""What comes back in every job while all else moves is a key, unless it is the contents, the row or the hour."""

from __future__ import annotations

import random
from typing import Any
from zlib import crc32

from meter_pipeline.sync.items.keys import search_key
from meter_pipeline_tests.sync.items.test_keys import fields_of, pages_of

Item = dict[str, Any]


def test_a_gap_is_no_change_around_a_hash_of_the_contents() -> None:
    for seed in range(6):
        draw = random.Random(seed)
        items = [{"id": number, "art": draw.choice("abcdef"), "menge": draw.randrange(30)} for number in range(60)]
        pages = []
        for _ in range(10):
            for item in items:
                if draw.random() < 0.8:
                    item["menge"] = draw.randrange(30)
            page: list[Item] = [
                {"summe": f"h{crc32(repr(item).encode()):x}", "art": item["art"], "menge": item["menge"]}
                for item in items
            ]
            for item in draw.sample(page, 3):
                item["art"] = None
            pages.append(page)
        assert fields_of(search_key(pages_of(pages))) is None


def test_the_id_of_items_that_repeat_whole_is_preferred_to_a_title_that_some_lack() -> None:
    draw = random.Random(3)
    costs = [draw.randrange(900) for _ in range(25)]
    pages = []
    for _ in range(6):
        costs = [cost + draw.randrange(1, 9) for cost in costs]
        page: list[Item] = [
            {"titel": f"Stuhl {chr(97 + number)}", "ref": f"k{number:04d}", "n": cost}
            for number, cost in enumerate(costs)
        ]
        page[4]["titel"] = None
        pages.append([*page, dict(page[4])])
    assert fields_of(search_key(pages_of(pages))) == ("ref",)


def services(row: str) -> list[list[Item]]:
    """Services by name or by row, whose numbers are new in every job; their order is another one, too."""
    draw = random.Random(5)
    names = ["Login", "Search", "Mail", "Files", "Billing", "Chat", "Maps", "Calls", "Notes", "Tasks", "Forms", "Sites"]
    pages = []
    for _ in range(9):
        draw.shuffle(names)
        pages.append([
            {"who": row.format(number) or name, "ms": draw.randrange(10**6), "load": draw.randrange(10**6)}
            for number, name in enumerate(names)
        ])  # fmt: skip
    return pages


def test_texts_that_come_back_in_every_job_are_a_key_where_all_else_moves() -> None:
    assert fields_of(search_key(pages_of(services("")))) == ("who",)
    assert fields_of(search_key(pages_of(services("card-{}")))) is None


def test_one_change_among_hundreds_of_items_shows_nothing_about_their_hours() -> None:
    draw = random.Random(11)
    trades: list[Item] = []
    pages = []
    for day in range(12):
        for number in range(30):
            time = f"{day + 6:02d}:{number * 2:02d}:{draw.randrange(60):02d}"
            trades.insert(0, {"um": time, "preis": draw.randrange(40) / 10, "menge": draw.randrange(5)})
        page = [dict(trade) for trade in trades[:100]]
        if day == 9:
            page[60]["menge"] = 9
        pages.append(page)
    assert fields_of(search_key(pages_of(pages))) is None
