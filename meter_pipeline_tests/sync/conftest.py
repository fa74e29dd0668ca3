"""Fixtures of the engine's tests: stations, each a ledger, a lake and a client on a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.station import Station


@pytest.fixture
def make_station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Opens stations by name, in folders of the test; the same name is the same folder."""
    with ExitStack() as opened:

        def open_(sandbox: Sandbox, name: str = "station", **client: Any) -> Station:
            return opened.enter_context(Station(tmp_path / name, sandbox, **client))

        yield open_


@pytest.fixture
def station(make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station on a sandbox without strategies."""
    return make_station(empty_sandbox)
