"""A command line that was run: what it printed, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

CANARY = "sk_live_canary5c2ab"


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Done]


def one_line(done: Done) -> str:
    """The one line of an error; nothing else may be said."""
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    return done.err
