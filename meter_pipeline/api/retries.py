"""When a request is made again, how long to wait before, and how to stay below the server's limits.

The retry library is tenacity: full jitter, the server's `Retry-After` or `X-RateLimit-Reset` instead when it names one
(never more than 60 s), no attempt past the call's deadline. Tests do not want to wait: `set_wait_scale(0)` for the
process, or `MeterClient(wait_scale=0)` for one client.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from meter_pipeline.api.errors import (
    MeterBadResponse,
    MeterConnectionError,
    MeterError,
    MeterRateLimited,
    MeterServerError,
)
from meter_pipeline.text.printable import PrintableLog

T = TypeVar("T")

LONGEST_WAIT = 60.0
_FIRST_WAIT = 0.5
_LONGEST_BACKOFF = 30.0
# Smaller values of X-RateLimit-Reset are seconds from now, not Unix time.
_EPOCH = 10_000_000.0

log = logging.getLogger("meter_pipeline.api")
log.addFilter(PrintableLog())

_wait_scale = 1.0


def set_wait_scale(scale: float) -> None:
    """Scales every wait of every client in this process: 0 for tests, 1 (the default) for real life."""
    global _wait_scale
    _wait_scale = scale


class Waiting:
    """How long this client really sleeps when it should wait.

    Args:
        scale: Fraction of each wait that is slept; `None` follows `set_wait_scale`.
    """

    def __init__(self, scale: float | None = None) -> None:
        self._scale = scale

    def scaled(self, seconds: float) -> float:
        """The seconds to sleep for a wait of `seconds`."""
        return seconds * (_wait_scale if self._scale is None else self._scale)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(self.scaled(seconds))


class Deadline:
    """The time a call may take, all its attempts and waits together."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, negative when it has passed."""
        return self._end - time.monotonic()


class Pace:
    """Holds requests back before the server has to: shared by all threads of a client.

    Args:
        per_second: Most requests in a second, `None` for no bound of ours.
        waiting: How waits are slept.
    """

    def __init__(self, per_second: float | None, waiting: Waiting) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._waiting = waiting
        self._lock = threading.Lock()
        self._next = 0.0
        self._held_until = 0.0

    def wait(self) -> None:
        """Waits for this request's turn."""
        if not self._interval and not self._held_until:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next, self._held_until)
            if self._held_until <= now:
                self._held_until = 0.0
            self._next = turn + self._interval
        if turn > now:
            self._waiting.sleep(turn - now)

    def note(self, headers: Mapping[str, str]) -> None:
        """Reads a response's rate limit headers: with nothing remaining, everyone waits for the reset."""
        if headers.get("X-RateLimit-Remaining", "").strip() != "0":
            return
        wait = _until_reset(headers)
        if wait:
            with self._lock:
                self._held_until = max(self._held_until, time.monotonic() + self._waiting.scaled(wait))


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: `Retry-After` (seconds or a date), else `X-RateLimit-Reset`."""
    text = headers.get("Retry-After", "").strip()
    if text:
        if (seconds := _number(text)) is not None:
            return min(max(seconds, 0.0), LONGEST_WAIT)
        try:
            return min(max(parsedate_to_datetime(text).timestamp() - _server_time(headers), 0.0), LONGEST_WAIT)
        except (ValueError, TypeError, OverflowError):
            pass
    return _until_reset(headers)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    reset = _number(headers.get("X-RateLimit-Reset", ""))
    if reset is None:
        return None
    wait = reset - _server_time(headers) if reset >= _EPOCH else reset
    return min(max(wait, 0.0), LONGEST_WAIT)


def _number(text: str) -> float | None:
    """A header's number; `nan` is none, and a time of that would be waited for for ever."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _server_time(headers: Mapping[str, str]) -> float:
    """The server's own clock, so that a difference between the clocks does not matter."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError):
        return time.time()


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed when it is made again."""
    if isinstance(error, (MeterConnectionError, MeterBadResponse)):
        return not error.permanent
    if isinstance(error, (MeterRateLimited, MeterServerError)):
        return True
    return isinstance(error, MeterError) and error.status == 408


def not_done(error: BaseException) -> bool:
    """Whether it is certain that the request was not carried out, and may be once it is made again."""
    return transient(error) and isinstance(error, MeterError) and not error.ambiguous


def never(error: BaseException) -> bool:
    """No second attempt, whatever happened."""
    return False


class Retries:
    """A client's retry policy.

    Args:
        attempts: Most attempts of one call.
        waiting: How waits are slept.
    """

    def __init__(self, attempts: int, waiting: Waiting) -> None:
        self._attempts = attempts
        self._waiting = waiting

    def run(self, attempt: Callable[[], T], again: Callable[[BaseException], bool], deadline: Deadline) -> T:
        """Calls `attempt` until it works, fails with an error of which `again` is false, or `deadline` is near.

        Raises:
            MeterError: The last attempt's error; `attempts` says how many there were.
        """
        try:
            return attempt()
        except MeterError as error:
            first = error
        # Most calls end here above, and never need the machinery.
        left = iter((first,))
        retrying = self._of(again, deadline)

        def next_attempt() -> T:
            for error in left:
                raise error
            return attempt()

        try:
            return retrying(next_attempt)
        except MeterError as error:
            error.attempts = retrying.statistics.get("attempt_number", 1)
            raise

    def _of(self, again: Callable[[BaseException], bool], deadline: Deadline) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            wait=self._wait,
            stop=lambda state: state.attempt_number >= self._attempts or state.upcoming_sleep >= deadline.left,
            sleep=time.sleep,
            before_sleep=_tell,
            reraise=True,
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, MeterError) else None
        if asked is not None:
            # Nobody is served sooner than asked, and not everybody comes back in the same instant.
            return self._waiting.scaled(min(asked + random.uniform(0, 0.1 * asked), LONGEST_WAIT))  # noqa: S311
        ceiling = min(_LONGEST_BACKOFF, _FIRST_WAIT * 2 ** (state.attempt_number - 1))
        return self._waiting.scaled(random.uniform(0, ceiling))  # noqa: S311


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, MeterError):
        log.info(
            "%s %s: %s; trying again in %.1f s (attempt %d)",
            error.method,
            error.path,
            error.status or error.detail,
            state.upcoming_sleep,
            state.attempt_number + 1,
        )
