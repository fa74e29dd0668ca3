"""A delivery into ClickHouse, which has no transactions: one publication or the other, wherever it ends.

The server has a marker of its own, since its engine is heavy; the rest needs no server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.config.deliveries import DeliveryTarget, parse_address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery import staged
from meter_pipeline.store.warehouse.delivery.clickhouse import ClickHouseSession
from meter_pipeline.store.warehouse.delivery.deliver import deliver
from meter_pipeline_tests.clickhouse_server import PASSWORD, READER, USER
from meter_pipeline_tests.store.warehouse.delivery.targets import Target
from meter_pipeline_tests.store.warehouse.delivery.test_deliver import Plans
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk

needs_server = pytest.mark.engines
_TABLES = ("results.*", "meter.jobs")


@pytest.fixture
def target(make_target: Callable[[str], Target]) -> Target:
    """An empty database."""
    made = make_target("clickhouse")
    made.tables = _TABLES
    return made


class _Killed(BaseException):
    """The end of a process: nothing that comes after it is done."""


@needs_server
@pytest.mark.parametrize("place", range(8))
def test_a_delivery_that_ends_in_its_swap_is_finished_by_the_next(
    target: Target, desk: Desk, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The places: before and after the plan, the turn, the new tables, each exchange, and what is dropped."""
    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.load("books", "b2", APRIL, "c")
    desk.load("shoes", "s1", APRIL, "x")
    desk.publish()
    _kill_at(monkeypatch, place)
    with pytest.raises(_Killed):
        target.deliver(desk.ledger, desk.path)
    monkeypatch.undo()
    monkeypatch.setattr(staged, "SWAP_SECONDS", 0)
    # What is published last is not what was being swapped.
    desk.load("lamps", "l2", APRIL, "y")
    desk.publish()
    assert target.deliver(desk.ledger, desk.path).notes == ()
    after = target.content()
    assert after["results_shoes"] != after["results_lamps"] != before["results_lamps"]
    full = target.deliver(desk.ledger, desk.path, full=True)
    assert (full.rows, target.content()) == (sum(len(rows) for _, rows in after.values()), after)
    assert _tables(target) == {*after, "_meter_deliveries", "_meter_partitions", "_meter_tables"}


def _kill_at(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Ends a delivery at a place in its commit; each pair that is exchanged is a statement of its own here."""
    calls = 0
    rename, swap, drop = ClickHouseSession.rename, ClickHouseSession.swap, ClickHouseSession._drop_all

    def step() -> None:
        nonlocal calls
        if calls == place:
            raise _Killed
        calls += 1

    def rename_or_end(session: ClickHouseSession, *names: str) -> None:
        step()
        rename(session, *names)
        step()

    def swap_or_end(session: ClickHouseSession, swapped: Any, renamed: Any) -> None:
        for pair in renamed:
            swap(session, [], [pair])
            step()
        for pair in swapped:
            swap(session, [pair], [])
            step()

    def drop_or_end(session: ClickHouseSession, tables: Any) -> None:
        for table in tables:
            drop(session, [table])
            step()

    monkeypatch.setattr(ClickHouseSession, "rename", rename_or_end)
    monkeypatch.setattr(ClickHouseSession, "swap", swap_or_end)
    monkeypatch.setattr(ClickHouseSession, "_drop_all", drop_or_end)
    monkeypatch.setattr(ClickHouseSession, "close", lambda session: session._connection.close())


@needs_server
def test_of_two_deliveries_at_once_the_one_that_ends_last_leaves(target: Target, desk: Desk) -> None:
    with ClickHouseSession(target.address, "") as slow:
        slow.begin()
        slow.reset_state()
        target.deliver(desk.ledger, desk.path)
        content = target.content()
        with pytest.raises(WarehouseError, match="another delivery has ended in the meantime; deliver again"):
            slow.commit()
    assert target.content() == content
    assert target.deliver(desk.ledger, desk.path).unchanged
    assert _tables(target) == {*content, "_meter_deliveries", "_meter_partitions", "_meter_tables"}


@needs_server
def test_a_swap_that_is_under_way_is_waited_for(target: Target, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    target.deliver(desk.ledger, desk.path)
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    _kill_at(monkeypatch, 2)
    with pytest.raises(_Killed):
        target.deliver(desk.ledger, desk.path)
    monkeypatch.undo()
    monkeypatch.setattr(staged, "SWAP_SECONDS", 3)
    waits: list[float] = []
    monkeypatch.setattr(
        staged.time, "sleep", lambda seconds, sleep=staged.time.sleep: (waits.append(seconds), sleep(1))
    )
    target.deliver(desk.ledger, desk.path)
    assert waits


@needs_server
def test_a_time_that_clickhouse_lacks_becomes_the_nearest_that_it_has(target: Target, desk: Desk) -> None:
    target.tables = ("marts.plans",)
    desk.publish(Plans("infinity"))
    target.deliver(desk.ledger, desk.path)
    assert target.ask("SELECT id, toString(valid_to) FROM plans ORDER BY id") == [
        (1, "2299-12-31 23:59:59.999999"),
        (2, "2026-03-05 00:00:00.000000"),
    ]


@needs_server
def test_tables_have_comments_and_the_order_in_which_months_are_found(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    ((key, comment),) = target.ask(
        "SELECT sorting_key, comment FROM system.tables WHERE database = currentDatabase() AND name = 'results_books'"
    )
    assert key == "_meter_completed_at, _meter_job_id, _meter_item_index"
    assert comment.endswith("Delivered by meter-pipeline.")
    columns = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'jobs' AND comment != ''"
    assert ("job_id",) in target.ask(columns)


@needs_server
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("/meter_", "/nowhere_", r"Database nowhere_\w+ does not exist.*; create the database, or name another"),
        (USER, "nobody", "Authentication failed: .+; check user and password"),
        (USER, READER, "Not enough privileges. .+ the grant CREATE TABLE ON .+; grant this user the right"),
    ],
)
def test_a_server_that_refuses_gives_one_line_without_the_password(
    target: Target, desk: Desk, old: str, new: str, reason: str
) -> None:
    scheme, _, rest = target.url.partition("://")
    _expect_one_line(desk, f"{scheme}://{rest.replace(old, new, 1)}", reason)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("clickhouse://me:canary@127.0.0.1:1/db", r"127\.0\.0\.1:1/db: .*Connection refused; check the address"),
        ("clickhouses://me:canary@127.0.0.1:1/db", r"127\.0\.0\.1:1/db: .*Connection refused; check the address"),
        (
            "clickhouse://me:canary@127.0.0.1:1/db?acess_token=x",
            "an unknown option 'acess_token': give secure, ca_cert",
        ),
    ],
)
def test_an_address_that_leads_nowhere_gives_one_line_without_the_password(desk: Desk, url: str, reason: str) -> None:
    _expect_one_line(desk, url, reason)


def _expect_one_line(desk: Desk, url: str, reason: str) -> None:
    with pytest.raises(WarehouseError, match=reason) as failure:
        deliver(desk.ledger, desk.path, DeliveryTarget("analytics", "env:URL"), parse_address(url, "to"))
    shown = repr(failure.value) + repr(failure.value.__cause__)
    assert "\n" not in str(failure.value)
    assert PASSWORD not in shown
    assert "canary" not in shown


def _tables(target: Target) -> set[str]:
    rows = target.ask("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {name for (name,) in rows if not name.startswith("_meter_turn_")}
