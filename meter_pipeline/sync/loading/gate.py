"""Bounds how many threads fetch at a time by how long they wait for the server."""

from __future__ import annotations

import threading
from collections import deque

# Requests by which the server is judged. Only the fastest of them counts: the others may have waited for a thread of
# this process, or for another program.
_SAMPLES = 8
# A thread waits at most this long (seconds) for its turn, so that one slow body does not hold up the others.
_PATIENCE = 0.05


class Gate:
    """Admits as many threads as it takes to keep one of them busy while the others wait for the server.

    Python runs one thread at a time. When a server answers at once, further threads bring no speed: they only take
    turns, and eight of them spend twice the processor time of one.

    Args:
        most: Most threads, when the server is slow.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = 1
        self._active = 0
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)
        self._turn = threading.Condition()

    @property
    def allowed(self) -> int:
        """Threads that are admitted at a time."""
        return self._allowed

    def __enter__(self) -> None:
        with self._turn:
            if self._active >= self._allowed:
                self._turn.wait_for(lambda: self._active < self._allowed, _PATIENCE)
            self._active += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._turn:
            self._active -= 1
            self._turn.notify()

    def record(self, waited: float, worked: float) -> None:
        """Adds a request: seconds that its thread waited, and seconds that it worked."""
        with self._turn:
            self._samples.append((waited, worked))
            least = max(min(waited for waited, _ in self._samples), 0.0)
            mean = sum(worked for _, worked in self._samples) / len(self._samples)
            before = self._allowed
            self._allowed = self._most if least >= mean * self._most else 1 + int(least / mean)
            if self._allowed > before:
                self._turn.notify_all()
