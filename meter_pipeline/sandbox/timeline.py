"""What happens when, on the virtual clock.

Future events wait in a heap ordered by time. `settle` runs everything that is due, so the world after a week is the
same whether the week passed in one step or in a thousand.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from meter_pipeline.sandbox.clock import Span, VirtualClock, to_seconds


class Timeline:
    """A clock and the events that wait for it. All methods are safe to call from any thread.

    Args:
        start: the first instant, in seconds since 1970.
        speed: virtual seconds per real second; 0 stands still until `advance`.
    """

    def __init__(self, start: float, speed: float) -> None:
        self.lock = threading.RLock()
        self.clock = VirtualClock(start, speed)
        self._order = 0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    @property
    def now(self) -> float:
        """The current instant of the virtual clock, in seconds since 1970."""
        return self.clock.now()

    def advance(self, span: Span) -> None:
        """Move the virtual clock forward and run everything that falls due."""
        with self.lock:
            self.clock.advance(to_seconds(span))
            self.settle()

    def settle(self) -> None:
        """Run the events that are due."""
        if not self._events or self._events[0][0] > self.clock.now():
            return
        with self.lock:
            now = self.clock.now()
            while self._events and self._events[0][0] <= now:
                at, _, happen = heapq.heappop(self._events)
                happen(at)

    def expect(self, at: float, happen: Callable[[float], None]) -> None:
        """Call `happen` when the clock reaches the instant `at` (seconds since 1970)."""
        heapq.heappush(self._events, (at, self.next_number(), happen))

    def next_number(self) -> int:
        """1, 2, 3, ...: orders records of the same instant and makes ids unique."""
        self._order += 1
        return self._order
