"""What a job rejected has not gone: no item is removed, or added again, because it could not be loaded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from meter_pipeline.config.audit_rules import ALL, AuditConfig
from meter_pipeline.config.item_rules import PATIENCE, ItemRules
from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync.changes.rejected import find_key
from meter_pipeline.sync.items.identity import PAGE_KEY, Identity
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.state import open_context, read_state
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.sync.changes.listings import DAY, open_shop

ROOM = 12
# The last days of a month.
START = 1_772_150_400.0
KNOWN = ("nan", "deep", "latin")
UNKNOWN = ("broken", "nameless")
DEEP = "[" * 300 + "]" * 300
LONG = range(PATIENCE)
#: Jobs that are compared in memory, and such that are compared on disk.
EITHER = {"in memory": Limits(), "on disk": Limits(large_bytes=0)}


def spell(name: str, price: int, how: str | None = None) -> bytes:
    """An item, perhaps one that cannot be loaded."""
    texts = {
        None: f'{{"id": "{name}", "price": {price}}}',
        "nan": f'{{"id": "{name}", "price": NaN}}',
        "deep": f'{{"id": "{name}", "price": {price}, "more": {DEEP}}}',
        "latin": f'{{"id": "{name}", "price": {price}, "more": "\xe9"}}',
        "broken": f"{{'id': '{name}', 'price': {price}}}",
        "nameless": f'{{"id": NaN, "name": "{name}", "price": {price}}}',
    }
    return texts[how].encode("latin-1")


@dataclass(frozen=True)
class Day:
    """A run: the prices of the items in order, how some of them are damaged, and the pages that are missing."""

    prices: Mapping[str, int]
    damaged: Mapping[str, str] = field(default_factory=dict)
    missing: frozenset[int] = frozenset()

    def page(self, number: int) -> list[str]:
        """The names of a page's items."""
        return [*self.prices][number * ROOM : (number + 1) * ROOM]

    def shown(self, pages: int) -> dict[str, int]:
        """The items that could be loaded."""
        names = [name for page in range(pages) if page not in self.missing for name in self.page(page)]
        return {name: self.prices[name] for name in names if name not in self.damaged}

    def may_have(self, name: str, pages: int) -> bool:
        """Whether an item that is not shown may be there, as far as the pages say."""
        loaded = [other for page in range(pages) if page not in self.missing for other in self.page(page)]
        damage = {other: self.damaged[other] for other in loaded if other in self.damaged}
        return bool(self.missing) or name in damage or not {*damage.values()}.isdisjoint(UNKNOWN)


def live(seed: int, pages: int, count: int, *, longest: int = 3) -> list[Day]:
    """A listing over some days; no item is damaged for more than `longest` days, and at most two of a page."""
    draw = Random(seed)
    names = [f"a{number:03}" for number in range(pages * ROOM + 4)]
    prices = {name: number for number, name in enumerate(names)}
    since: dict[str, int] = {}
    days = []
    for number in range(count):
        for _ in range(draw.randint(0, 2) if number else 0):
            name = f"a{len(prices):03}"
            names.insert(0, name)
            prices[name] = len(prices)
        for name in draw.sample(names[: pages * ROOM], draw.randint(0, 2) if number else 0):
            names.remove(name)
        for name in draw.sample(names, draw.randint(0, 3)):
            prices[name] += 100
        listed = {name: prices[name] for name in names[: pages * ROOM]}
        damaged = {}
        for page in range(pages):
            own = [name for name in [*listed][page * ROOM : (page + 1) * ROOM] if since.get(name, 0) < longest]
            lasting = [name for name in own if since.get(name) and draw.random() < 0.6]
            fresh = draw.sample(own, draw.choice((0, 0, 1, 2)))
            # With more than a fifth of its items damaged a job is held.
            room = len([*listed][page * ROOM : (page + 1) * ROOM]) // 5
            for name in [*lasting, *fresh][: min(2, room)]:
                damaged[name] = draw.choice((*KNOWN, *KNOWN, *UNKNOWN))
        since = {name: since.get(name, 0) + 1 for name in damaged}
        missing = draw.sample(range(pages), draw.choice((0, 0, 1))) if number and pages > 1 else []
        days.append(Day(listed, damaged, frozenset(missing)))
    return days


Happening = tuple[int, str, str]
"""Day, kind, name."""


