"""A person lets rejected items in: what can be read of them is as if it had been accepted from the start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LedgerError
from meter_pipeline.store.item_json import ItemError
from meter_pipeline.sync.items.mending import mend
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.readmission import release_items
from meter_pipeline.sync.loading.withdraw import drop
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole
from meter_pipeline_tests.behaviour.thorough import slow

READABLE = {
    b'{"id":3,"price":NaN}': b'{"id":3,"price":null}',
    b'{"id":8,"price":[-Infinity, 1.10]}': b'{"id":8,"price":[null, 1.10]}',
    b'{"id":5,"name":"C:\\x41 NaN\\\\"}': b'{"id":5,"name":"C:\\\\x41 NaN\\\\"}',
    b'{"id":6,"name":"caf\xe9\n"}': '{"id":6,"name":"caf\ufffd\\u000a"}'.encode(),
    b'{"id":12345678901234567890123,"n":undefined}': b'{"id":12345678901234567890123,"n":null}',
}
UNREADABLE = b"{'id': 9}"


def goods(count: int, step: int = 0) -> list[bytes]:
    return [json.dumps({"id": n, "price": n + 1.5 + step}).encode() for n in range(count)]


@pytest.fixture(params=["small", "large"])
def limits(request: pytest.FixtureRequest) -> Limits:
    """Jobs that are parsed in memory, and such that are streamed."""
    return Limits() if request.param == "small" else Limits(large_bytes=1)


@pytest.mark.parametrize("item", READABLE)
def test_a_rejected_item_is_mended_where_it_is_clear_what_is_meant(item: bytes) -> None:
    assert mend(item) == READABLE[item]


@pytest.mark.parametrize(
    "item", [UNREADABLE, b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", b'{"a": 1', b"nanny", b"", b"1, NaN"]
)
def test_an_item_that_is_no_json_even_so_is_refused(item: bytes) -> None:
    with pytest.raises(ItemError):
        mend(item)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_json_of_python_is_mended_to_the_same_with_null_for_what_is_no_number(value: object) -> None:
    mended = json.loads(mend(json.dumps({"a": value}).encode()))
    expected = json.loads(json.dumps({"a": value}), parse_constant=lambda _: None)
    assert mended == expected


NAN, INFINITE = b'{"id":3,"price":NaN}', b'{"id":8,"price":-Infinity}'
MENDED = {NAN: NAN.replace(b"NaN", b"null"), INFINITE: INFINITE.replace(b"-Infinity", b"null")}


def insert(sandbox: Sandbox, days: Sequence[list[bytes]]) -> list[str]:
    """Jobs of a shop a minute apart, with the same ids in every sandbox."""
    first = sandbox.world.now - 86_400
    return [
        sandbox.insert_job(
            "Shop", items=items, job_id=f"job-{number}", completed_at=int(first) // 86_400 * 86_400 + 60 * number
        )
        for number, items in enumerate(days)
    ]


def changes(station: Station) -> Counter[str]:
    """The change feed as a multiset."""
    return Counter(json.dumps(row, default=str) for row in station.read("changes", "shop").to_pylist())


@pytest.mark.parametrize("limits", ["small", slow("large")], indirect=True)
def test_items_that_are_let_in_leave_the_tables_as_if_they_had_been_accepted_from_the_start(
    make_station: Callable[..., Station], make_sandbox: Callable[..., Sandbox], limits: Limits
) -> None:
    days = [goods(14, step) for step in range(4)]
    days[1][3], days[1][8] = NAN, INFINITE
    days[2][3] = NAN
    first, second = make_sandbox(worlds=()), make_sandbox(worlds=())
    jobs = insert(first, days)
    late = make_station(first, "late")
    late.sync(limits=limits)
    assert [late.jobs()[job].rejected for job in jobs] == [0, 2, 1, 0]
    (done,) = release_items(late.ledger, late.lake, jobs[1:3], limits=limits)
    assert (done.slug, done.jobs, done.items, done.left, done.rejection) == ("shop", 2, 3, 0, None)
    insert(second, [[MENDED.get(item, item) for item in items] for items in days])
    early = make_station(second, "early")
    early.sync(limits=limits)
    for station in (late, early):
        assert_whole(station)
    assert_equal(late, early)
    assert changes(late) == changes(early)
    counts = [(row.items, row.rejected, row.duplicates, row.changes) for row in map(late.jobs().get, jobs) if row]
    assert counts == [(row.items, 0, row.duplicates, row.changes) for row in map(early.jobs().get, jobs) if row]


def test_an_item_that_cannot_be_read_stays_rejected_and_is_named(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    items = goods(14)
    items[3], items[11] = NAN, UNREADABLE
    (job,) = insert(empty_sandbox, [items])
    station.sync(limits=limits)
    (done,) = release_items(station.ledger, station.lake, [job], limits=limits)
    assert (done.items, done.left) == (1, 1)
    assert (done.rejection or "").startswith("job job-0, item_index 11: not valid JSON")
    row = station.jobs("accepted")[job]
    assert (row.items, row.rejected) == (13, 1)
    assert (row.rejection or "").startswith("item_index 11: ")
    assert [entry["item"] for entry in station.read("rejected", "shop").to_pylist()] == [UNREADABLE]
    assert_whole(station)
    before = station.rows()
    with pytest.raises(DecisionError, match="none of its 1 rejected items can be read; the first is item_index 11"):
        release_items(station.ledger, station.lake, [job], limits=limits)
    assert station.rows() == before


def test_a_held_job_is_released_with_its_rejected_items(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    (job,) = insert(empty_sandbox, [[*goods(5), NAN, INFINITE, NAN]])
    station.sync(limits=limits)
    assert station.jobs()[job].state == "held"
    release_items(station.ledger, station.lake, [job], limits=limits)
    row = station.jobs("accepted")[job]
    assert (row.items, row.rejected, row.released_at is not None) == (8, 0, True)
    assert_whole(station)


def test_a_job_without_rejected_items_or_of_another_state_is_refused(station: Station, empty_sandbox: Sandbox) -> None:
    (job,) = insert(empty_sandbox, [goods(5)])
    station.sync()
    with pytest.raises(DecisionError, match="job job-0 has no rejected items"):
        release_items(station.ledger, station.lake, [job])
    drop(station.ledger, station.lake, [job])
    with pytest.raises(DecisionError, match="job-0 is dropped: only accepted and held jobs can be released with"):
        release_items(station.ledger, station.lake, [job])


def test_items_inside_of_a_rejected_one_follow_those_of_the_others(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    config = Config(strategies={"shop": StrategyConfig(items="goods")})
    wrappers = [json.dumps({"goods": [{"id": 10 * n + k} for k in range(3)]}).encode() for n in range(6)]
    bad = b'{"goods": [{"id": 90, "price": NaN}, {"id": 91}]}'
    items = [wrappers[0], UNREADABLE, *wrappers[1:3], bad, *wrappers[3:]]
    (job,) = insert(empty_sandbox, [items])
    station.sync(config=config, limits=limits)
    release_items(station.ledger, station.lake, [job], config, limits)
    assert_whole(station)
    raw = station.read("raw", "shop").to_pylist()
    assert [row["item"] for row in raw[-2:]] == ['{"id": 90, "price": null}', '{"id": 91}']
    assert [row["item_index"] for row in station.read("rejected", "shop").to_pylist()] == [20]
    received = station.read("received", "shop").to_pylist()
    assert len({row["item_index"] for row in received}) == len(received) == 7


def test_items_that_are_let_in_but_not_committed_stay_rejected(
    station: Station, empty_sandbox: Sandbox, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise LedgerError("the ledger is gone")

    (job,) = insert(empty_sandbox, [[*goods(12), NAN]])
    station.sync(limits=limits)
    before = station.rows()
    with monkeypatch.context() as patched:
        patched.setattr(station.ledger, "commit", refuse)
        with pytest.raises(LedgerError):
            release_items(station.ledger, station.lake, [job], limits=limits)
    assert station.rows() == before
    assert_whole(station)
