"""Fixtures of the client's tests: scripted servers, and clients that do not sleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from meter_pipeline.api import MeterClient
from meter_pipeline_tests.api.scripted import Answer, Asked, ScriptedServer, in_turn

CANARY = "sk_live_canary0123456789"


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(resources: ExitStack) -> Callable[..., ScriptedServer]:
    """Starts a server: with a function from request to answer, or with answers to give in turn."""

    def start(*answers: Answer | Callable[[Asked], Answer]) -> ScriptedServer:
        first = answers[0]
        return resources.enter_context(ScriptedServer(in_turn(*answers) if isinstance(first, Answer) else first))

    return start


@pytest.fixture
def connect(resources: ExitStack) -> Callable[..., MeterClient]:
    """Makes clients of a server; by default they never sleep and use `/v1`."""

    def make(server: Any, **settings: Any) -> MeterClient:
        key = getattr(server, "api_key", CANARY)
        return resources.enter_context(
            MeterClient(key, **{"base_url": server.url, "prefix": "/v1", "wait_scale": 0, **settings})
        )

    return make
