"""Fixtures that all tests share: the sandbox, a real HTTP server that speaks Meter's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox


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
