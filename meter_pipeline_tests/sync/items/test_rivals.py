"""What changes together, repeats as a whole or is nearly unique does not hide the key beside it."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import JobRef, KeySearch, find_key, search_key
from meter_pipeline.sync.items.samples import JobSample
from meter_pipeline_tests.sync.items.test_keys import candidate, fields_of, pages_of

Item = dict[str, Any]
MOMENTS = (
    "2026-03-{day:02} {hour:02}:{minute:02}",
    "{day}. März 2026, {hour:02}:{minute:02} Uhr",
    "{minute} hours ago",
)


def refs_of(samples: list[JobSample]) -> list[JobRef]:
    """The jobs of samples."""
    return [JobRef(sample.job_id, sample.target_id, sample.time, sample.items) for sample in samples]


def goods(
    items: int, days: int, *, moment: str = MOMENTS[0], share: float = 0.15, gaps: float = 0.04, seed: int = 0
) -> list[list[Item]]:
    """Goods of which some get another price a day, which stands in two fields, and with it the time of the change."""
    rng = random.Random(seed)
    stock = [
        {"ref": f"{rng.getrandbits(40):x}", "cost": 3 + number, "hour": rng.randrange(24), "minute": number, "day": 1}
        for number in range(items)
    ]
    pages = []
    for day in range(1, days + 1):
        for good in stock:
            if day > 1 and rng.random() < share:
                good.update(
                    cost=good["cost"] + rng.randint(1, 400), hour=rng.randrange(24), minute=rng.randrange(60), day=day
                )
        pages.append(
            [
                {
                    "ref": good["ref"] if rng.random() >= gaps else None,
                    "price": f"${good['cost']}.00",
                    "cents": good["cost"] * 100 + 0.5,
                    "moved": moment.format(**good),
                }
                for good in stock
            ]
        )
    return pages


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_price_in_two_fields_and_the_time_of_its_change_do_not_make_another_item(moment: str) -> None:
    for seed in range(4):
        search = search_key(pages_of(goods(24, 8, moment=moment, seed=seed)))
        assert fields_of(search) == ("ref",), [found.spell() for found in search.candidates]


def test_an_id_that_other_items_take_over_is_still_no_key() -> None:
    rng = random.Random(5)
    pages = [
        [
            {
                "slot": f"place {place}",
                "what": f"{rng.choice('abcdefgh')} {rng.random()}",
                "price": f"${rng.randint(1, 99)}",
            }
            for place in range(20)
        ]
        for _ in range(8)
    ]
    assert fields_of(search_key(pages_of(pages))) is None


@pytest.mark.parametrize("items", [4, 9, 15])
def test_a_promoted_copy_of_an_item_of_a_short_list_hides_no_key(items: int) -> None:
    rng = random.Random(items)
    costs = [rng.randint(2, 900) for _ in range(items)]
    pages = []
    for day in range(14):
        costs[day % items] += 1
        page = [
            {
                "tag": f"k{number * 37 % 101}-{number}",
                "make": f"brand {number % 3}",
                "price": f"{cost} kr",
                "note": f"n{number % 5}",
            }
            for number, cost in enumerate(costs)
        ]
        if day % 2:
            page.insert(0, rng.choice(page))
        pages.append([{**item, "visit": f"v{rng.random()}"} for item in page])
    search = search_key(pages_of(pages))
    assert fields_of(search) == ("tag",), [found.spell() for found in search.candidates]


def sections(items: int, days: int, *, copies: int = 0) -> list[list[Item]]:
    """Sections of a text: a heading that some share on different levels, and a text that changes now and then."""
    rng = random.Random(items)
    names = [(f"part {number if number % 6 else 'overview'}", 1 + number // 6 % 5) for number in range(items)]
    lengths = [rng.randint(100, 900) for _ in names]
    pages = []
    for _ in range(days):
        lengths = [length + (rng.random() < 0.1) for length in lengths]
        page = [
            {"kopf": name, "stufe": level, "umfang": length + 0.5}
            for (name, level), length in zip(names, lengths, strict=True)
        ]
        page += rng.sample(page, copies)
        pages.append([{**item, "abruf": f"s{rng.random()}"} for item in page])
    return pages


@pytest.mark.parametrize("copies", [0, 1])
def test_a_heading_and_its_level_are_the_key_of_sections_once_both_have_stayed(copies: int) -> None:
    search = search_key(pages_of(sections(29, 8, copies=copies)))
    assert fields_of(search) == ("kopf", "stufe"), [found.spell() for found in search.candidates]


def test_a_nearly_unique_heading_and_what_changes_are_no_key() -> None:
    rng = random.Random(2)
    pages = [[{**item, "umfang": 0.5, "stufe": rng.randint(1, 90)} for item in page] for page in sections(29, 8)]
    assert fields_of(search_key(pages_of(pages))) is None


def shelves(days: int, *, moved: float) -> list[list[Item]]:
    """Cells of a table, each with a text that is rewritten now and then, and an amount."""
    rng = random.Random(days)
    cells: list[Item] = [
        {
            "zeile": f"r{row}",
            "spalte": f"c{column}",
            "satz": f"text {rng.random()}",
            "wert": f"{rng.randint(10, 999)} €",
        }
        for row in range(10)
        for column in range(10)
    ]
    pages = []
    for _ in range(days):
        cells = [
            {
                **cell,
                "satz": f"text {rng.random()}" if rng.random() < moved else cell["satz"],
                "wert": f"{rng.randint(10, 999)} €" if rng.random() < 0.1 else cell["wert"],
            }
            for cell in cells
        ]
        pages.append(cells)
    return pages


def test_two_fields_that_stay_are_a_better_key_than_a_text_that_is_rewritten() -> None:
    search = search_key(pages_of(shelves(8, moved=0.015)))
    assert candidate(search, "satz").verdict == "accepted"
    assert fields_of(search) == ("zeile", "spalte")


@pytest.mark.parametrize(("changes", "is_final"), [(4, False), (20, True)])
def test_two_fields_are_looked_for_again_until_much_has_changed_around_them(changes: int, is_final: bool) -> None:
    amounts = {(row, column): 100 + row for row in range(10) for column in range(10)}
    pages = []
    for day in range(4):
        for place in list(amounts)[day * changes : (day + 1) * changes]:
            amounts[place] += 1
        pages.append([{"zeile": f"r{r}", "spalte": f"c{c}", "wert": f"{n} €"} for (r, c), n in amounts.items()])
    samples = pages_of(pages)
    by_id = {sample.job_id: sample for sample in samples}
    found = find_key(refs_of(samples), lambda jobs: [by_id[job.job_id] for job in jobs])
    assert (fields_of(found), found.is_final) == (("zeile", "spalte"), is_final)


def find_key_of(pages: list[list[Item]]) -> tuple[tuple[str, ...] | None, bool]:
    """The key of a page's jobs and whether it is final, found job by job as a sync does."""
    samples = pages_of(pages)
    by_id = {sample.job_id: sample for sample in samples}
    found = KeySearch()
    for count in range(1, len(samples) + 1):
        found = find_key(refs_of(samples[:count]), lambda refs: [by_id[ref.job_id] for ref in refs], found)
    return fields_of(found), found.is_final


