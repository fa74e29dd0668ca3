"""A key is found where the evidence supports one, whatever the fields are called, and none where it does not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from meter_pipeline.sync.items.candidates import FIELDS, TARGET, Candidate, Search
from meter_pipeline.sync.items.keys import (
    SAMPLE_JOBS,
    SAMPLE_PAGES,
    JobRef,
    KeySearch,
    check_key,
    choose_sample,
    find_key,
    load_search,
    search_key,
)
from meter_pipeline.sync.items.samples import WHOLE_ITEMS, JobSample, sample_positions
from meter_pipeline.sync.items.verdicts import ACCEPTED, REFUSED, WAITING
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.sync.items.invented_lists import InventedList, invent

Item = dict[str, Any]
# Kind, number of items and number of days of the invented lists.
SHAPES = (
    *(("list", items) for items in (5, 20, 20, 30, 40, 40, 60, 60, 80, 100, 100, 150, 200, 300, 400, 400)),
    *(("pair", items) for items in (40, 60, 80, 120, 200, 300)),
    *(("pages", pages) for pages in (1, 5, 12, 30, 40)),
    *(("keyless", items) for items in (20, 40, 60, 100, 200, 400)),
    *(("list", items) for items in (3_000, 5_000)),
)


def pages_of(pages: Sequence[Sequence[Any]], targets: Sequence[str] = (), runs: Sequence[str] = ()) -> list[JobSample]:
    """Samples of jobs with given items."""
    return [
        JobSample.of(
            page,
            job_id=f"job {place:03}",
            target_id=targets[place] if targets else "page",
            time=f"2026-03-{place + 1:02}",
            run=runs[place] if runs else None,
        )
        for place, page in enumerate(pages)
    ]


def shaped(shape: Callable[[int, int], Item], *, items: int = 30, jobs: int = 4) -> list[JobSample]:
    """Jobs on one page that moves on by an item a day; `shape` makes an item from its number and the job's."""
    return pages_of([[shape(number, job) for number in range(job, items + job)] for job in range(jobs)])


def fields_of(search: Search | KeySearch) -> tuple[str, ...] | None:
    """The fields of the key."""
    return None if search.key is None else search.key.fields


def candidate(search: Search, *fields: str) -> Candidate:
    """A candidate by its fields."""
    return next(found for found in search.candidates if found.fields == fields)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda n, j: {"title": f"t{n}", "isbn": f"978{n}", "price": f"£{n}.{j}"}, ("isbn",)),
        (lambda n, j: {"price": n + j, "productId": n}, ("productId",)),
        (
            lambda n, j: {"image_url": f"i{n}", "name": f"n{n}", "item link": f"https://x/{n}", "seen": n + j},
            ("item link",),
        ),
        (lambda n, j: {"zorp": f"{n}-{j}", "krell": f"k{n}", "price": n * 7 + j % 2}, ("krell",)),
        (lambda n, j: {"odd.id": n, "x": n % 7 + j}, ('"odd.id"',)),
        (lambda n, j: {"deep": {"krell": f"k{n}"}, "x": n % 7 + j}, ("deep.krell",)),
        (lambda n, j: {"krell": f"Thing number {n}", "price": f"£{n * 7 + j}"}, ("krell",)),
        (lambda n, j: {"a": f"t{n // 2}", "b": "ab"[n % 2], "price": n + j}, ("a", "b")),
        (lambda n, j: {"price": f"£{n}", "stock": n % 5 + j}, None),
        (lambda n, j: {"text": f"t{n}{j}", "seller_id": n // 9}, None),
        (lambda n, j: {"krell": f"k{n}", "x": n % 5 + j} if n % 7 else {"x": 1}, None),
        (lambda n, j: {"krell": n * 1.5, "x": n % 5 + j}, None),
        (lambda n, j: {"when": f"2026-03-0{j + 1}T06:00:{n:02}", "x": n % 5}, None),
    ],
)
def test_the_key_that_the_data_support(shape: Callable[[int, int], Item], expected: tuple[str, ...] | None) -> None:
    assert fields_of(search_key(shaped(shape))) == expected


