"""Fixtures of the store's tests: ledgers on SQLite and on a real PostgreSQL, behind a pooler too, lakes in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    opened = Ledger.open(str(tmp_path / "ledger.sqlite"))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres_url", "pooled_url"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens one and the same ledger as often as it is called: on either database, and through a pooler."""
    url = str(tmp_path / "ledger.sqlite") if request.param == "sqlite" else request.getfixturevalue(request.param)
    opened: list[Ledger] = []

    def open_() -> Ledger:
        opened.append(Ledger.open(url))
        return opened[-1]

    open_.url = url  # type: ignore[attr-defined]
    yield open_
    for ledger in opened:
        ledger.close()
