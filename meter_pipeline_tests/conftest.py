"""Fixtures that all tests share: the sandbox, a real HTTP server for Meter's API; the command line on a
shop; stations, each a ledger, a lake and a client on a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from meter_pipeline.api import set_wait_scale
from meter_pipeline.cli import run
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station
from meter_pipeline_tests.commandline import CANARY, Command, Done
from meter_pipeline_tests.servers import object_server, object_store, pooled_url, postgres, postgres_url, store_place

# Property tests that do not say how many examples they try.
# How long an example takes says how busy the machine is.
settings.register_profile(
    "thorough",
    max_examples=thorough.examples(40, 5),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("thorough")

__all__ = ["object_server", "object_store", "pooled_url", "postgres", "postgres_url", "store_place"]


@pytest.fixture(autouse=True)
def _is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is as wide as it needs: processes that share the tests have the width of a terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes with whatever `Sandbox` takes; they stop when the test ends."""
    with ExitStack() as running:

        def start(**beginnings: Any) -> Sandbox:
            return running.enter_context(Sandbox(**beginnings))

        yield start


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """The default worlds on a clock that stands still until a test moves it."""
    return make_sandbox()


@pytest.fixture
def empty_sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox without strategies, for tests that build a world of their own."""
    return make_sandbox(worlds=())


@pytest.fixture
def shop(make_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A strategy with two jobs and a schedule, and an environment that points there."""
    sandbox = make_sandbox(worlds=(), api_key=CANARY)
    strategy = sandbox.add_strategy("Books", "https://books.example/new", items=[{"title": "Tide Tables", "price": 8}])
    sandbox.add_schedule(strategy, interval_seconds=86400)
    for price in (12, 11):
        sandbox.advance(hours=1)
        sandbox.insert_job("Books", items=[{"title": "Tide Tables", "price": price}])
    monkeypatch.chdir(tmp_path)
    for name in ("METER_API_PREFIX", "METER_LEDGER_URL", "METER_LAKE_URL", "METER_MAX_REQUESTS_PER_SECOND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METER_API_KEY", CANARY)
    monkeypatch.setenv("METER_BASE_URL", sandbox.url)
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    set_wait_scale(0)
    yield sandbox
    set_wait_scale(1)


@pytest.fixture
def meter(shop: Sandbox, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process; no key may ever be shown."""

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(arguments)
        shown = capsys.readouterr()
        assert CANARY not in shown.out + shown.err
        return Done(code, shown.out, shown.err)

    return call


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
