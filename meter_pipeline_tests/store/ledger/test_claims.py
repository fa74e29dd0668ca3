"""Claims: who works on what can be seen, and a holder that has ended, or stands still, keeps nobody waiting."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy

from meter_pipeline.store.errors import StaleError
from meter_pipeline.store.ledger import claims
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.tables import claims as claims_table
from meter_pipeline_tests.forking import PROCESSES, import_before_forks
from meter_pipeline_tests.store.records import commit, strategy

import_before_forks(__name__)

Open = Callable[[], Ledger]


def test_a_claim_is_held_by_one_at_a_time(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    claim = first.claims.try_claim("new_books")
    assert claim is not None
    assert second.claims.try_claim("new_books") is None
    assert first.claims.try_claim("new_books") is None
    other = second.claims.try_claim("other")
    assert other is not None
    other.release()
    claim.release()
    claim.release()
    again = second.claims.try_claim("new_books")
    assert again is not None
    again.release()
    assert first.claims.read() == []


def test_a_claim_ends_with_a_commit_and_stays_when_that_is_refused(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    first.record_strategies([strategy("s1", "New books")])
    row = first.strategy("s1")
    assert row is not None
    claim = first.claims.try_claim("new_books")
    assert claim is not None
    with pytest.raises(StaleError):
        first.commit(Commit("s1", row.version + 1, claim=claim))
    assert second.claims.try_claim("new_books") is None
    first.commit(Commit("s1", row.version, claim=claim))
    assert first.claims.read() == []
    other = second.claims.try_claim("new_books")
    assert other is not None
    # It is somebody else's by now.
    claim.release()
    assert first.claims.try_claim("new_books") is None
    other.release()


def test_the_holder_of_a_claim_can_be_seen(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    first.claims.work = "Dagster run 7"
    taken, held = first.claims.try_claims(["books", "jobs"])
    assert (set(taken), held) == ({"books", "jobs"}, {})
    taken, held = second.claims.try_claims(["books", "other"])
    assert set(taken) == {"other"}
    row = held["books"]
    assert (row.work, row.process_id, row.machine) == ("Dagster run 7", os.getpid(), platform.node())
    assert row.describe() == (
        f"Dagster run 7 (process {os.getpid()} on {platform.node()}) since {row.since[:19].replace('T', ' ')} UTC"
    )
    assert [(row.name, has_lapsed) for row, has_lapsed in second.claims.read()] == [
        ("books", False),
        ("jobs", False),
        ("other", False),
    ]


def test_a_ledger_that_is_closed_holds_no_claim(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    assert first.claims.try_claim("books") is not None
    first.close()
    assert second.claims.try_claim("books") is not None


def _claim_and_die(url: str) -> None:
    assert Ledger.open(url).claims.try_claim("books") is not None
    os._exit(9)


def test_a_claim_ends_with_its_process_at_once(open_ledger: Open) -> None:
    ledger = open_ledger()
    for _ in range(2):
        process = PROCESSES.Process(
            target=_claim_and_die,
            args=(open_ledger.url,),  # type: ignore[attr-defined]
        )
        process.start()
        process.join()
        assert process.exitcode == 9
        assert [row.name for row in ledger.rows("claims")] == ["books"]
        assert ledger.claims.read() == []
    assert ledger.claims.try_claim("books") is not None


def let_lapse(ledger: Ledger) -> None:
    """Moves the last renewal of every claim into the past."""
    with ledger.writing() as connection:
        connection.execute(sqlalchemy.update(claims_table).values(renewed_at="2026-01-01T00:00:00.000000Z"))


def test_a_claim_that_is_not_renewed_is_free_and_its_holder_takes_nothing_back(open_ledger: Open) -> None:
    sleeper, other, third = open_ledger(), open_ledger(), open_ledger()
    claim = sleeper.claims.try_claim("books")
    assert claim is not None
    let_lapse(other)
    assert [(row.name, has_lapsed) for row, has_lapsed in third.claims.read()] == [("books", True)]
    assert other.claims.try_claim("books") is not None
    # The one that held it before gives up what it holds no longer.
    claim.release()
    assert third.claims.try_claim("books") is None


def test_a_claim_is_renewed_while_it_is_held(open_ledger: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.02)
    ledger = open_ledger()
    claim = ledger.claims.try_claim("books")
    assert claim is not None
    let_lapse(ledger)
    deadline = time.monotonic() + 60
    while ledger.claims.read()[0][1]:
        assert time.monotonic() < deadline
    claim.release()
    assert ledger.claims.read() == []


def test_whoever_waits_for_work_goes_on_when_it_is_given_up_and_not_before(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    order = []

    def wait_too() -> None:
        with second.claims.waiting("publish"):
            order.append("second")

    with first.claims.waiting("publish"):
        # A strategy of that name has nothing to do with it.
        assert second.claims.try_claim("publish") is not None
        # The holder stands still, but exists.
        let_lapse(first)
        thread = threading.Thread(target=wait_too)
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_syncs_in_a_row_that_skip_a_strategy_are_counted_until_it_is_loaded(open_ledger: Open) -> None:
    holder, other = open_ledger(), open_ledger()
    other.record_strategies([strategy("s1", "Books"), strategy("s2", "Jobs")])
    claim = holder.claims.try_claim("books")
    assert claim is not None

    def skip(times: int) -> list[tuple[str, int]]:
        for _ in range(times):
            other.claims.count_skips(["books"])
        return [(row.name, row.skips) for row in other.claims.find_held_up()]

    assert skip(2) == []
    assert skip(1) == [("books", 3)]
    assert skip(1) == [("books", 4)]
    # The holder is slow, and not stuck.
    commit(holder, "s1", [])
    assert skip(0) == []
    assert skip(2) == []
    assert skip(1) == [("books", 3)]
    claim.release()
    assert skip(3) == []
    assert holder.claims.try_claim("books") is not None
    assert skip(0) == []


def test_a_holder_that_has_ended_holds_nothing_up(open_ledger: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, other = open_ledger(), open_ledger()
    ledger.record_strategies([strategy("s1", "Books")])
    assert other.claims.try_claim("books") is not None
    for _ in range(3):
        ledger.claims.count_skips(["books"])
    assert [row.name for row in ledger.claims.find_held_up()] == ["books"]
    other.claims._presence.hide()
    let_lapse(ledger)
    # On another machine nobody can see whether it has ended: it may still be stuck.
    assert [row.name for row in ledger.claims.find_held_up()] == ["books"]
    monkeypatch.setattr(claims, "LAPSE", timedelta(days=10**5))
    assert ledger.claims.try_claim("books") is None
    monkeypatch.undo()
    assert ledger.claims.try_claim("books") is not None


def test_a_pooler_in_transaction_mode_is_recognised(postgres_url: str, pooled_url: str) -> None:
    direct, pooled = Ledger.open(postgres_url), Ledger.open(pooled_url)
    assert not direct.pools_transactions
    assert pooled.pools_transactions
    direct.close()
    pooled.close()
