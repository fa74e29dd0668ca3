"""How much a sync does at a time, passed explicitly to everything that needs it."""

from __future__ import annotations

from dataclasses import dataclass

#: Estimated time to load an item.
SECONDS_PER_ITEM = 6e-6


@dataclass(frozen=True)
class Limits:
    """Bounds on a sync's memory, threads and processes. The defaults suit a machine with two cores.

    Attributes:
        workers: Threads that fetch bodies.
        writers: Threads that write batches. Two keep the disk busy; more only wait for the interpreter, and hold
            batches in memory meanwhile.
        batch_bytes: Bodies are gathered into batches of this size. Parsed JSON takes six to eight times its bytes, and
            several strategies are written at once.
        large_bytes: A body of this size or more is streamed to disk instead of parsed in memory.
        claims_per_group: Strategies are claimed in groups of this size: one fsync per group, and the rest stay free
            for other syncs.
        helpers: Most processes beside this one that read large jobs and type their rows.
        process_seconds: Another process is started for this much estimated work; less is not worth its start.
    """

    workers: int = 8
    writers: int = 2
    batch_bytes: int = 16 * 2**20
    large_bytes: int = 4 * 2**20
    claims_per_group: int = 8
    helpers: int = 0
    process_seconds: float = 2.0

    def helpers_for(self, items: int) -> int:
        """How many processes are worth their start for reading or typing this many items."""
        return min(self.helpers, int(items * SECONDS_PER_ITEM / self.process_seconds))
