"""The change feed and the item versions equal those of an independent, slow reference for the same history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_whole

URLS = ("https://one.example/", "https://two.example/")
VALUES: Sequence[Any] = (
    None, True, 0, 1, 1.0, -0.0, 2.5, "1", "", "a", "a  b", " a b", "£1.50", [], [1, 2], [2, 1], [None],
    [{"q": None}, {}], {}, {"w": 1}, {"w": None}, {"w": 2, "h": {"x": 1}},
    {"h": {"x": 2}, "w": 1}, 2**70, "\ud83d\ude00",
)  # fmt: skip
FIELDS = ("price", "specs", "seen", "odd.name")


@dataclass(frozen=True)
class Page:
    """One job: the page, the time, and the items."""

    url: str
    second: int
    items: tuple[Any, ...]
    parameters: str | None = None


def _value() -> st.SearchStrategy[Any]:
    return st.sampled_from(VALUES)


@st.composite
def _histories(draw: st.DrawFn) -> list[Page]:
    """Items that are edited, moved, doubled, gone, back again, and change their types, on two pages."""
    pages = []
    shelves: dict[str, list[Any]] = {url: [] for url in URLS}
    seconds = draw(st.permutations(range(8)))
    for second in seconds[: draw(st.integers(2, 7))]:
        url = draw(st.sampled_from(URLS))
        items = list(shelves[url])
        for _ in range(draw(st.integers(0, 4))):
            match draw(st.sampled_from(("add", "edit", "edit", "drop", "double", "move", "odd"))):
                case "add":
                    items.append({"id": draw(st.sampled_from((1, 2, "2", "3", "a#2", None, {"n": 1}))), "price": 1})
                case "edit" if items:
                    place = draw(st.integers(0, len(items) - 1))
                    if isinstance(items[place], dict):
                        items[place] = {**items[place], draw(st.sampled_from(FIELDS)): draw(_value())}
                case "drop" if items:
                    items.pop(draw(st.integers(0, len(items) - 1)))
                case "double" if items:
                    items.append(items[draw(st.integers(0, len(items) - 1))])
                case "move":
                    items = items[1:] + items[:1]
                case "odd":
                    items.append(draw(st.sampled_from((7, "text", [1], None))))
        shelves[url] = items
        pages.append(Page(url, second, tuple(items), draw(st.sampled_from((None, None, '{"q":1}')))))
    return pages


# -- the reference: nothing of it is the package's ---------------------------------------------------------------------


class Rules:
    """Item rules of the reference: what counts as the same."""

    def __init__(
        self, key: tuple[str, ...] = (), ignore: tuple[str, ...] = (), *, loose: bool = False, ordered: bool = False
    ) -> None:
        self.key, self.ignore, self.loose, self.ordered = key, ignore, loose, ordered

    @property
    def config(self) -> Config:
        """The same rules as a `meter.yaml`."""
        strict = not self.loose
        order = True if self.ordered else False if self.loose else None
        section = StrategyConfig(self.key, self.ignore, order, strict, strict)
        return Config(strategies={"shop": section})

    def form(self, value: Any) -> Any:
        """A value in a form in which the same is equal and anything else is not."""
        if isinstance(value, dict):
            found = {k: self.form(v) for k, v in value.items() if v is not None and k not in self.ignore}
            return ("object", tuple(sorted(found.items())))
        if isinstance(value, list):
            elements = [self.form(inner) for inner in value]
            keeps = self.ordered or (not self.loose and any(isinstance(inner, (int, float, list)) for inner in value))
            return ("array", tuple(elements if keeps else sorted(elements, key=repr)))
        if isinstance(value, bool) or value is None:
            return ("plain", repr(value))
        if isinstance(value, str):
            text = " ".join(value.split()) if self.loose else value
            return ("number", float(text)) if self.loose and text in ("1", "3", "2") else ("text", text)
        if self.loose:
            return ("number", float(value))
        return ("number", "0.0" if isinstance(value, float) and value == 0 else repr(value))

    def name(self, item: Any) -> Any:
        """The name of an item, which other items may have, too."""
        if not self.key or not isinstance(item, dict):
            return ("hash", self.form(item))
        values = [item.get(field) for field in self.key]
        if any(value is None or value == "" for value in values):
            return ("hash", self.form(item))
        # A single value is spelled as text: 2 and "2" are one key.
        spelled = [json.dumps(v, sort_keys=True) if isinstance(v, dict) else str(v) for v in values]
        return ("key", tuple(spelled))

    def tell_apart(self, items: Sequence[Any]) -> bool:
        """Whether items with the same name are the same: which of others is the second one is not known here."""
        return len({(self.name(item), self.form(item)) for item in items}) == len(set(map(self.name, items)))

    def named(self, items: Sequence[Any]) -> dict[Any, Any]:
        """Items by name and number."""
        seen: dict[Any, int] = {}
        found = {}
        for item in items:
            name = self.name(item)
            seen[name] = seen.get(name, 0) + 1
            found[name, seen[name]] = item
        return found

    def fields(self, old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
        """The fields by which two objects differ."""
        for name in sorted(set(old) | set(new)):
            if name in self.ignore and not path:
                continue
            here = path + (json.dumps(name) if "." in name else name)
            a, b = old.get(name), new.get(name)
            if isinstance(a, dict) and isinstance(b, dict):
                yield from self.fields(a, b, f"{here}.")
            elif (a is None) != (b is None) or self.form(a) != self.form(b):
                if isinstance(a, list) and isinstance(b, list):
                    # No element of these histories has a key.
                    lost, gained = self.without(a, b), self.without(b, a)
                    yield (f"{here}[]", lost or None, gained or None) if lost or gained else (here, a, b)
                else:
                    yield here, a, b

    def without(self, members: list[Any], others: list[Any]) -> list[Any]:
        """The members that are not in another list, as often as they are not."""
        left = [self.form(other) for other in others]
        found = []
        for member in reversed(members):
            if self.form(member) in left:
                left.remove(self.form(member))
            else:
                found.append(member)
        return found[::-1]


def expected(pages: Sequence[Page], rules: Rules) -> tuple[list[Any], list[Any]]:
    """Change rows and versions, each as plain tuples; items by their JSON."""
    changes, versions = [], []
    for target in {(page.url, page.parameters) for page in pages}:
        jobs = sorted((p for p in pages if (p.url, p.parameters) == target), key=lambda page: page.second)
        shelves = [rules.named(page.items) for page in jobs]
        for page, old, new in zip(jobs[1:], shelves, shelves[1:], strict=False):
            for name in set(old) | set(new):
                if name not in old:
                    changes.append((*target, page.second, "added", None, None, json.dumps(new[name])))
                elif name not in new:
                    changes.append((*target, page.second, "removed", None, json.dumps(old[name]), None))
                elif rules.form(old[name]) != rules.form(new[name]):
                    for field, a, b in rules.fields(old[name], new[name]):
                        changes.append((*target, page.second, "changed", field, _json(a), _json(b)))
        for name in {name for shelf in shelves for name in shelf}:
            number, last = 0, None
            states = [shelf.get(name, _ABSENT) for shelf in shelves]
            starts = [
                i for i, state in enumerate(states) if i == 0 or _form(rules, state) != _form(rules, states[i - 1])
            ]
            for at, start in enumerate(starts):
                end = starts[at + 1] if at + 1 < len(starts) else None
                if states[start] is not _ABSENT:
                    number += 1
                    until = None if end is None else jobs[end].second
                    last = jobs[-1 if end is None else end - 1].second
                    versions.append((*target, number, jobs[start].second, until, last, json.dumps(states[start])))
    return sorted(changes, key=repr), sorted(versions, key=repr)


_ABSENT = object()


def _form(rules: Rules, state: Any) -> Any:
    return _ABSENT if state is _ABSENT else rules.form(state)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


# -- what the package publishes ----------------------------------------------------------------------------------------


def published(station: Station, origin: float) -> tuple[list[Any], list[Any]]:
    """Change rows and versions of the published warehouse, in the form of `expected`."""
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)

    def second(moment: datetime | None) -> int | None:
        return None if moment is None else round(moment.replace(tzinfo=timezone.utc).timestamp() - origin)

    with reading(path) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT url, parameters, observed_at::TIMESTAMP, kind, field, old_value, new_value FROM meter.item_changes"
        ).fetchall()
        changes = [
            (url, parameters, second(at), kind, field, _same(old), _same(new))
            for url, parameters, at, kind, field, old, new in rows
        ]
        rows = connection.execute(
            "SELECT v.url, v.parameters, version, valid_from::TIMESTAMP, valid_to::TIMESTAMP, "
            "j.completed_at::TIMESTAMP, item, is_current "
            "FROM meter.item_versions v JOIN meter.jobs j ON j.job_id = last_job_id"
        ).fetchall()
        assert all(current == (until is None) for *_, until, _, _, current in rows)
        versions = [
            (url, parameters, number, second(start), second(until), second(last), _same(item))
            for url, parameters, number, start, until, last, item, _ in rows
        ]
    return sorted(changes, key=repr), sorted(versions, key=repr)


def _same(text: str | None) -> str | None:
    return None if text is None else json.dumps(json.loads(text))


@contextmanager
def _served(pages: Sequence[Page]) -> Iterator[tuple[Sandbox, list[str], float]]:
    with Sandbox(worlds=()) as sandbox:
        origin = sandbox.world.now - 1000
        sandbox.add_strategy("Shop", items=[])
        ids = [
            sandbox.insert_job(
                "Shop",
                raw=json.dumps(page.items),
                item_count=len(page.items),
                url=page.url,
                parameters=None if page.parameters is None else json.loads(page.parameters),
                completed_at=origin + page.second,
            )
            for page in pages
        ]
        yield sandbox, ids, origin


RULES = (
    Rules(),
    Rules(("id",)),
    Rules(("id",), ("seen",), loose=True),
    Rules(("id", "price"), ("seen",)),
    Rules(("id",), ordered=True),
)


@settings(
    max_examples=2 * thorough.TIMES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(pages=_histories(), rules=st.sampled_from(RULES), data=st.data())
def test_feed_and_versions_equal_a_slow_reference_in_any_order_of_loading(
    pages: list[Page], rules: Rules, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder, _served(pages) as (sandbox, ids, origin):
        with Station(Path(folder, "whole"), sandbox) as whole:
            assert not whole.sync(config=rules.config).problems
            assert_whole(whole)
            if all(rules.tell_apart(page.items) for page in pages):
                assert published(whole, origin) == expected(pages, rules)
            rows = [_sorted(whole, table) for table in ("results", "changes")]
        with Station(Path(folder, "parts"), sandbox) as parts:
            order = data.draw(st.permutations(ids))
            cut = data.draw(st.integers(1, len(ids)))
            for job_ids in (order[:cut], *([job_id] for job_id in order[cut:])):
                assert not parts.sync(jobs=job_ids, config=rules.config).problems
            assert [_sorted(parts, table) for table in ("results", "changes")] == rows
            assert_whole(parts)


def _sorted(station: Station, table: str) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in station.read(table, "shop").to_pylist())


@pytest.mark.parametrize("limit", [0, thorough.slow(10**9)], ids=["on disk", "in memory"])
def test_jobs_compared_on_disk_have_the_same_rows(limit: int, tmp_path: Path) -> None:
    pages = [
        Page(
            URLS[0],
            second,
            tuple({"id": n, "price": (n * second) % 5, "specs": {"w": n, "h": second % 2}} for n in range(second, 40)),
        )
        for second in range(4)
    ]
    rules = Rules(("id",))
    limits = Limits(batch_bytes=limit, large_bytes=limit)
    with _served(pages) as (sandbox, _, origin), Station(tmp_path, sandbox) as station:
        assert not station.sync(config=rules.config, limits=limits).problems
        assert published(station, origin) == expected(pages, rules)
        before = _sorted(station, "changes")
        # Under another key and back again: rebuilt from raw, the rows are the same.
        other = Rules(("id", "price"))
        assert not station.sync(config=other.config, limits=limits).problems
        assert published(station, origin) == expected(pages, other)
        assert not station.sync(config=rules.config, limits=limits).problems
        assert _sorted(station, "changes") == before
        assert_whole(station)
