"""Claims: a process says in the ledger what it works on, so that others do not do the same work at the same time.

They are a courtesy. A commit that was built on an older state is refused, so nothing is wrong when two processes work
on one strategy; their work is only done twice. Claims are plain rows, which need nothing of a session: they work behind
a pooler of connections as well. A claim is free again

* when its holder gives it up,
* when its holder has ended, as far as this machine can see (`presence`),
* when its holder has not renewed it for a minute: it was stopped, sleeps, or is cut off.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from sqlalchemy import Connection

from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.ledger import claim_rows
from meter_pipeline.store.ledger.claim_rows import ClaimRow
from meter_pipeline.store.ledger.database import Transaction
from meter_pipeline.store.ledger.presence import Presence

_RENEW_SECONDS = 10.0
_POLL_SECONDS = 0.1
#: A claim that was not renewed for this long is free.
LAPSE = timedelta(minutes=1)


class Claim:
    """A claim that is held."""

    def __init__(self, claims: Claims, name: str) -> None:
        self._claims = claims
        self._name = name

    def release(self) -> None:
        """Gives the claim up; calling it again does nothing."""
        self._claims.give_up(self._name)

    def remove(self, connection: Connection) -> None:
        """Removes the claim's row within a transaction; once that is committed, `forget` is to follow."""
        self._claims.remove(connection, self._name)

    def forget(self) -> None:
        """Notes that the claim was removed."""
        self._claims.forget(self._name)


class Claims:
    """Claims by name: a strategy's slug, or other work that one process does at a time. Safe for threads.

    Args:
        reading: Opens a transaction that reads the ledger.
        writing: Opens a transaction that changes it.
        presence: Shows which processes of this machine have ended.

    Attributes:
        work: What this process does, in words for others.
    """

    def __init__(self, reading: Transaction, writing: Transaction, presence: Presence) -> None:
        self.work = "meter-pipeline"
        self._reading = reading
        self._writing = writing
        self._presence = presence
        self._holder_id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._given_up: threading.Event | None = None

    def try_claim(self, name: str) -> Claim | None:
        """Takes the claim and returns it, or `None` if it is held already."""
        return self.try_claims([name])[0].get(name)

    def try_claims(self, names: Sequence[str]) -> tuple[dict[str, Claim], dict[str, ClaimRow]]:
        """Takes those claims that are free; returns them, and the rows of those that are held, by name."""
        return self._try_claims(names)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Holds the claim of some work while the block runs; waits for it without a limit.

        A holder that was stopped is waited for as well, as far as this machine can see it.
        """
        # The dot keeps it apart from the slugs of strategies.
        name = f"meter.{name}"
        while not (taken := self._try_claims([name], even_stopped=False)[0]):
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            taken[name].release()

    def give_up(self, name: str) -> None:
        """Gives a claim up; does nothing if it is not held."""
        with self._lock:
            if name not in self._held:
                return
            self._held.remove(name)
            # If the ledger cannot be reached, the claim lapses.
            with suppress(StoreError), self._writing() as connection:
                claim_rows.remove_claims(connection, self._holder_id, [name])
            self._end_if_idle()

    def remove(self, connection: Connection, name: str) -> None:
        """Removes the row of a claim of this holder within a transaction."""
        claim_rows.remove_claims(connection, self._holder_id, [name])

    def forget(self, name: str) -> None:
        """Notes that the row of a claim was removed; does nothing if it is not held."""
        with self._lock:
            if name in self._held:
                self._held.remove(name)
                self._end_if_idle()

    def read(self) -> list[tuple[ClaimRow, bool]]:
        """Claims whose holders have not ended, as far as can be seen, with whether each has lapsed."""
        with self._reading() as connection:
            rows = claim_rows.read_claims(connection)
            lapsed_before = claim_rows.shift_back(claim_rows.read_clock(connection), LAPSE)
        ended = {holder_id: self._has_ended(holder_id) for holder_id in {row.holder_id for row in rows}}
        return [(row, row.renewed_at < lapsed_before) for row in rows if not ended[row.holder_id]]

    def find_held_up(self) -> list[ClaimRow]:
        """Claims of strategies that several syncs in a row have skipped, in the order of their slugs."""
        return [row for row, _ in self.read() if row.skips >= claim_rows.SKIPS_FOUND]

    def count_skips(self, slugs: Sequence[str]) -> None:
        """Counts a sync that skipped strategies because they were claimed."""
        if slugs:
            with self._writing() as connection:
                claim_rows.count_skips(connection, slugs)

    def close(self) -> None:
        """Gives up all claims."""
        with self._lock:
            if self._held:
                with suppress(StoreError), self._writing() as connection:
                    claim_rows.remove_claims(connection, self._holder_id, sorted(self._held))
                self._held.clear()
                self._end_if_idle()

    def _try_claims(
        self, names: Sequence[str], *, even_stopped: bool = True
    ) -> tuple[dict[str, Claim], dict[str, ClaimRow]]:
        with self._lock:
            # Before the rows, so that they are never seen without it.
            self._presence.show(self._holder_id)
            try:
                with self._writing() as connection:
                    at = claim_rows.read_clock(connection)
                    lapsed_before = claim_rows.shift_back(at, LAPSE)
                    rows = claim_rows.read_claims(connection, names)
                    ended = {row.holder_id for row in rows if self._has_ended(row.holder_id)}
                    claim_rows.remove_holders(connection, ended)
                    held = {
                        row.name: row
                        for row in rows
                        if row.holder_id not in ended
                        and not self._is_free(row, lapsed_before, even_stopped=even_stopped)
                    }
                    free = [name for name in names if name not in held]
                    claim_rows.write_claims(connection, [self._make_row(name, at) for name in free])
                for holder_id in ended:
                    self._presence.forget(holder_id)
                self._held.update(free)
                self._renew_regularly()
            finally:
                self._end_if_idle()
        return {name: Claim(self, name) for name in free}, held

    def _make_row(self, name: str, at: str) -> ClaimRow:
        return ClaimRow(name, self._holder_id, platform.node(), os.getpid(), self.work, at, at)

    def _is_free(self, row: ClaimRow, lapsed_before: str, *, even_stopped: bool) -> bool:
        if row.holder_id == self._holder_id:
            return row.name not in self._held
        if not even_stopped and self._presence.has_ended(row.holder_id) is False:
            return False
        return row.renewed_at < lapsed_before

    def _has_ended(self, holder_id: str) -> bool:
        return holder_id != self._holder_id and self._presence.has_ended(holder_id) is True

    def _renew_regularly(self) -> None:
        if self._held and self._given_up is None:
            self._given_up = threading.Event()
            threading.Thread(target=self._renew, args=(self._given_up,), name="meter-claims", daemon=True).start()

    def _renew(self, given_up: threading.Event) -> None:
        """Renews all claims until the last one is given up."""
        while not given_up.wait(_RENEW_SECONDS):
            # If the ledger cannot be reached, the next time will do.
            with suppress(StoreError), self._writing() as connection:
                claim_rows.renew_claims(connection, self._holder_id)

    def _end_if_idle(self) -> None:
        if not self._held:
            self._presence.hide()
            if self._given_up is not None:
                self._given_up.set()
                self._given_up = None
