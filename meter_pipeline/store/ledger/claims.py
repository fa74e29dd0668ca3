"""Claims: the right of one process to write a strategy. They end with the process, so there is no lease to expire."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from meter_pipeline.store.errors import LedgerError
from meter_pipeline.store.ledger.database import readable

# Advisory locks of a connection by their 64-bit key, which the server shows in two halves.
_LOCKS = text(
    "SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks "
    "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = :pid"
)


class Claims(ABC):
    """Claims by name: a strategy's slug, or other work that one process does at a time, such as `publish`."""

    @abstractmethod
    def try_claim(self, name: str) -> Claim | None:
        """Takes the claim and returns it, or `None` if it is held already."""

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Holds the claim while the block runs; waits for it without a limit."""
        claim = self._wait(name)
        try:
            yield
        finally:
            claim.release()

    @abstractmethod
    def _wait(self, name: str) -> Claim: ...

    def verify(self, connection: Connection) -> None:  # noqa: B027 - locks of files are not lost
        """Checks, in a transaction of the ledger, that the claims are still held.

        Raises:
            LedgerError: A claim has been lost.
        """


class Claim(ABC):
    """A claim that is held."""

    @abstractmethod
    def release(self) -> None:
        """Gives the claim up; calling it again does nothing."""


class _FileClaim(Claim):
    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        self._lock.release()


class FileClaims(Claims):
    """Operating system locks on files beside a SQLite ledger."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._folder / f"{name}.lock", thread_local=False)

    def try_claim(self, name: str) -> Claim | None:
        lock = self._lock(name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return _FileClaim(lock)

    def _wait(self, name: str) -> Claim:
        lock = self._lock(name)
        lock.acquire(poll_interval=0.05)
        return _FileClaim(lock)


class _ServerClaim(Claim):
    def __init__(self, claims: ServerClaims, name: str) -> None:
        self._claims = claims
        self._name = name

    def release(self) -> None:
        self._claims.give_up(self._name)


class _Session:
    """A connection that holds advisory locks: they live and die with it."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self.pid = self._connection.execute(text("SELECT pg_backend_pid()")).scalar()

    def call(self, function: str, name: str) -> bool:
        """Calls one of PostgreSQL's advisory lock functions; a function that returns nothing counts as true."""
        return self._connection.execute(text(f"SELECT {function}(:key)"), {"key": _key(name)}).scalar() is not False

    def unlock(self, name: str) -> None:
        """Releases a lock; a lost connection has lost its locks as well."""
        try:
            self.call("pg_advisory_unlock", name)
        except SQLAlchemyError:
            self._connection.invalidate()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


class ServerClaims(Claims):
    """PostgreSQL advisory locks, for syncs on several machines; the locks of an object share one connection.

    Should the connection break, the server grants the claims to the next process: `verify` finds that before a commit.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._held: set[str] = set()

    def try_claim(self, name: str) -> Claim | None:
        with self._lock, readable(self._engine):
            if name in self._held:
                return None
            if self._session is None:
                self._session = _Session(self._engine)
            if self._session.call("pg_try_advisory_lock", name):
                self._held.add(name)
                return _ServerClaim(self, name)
            self._close_idle()
            return None

    def give_up(self, name: str) -> None:
        """Releases a claim."""
        with self._lock:
            if name not in self._held or self._session is None:
                return
            self._held.remove(name)
            self._session.unlock(name)
            self._close_idle()

    def _close_idle(self) -> None:
        if self._session is not None and not self._held:
            self._session.close()
            self._session = None

    def verify(self, connection: Connection) -> None:
        with self._lock:
            if self._session is None or not self._held:
                return
            granted = {row.key for row in connection.execute(_LOCKS, {"pid": self._session.pid})}
            lost = sorted(name for name in self._held if _key(name) not in granted)
        if lost:
            raise LedgerError(
                f"the connection that held the claim of {', '.join(lost)} was lost, and another may work there by now; "
                "sync again"
            )

    def _wait(self, name: str) -> Claim:
        with readable(self._engine):
            session = _Session(self._engine)
            session.call("pg_advisory_lock", name)
        return _Waited(session, name)


class _Waited(Claim):
    def __init__(self, session: _Session, name: str) -> None:
        self._session: _Session | None = session
        self._name = name

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.unlock(self._name)
            session.close()


def claims_for(engine: Engine) -> Claims:
    """The kind of claims that a ledger's database supports."""
    if engine.dialect.name == "sqlite":
        return FileClaims(Path(str(engine.url.database)).parent / "locks")
    return ServerClaims(engine)


def _key(name: str) -> int:
    digest = hashlib.blake2b(f"meter_pipeline:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
