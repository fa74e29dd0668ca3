"""Creates each resource at most once, over an API whose creates are not idempotent.

A create notes its intent, posts, and notes the outcome. If that is unknown (a time-out, a reset, a 5xx other than 503),
it searches for the resource before it posts again. If the search fails too, the intent stays open and an error says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from meter_pipeline.api.decoding import object_of
from meter_pipeline.api.errors import MeterAmbiguous, MeterConnectionError, MeterError
from meter_pipeline.api.intents import Intent, IntentLog, fingerprint_of
from meter_pipeline.api.retries import Deadline, never, transient
from meter_pipeline.api.transport import Request, Transport

T = TypeVar("T")

# A server that did not answer may still be writing: search again after each of these pauses (seconds).
_PAUSES = (0.0, 1.0, 3.0)

log = logging.getLogger("meter_pipeline.api")


@dataclass(frozen=True)
class Creation(Generic[T]):
    """One kind of create.

    Attributes:
        kind: What is created.
        path: Where it is posted.
        payload: What is posted.
        existing: Returns the ids of resources that could be mistaken for the new one.
        find: Finds the created resource, given the ids that existed before; None if there is none.
        parse: The record of the answer.
        identify: The record's id.
        keyed: Whether to send an `Idempotency-Key`.
        slow: Whether the server may work for minutes, so that a missing resource proves nothing after a time-out.
        read_timeout: Seconds to wait for the answer; None for the client's setting.
    """

    kind: str
    path: str
    payload: Mapping[str, Any]
    existing: Callable[[], Sequence[str]]
    find: Callable[[frozenset[str]], T | None]
    parse: Callable[[Mapping[str, Any]], T]
    identify: Callable[[T], str]
    keyed: bool = False
    slow: bool = False
    read_timeout: float | None = None


def create(transport: Transport, intents: IntentLog, creation: Creation[T]) -> T:
    """Creates a resource, at most once.

    Raises:
        MeterAmbiguous: Whether it was created is unknown; the intent stays open.
        MeterError: The create was refused, or never reached the server.
    """
    deadline = Deadline(max(transport.deadline, 2 * (creation.read_timeout or 0)))
    intent = intents.open(
        creation.kind, fingerprint_of({"path": creation.path, **creation.payload}), creation.existing()
    )
    if intent.reused:
        found = _find_made(transport, creation, intent, (0.0,))
        if found is not None:
            return _resolved(intents, intent, creation, found)

    def attempt() -> T:
        failure = None
        try:
            return transport.attempt(request, lambda content: creation.parse(object_of(content)), deadline)
        except MeterError as error:
            failure = error
        if failure.ambiguous or failure.status == 408:
            found = _find_made(transport, creation, intent, _PAUSES)
            if found is not None:
                return found
            if creation.slow and _may_still_run(failure):
                raise _ambiguous(creation, failure)
        raise failure

    headers = {"Idempotency-Key": intent.intent_id} if creation.keyed else {}
    request = Request(
        "POST",
        creation.path,
        payload=creation.payload,
        headers=headers,
        again=never,
        read_timeout=creation.read_timeout,
    )
    failure: MeterError
    try:
        made = transport.retries.run(attempt, _again(creation), deadline)
        return _resolved(intents, intent, creation, made)
    except MeterError as error:
        failure = error
    if not failure.ambiguous:
        intents.resolve(intent.intent_id, None)
    elif not isinstance(failure, MeterAmbiguous):
        failure = _ambiguous(creation, failure)
    raise failure


def _again(creation: Creation[T]) -> Callable[[BaseException], bool]:
    """Whether to post again. After an ambiguous failure `attempt` has searched: a transient error means not created."""

    def again(error: BaseException) -> bool:
        if isinstance(error, MeterAmbiguous):
            return False
        running = creation.keyed and isinstance(error, MeterError) and error.status == 409
        return running or transient(error)

    return again


def _may_still_run(failure: MeterError) -> bool:
    timed_out = isinstance(failure, MeterConnectionError) and failure.timed_out
    return timed_out or failure.status in (408, 504)


def _find_made(transport: Transport, creation: Creation[T], intent: Intent, pauses: Sequence[float]) -> T | None:
    failure: MeterError | None = None
    try:
        for pause in pauses:
            transport.waiting.sleep(pause)
            found = creation.find(frozenset(intent.before))
            if found is not None:
                log.info("%s: an earlier attempt had succeeded (%s)", creation.kind, creation.identify(found))
                return found
    except MeterError as error:
        failure = error
    if failure is not None:
        raise _ambiguous(creation, failure)
    return None


def _resolved(intents: IntentLog, intent: Intent, creation: Creation[T], made: T) -> T:
    intents.resolve(intent.intent_id, creation.identify(made))
    return made


def _ambiguous(creation: Creation[T], failure: MeterError) -> MeterAmbiguous:
    reason = f"{failure.status} {failure.detail}" if failure.status is not None else failure.detail
    return MeterAmbiguous(
        f"it is not known whether the {creation.kind} was created: {reason}", method="POST", path=creation.path
    )
