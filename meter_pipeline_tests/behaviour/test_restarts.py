"""The ledger's database is restarted while strategies are loaded: each outcome is known, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.ledger import jobs
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting
from meter_pipeline_tests.behaviour.thorough import every
from meter_pipeline_tests.servers import PostgresServer, make_schema

NAMES = ("Alpha", "Beta", "Gamma", "Delta")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own, which they restart."""
    with PostgresServer() as running:
        yield running


class Outage:
    """Stops the server when a step is reached for the second time, so that one strategy is loaded before."""

    def __init__(self, server: PostgresServer, owner: Any, name: str, *, is_short: bool) -> None:
        self._server = server
        self._step = getattr(owner, name)
        self._is_short = is_short
        self._calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._calls += 1
        if self._calls == 2:
            self._server.stop()
            if self._is_short:
                self._server.start()
        return self._step(*arguments, **options)


@pytest.fixture
def station(server: PostgresServer, make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station whose ledger is on the server, on a sandbox with jobs of four strategies."""
    insert_drifting(empty_sandbox, 16, names=NAMES)
    station = make_station(empty_sandbox)
    station.ledger.close()
    station.ledger = Ledger.open(make_schema(server.url))
    return station


def assert_next_sync_completes(station: Station, undisturbed: Station) -> None:
    """What counts is whole, before and after the next sync, which loads what is left."""
    assert_whole(station)
    assert station.sync().problems == []
    undisturbed.sync()
    assert_whole(station)
    assert_equal(station, undisturbed)


@pytest.mark.parametrize(
    ("owner", "name", "hit"),
    every(2, [(Draft, "merge", 0), (Ledger, "commit", 0), (jobs, "apply_commit", 1), (Draft, "settle", 0)]),
)
def test_a_restart_costs_no_more_than_the_commit_it_breaks(
    owner: Any,
    name: str,
    hit: int,
    station: Station,
    server: PostgresServer,
    make_station: Callable[..., Station],
    empty_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outage = Outage(server, owner, name, is_short=True)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, lambda *arguments, **options: outage(*arguments, **options))
        report = station.sync(limits=Limits(writers=1))
    assert len(report.problems) == hit
    assert report.jobs == 16 - 4 * hit
    assert all("\n" not in problem.reason and "ledger postgresql://" in problem.reason for problem in report.problems)
    assert {row.slug for row in station.ledger.strategies() if station.parts(row.slug)} == {
        slug for slug, strategy in report.strategies.items() if strategy.loaded
    }
    assert_next_sync_completes(station, make_station(empty_sandbox, "undisturbed"))


@pytest.mark.parametrize(("owner", "name"), every(2, [(Draft, "merge"), (jobs, "apply_commit"), (Draft, "settle")]))
def test_a_database_that_stays_away_ends_the_sync_with_one_line(
    owner: Any,
    name: str,
    station: Station,
    server: PostgresServer,
    make_station: Callable[..., Station],
    empty_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outage = Outage(server, owner, name, is_short=False)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, lambda *arguments, **options: outage(*arguments, **options))
        with pytest.raises(StoreError, match=r"^ledger postgresql://[^\n]*check METER_LEDGER_URL and the server$"):
            station.sync(limits=Limits(writers=1))
    server.start()
    assert_next_sync_completes(station, make_station(empty_sandbox, "undisturbed"))