def test_invented_lists_get_their_key_and_no_wrong_one() -> None:
    outcomes: list[tuple[str, int, str]] = []
    for seed, (kind, items) in enumerate(SHAPES):
        invented = invent(seed, kind, items=items)
        found = find_key(invented.refs, invented.read).key
        is_right = not invented.keys if found is None else invented.is_right(found.fields)
        outcomes.append((kind, seed, "right" if is_right else "none" if found is None else f"wrong: {found.spell()}"))
    assert [outcome for outcome in outcomes if outcome[2].startswith("wrong")] == []
    assert sum(outcome == "right" for _, _, outcome in outcomes) >= 0.95 * len(SHAPES), outcomes


@pytest.mark.parametrize("kind", ["list", "pair", "pages"])
def test_the_key_is_the_same_whatever_the_order_of_loading(kind: str) -> None:
    invented = invent(7, kind, items=40, days=8)
    whole = find_key(invented.refs, invented.read)
    assert whole.key is not None
    shuffled = invented.refs
    random.Random(1).shuffle(shuffled)
    assert find_key(shuffled, invented.read) == whole
    # Day by day, each search going on from the one before.
    known = KeySearch()
    for count in range(1, len(invented.refs) + 1):
        known = find_key(invented.refs[:count], invented.read, known)
    assert known == whole


def test_samples_are_bounded_however_long_the_history() -> None:
    lists = [JobRef(f"{day:04}", f"page {day % 3}", f"{day:04}", 10) for day in range(1_000)]
    pages = [JobRef(f"{day:04}", f"page {day % 300}", f"{day:04}", 1) for day in range(1_000)]
    examined: list[int] = []

    def read(sample: Sequence[JobRef]) -> list[JobSample]:
        examined.append(len(sample))
        return [JobSample(job.job_id, job.target_id, job.time, 1, [{"x": [1]}]) for job in sample]

    for jobs, most in ((lists, SAMPLE_JOBS), (pages, SAMPLE_PAGES)):
        examined.clear()
        whole = find_key(jobs, read)
        assert len(examined) < 25
        assert max(examined) <= most
        assert find_key(jobs, read, load_search(json.loads(json.dumps(whole.dump())))) == whole
        assert len(choose_sample(jobs)) <= most


def test_a_kept_search_goes_on_only_if_nothing_before_it_has_moved() -> None:
    invented = invent(7, "list", items=40, days=8)
    known = find_key(invented.refs[:5], invented.read)
    assert known.until == invented.refs[4].place
    assert known.survives([job.place for job in invented.refs[5:]])
    assert not known.survives([invented.refs[6].place, invented.refs[2].place])
    assert KeySearch().survives([invented.refs[0].place])
    # One that followed other rules begins again.
    kept = known.dump()
    assert load_search(kept) == known
    del kept["version"]
    assert not load_search(kept).survives([job.place for job in invented.refs[5:]])


def test_one_large_list_suggests_a_key_that_the_second_confirms_or_refutes() -> None:
    def job(day: int, shape: Callable[[int, int], Item]) -> JobSample:
        return JobSample.of(
            [shape(number, day) for number in range(WHOLE_ITEMS + 1)], job_id=str(day), target_id="page", time=str(day)
        )

    def find(days: int, shape: Callable[[int, int], Item]) -> tuple[str, ...] | None:
        samples = {str(day): job(day, shape) for day in range(days)}
        refs = [JobRef(found.job_id, found.target_id, found.time, found.items) for found in samples.values()]
        return fields_of(find_key(refs, lambda sample: [samples[ref.job_id] for ref in sample]))

    def kept(number: int, day: int) -> Item:
        return {"kind": number % 7, "zorp": f"Z-{number * 7919}", "price": number % 13 + day}

    def renewed(number: int, day: int) -> Item:
        return {"kind": number % 7, "token": f"T-{day}-{number * 7919}", "price": number % 13 + day}

    assert [find(days, kept) for days in (1, 2)] == [("zorp",), ("zorp",)]
    assert [find(days, renewed) for days in (1, 2)] == [("token",), None]


def test_a_large_job_is_sampled_in_blocks_that_jobs_of_its_size_share() -> None:
    assert sample_positions(WHOLE_ITEMS).tolist() == list(range(WHOLE_ITEMS))
    positions = sample_positions(1_000_000)
    assert len(positions) == len(set(positions.tolist())) == 16_000
    assert positions[0] >= 0
    assert positions[-1] < 1_000_000
    assert sorted(positions.tolist()) == positions.tolist()
    assert len(set(positions.tolist()) & set(sample_positions(1_000_100).tolist())) > 15_000


