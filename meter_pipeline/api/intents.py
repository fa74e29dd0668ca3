"""Notes each create before it is sent.

The API's creates are not idempotent: the same call made twice creates two resources, and a time-out leaves unknown
whether the first call succeeded. So the intent is noted first, with the resources that existed. After an ambiguous
failure or a crash, a resource that matches and did not exist before is the created one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol


@dataclass(frozen=True)
class Intent:
    """A create that was started.

    Attributes:
        intent_id: Unique; also the `Idempotency-Key` where the API accepts one.
        kind: What is created: job, batch, execute, schedule or strategy.
        fingerprint: Equal for equal requests.
        before: Ids of resources that existed before.
        reused: Whether an earlier call left it open.
    """

    intent_id: str
    kind: str
    fingerprint: str
    before: tuple[str, ...]
    reused: bool = False


class IntentLog(Protocol):
    """Stores intents; the ledger's implementation outlives the process."""

    def open(self, kind: str, fingerprint: str, before: Sequence[str]) -> Intent:
        """Notes an intent, or returns the unresolved one with the same fingerprint."""

    def resolve(self, intent_id: str, resource_id: str | None) -> None:
        """Closes an intent, with the id of the created resource, or None if certainly nothing was created."""


class MemoryIntents:
    """Intents of this process only. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Intent] = {}

    def open(self, kind: str, fingerprint: str, before: Sequence[str]) -> Intent:
        """Notes an intent, or returns the unresolved one with the same fingerprint."""
        with self._lock:
            found = self._open.get((kind, fingerprint))
            if found is not None:
                return replace(found, reused=True)
            intent = Intent(str(uuid.uuid4()), kind, fingerprint, tuple(before))
            self._open[kind, fingerprint] = intent
            return intent

    def resolve(self, intent_id: str, resource_id: str | None) -> None:
        """Closes an intent."""
        with self._lock:
            self._open = {key: intent for key, intent in self._open.items() if intent.intent_id != intent_id}


def fingerprint_of(payload: Mapping[str, Any]) -> str:
    """A digest that is equal for equal requests; secrets do not enter it."""
    public = {key: value for key, value in payload.items() if key != "webhook_secret"}
    return hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