def expect(days: Sequence[Day], pages: int) -> list[Happening]:
    """What happens to the items, item by item."""
    found: list[Happening] = []
    for name in {name for day in days for name in day.prices}:
        price, absences, was_there = None, 0, False
        for number, day in enumerate(days):
            shown = day.shown(pages).get(name)
            if shown is not None:
                if price is None and not was_there and number:
                    found.append((number, "added", name))
                elif price is not None and price != shown:
                    found.append((number, "changed", name))
                price, absences, was_there = shown, 0, False
                continue
            absences += 1
            may_be_there = day.may_have(name, pages) and absences < PATIENCE
            # From the first day on nothing says that it is not there.
            was_there = price is None and may_be_there and (was_there or number == 0)
            if price is not None and not may_be_there:
                found.append((number, "removed", name))
                price = None
    return sorted(found)


@contextmanager
def served(days: Sequence[Day], pages: int) -> Iterator[tuple[Sandbox, dict[tuple[int, int], str]]]:
    """A sandbox with the jobs of a listing, and their ids by day and page; missing pages have none."""
    with open_shop(pages) as (sandbox, urls, schedule):
        ids = {}
        for number, day in enumerate(days):
            for page in {*range(pages)} - day.missing:
                items = [spell(name, day.prices[name], day.damaged.get(name)) for name in day.page(page)]
                time = START + number * DAY + page * 20
                ids[number, page] = sandbox.insert_job(
                    "Shop", url=urls[page], items=items, schedule=schedule, completed_at=time
                )
        yield sandbox, ids


def configure(pages: int) -> Config:
    """One page is compared by itself, several as one list; the audit holds none."""
    audit = AuditConfig(flag=frozenset({ALL}))
    return Config(strategies={"shop": StrategyConfig(key=("id",), compare="run" if pages > 1 else "page", audit=audit)})


def read_feed(station: Station, ids: Mapping[tuple[int, int], str]) -> list[Happening]:
    """What the feed has."""
    days = {id_: day for (day, _), id_ in ids.items()}
    rows = station.read("changes", "shop", ["job_id", "kind", "item_key"]).to_pylist()
    return sorted((days[row["job_id"]], row["kind"], row["item_key"]) for row in rows)


def rows(station: Station) -> list[str]:
    """All rows of the feed, in one order."""
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in station.read("changes", "shop").to_pylist())


def versions(station: Station, *, force: bool = False) -> list[tuple[Any, ...]]:
    """The item versions of the warehouse, published again."""
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path, force=force)
    with reading(path) as connection:
        return connection.execute("FROM meter.item_versions ORDER BY ALL").fetchall()


def was_always_there(days: Sequence[Day], name: str) -> bool:
    """Whether an item was listed on each of these days."""
    return all(name in day.prices for day in days)


def was_shown(days: Sequence[Day], name: str, pages: int) -> bool:
    """Whether an item could be loaded on any of these days."""
    return any(name in day.shown(pages) for day in days)