@pytest.mark.parametrize("kind", ["list", "keyless"])
def test_many_jobs_of_a_few_items_give_the_evidence_that_one_large_job_gives(kind: str) -> None:
    outcomes: list[str] = []
    for seed in range(20 if thorough.TIMES == 1 else 40):
        invented = invent(500 + seed, kind, items=3 + seed % 4, days=24)
        found = find_key(invented.refs, invented.read).key
        is_right = not invented.keys if found is None else invented.is_right(found.fields)
        outcomes.append("right" if is_right else "none" if found is None else f"wrong: {seed} {found.spell()}")
    assert [outcome for outcome in outcomes if outcome.startswith("wrong")] == []
    assert outcomes.count("right") >= 0.8 * len(outcomes), outcomes


@pytest.mark.parametrize(
    ("items", "days", "least"),
    thorough.every(2, [((2, 4), 6, 0.8), ((2, 4), 12, 0.85), ((5, 12), 4, 0.8), ((5, 12), 8, 0.9)]),
)
def test_a_few_items_in_a_few_jobs_mostly_get_their_key_and_never_a_wrong_one(
    items: tuple[int, int], days: int, least: float
) -> None:
    right = 0
    for seed in range(30):
        low, high = items
        invented = invent(7_000 + seed, "list", items=low + seed % (high - low + 1), days=days)
        found = find_key(invented.refs, invented.read).key
        assert found is None or invented.is_right(found.fields), (seed, found.spell())
        right += found is not None
    assert right >= least * 30


@pytest.mark.parametrize(("days", "least"), [(6, 0.7), (12, 0.85), thorough.slow(24, 0.9)])
def test_invented_pairs_of_a_few_items_get_their_key_from_many_jobs(days: int, least: float) -> None:
    right = 0
    for seed in range(24):
        invented = invent(9_000 + seed, "pair", items=5 + seed % 8, days=days)
        found = find_key(invented.refs, invented.read).key
        assert found is None or invented.is_right(found.fields), (seed, found.spell())
        right += found is not None
    assert right >= least * 24


def small_list(jobs: int, **fields: Sequence[Any]) -> list[JobSample]:
    """Jobs of the same items, of one of which two counts move each time; `fields` have one value for each item."""
    draw = random.Random(11)
    items: list[Item] = [
        dict(zip(fields, values, strict=True)) | {"klicks": 900 * n, "lager": n}
        for n, values in enumerate(zip(*fields.values(), strict=True))
    ]
    pages = []
    for _ in range(jobs):
        pages.append([dict(item) for item in items])
        for item in draw.sample(items, 1):
            item["klicks"] += draw.randint(1, 9)
            item["lager"] = draw.randint(0, 99)
    return pages_of(pages)


SMALL_KINDS = ["Holz", "Glas", "Glas"]


def test_a_name_need_not_wait_for_a_number_that_names_the_same_items() -> None:
    search = search_key(
        small_list(5, titel=["Ana Bel", "Cor Dun", "Eva Fox"], preis=[450, 99, 1_700], sorte=SMALL_KINDS)
    )
    assert candidate(search, "preis").verdict == WAITING
    assert fields_of(search) == ("titel",)


@pytest.mark.parametrize(("jobs", "expected"), [(5, None), (12, ("zorp",))])
def test_a_number_that_has_stayed_in_many_jobs_of_a_few_items_is_a_key(
    jobs: int, expected: tuple[str, ...] | None
) -> None:
    assert fields_of(search_key(small_list(jobs, zorp=[51, 380, 117], sorte=SMALL_KINDS))) == expected


