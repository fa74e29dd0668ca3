"""Paths in the server's dialect, which one request finds out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from meter_pipeline.api.decoding import rows
from meter_pipeline.api.dialect import API, V1, Dialect, Form
from meter_pipeline.api.errors import MeterBadRequest, MeterBadResponse, MeterError, MeterNotFound
from meter_pipeline.api.failures import UNKNOWN_ROUTE
from meter_pipeline.api.retries import transient
from meter_pipeline.api.spool import Content
from meter_pipeline.api.transport import Request, Transport

T = TypeVar("T")

# Characters of an escaped id; servers accept paths of a few thousand characters.
_LONGEST_STEP = 2_000

log = logging.getLogger("meter_pipeline.api")


class Routes:
    """Sends requests through a transport, in the dialect of its server. Thread-safe.

    Args:
        transport: The connections to the server.
        dialect: The dialect; None to find out.
    """

    def __init__(self, transport: Transport, dialect: Dialect | None) -> None:
        self.transport = transport
        self._dialect = dialect
        self._probed = False
        self._lock = threading.Lock()
        self._known: dict[tuple[Form, ...], Form] = {}

    def probe(self) -> Dialect:
        """Returns the dialect, after the server has answered a request in it.

        Raises:
            MeterError: It cannot be reached, does not accept the key, or is not a Meter server.
        """
        with self._lock:
            if not self._probed:
                self._dialect = self._find_dialect()
                self._probed = True
                log.info("the API at %s uses %s", self.transport.base_url, self._dialect.prefix)
            return self._dialect or API

    @property
    def dialect(self) -> Dialect:
        """The dialect; found out by a request unless it is known."""
        return self._dialect or self.probe()

    def path(self, *steps: str) -> str:
        """A path under the prefix; every step is escaped.

        Raises:
            MeterBadRequest: A step cannot be part of a path, whatever the server.
        """
        return self.dialect.prefix + "".join(f"/{_escaped(step)}" for step in steps)

    def ask(self, method: str, *steps: str, parse: Callable[[Content], T], **about: Any) -> T:
        """Requests a path and parses the answer; `about` as in `Request`."""
        return self.transport.call(Request(method, self.path(*steps), **about), parse)

    def ask_any(
        self, forms: Sequence[Form], names: Mapping[str, str], parse: Callable[[Content], T], *, page: bool = False
    ) -> T:
        """Sends the first form that the server knows, and remembers which that was; `page` as in `Request`.

        Raises:
            MeterNotFound: The resource exists in no form.
        """
        key = tuple(forms)
        known = self._known.get(key)
        refusals: list[MeterError] = []
        for form in (known,) if known is not None else key:
            try:
                answer = self._ask_form(form, names, parse, page)
            except MeterError as error:
                if error.status not in (404, 405) and not (form.in_body and error.status in (400, 422)):
                    raise
                refusals.append(error)
                continue
            self._known[key] = form
            return answer
        raise _most_specific(refusals)

    def _ask_form(self, form: Form, names: Mapping[str, str], parse: Callable[[Content], T], page: bool) -> T:
        path = self.dialect.prefix
        for step in form.path.strip("/").split("/"):
            literal = not step.startswith("{")
            path += f"/{step}" if literal else self.path(names[step[1:-1]]).removeprefix(self.dialect.prefix)
        payload = {name: names[name] for name in form.in_body} or None
        return self.transport.call(Request(form.method, path, payload=payload, page=page), parse)

    def _find_dialect(self) -> Dialect:
        refusals = []
        for dialect in (self._dialect,) if self._dialect is not None else (V1, API):
            request = Request(
                "GET", f"{dialect.prefix}/strategies", query={"limit": 1}, again=_transient_probe, page=True
            )
            try:
                self.transport.call(request, lambda content: rows(content, "strategies", dict))
            except MeterError as error:
                page_instead = isinstance(error, MeterBadResponse) and not error.cut
                if error.status not in (404, 405, 410) and not page_instead:
                    raise
                refusals.append(error)
                continue
            return dialect
        if len(refusals) == 1 or any(isinstance(error, MeterBadResponse) for error in refusals):
            raise refusals[-1]
        raise MeterNotFound(
            "neither /v1 nor /api is known there",
            status=404,
            method="GET",
            path="/strategies",
            hint="check METER_BASE_URL",
        )


def _escaped(step: str) -> str:
    """An id as one step of a path."""
    try:
        text = quote(step, safe="")
    except UnicodeEncodeError:
        text = ""
    # Servers and proxies resolve dots before they match the path, and close the connection on a path that is too long.
    if text in ("", ".", "..") or len(text) > _LONGEST_STEP:
        shown = ascii(step[:40]) + ("…" if len(step) > 40 else "")
        raise MeterBadRequest(f"{shown} is not a valid identifier", hint="use the id as Meter shows it")
    return text


def _transient_probe(error: BaseException) -> bool:
    """Whether to retry a probe; not after a web page in place of JSON, which shows that the prefix is wrong."""
    return transient(error) and not (isinstance(error, MeterBadResponse) and not error.cut)


def _most_specific(refusals: Sequence[MeterError]) -> MeterError:
    """The refusal that is about the resource, not about the route; else the first 404."""
    for error in refusals:
        if isinstance(error, MeterNotFound) and error.hint != UNKNOWN_ROUTE:
            return error
    return next((error for error in refusals if error.status == 404), refusals[0])
