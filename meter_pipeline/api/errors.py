"""One error class per cause, each with what happened, where, and what to do about it.

A message is a single line: method and path (never the query), what came back, and a hint. The API key is scrubbed from
every text before it gets here (`transport.py`).
"""

from __future__ import annotations

from meter_pipeline.errors import MeterPipelineError


class MeterError(MeterPipelineError):
    """A call to the Meter API failed.

    Attributes:
        status: HTTP status of the answer, `None` when there was none.
        method: HTTP method of the request, empty when no request was made.
        path: Path of the request without its query.
        detail: The server's explanation, or what is wrong with its answer.
        hint: What to do about it, empty if nothing can be done.
        attempts: How often the request was made before this error was raised.
        retry_after: Seconds the server asked to wait; None if it did not ask.
        ambiguous: Whether a request that changes something may have been carried out in spite of the error.
    """

    hint = ""
    ambiguous = False

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        method: str = "",
        path: str = "",
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.method = method
        self.path = path
        self.retry_after = retry_after
        self.attempts = 1
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        where = f"{self.method} {self.path}".strip()
        answer = f"answered {self.status}: {self.detail}" if self.status is not None else self.detail
        tried = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        hint = f"; {self.hint}" if self.hint else ""
        joint = " " if self.status is not None else ": "
        return f"{where}{joint}{answer}{tried}{hint}" if where else f"{self.detail}{tried}{hint}"


class MeterConfigError(MeterError):
    """A setting of the client cannot be used; no request was made."""


class MeterAuthError(MeterError):
    """401: the key is missing, unknown or deleted. Permanent until the key is changed."""

    hint = "check METER_API_KEY"


class MeterForbidden(MeterError):
    """403: the key is valid, but the resource is not yours or the strategy quota is used up."""

    hint = "the resource belongs to another account, or the strategy quota is used up"


class MeterNotFound(MeterError):
    """404: no such resource."""


class MeterBadRequest(MeterError):
    """400 or 422: the request itself is at fault; retrying changes nothing."""


class MeterConflict(MeterError):
    """409: the same `Idempotency-Key` is still being worked on."""

    hint = "the same request is still running; try again later"


class MeterRateLimited(MeterError):
    """429 at the last attempt, after waiting as long as the server asked."""

    hint = "set METER_MAX_REQUESTS_PER_SECOND or try again later"


class MeterServerError(MeterError):
    """5xx: the fault is on the server's side."""

    hint = "the service is in trouble; try again later"

    @property
    def ambiguous(self) -> bool:  # type: ignore[override]
        """503 means that nothing was done; any other 5xx leaves that unknown."""
        return self.status != 503


class MeterConnectionError(MeterError):
    """No answer: refused, reset, timed out, cut short, or past the deadline.

    Attributes:
        sent: Whether the request may have reached the server.
        timed_out: Whether the server was too slow, so that it may still be working.
        permanent: Whether retrying is pointless (a host name that does not exist, a certificate that is not accepted).
    """

    hint = "check METER_BASE_URL and the network"

    def __init__(
        self,
        detail: str,
        *,
        method: str = "",
        path: str = "",
        hint: str | None = None,
        sent: bool = True,
        timed_out: bool = False,
        permanent: bool = False,
    ) -> None:
        super().__init__(detail, method=method, path=path, hint=hint)
        self.sent = sent
        self.timed_out = timed_out
        self.permanent = permanent

    @property
    def ambiguous(self) -> bool:  # type: ignore[override]
        """Only a request that was sent can have been carried out."""
        return self.sent


class MeterBadResponse(MeterError):
    """A 2xx answer that is not valid JSON, or not the record that Meter documents.

    Attributes:
        body: What was received at the last attempt, at most 1 MB of it.
        cut: Whether it seems to be cut off rather than wrong.
        permanent: Whether retrying at once is pointless.
    """

    hint = "check METER_BASE_URL, or a proxy in between"
    ambiguous = True
    permanent = False

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        method: str = "",
        path: str = "",
        hint: str | None = None,
        body: bytes = b"",
        cut: bool = False,
    ) -> None:
        super().__init__(detail, status=status, method=method, path=path, hint=hint)
        self.body = body
        self.cut = cut


class MeterWrongResource(MeterBadResponse):
    """A 2xx answer about another resource than the requested one: never used as data."""

    hint = "a cache or proxy in between mixes answers up; check METER_BASE_URL"


class MeterTooLarge(MeterBadResponse):
    """A 2xx answer larger than a bound or than the free space on the disk; or a listing that does not end."""

    permanent = True


class MeterAmbiguous(MeterError):
    """A create whose outcome is unknown: it may or may not have been carried out.

    The intent stays open, so that the same call made again searches for the resource before it creates one.
    """

    hint = "make the same call again later: it searches for the resource before creating one"
    ambiguous = True


_BY_STATUS: dict[int, type[MeterError]] = {
    400: MeterBadRequest,
    401: MeterAuthError,
    403: MeterForbidden,
    404: MeterNotFound,
    409: MeterConflict,
    422: MeterBadRequest,
    429: MeterRateLimited,
}


def for_status(status: int) -> type[MeterError]:
    """The error class of an HTTP status that is not 2xx."""
    if status >= 500:
        return MeterServerError
    return _BY_STATUS.get(status, MeterError)