def test_a_number_is_no_key_while_items_may_have_changed_it_rather_than_left() -> None:
    draw = random.Random(3)
    items: list[Item] = [{"preis": draw.randint(100, 10**5), "sorte": "ab"[n % 2], "klicks": n} for n in range(20)]
    pages = []
    for _ in range(8):
        pages.append([dict(item) for item in items])
        for item in items:
            item["klicks"] += draw.randint(1, 10**4)
            if draw.random() < 0.08:
                item["preis"] = draw.randint(100, 10**5)
    assert search_key(pages_of(pages)).key is None


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([10_423, 10_431, 10_467], ("zorp",)),
        ([10_423, 4_131, 90_467], None),
        ([2_019, 2_024, 2_021], None),
    ],
)
def test_numbers_given_one_after_another_need_fewer_jobs_than_amounts_and_years(
    numbers: list[int], expected: tuple[str, ...] | None
) -> None:
    assert fields_of(search_key(small_list(6, zorp=numbers, sorte=SMALL_KINDS))) == expected


def test_names_of_items_that_never_change_are_a_key_once_enough_jobs_had_them() -> None:
    rows = [
        {"titel": name, "sorte": kind}
        for name, kind in zip(("Ana Bel", "Cor Dun", "Eva Fox"), SMALL_KINDS, strict=True)
    ]
    assert search_key(pages_of([rows] * 3)).key is None
    assert fields_of(search_key(pages_of([rows] * 8))) == ("titel",)


def hours(days: int, *, moves: bool) -> list[JobSample]:
    """The hours of three rooms on two days, of which one price changes a day, or the rooms of two as well."""
    draw = random.Random(5)
    rooms = ["blue room", "red room", "attic", "blue room", "red room", "attic"]
    items: list[Item] = [
        {"room": room, "day": "Monday" if place < 3 else "Friday", "price": 5.5 + place, "open": "ab"[place % 2]}
        for place, room in enumerate(rooms)
    ]
    pages = []
    for day in range(days):
        pages.append([dict(item) for item in items])
        for item in draw.sample(items, 1):
            item["price"] = draw.randint(4, 90) + 0.25
        if moves and day % 2:
            first, second = draw.sample(items[:3], 2)
            first["room"], second["room"] = second["room"], first["room"]
    return pages_of(pages)


def test_two_fields_of_a_short_list_are_a_key_once_many_jobs_have_shown_it() -> None:
    assert search_key(hours(2, moves=False)).key is None
    assert fields_of(search_key(hours(16, moves=False))) == ("room", "day")
    assert search_key(hours(16, moves=True)).key is None


@pytest.mark.parametrize("moved", [1, 2])
def test_a_name_that_stays_while_a_price_of_one_item_changes_is_a_key(moved: int) -> None:
    names = [f"Shirt {'abcdefghijklmnop'[number]}edar" for number in range(16)]
    pages = []
    for day in range(6):
        # The same prices everywhere tell no item from another one; the one that changes does.
        items: list[Item] = [
            {"name": name, "sizes": {size: {"price": 20.0} for size in "SML"}, "images": [f"{name[6:]}.jpg"]}
            for name in names
        ]
        for item in items[3 : 3 + moved]:
            item["sizes"]["M"]["price"] = 15.0 if day > 2 else 20.0
        pages.append(items)
    search = search_key(pages_of(pages))
    assert fields_of(search) == ("name",)
    assert candidate(search, "name").changed == moved


def test_a_field_with_one_value_for_all_items_is_no_change_of_items() -> None:
    pages = [[{"zorp": f"thing {'abcd'[n]}", "x": n, "day": f"day {day}"} for n in range(4)] for day in range(4)]
    assert candidate(search_key(pages_of(pages)), "zorp").changed == 0


@pytest.mark.parametrize("gap", [0, 3])
def test_a_name_that_stands_for_another_item_later_is_no_key(gap: int) -> None:
    draw = random.Random(3)
    names = [f"{word} works" for word in "abcdefgh"]
    items: list[Item] = []
    pages = []
    for day in range(16):
        if day % (gap + 1) == 0:
            # Two items leave, and others come with names that are free: of the two, or of others that left before.
            free = [name for name in names if name not in {item["titel"] for item in items[2:]}]
            items = items[2:] + [
                {"titel": name, "sorte": f"sort {draw.random()}", "preis": draw.randint(1, 10**4)}
                for name in draw.sample(free, 6 - len(items[2:]))
            ]
        pages.append([{**item, "klicks": draw.randint(1, 10**6)} for item in items])
    search = search_key(pages_of(pages))
    assert search.key is None or search.key.fields != ("titel",)
    assert candidate(search, "titel").verdict == REFUSED