thoroughly = settings(
    max_examples=thorough.examples(2, 3),
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
# The first example is the simplest: of several pages.
pages_of = st.sampled_from([3, 1, 1])
seeds = st.integers(0, 100_000)


@pytest.mark.parametrize("limits", EITHER.values(), ids=EITHER)
@settings(thoroughly, max_examples=thorough.examples(1, 3))
@example(seed=37, pages=3)
@example(seed=73, pages=3)
@given(seed=seeds, pages=pages_of)
def test_no_item_is_removed_or_added_because_it_was_rejected(limits: Limits, seed: int, pages: int) -> None:
    days = live(seed, pages, 8)
    with tempfile.TemporaryDirectory() as folder, served(days, pages) as (sandbox, ids):
        with Station(Path(folder), sandbox) as station:
            assert not station.sync(config=configure(pages), limits=limits).problems
            assert not station.jobs("held")
            found = read_feed(station, ids)
            assert found == expect(days, pages)
            assert_whole(station)
    removed = [(day, name) for day, kind, name in found if kind == "removed"]
    added = [(day, name) for day, kind, name in found if kind == "added"]
    # Of what no job showed for a long time, nobody knows that it was there.
    lost = [(day, name) for day, name in removed if all(name not in days[day - ago].shown(pages) for ago in LONG)]
    assert not [(day, name) for day, name in removed if name in days[day].prices and (day, name) not in lost]
    known = {name for _, name in lost}
    known |= {name for day, name in added if day >= PATIENCE and not was_shown(days[day - PATIENCE : day], name, pages)}
    assert not [(day, name) for day, name in added if name not in known and was_always_there(days[:day], name)]


@thoroughly
@given(seed=seeds, pages=pages_of, data=st.data())
def test_the_feed_does_not_depend_on_the_order_in_which_such_jobs_are_loaded(
    seed: int, pages: int, data: st.DataObject
) -> None:
    days = live(seed, pages, 8, longest=PATIENCE + 1)
    config = configure(pages)
    with tempfile.TemporaryDirectory() as folder, served(days, pages) as (sandbox, ids):
        with Station(Path(folder, "whole"), sandbox) as whole:
            assert not whole.sync(config=config).problems
            expected = rows(whole)
            assert read_feed(whole, ids) == expect(days, pages)
        order = data.draw(st.permutations(sorted(ids.values())))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
        with Station(Path(folder, "parts"), sandbox) as parts:
            for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
                limits = data.draw(st.sampled_from([*EITHER.values()]))
                assert not parts.sync(jobs=order[start:end], config=config, limits=limits).problems
            assert rows(parts) == expected
            assert_whole(parts)
            (strategy,) = parts.ledger.strategies()
            context = open_context(parts.lake, parts.ledger, strategy.strategy_id)
            rebuild_rows(context, read_state(context))
            assert rows(parts) == expected


@thoroughly
@given(seed=seeds, data=st.data())
def test_held_and_released_such_a_job_leaves_no_trace(seed: int, data: st.DataObject) -> None:
    days = live(seed, 1, 8, longest=PATIENCE + 1)
    config = configure(1)
    with tempfile.TemporaryDirectory() as folder, served(days, 1) as (sandbox, ids):
        held = sorted(data.draw(st.sets(st.sampled_from(range(len(days))), min_size=1, max_size=3)))
        left = [number for number in range(len(days)) if number not in held]
        with Station(Path(folder), sandbox) as station:
            assert not station.sync(config=config).problems
            before = rows(station)
            hold(station.ledger, station.lake, [ids[number, 0] for number in held], config=config)
            remaining = {(place, 0): ids[number, 0] for place, number in enumerate(left)}
            assert read_feed(station, remaining) == expect([days[number] for number in left], 1)
            assert_whole(station)
            for number in data.draw(st.permutations(held)):
                release(station.ledger, station.lake, [ids[number, 0]], config=config)
            assert rows(station) == before
            assert_whole(station)


# That versions follow any feed is tested in test_item_versions.py.
@pytest.mark.slow
@settings(thoroughly, max_examples=2 * thorough.TIMES)
@given(seed=seeds, pages=pages_of)
def test_versions_follow_the_feed_and_are_kept_up_as_they_are_built_in_full(seed: int, pages: int) -> None:
    days = live(seed, pages, 7)
    with tempfile.TemporaryDirectory() as folder, served(days, pages) as (sandbox, ids):
        with Station(Path(folder), sandbox) as station:
            for number in range(len(days)):
                wanted = [id_ for (day, _), id_ in ids.items() if day == number]
                assert not station.sync(jobs=wanted, config=configure(pages)).problems
                kept = versions(station)
                # In between, each is kept up from one that was.
                if number in (3, 6):
                    assert kept == versions(station, force=True)
            names = "item_key, count(*), count(*) FILTER (is_current), max_by(item, version)"
            with reading(station.folder / "warehouse.duckdb") as connection:
                found = connection.execute(f"SELECT {names} FROM meter.item_versions GROUP BY item_key").fetchall()
    happened = expect(days, pages)
    last = {name: day.shown(pages)[name] for day in days for name in day.shown(pages)}
    assert {name: json.loads(item)["price"] for name, _, _, item in found} == last
    for name, count, current, _ in found:
        kinds = [kind for _, kind, other in happened if other == name]
        begins = sum(kind != "removed" for kind in kinds) + (kinds[:1] != ["added"])
        assert (count, current) == (begins, kinds[-1:] != ["removed"])


def test_two_items_with_nan_and_infinity_leave_a_feed_without_rows(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for day in range(3):
        header = {
            "strategy": "Nan shop",
            "url": "https://example.test/",
            "completed_at": f"2026-03-0{day + 1}T06:00:00Z",
        }
        lines = [json.dumps(header), *(json.dumps({"id": number, "price": number + 1.5}) for number in range(20))]
        if day == 1:
            lines[4], lines[5] = '{"id":3,"price":NaN}', '{"id":4,"price":-Infinity}'
        (recordings / f"{day}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with Sandbox(replay=recordings, speed=0) as sandbox, Station(tmp_path, sandbox) as station:
        assert not station.sync().problems
        assert [row.rejected for row in station.jobs("accepted").values()].count(2) == 1
        assert station.read("changes", "nan_shop").num_rows == 0
        assert_whole(station)
        assert [(version[5], version[8]) for version in versions(station)] == [(1, True)] * 20


def feed_of(
    station: Station, sandbox: Sandbox, days: Sequence[Sequence[bytes]], config: Config | None = None
) -> list[Happening]:
    """The feed of a page with these items."""
    jobs = [
        sandbox.insert_job("Shop", items=[*items], completed_at=START + number * DAY)
        for number, items in enumerate(days)
    ]
    assert not station.sync(config=config or configure(1)).problems
    return read_feed(station, {(number, 0): id_ for number, id_ in enumerate(jobs)})


def goods(*without: int, **damaged: str) -> list[bytes]:
    """Twelve items, without some, and with some damaged."""
    names = [f"a{number}" for number in range(12) if number not in without]
    return [spell(name, 5, damaged.get(name)) for name in names]


def test_an_item_with_nan_stays_while_another_one_goes(station: Station, empty_sandbox: Sandbox) -> None:
    assert feed_of(station, empty_sandbox, [goods(), goods(7, a3="nan"), goods(7)]) == [(1, "removed", "a7")]


def test_where_a_rejected_item_may_be_any_none_goes_before_the_next_whole_job(
    station: Station, empty_sandbox: Sandbox
) -> None:
    assert feed_of(station, empty_sandbox, [goods(), goods(7, a3="broken"), goods(7)]) == [(2, "removed", "a7")]


def test_an_item_that_is_never_readable_is_gone_after_some_jobs(station: Station, empty_sandbox: Sandbox) -> None:
    days = [goods(), *[goods(a3="nan")] * (PATIENCE + 2)]
    assert feed_of(station, empty_sandbox, days) == [(PATIENCE, "removed", "a3")]


def test_a_change_behind_a_rejected_state_is_one_change_since_the_last_state_that_was_read(
    station: Station, empty_sandbox: Sandbox
) -> None:
    after = [spell(f"a{number}", 9 if number == 3 else 5) for number in range(12)]
    assert feed_of(station, empty_sandbox, [goods(), goods(a3="nan"), after]) == [(2, "changed", "a3")]
    (row,) = station.read("changes", "shop", ["previous_job_id", "old_value", "new_value"]).to_pylist()
    assert (row["old_value"], row["new_value"]) == ("5", "9")
    assert row["previous_job_id"] == min(station.jobs().values(), key=lambda job: job.completed_at or "").job_id


def test_what_the_first_job_rejected_was_there_before(station: Station, empty_sandbox: Sandbox) -> None:
    more = [*goods(), spell("b", 5)]
    assert feed_of(station, empty_sandbox, [goods(a3="nan"), more]) == [(1, "added", "b")]


def test_a_copy_of_an_item_stays_while_one_of_them_is_rejected(station: Station, empty_sandbox: Sandbox) -> None:
    twice = [*goods(), spell("a3", 6)]
    assert feed_of(station, empty_sandbox, [twice, [*goods(a3="nan"), spell("a3", 5)], twice]) == []


def test_items_without_a_key_go_with_the_next_whole_job(station: Station, empty_sandbox: Sandbox) -> None:
    config = Config(strategies={"shop": replace(configure(1).strategies["shop"], key=())})
    found = feed_of(station, empty_sandbox, [goods(), goods(7, a3="nan"), goods(7)], config)
    assert [(day, kind) for day, kind, _ in found] == [(2, "removed")]


@pytest.mark.parametrize(
    ("item", "key"),
    [
        (spell("a1", 5, "nan"), "a1"),
        (spell("a1", 5, "deep"), "a1"),
        (spell("a1", 5, "latin"), "a1"),
        (b'{"id": 7, "price": -Infinity}', "7"),
        (b'{"id": "caf\xe9", "price": 5}', None),
        (b'{"id": "", "price": NaN}', None),
        (spell("a1", 5, "broken"), None),
        (spell("a1", 5, "nameless"), None),
        (b"NaN", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_key_of_a_rejected_item_is_read_where_its_text_allows_it(item: bytes, key: str | None) -> None:
    assert find_key(item, Identity(ItemRules(key=("id",)))) == key
    assert find_key(item, Identity(ItemRules())) is None
    assert find_key(item, Identity(ItemRules(), by_page=True)) == PAGE_KEY


def test_a_key_of_several_fields_is_read_as_of_other_items() -> None:
    identity = Identity(ItemRules(key=("id", "at.name")))
    other = {"id": 7, "at": {"name": "x"}, "price": 5}
    (key,) = identity.keys([other], ["hash"])
    assert find_key(b'{"id": 7, "at": {"name": "x"}, "price": NaN}', identity) == key
    assert find_key(b'{"id": 7, "at": {"name": NaN}}', identity) is None
