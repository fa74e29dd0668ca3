"""What the commands show of strategies that other processes hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.claims import Claims
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.commandline import Command
from meter_pipeline_tests.store.ledger.test_claims import let_lapse

_HOLDER = f"Dagster run 7 (process {os.getpid()} on "


@pytest.fixture
def holder(shop: Sandbox, meter: Command, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in whose name the strategy is claimed; it has a new job."""
    assert meter("sync").code == 0
    shop.insert_job("Books", items=[{"title": "Tide Tables", "price": 9}])
    with closing(Ledger.open(str(tmp_path / "data" / "ledger.sqlite"))) as ledger:
        ledger.claims.work = "Dagster run 7"
        assert ledger.claims.try_claim("books") is not None
        yield ledger


def test_sync_and_status_name_who_holds_a_strategy(holder: Ledger, meter: Command) -> None:
    done = meter("sync")
    assert done.code == 0
    assert f"books: skipped, it is being loaded by {_HOLDER}" in done.out
    report = meter("sync", "--json").document
    assert report["skipped"] == ["books"]
    assert report["holders"]["books"].startswith(_HOLDER)
    (line,) = [line for line in meter("status").out.splitlines() if line.startswith("books: ")]
    assert line.startswith(f"books: claimed by {_HOLDER}")
    assert line.endswith(" UTC")
    assert meter("sync").code == 0
    (line,) = [line for line in meter("status").out.splitlines() if line.startswith("books: ")]
    assert line.endswith("; 3 syncs in a row have skipped it: end that process if it does nothing")
    (claim,) = meter("status", "--json").document["claims"]
    assert (claim["name"], claim["work"], claim["process_id"]) == ("books", "Dagster run 7", os.getpid())
    assert (claim["skips"], claim["has_lapsed"]) == (3, False)
    assert "1 job and 1 item loaded" in _released(holder, meter)
    assert meter("status", "--json").document["claims"] == []


def _released(holder: Ledger, meter: Command) -> str:
    holder.claims.close()
    return meter("sync").out


def test_status_says_that_a_holder_stands_still_and_sync_goes_on_without_it(holder: Ledger, meter: Command) -> None:
    let_lapse(holder)
    (line,) = [line for line in meter("status").out.splitlines() if line.startswith("books: ")]
    assert line.endswith(", which has not been heard of since 2026-01-01 00:00:00 UTC: the next sync goes on")
    done = meter("sync")
    assert (done.code, "skipped" in done.out) == (0, False)
    assert "1 job and 1 item loaded" in done.out


def test_the_claims_of_a_command_say_which_command_it_is(
    shop: Sandbox, meter: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = Claims.give_up

    def watching(self: Claims, name: str) -> None:
        seen.extend(row.work for row, _ in self.read() if row.name == name)
        original(self, name)

    monkeypatch.setattr(Claims, "give_up", watching)
    assert meter("sync").code == 0
    assert set(seen) == {"meter-pipeline sync"}


def test_check_says_that_a_pooler_of_connections_is_fine(
    meter: Command, pooled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_LEDGER_URL", pooled_url)
    done = meter("check", "--json")
    (ledger,) = [found for found in done.document["checks"] if found["name"] == "ledger"]
    assert ledger["ok"]
    assert "a pooler in transaction mode" in ledger["detail"]
    assert meter("sync").code == 0