def replaced(draw: random.Random, slot: Callable[[int], str], share: float, *, items: int = 20) -> list[JobSample]:
    """Jobs of a page with fixed places, at some of which other things stand each time."""

    def thing() -> Item:
        return {
            "sorte": draw.choice(("Holz", "Glas", "Stein", "Ton", "Blech", "Kork")),
            "marke": draw.choice("ABCDEFGH") + " Werke",
            "preis": draw.randint(1, 60),
            "klicks": draw.randint(0, 10**6),
        }

    things = [thing() for _ in range(items)]
    pages = []
    for _ in range(12):
        pages.append([{"platz": slot(place), **found} for place, found in enumerate(things)])
        things = [thing() if draw.random() < share else {**old, "klicks": old["klicks"] + 7} for old in things]
    return pages_of(pages)


@pytest.mark.parametrize("share", [0.08, 0.2, 0.5])
@pytest.mark.parametrize(
    "slot", [lambda place: f"S{place * 7919 % 1_009}", lambda place: f"Halle {'abcdefghijklmnopqrst'[place]}"]
)
def test_a_place_at_which_other_things_stand_now_and_then_is_no_key(slot: Callable[[int], str], share: float) -> None:
    search = search_key(replaced(random.Random(2), slot, share))
    assert search.key is None
    assert candidate(search, "platz").verdict == REFUSED


def test_an_id_of_items_all_of_whose_fields_change_one_by_one_stays_a_key() -> None:
    draw = random.Random(4)
    items = [{"zorp": f"Z-{n * 7919}", "sorte": "ab", "marke": "x y", "preis": n} for n in range(20)]
    pages = []
    for day in range(12):
        pages.append([dict(item) for item in items])
        for item in items:
            for name in ("sorte", "marke", "preis"):
                if draw.random() < 0.15:
                    item[name] = f"{draw.choice('abcdefgh')} {draw.choice('qrstuv')}" if name != "preis" else day * 31
    assert fields_of(search_key(pages_of(pages))) == ("zorp",)


@pytest.mark.parametrize("shape", ["{h:02}:{m:02}", "v{h}.{m}.1", "{h}-{m}", "2026-{h}-{m}"])
def test_two_or_three_short_numbers_are_a_value_and_no_code(shape: str) -> None:
    draw = random.Random(8)

    def spell() -> str:
        return shape.format(h=draw.randint(1, 23), m=draw.randint(0, 59))

    items: list[Item] = [{"wann": spell(), "sorte": draw.choice("pqrs"), "klicks": n} for n in range(5)]
    pages = []
    for _ in range(4):
        pages.append([dict(item) for item in items])
        items = [{**item, "klicks": item["klicks"] + draw.randint(1, 9)} for item in items]
    assert search_key(pages_of(pages)).key is None


def test_a_title_waits_while_nothing_tells_whether_items_left_or_were_renamed() -> None:
    draw = random.Random(9)
    marks = [f"{word} works" for word in "abcdefghijkl"]
    pages = []
    titles = [f"thing {draw.random()}".replace("0.", "of ") for _ in range(60)]
    owners = [draw.choice(marks) for _ in titles]
    for day in range(6):
        pages.append([{"titel": t, "marke": m, "tag": f"day {day}"} for t, m in zip(titles, owners, strict=True)])
        titles = [f"thing {draw.random()}".replace("0.", "of ") if draw.random() < 0.5 else title for title in titles]
    assert search_key(pages_of(pages)).key is None


def test_a_key_is_given_up_when_more_jobs_show_that_another_field_does_better() -> None:
    draw = random.Random(12)
    items: list[Item] = [{"zorp": f"{n * 7919:x}q1", "krell": f"K{n * 104_729:x}z", "x": n} for n in range(3)]
    pages = []
    for day in range(16):
        pages.append([dict(item) for item in items])
        for item in items:
            item["x"] += draw.randint(1, 9)
            if day >= 3 and draw.random() < 0.1:
                item["zorp"] = f"{draw.getrandbits(30):x}q1"
    samples = {page.job_id: page for page in pages_of(pages)}
    refs = [JobRef(page.job_id, page.target_id, page.time, page.items) for page in samples.values()]
    found = find_key(refs, lambda sample: [samples[ref.job_id] for ref in sample])
    assert fields_of(found) == ("krell",)


