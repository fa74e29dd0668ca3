"""Requests and replies as the endpoints see them, and the checks on what a client sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson

from meter_pipeline.sandbox.clock import is_cron
from meter_pipeline.sandbox.records import Job, Schedule, Strategy
from meter_pipeline.sandbox.world import World

Headers = list[tuple[bytes, bytes]]
Thing = TypeVar("Thing", Strategy, Schedule, Job)

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str, headers: Headers | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or []


@dataclass(slots=True)
class Request:
    """A call of the API. `steps` are the parts of its path, `names` those that stand for a star of the route."""

    world: World
    method: str
    path: str
    query_text: str
    raw_headers: Headers
    payload: bytes
    steps: list[str]
    dialect: str = "api"
    names: list[str] = field(default_factory=list)
    marked: tuple[str, ...] | None = None

    def header(self, name: bytes) -> str | None:
        """The value of a header, or None; `name` is in lower case."""
        for key, value in self.raw_headers:
            if key == name:
                return value.decode("latin-1")
        return None

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of equal names the last counts."""
        return dict(parse_qsl(self.query_text, keep_blank_values=True)) if self.query_text else {}

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; refuses any other body with 400."""
        if not (self.header(b"content-type") or "").startswith("application/json"):
            raise Refusal(400, "Content-Type must be application/json")
        try:
            value = json.loads(self.payload)
        except ValueError:
            raise Refusal(400, "The body is not valid JSON") from None
        if not isinstance(value, dict):
            raise Refusal(400, "The body must be a JSON object")
        return value

    def strategy(self, strategy_id: str) -> Strategy:
        """The strategy with this id."""
        return find(self.world.strategies, strategy_id, "Strategy")

    def schedule(self, schedule_id: str) -> Schedule:
        """The schedule with this id."""
        return find(self.world.schedules, schedule_id, "Schedule")

    def job(self, job_id: str) -> Job:
        """The job with this id."""
        return find(self.world.jobs_by_id, job_id, "Job")


@dataclass(slots=True)
class Reply:
    """An answer. `cut` closes the connection: `drop` before the first byte, `truncate` after half of the body.

    A `stream` is sent in place of the body, until the client closes the connection.
    """

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)
    delay: float = 0.0  # seconds
    cut: str | None = None
    stream: Iterator[bytes] | None = None
    media_type: bytes = b"application/json"


def json_reply(value: Any, status: int = 200, headers: Headers | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(value), headers or [])


def find(found: dict[str, Thing], wanted: str, noun: str) -> Thing:
    """Find a record by its id; refuses an unknown id with 404 and what is not a UUID with 400."""
    thing = found.get(wanted)
    if thing is None:
        if not _UUID.fullmatch(wanted):
            raise Refusal(400, f"Invalid {noun.lower()} id")
        raise Refusal(404, f"{noun} not found")
    return thing


def read_text(body: dict[str, Any], key: str, *, required: bool = False, empty: bool = False) -> str | None:
    """A text of the body, or None."""
    value = body.get(key)
    if value is None:
        if required:
            raise Refusal(400, f"Field required: {key}")
        return None
    if not isinstance(value, str):
        raise Refusal(400, f"{key} must be a string")
    if required and not empty and not value.strip():
        raise Refusal(400, f"{key} must not be empty")
    return value


def require_text(body: dict[str, Any], key: str) -> str:
    """A text of the body; refuses a body without it."""
    return read_text(body, key, required=True) or ""


def read_object(body: dict[str, Any], key: str) -> dict[str, Any] | None:
    """An object of the body, or None."""
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise Refusal(400, f"{key} must be an object")
    return value


def read_integer(body: dict[str, Any], key: str) -> int | None:
    """A whole number of the body, or None."""
    value = body.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refusal(400, f"{key} must be an integer")
    return value


def check_url(value: str, key: str = "url") -> str:
    """The URL itself; refuses what is not an http(s) URL with 422."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Refusal(422, f"{key} must be a valid http(s) URL")
    return value


def read_urls(body: dict[str, Any], *, required: bool = True) -> tuple[str | None, list[str] | None]:
    """`url` or `urls`, exactly one of them."""
    url, urls = read_text(body, "url"), body.get("urls")
    if urls is not None and (not isinstance(urls, list) or not urls or not all(isinstance(u, str) for u in urls)):
        raise Refusal(400, "urls must be a non-empty array of strings")
    if (url and urls) or (required and not url and not urls):
        raise Refusal(400, "Provide exactly one of url and urls")
    return (check_url(url) if url else None), ([check_url(item, "urls") for item in urls] if urls else None)


def read_rhythm(body: dict[str, Any], *, required: bool = True) -> tuple[int | None, str | None]:
    """`interval_seconds` or `cron_expression`, exactly one of them."""
    interval, cron = read_integer(body, "interval_seconds"), read_text(body, "cron_expression")
    if (interval is not None and cron) or (required and interval is None and not cron):
        raise Refusal(400, "Provide exactly one of interval_seconds and cron_expression")
    if interval is not None and interval < 60:
        raise Refusal(400, "interval_seconds must be at least 60")
    if cron and not is_cron(cron):
        raise Refusal(422, "cron_expression is not a cron expression of five fields")
    return interval, cron or None


def read_boolean(query: dict[str, str], key: str, default: bool) -> bool:
    """A boolean of the query."""
    value = query.get(key)
    if value is None:
        return default
    if value.lower() in ("true", "1"):
        return True
    if value.lower() in ("false", "0"):
        return False
    raise Refusal(422, f"{key} must be true or false")


def read_page(query: dict[str, str], highest: int, default: int = 20) -> tuple[int, int]:
    """`limit` and `offset`; a `limit` above `highest` is lowered without a message."""
    try:
        limit, offset = int(query.get("limit", default)), int(query.get("offset", 0))
    except ValueError:
        raise Refusal(422, "limit and offset must be integers") from None
    if limit < 1 or offset < 0:
        raise Refusal(422, "limit must be at least 1 and offset at least 0")
    return min(limit, highest), offset


def list_reply(request: Request, rows: list[bytes], plural: str) -> Reply:
    """A list of JSON texts: a bare array, or inside the envelope that the switch chooses."""
    body = b"[" + b",".join(rows) + b"]"
    envelope = request.world.faults.envelope
    if envelope:
        body = b'{"%s":%s}' % ((plural if envelope == "plural" else envelope).encode(), body)
    return Reply(200, body)
