"""Claims: who works on a strategy holds it alone. They vanish with the process, so there is no lease to expire."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text


class Claims(ABC):
    """Claims by name; a name is a strategy's slug, or what else there is to be done by one alone."""

    @abstractmethod
    def try_claim(self, name: str) -> Claim | None:
        """The claim, or `None` when another holds it."""

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Holds the claim while the block runs, waiting for it as long as it takes."""
        claim = self._wait(name)
        try:
            yield
        finally:
            claim.release()

    @abstractmethod
    def _wait(self, name: str) -> Claim: ...


class Claim(ABC):
    """A claim that is held."""

    @abstractmethod
    def release(self) -> None:
        """Lets it go; once is enough, more does no harm."""


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
    def __init__(self, engine: Engine, key: int, *, wait: bool) -> None:
        # A connection of its own for as long as the claim is held: the lock lives and dies with it.
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._key = key
        call = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        self.held = self._connection.execute(text(f"SELECT {call}(:key)"), {"key": key}).scalar() is not False
        if not self.held:
            self._connection.close()

    def release(self) -> None:
        if self.held:
            self.held = False
            self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            self._connection.close()


class ServerClaims(Claims):
    """PostgreSQL advisory locks, for syncs on several machines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def try_claim(self, name: str) -> Claim | None:
        claim = _ServerClaim(self._engine, _key(name), wait=False)
        return claim if claim.held else None

    def _wait(self, name: str) -> Claim:
        return _ServerClaim(self._engine, _key(name), wait=True)


def claims_for(engine: Engine) -> Claims:
    """The claims that go with a ledger's database."""
    if engine.dialect.name == "sqlite":
        return FileClaims(Path(str(engine.url.database)).parent / "locks")
    return ServerClaims(engine)


def _key(name: str) -> int:
    digest = hashlib.blake2b(f"meter_pipeline:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
