"""A circuit breaker: tells an API that has gone from one that fails for a single record."""

from __future__ import annotations

import threading
from collections.abc import Callable

from meter_pipeline.api import MeterConnectionError, MeterError, MeterRateLimited, MeterServerError

#: Requests in a row without an answer after which the API counts as gone.
LIMIT = 3
#: Errors that may say something about the whole API, and nothing about the record that was asked for.
OUTAGES = (MeterConnectionError, MeterServerError, MeterRateLimited)


def describe_outage(error: object) -> str:
    """Why no further request is made after the error of the last one, in a sentence."""
    return f"the API {'does not answer' if isinstance(error, MeterConnectionError) else 'answers with errors'}: {error}"


class CircuitBreaker:
    """Counts consecutive requests that got no answer. Thread-safe: threads may share one.

    An answer of any kind, an error included, closes the circuit again. With a `probe`, requests that the server answers
    with an error of its own (5xx, 429) count as well, and the probe decides: many records may be broken one after the
    other, while an API in trouble fails the probe too.

    Args:
        probe: Makes a request about no single record.
    """

    def __init__(self, probe: Callable[[], object] | None = None) -> None:
        self._probe = probe
        self._unanswered = self._failed = 0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the last requests all went unanswered, so that no further request is worth its time-out."""
        return max(self._unanswered, self._failed) >= LIMIT

    def record(self, outcome: object) -> bool:
        """Counts what a request returned or raised; returns whether this request leaves the circuit open."""
        with self._lock:
            self._unanswered = self._unanswered + 1 if isinstance(outcome, MeterConnectionError) else 0
            self._failed = self._failed + 1 if self._probe is not None and isinstance(outcome, OUTAGES) else 0
            # Asked once in an outage: threads that come later find the circuit open.
            if self._failed == LIMIT > self._unanswered and self._is_answered():
                self._failed = 0
            return self.is_open

    def _is_answered(self) -> bool:
        """Whether the API answers the probe, a refusal included."""
        assert self._probe is not None
        try:
            self._probe()
        except OUTAGES:
            return False
        except MeterError:
            pass
        return True