def test_the_key_of_large_lists_is_found_in_their_samples_even_if_they_are_shuffled() -> None:
    draw = random.Random(3)
    pages = []
    for day in range(3):
        numbers = list(range(day * 50, 60_000 + day * 50))
        draw.shuffle(numbers)
        positions = sample_positions(len(numbers)).tolist()
        items = [
            {
                "zorp": f"X{n * 7919 % 1_000_003}",
                "price": n * 31 % 9_973 + day * (n % 9 == 0),
                "kind": n % 17,
                "rank": at,
            }
            for at, n in ((position, numbers[position]) for position in positions)
        ]
        pages.append(JobSample(f"{day}", "page", f"{day}", len(numbers), items))
    assert fields_of(search_key(pages)) == ("zorp",)


def test_a_rank_is_no_key_once_the_list_moves_and_a_title_is_one() -> None:
    search = search_key(
        shaped(lambda n, j: {"krell": n - j + 1, "title": f"A thing called {n}", "price": n % 5 + (n == 9) * j})
    )
    assert fields_of(search) == ("title",)
    assert candidate(search, "krell").verdict == REFUSED


def test_a_place_on_the_page_is_no_key_of_what_stands_there() -> None:
    draw = random.Random(6)
    places = [f"{word} place" for word in "abcdefghijklmnopqrstuvwxyz"]
    pages = [
        [{"slot": place, "kind": draw.choice("pqrs"), "text": f"news {draw.random()}"} for place in places]
        for _ in range(5)
    ]
    search = search_key(pages_of(pages))
    assert search.key is None
    assert "agree in" in candidate(search, "slot").reason


def test_a_price_that_seldom_changes_is_no_key() -> None:
    draw = random.Random(5)
    prices = draw.sample(range(1_000, 90_000), 60)
    kinds = [draw.choice("abcdefgh") + draw.choice("uvwxyz") for _ in range(60)]
    pages = []
    for _ in range(6):
        pages.append(
            [
                {"preis": price, "sorte": kind, "klicks": draw.randint(1, 10**6)}
                for price, kind in zip(prices, kinds, strict=True)
            ]
        )
        for place in draw.sample(range(60), 4):
            prices[place] = draw.randint(1_000, 90_000)
    assert fields_of(search_key(pages_of(pages))) is None


