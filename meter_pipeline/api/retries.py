"""When to retry a request, how long to wait before that, and how to stay below the server's limits.

The retry library is tenacity: exponential back-off with full jitter, or the server's `Retry-After` or
`X-RateLimit-Reset` if it sends one (60 s at most), and no attempt past the call's deadline. `set_wait_scale(0)` turns
waiting off for the process, `MeterClient(wait_scale=0)` for one client.
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
# Seconds from which a wait is worth a line.
_LONG_WAIT = 10.0
_BACK_OFF = tenacity.wait_random_exponential(multiplier=0.5, max=30.0)
# Smaller values of X-RateLimit-Reset are seconds from now, not Unix time.
_EPOCH = 10_000_000.0

log = logging.getLogger("meter_pipeline.api")
log.addFilter(PrintableLog())

_wait_scale = 1.0


def set_wait_scale(scale: float) -> None:
    """Scales every wait of every client in this process: 0 in tests, 1 (the default) otherwise."""
    global _wait_scale
    _wait_scale = scale


class Waiting:
    """Sleeps for a client, for a fraction of each wait.

    Args:
        scale: The fraction; None follows `set_wait_scale`.
    """

    def __init__(self, scale: float | None = None) -> None:
        self._scale = scale

    def scaled(self, seconds: float) -> float:
        """The seconds to sleep for a wait of `seconds`."""
        return seconds * (_wait_scale if self._scale is None else self._scale)

    def sleep(self, seconds: float) -> None:
        """Sleeps for a wait of `seconds`, scaled."""
        time.sleep(self.scaled(seconds))


class Deadline:
    """The time limit of one call, including all its attempts and waits."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self._end - time.monotonic()


class Pace:
    """Limits the rate of requests; all threads of a client share one.

    Args:
        per_second: Most requests per second; None for no limit on this side.
        waiting: Sleeps until a request's turn.
    """

    def __init__(self, per_second: float | None, waiting: Waiting) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._waiting = waiting
        self._lock = threading.Lock()
        self._next = 0.0
        self._held_until = 0.0

    def wait(self) -> None:
        """Waits until this request may be sent."""
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
        """Reads a response's rate limit headers: with no request remaining, all threads wait for the reset."""
        if headers.get("X-RateLimit-Remaining", "").strip() != "0":
            return
        wait = _until_reset(headers)
        if wait:
            with self._lock:
                self._held_until = max(self._held_until, time.monotonic() + self._waiting.scaled(wait))


def requested_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `Retry-After` (seconds or a date), else `X-RateLimit-Reset`; else None."""
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
    """A header's number; None for `nan` too, since a wait for that time would never end."""
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
    """Whether the same request may succeed when it is retried."""
    if isinstance(error, (MeterConnectionError, MeterBadResponse)):
        return not error.permanent
    if isinstance(error, (MeterRateLimited, MeterServerError)):
        return True
    return isinstance(error, MeterError) and error.status == 408


def not_done(error: BaseException) -> bool:
    """Whether the request was certainly not carried out, and may succeed when it is retried."""
    return transient(error) and isinstance(error, MeterError) and not error.ambiguous


def never(error: BaseException) -> bool:
    """Retries after no error."""
    return False


class Retries:
    """A client's retry policy.

    Args:
        attempts: Most attempts of one call.
        waiting: Sleeps between attempts.
    """

    def __init__(self, attempts: int, waiting: Waiting) -> None:
        self._attempts = attempts
        self._waiting = waiting

    def run(self, attempt: Callable[[], T], again: Callable[[BaseException], bool], deadline: Deadline) -> T:
        """Calls `attempt` until it succeeds, fails with an error for which `again` is false, or `deadline` is near.

        Raises:
            MeterError: The last attempt's error; its `attempts` is the number of attempts.
        """
        try:
            return attempt()
        except MeterError as error:
            first = error
        # Most calls end above and are spared tenacity's cost.
        left = iter((first,))
        retrying = self._policy(again, deadline)

        def next_attempt() -> T:
            for error in left:
                raise error
            return attempt()

        try:
            return retrying(next_attempt)
        except MeterError as error:
            error.attempts = retrying.statistics.get("attempt_number", 1)
            raise

    def _policy(self, again: Callable[[BaseException], bool], deadline: Deadline) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            wait=self._wait,
            stop=lambda state: state.attempt_number >= self._attempts or state.upcoming_sleep >= deadline.left,
            sleep=time.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, MeterError) else None
        if asked is not None:
            # Never sooner than the server asks, and with jitter, so that clients do not return all at once.
            return self._waiting.scaled(min(asked + random.uniform(0, 0.1 * asked), LONGEST_WAIT))  # noqa: S311
        return self._waiting.scaled(_BACK_OFF(state))


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, MeterError):
        log.log(
            # Only the server can ask for a pause of this length, and a person who waits wants to know of it.
            logging.WARNING if state.upcoming_sleep >= _LONG_WAIT else logging.INFO,
            "%s %s: %s; trying again in %.1f s (attempt %d)",
            error.method,
            error.path,
            error.status or error.detail,
            state.upcoming_sleep,
            state.attempt_number + 1,
        )