def films(days: int, *, shared: int) -> list[list[Item]]:
    """Films with votes; from a day on, a new film may have the title of another one of another year."""
    draw = random.Random(0)
    films: list[Item] = [{"zorp": f"Der {n}te Berg", "plim": 1960 + n % 23, "krell": n * 90} for n in range(60)]
    pages = []
    for day in range(days):
        for film in draw.sample(films, 20):
            film["krell"] += draw.randint(1, 90)
        if day >= shared:
            films[day - shared] = {**films[day + 20], "plim": 1961 + day, "krell": draw.randrange(5_000)}
        pages.append([dict(film) for film in films])
    return pages


def test_a_name_that_two_items_share_later_gives_way_to_two_fields() -> None:
    assert find_key_of(films(6, shared=9)) == (("zorp",), False)
    assert find_key_of(films(14, shared=5))[0] == ("zorp", "plim")
    assert find_key_of(films(14, shared=20)) == (("zorp",), True)


def test_two_fields_stay_the_key_when_the_items_that_shared_one_of_them_leave() -> None:
    draw = random.Random(0)
    names = [*(f"Teil {n} vom Buch" for n in range(13)), "Beispiele"]
    sections: list[Item] = [{"zorp": name, "stufe": 1 + n % 3, "text": f"Text {n}"} for n, name in enumerate(names)]
    pages = []
    for day in range(26):
        for section in draw.sample(sections, 2):
            section["text"] = f"Text {draw.getrandbits(40)}"
        again = [{"zorp": "Beispiele", "stufe": 3, "text": "Noch mehr"}] if day < 9 else []
        pages.append([dict(section) for section in [*sections, *again]])
    assert find_key_of(pages[:8])[0] == ("zorp", "stufe")
    assert find_key_of(pages)[0] == ("zorp", "stufe")


def test_what_stands_at_the_same_places_is_no_key_where_two_fields_recognise_items() -> None:
    for seed in range(6):
        draw = random.Random(seed)
        trains = [
            {
                "ab": f"{5 + n // 40:02}:{n // 2 % 20 * 3:02}",
                "nach": f"Stadt {draw.choice('ABC')}{n % 2}",
                "gleis": f"{n % 7}a",
            }
            for n in range(200)
        ]
        starts = accumulate(draw.randint(1, 5) for _ in range(12))
        pages = [
            [train | {"in": f"in {place * 3} min"} for place, train in enumerate(trains[start : start + 24])]
            for start in starts
        ]
        assert fields_of(search_key(pages_of(pages))) in (("ab", "nach"), None)


def test_two_fields_are_looked_for_beside_a_picture_and_a_text_that_is_rewritten() -> None:
    draw = random.Random(0)
    goods: list[Item] = [
        {"zorp": f"Modell {n // 4} blau", "plim": f"{36 + n % 4}", "krell": f"Text Nummer {n}", "bild": f"{n}a.jpg"}
        for n in range(100)
    ]
    pages = []
    for day in range(8):
        goods[day * 7]["krell"] = f"Neuer Text {day}"
        pages.append([good | {"preis": f"{draw.randrange(20, 24)} €"} for good in goods])
    assert fields_of(search_key(pages_of(pages))) == ("zorp", "plim")


def test_two_fields_do_not_wait_for_others_that_recognise_few_items() -> None:
    for seed in range(8):
        draw = random.Random(seed)
        titles = draw.sample([(song, band) for song in range(45) for band in range(25)], 26)
        songs: list[Item] = [
            {"zorp": f"Lied {song} singt", "plim": f"Band {band} Ark", "wochen": draw.randrange(20)}
            for song, band in titles
        ]
        pages = []
        for week in range(6):
            chart = songs[week : week + 20]
            for song in chart:
                song["wochen"] += 1
            chart.sort(key=lambda song: song["wochen"] + draw.randrange(8))
            # The place of the week before.
            pages.append([song | {"vorher": place + draw.randrange(6)} for place, song in enumerate(chart)])
        assert fields_of(search_key(pages_of(pages))) == ("zorp", "plim")