def test_pages_of_one_item_are_about_that_item_until_all_of_it_changes() -> None:
    def page(product: int, day: int) -> list[Item]:
        return [{"zorp": f"p-{product}", "price": product * 10 + day // 2, "stock": "yes"}]

    targets = [f"page {number}" for number in range(3)]
    search = search_key(pages_of([page(n, day) for day in range(4) for n in range(3)], targets * 4))
    assert search.key is not None
    assert search.key.kind == TARGET
    many = [f"page {number}" for number in range(20)]
    found = search_key(pages_of([page(n, day) for day in range(4) for n in range(20)], many * 4))
    assert fields_of(found) == ("zorp",)
    # The offer of the day.
    offers = [[{"zorp": f"offer {day}", "price": day * 13, "text": f"about {day}"}] for day in range(8)]
    assert search_key(pages_of(offers)).key is None


def test_items_that_move_to_other_pages_of_a_run_are_met_there() -> None:
    pages, targets, runs = [], [], []
    for day in range(4):
        for page in range(3):
            numbers = range(100 - day * 12 + page * 10, 110 - day * 12 + page * 10)
            pages.append([{"zorp": f"z{n * 37}", "price": n % 7 + day % 2} for n in numbers])
            targets.append(f"page {page}")
            runs.append(f"run {day}")
    assert search_key(pages_of(pages, targets)).key is None
    assert fields_of(search_key(pages_of(pages, targets, runs))) == ("zorp",)


def test_little_evidence_waits_for_more() -> None:
    page: list[Item] = [{"zorp": f"z{n}", "price": n} for n in range(4)]
    assert search_key(pages_of([page])).key is None
    search = search_key(pages_of([page, page]))
    assert candidate(search, "zorp").verdict == WAITING
    changed = [{**item, "price": item["price"] + 9} for item in page]
    assert candidate(search_key(pages_of([page, changed])), "zorp").verdict == WAITING
    assert fields_of(search_key(pages_of([page, changed, page, changed, page]))) == ("zorp",)


def test_names_decide_only_where_the_evidence_is_equal() -> None:
    assert fields_of(search_key(shaped(lambda n, j: {"krell": f"k{n}", "sku": f"s{n}", "x": n % 7 + j}))) == ("sku",)
    assert fields_of(search_key(shaped(lambda n, j: {"krell": f"k{n}", "sku": f"s{n}-{j}", "x": n % 7 + j}))) == (
        "krell",
    )


def test_a_key_that_no_longer_holds_is_seen() -> None:
    def found(shape: Callable[[int, int], Item], *fields: str) -> Candidate:
        watched = check_key(FIELDS, fields or ["zorp"], shaped(shape))
        assert watched is not None
        return watched

    assert found(lambda n, j: {"zorp": f"z{n}", "title": f"The title {n}", "x": n % 7 + j}).verdict == ACCEPTED
    changing = found(lambda n, j: {"zorp": f"z{n}-{j}", "title": f"The title {n}", "x": n % 7 + j})
    assert (changing.verdict, changing.reason) == (REFUSED, "new in nearly every job")
    repeated = found(lambda n, j: {"zorp": f"z{n // 3}", "title": f"The title {n}", "x": n % 7 + j})
    assert (repeated.verdict, "repeat" in repeated.reason) == (REFUSED, True)
    lacking = found(lambda n, j: {"title": f"The title {n}", "x": n % 7 + j})
    assert (lacking.verdict, "lack" in lacking.reason) == (REFUSED, True)
    # A pair is looked after, too, where a field of it would do.
    assert found(lambda n, j: {"zorp": f"z{n}", "b": n % 3, "x": n % 7 + j}, "zorp", "b").verdict == ACCEPTED
    assert check_key(FIELDS, ["zorp"], shaped(lambda n, j: {"zorp": n}, jobs=1)) is None


def test_a_page_that_has_several_items_now_is_no_key_of_theirs() -> None:
    items = [{"zorp": "a", "price": 1}, {"zorp": "b", "price": 2}]
    watched = check_key(TARGET, (), pages_of([items[:1], items, items]))
    assert watched is not None
    assert (watched.verdict, watched.reason) == (REFUSED, "67% of pages have several items")


def test_a_final_key_and_a_configured_one_are_looked_after() -> None:
    def shape(number: int, day: int) -> Item:
        # From the twentieth day on each address has a session in it.
        session = f"?s={day}" if day >= 20 else ""
        return {"zorp": f"z{number}{session}", "krell": f"The krell {number}", "x": number % 7 + day, "y": number % 5}

    pages = pages_of([[shape(number, day) for number in range(30)] for day in range(30)])
    samples = {page.job_id: page for page in pages}
    refs = [JobRef(page.job_id, page.target_id, page.time, page.items) for page in pages]

    def find(count: int, known: KeySearch = KeySearch(), given: tuple[str, ...] | None = None) -> KeySearch:
        return find_key(refs[:count], lambda sample: [samples[ref.job_id] for ref in sample], known, given)

    first = find(15)
    assert first.is_final
    assert fields_of(first) == ("zorp",)
    assert first.watched is not None
    assert first.watched.verdict == ACCEPTED
    later = find(30, first)
    assert fields_of(later) == ("zorp",)
    assert later.watched is not None
    assert later.watched.verdict == REFUSED
    assert find(30) == later
    given = find(30, given=("krell",))
    assert given.key is None
    assert given.watched is not None
    assert (given.watched.fields, given.watched.verdict) == (("krell",), ACCEPTED)


def test_an_invented_list_knows_equivalent_keys_from_wrong_ones() -> None:
    rows = tuple({"zorp": f"z{n}", "twin": f"t{n}", "kind": n % 3} for n in range(9))
    jobs = tuple(pages_of([rows, rows]))
    invented = InventedList("list", (("zorp",),), jobs, (tuple(range(9)),) * 2)
    assert invented.is_right(("twin",))
    assert not invented.is_right(("kind",))
