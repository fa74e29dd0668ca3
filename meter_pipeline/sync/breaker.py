"""A circuit breaker: tells an API that has gone from one that fails for a single record."""

from __future__ import annotations

import threading

from meter_pipeline.api import MeterConnectionError

#: Requests in a row without an answer after which the API counts as gone.
LIMIT = 3


class CircuitBreaker:
    """Counts consecutive requests that got no answer. Thread-safe: threads may share one.

    An answer of any kind, an error included, closes the circuit again.
    """

    def __init__(self) -> None:
        self._unanswered = 0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the last requests all went unanswered, so that no further request is worth its time-out."""
        return self._unanswered >= LIMIT

    def record(self, outcome: object) -> bool:
        """Counts what a request returned or raised; returns whether this request leaves the circuit open."""
        with self._lock:
            self._unanswered = self._unanswered + 1 if isinstance(outcome, MeterConnectionError) else 0
            return self.is_open
