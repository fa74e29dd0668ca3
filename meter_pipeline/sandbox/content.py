"""The content of a scrape: items as JSON text, and the pages that produce them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson

#: orjson reads longer integers as floats; such items are compared by their text.
_LONG_NUMBER = re.compile(rb"\d{17}")
_FIELD_SAMPLE = 50


@dataclass(frozen=True, slots=True)
class Content:
    """The outcome of one scrape.

    `items` are the JSON texts of the rows; `results` is the JSON text served, or None for the plain array of the
    items; `count` is the item count that the API reports, or None for the true count.
    """

    items: Sequence[bytes]
    results: bytes | None = None
    count: int | None = None

    @property
    def text(self) -> bytes:
        """`results` as JSON text."""
        return self.results if self.results is not None else b"[" + b",".join(self.items) + b"]"

    @property
    def item_count(self) -> int:
        """The item count that the API reports."""
        return self.count if self.count is not None else len(self.items)

    @property
    def content_hash(self) -> str:
        """32 hex digits over the canonical items: the order of keys makes no difference."""
        digest = hashlib.md5(usedforsecurity=False)
        for item in self.items:
            digest.update(canonicalize(item))
            digest.update(b"\n")
        if self.results is not None and not self.items:
            digest.update(self.results)
        return digest.hexdigest()

    @property
    def signature(self) -> dict[str, Any]:
        """The shape: which fields the first rows have, and how many rows there are."""
        fields: set[str] = set()
        for item in self.items[:_FIELD_SAMPLE]:
            value = read_json(item)
            if isinstance(value, dict):
                fields.update(value)
        return {"fields": sorted(field.encode("utf-8", "replace").decode() for field in fields),
                "count": len(self.items)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit of a page: where, when (seconds since 1970) and with which parameters."""

    url: str
    at: float
    parameters: dict[str, Any] | None = None


class Page(Protocol):
    """A web page as a strategy sees it, the same for the same visit."""

    def error(self, visit: Visit) -> str | None:
        """Why the scrape fails, or None; must be cheap, since every run calls it."""
        ...

    def content(self, visit: Visit) -> Content:
        """The content of the scrape."""
        ...


class Recorded(Protocol):
    """Content that is stored somewhere and read on demand."""

    def content(self) -> Content:
        """The content."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """Content in memory."""

    given: Content

    def content(self) -> Content:
        """The content."""
        return self.given


@dataclass(frozen=True, slots=True)
class FunctionPage:
    """A page made from a function of url and instant that returns items, or raises to fail the scrape."""

    function: Callable[[str, float], Sequence[Any]]

    def error(self, visit: Visit) -> str | None:
        """The text of whatever the function raises."""
        try:
            self.function(visit.url, visit.at)
        except Exception as reason:
            return str(reason) or type(reason).__name__
        return None

    def content(self, visit: Visit) -> Content:
        """The function's items."""
        return from_items(self.function(visit.url, visit.at))


class Bodies:
    """A cache of contents, of up to `limit` bytes in all."""

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self._limit = limit
        self._held = 0
        self._kept: OrderedDict[str, tuple[Content, int]] = OrderedDict()

    def get(self, job_id: str, make: Callable[[], Content]) -> Content:
        """The cached content of a job, or else what `make` returns."""
        kept = self._kept.get(job_id)
        if kept is not None:
            return kept[0]
        content = make()
        size = sum(map(len, content.items)) + len(content.results or b"")
        if size <= self._limit // 4:
            self._kept[job_id] = content, size
            self._held += size
            while self._held > self._limit:
                self._held -= self._kept.popitem(last=False)[1][1]
        return content


def from_items(items: Sequence[Any]) -> Content:
    """Make content of Python values, an item each; bytes are JSON text."""
    return Content([item if isinstance(item, bytes) else dump(item) for item in items])


def from_results(text: str | bytes, count: int | None = None) -> Content:
    """Content whose `results` is exactly this JSON text, whatever its shape (or its validity)."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    rows = _split(raw)
    if rows is None:
        rows = [] if raw.strip() in (b"", b"null") else [raw]
    return Content(rows, raw, count)


def _split(raw: bytes) -> list[bytes] | None:
    """The texts of a JSON array's elements, also when the array is the only value of an object; None for all else."""
    try:
        rows: Any = msgspec.json.decode(raw, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
        if isinstance(rows, dict):
            rows = msgspec.json.decode(next(iter(rows.values())), type=list[msgspec.Raw]) if len(rows) == 1 else None
        return None if rows is None else [bytes(row) for row in rows]
    except (msgspec.DecodeError, RecursionError):  # msgspec refuses NaN and deep lists, which the sandbox serves
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        return [json.dumps(row).encode() for row in value] if isinstance(value, list) else None


def dump(value: Any) -> bytes:
    """JSON text of a value; the standard library writes what orjson refuses (long integers, lone surrogates)."""
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(value, separators=(",", ":")).encode()


def read_json(text: bytes) -> Any:
    """The value of a JSON text, or None if it is not JSON; NaN and lone surrogates are accepted."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None


def canonicalize(item: bytes) -> bytes:
    """The item with sorted keys and no spaces, or unchanged if parsing would lose something."""
    if _LONG_NUMBER.search(item):
        return item
    try:
        return orjson.dumps(orjson.loads(item), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return item
