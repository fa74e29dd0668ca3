"""Decodes answers of the API into records, rows of lists, job bodies and change sets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Container, Iterator
from hashlib import blake2b
from itertools import chain, groupby
from typing import Any, TypeVar

from meter_pipeline.api.answers import Mismatch, require, require_named
from meter_pipeline.api.bodies import ChangeEntry, ChangeSet, Chunk, JobBody, Shape
from meter_pipeline.api.bounds import Bounds, TooLarge
from meter_pipeline.api.records import Job, Unusable, identifier
from meter_pipeline.api.scan import WINDOW, scan
from meter_pipeline.api.spool import Content, Node, Spool, Stretch, Text, record
from meter_pipeline.api.syntax import WHITESPACE, Malformed, count_elements, value

Row = TypeVar("Row")
log = logging.getLogger("meter_pipeline.api")

# Fields that identify the record of an unusable row. The row itself may hold a secret and is never shown whole.
_IDENTIFYING = ("id", "job_id", "strategy_id", "schedule_id", "name", "url", "created_at")
_WRAP = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*(?=\[)', re.DOTALL)
_LIST_WRAP = re.compile(rb'\[\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*(?=\[)', re.DOTALL)
_WRAP_END = re.compile(rb"(?<=\])\s*\}\Z")
_LIST_WRAP_END = re.compile(rb"(?<=\])\s*\}\s*\]\Z")
# What a JSON value begins with, as far as one byte shows it.
_BEGINNINGS = frozenset(b'{["-0123456789tfn')
_MARKED = ("marked_seen", "mark_seen", "marked_as_seen")


def job_body(content: Content, asked: str | None = None) -> JobBody:
    """Parses the job of a response, and finds where each of its items begins and ends.

    Args:
        content: The response.
        asked: The requested id; None to accept any job.

    Raises:
        Malformed: The body is not a job, its items cannot be separated, or something beside them is not valid JSON.
        Mismatch: The body is another job.
    """
    return _body(_object(content.node(), "a job"), content.size, content.bounds, asked)


def object_of(content: Content) -> dict[str, Any]:
    """Parses the response's JSON object, without `results`.

    Raises:
        Malformed: It is not a JSON object.
    """
    members = _object(content.node(), "an object")
    members.pop("results", None)
    return record(members, content.bounds.record)


def rows(content: Content, noun: str, parse: Callable[[dict[str, Any]], Row]) -> list[Row | Unusable]:
    """Parses the rows of a list: a bare array, or an array inside an object under a usual name or `noun`.

    `results` inside rows are skipped, not parsed. A row that is not an object, or that `parse` refuses, becomes an
    `Unusable` and does not affect the others.

    Raises:
        Malformed: The response has no list.
    """
    found: list[Row | Unusable] = []
    for node in _list(content.node(), ("items", "data", "results", noun)):
        fields: dict[str, Any] = {}
        try:
            members = _object(node, "an object in each row")
            members.pop("results", None)
            fields = record(members, content.bounds.record)
            found.append(parse(fields))
        except Mismatch:
            raise
        except (Malformed, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            found.append(_unusable(noun, node, fields, error))
    return found


def _unusable(noun: str, node: Node, fields: dict[str, Any], error: Exception) -> Unusable:
    if not isinstance(error, Malformed):
        log.error("a row of %s could not be read", noun, exc_info=error)
    about = ", ".join(f"{name} {str(fields[name])[:80]!r}" for name in _IDENTIFYING if fields.get(name) is not None)
    reason = str(error) if isinstance(error, Malformed) else f"{type(error).__name__}, see the log"
    try:
        mark = blake2b(node.text(), digest_size=16).hexdigest()
    except Malformed:
        mark = reason
    return Unusable(noun, reason, about, mark)


def _change(entry: Node, bounds: Bounds, known: Container[str]) -> ChangeEntry:
    members = _object(entry, "an object in each change")
    has_results = "results" in members
    if has_results and known:
        fields = record({name: node for name, node in members.items() if name != "results"}, bounds.record)
        if identifier(fields, "job_id") in known:
            return ChangeEntry(Job.from_json(fields))
    try:
        body = _body(members, entry.size, bounds)
    except TooLarge:
        # Without its items: the job is fetched by its id, and an error then concerns this job alone.
        return ChangeEntry(Job.from_json(record(members, bounds.record)))
    return ChangeEntry(body.job, body if has_results else None)


def change_set(content: Content, schedule_id: str, known: Collection[str] = ()) -> ChangeSet:
    """Parses the change set of a response, and finds where each item begins and ends.

    The items of a big change set stay on disk, in one file for all entries. Entries of jobs in `known`, by id, are
    returned without their items, which are not copied.

    Raises:
        Malformed: The body is not a change set.
        Mismatch: The body, or one of its jobs, names another schedule.
    """
    node = content.node()
    envelope: dict[str, Any] = {}
    if node.first == b"{":
        members = node.members()
        named = {key: members[key] for key in ("count", "schedule_id", *_MARKED) if key in members}
        envelope = record(named, content.bounds.record)
        require_named("schedule", schedule_id, envelope, "schedule_id")
    entries: list[ChangeEntry] = []
    unusable: list[Unusable] = []
    parking: Spool | None = None
    try:
        for entry in _list(node, ("changes",)):
            try:
                found = _change(entry, content.bounds, known)
            except Malformed as error:
                unusable.append(_unusable("changes", entry, {}, error))
                continue
            entries.append(found)
            if content.spool is not None and found.body is not None:
                parking = parking or Spool(content.spool.scratch, content.bounds)
                found.body.park(parking)
            require_named("schedule", schedule_id, found.job.raw, "schedule_id")
    except Malformed:
        ChangeSet(schedule_id, tuple(entries), 0).close()
        raise
    finally:
        if parking is not None:
            parking.release()
    count = envelope.get("count")
    marked = next((envelope[key] for key in _MARKED if isinstance(envelope.get(key), bool)), None)
    return ChangeSet(
        schedule_id=schedule_id,
        entries=tuple(entries),
        count=count if isinstance(count, int) else len(entries),
        marked_seen=marked,
        unusable=tuple(unusable),
    )


def _object(node: Node, expected: str) -> dict[str, Node]:
    if node.first != b"{":
        raise _unlike(node, expected)
    return node.members()


def _list(node: Node, names: tuple[str, ...]) -> Iterator[Node]:
    if node.first == b"{":
        members = node.members()
        for name in names:
            if name in members and members[name].first == b"[":
                return members[name].each()
    elif node.first == b"[":
        return node.each()
    raise _unlike(node, "a list")


def _unlike(node: Node, expected: str) -> Malformed:
    """Returns the error about a body that is not what was expected, such as a page of HTML."""
    return Malformed(f"JSON, but not {expected}" if _BEGINNINGS.issuperset(node.first) else "not JSON")


def _body(members: dict[str, Node], size: int, bounds: Bounds, asked: str | None = None) -> JobBody:
    results = members.pop("results", None)
    fields = record(members, bounds.record)
    identifier(fields, "job_id")
    job = Job.from_json(fields)
    if asked is not None:
        require("job", asked, job.job_id)
    if results is None:
        return JobBody(job, "absent", size)
    if isinstance(results, Stretch):
        return _spooled(job, results, size)
    shape, text = _shaped(results, job.item_count)
    if shape in ("object", "scalar"):
        bounds.record.check(len(text))
    elif text:
        count_elements(text)
    return JobBody(job, shape, size, text=text, most=bounds.max_record)


def _shaped(results: Node, item_count: int | None) -> tuple[Shape, bytes]:
    """The shape of results in memory, and the text of the array (or of the one item)."""
    text = results.text()
    first = text[:1]
    if first == b"[":
        if item_count != 1 and _LIST_WRAP.match(text) and _LIST_WRAP_END.search(text[-4096:]):
            outer = results.elements()
            inner = _only_array(outer[0]) if len(outer) == 1 else None
            if inner is not None and len(inner.elements()) == item_count:
                return "wrapped", inner.text()
        return "array", text
    if first == b"{":
        inner = _only_array(results)
        return ("wrapped", inner.text()) if inner is not None else ("object", text)
    value(text)
    return ("null", b"") if text == b"null" else ("scalar", text)


def _only_array(node: Node) -> Node | None:
    """The array under the only key of an object."""
    if _WRAP.match(node.text()) is None:
        return None
    members = list(node.members().values())
    return members[0] if len(members) == 1 and members[0].first == b"[" else None


def _spooled(job: Job, results: Stretch, size: int) -> JobBody:
    """The body of results in a spool: chunks of whole items."""
    spool, part, start, end = results.spool, results.part, results.start, results.end
    first = results.first
    head = spool.read(start, min(end, start + 4096))
    tail = spool.read(max(start, end - 4096), end)
    single_key = part is not None and part.commas[2] == 0
    if first == b"{" and single_key and (opening := _WRAP.match(head)) and (closing := _WRAP_END.search(tail)):
        inner = (start + opening.end(), end - len(closing.group()))
        return _chunked(job, "wrapped", size, spool, inner, part.cuts[3] if part else [])
    if first == b"[":
        opening, closing = _LIST_WRAP.match(head), _LIST_WRAP_END.search(tail)
        lone = part is not None and part.commas[2] == 0 and part.commas[3] == 0
        if part is not None and lone and opening and closing and job.item_count == part.commas[4] + 1 != 1:
            inner = (start + opening.end(), end - len(closing.group()))
            return _chunked(job, "wrapped", size, spool, inner, part.cuts[4])
        return _chunked(job, "array", size, spool, (start, end), part.cuts[2] if part else [])
    shape, _ = _shaped(Text(results.text()), job.item_count)
    return JobBody(job, shape, size, spool=spool, chunks=(Chunk(start, end),), most=spool.bounds.max_record)


def _chunked(job: Job, shape: Shape, size: int, spool: Spool, array: tuple[int, int], cuts: list[int]) -> JobBody:
    start, end = array
    if spool.read(start, start + 1) != b"[" or spool.read(end - 1, end) != b"]":
        raise Malformed("not JSON: brackets do not match")
    chunks = []
    low = start + 1
    for high in [*cuts, end - 1]:
        chunks += _cut_chunk(spool, low, high, is_only=not cuts)
        low = high + 1
    return JobBody(job, shape, size, spool=spool, chunks=tuple(chunks), most=spool.bounds.max_record)


def _cut_chunk(spool: Spool, low: int, high: int, *, is_only: bool) -> list[Chunk]:
    """Whole items of a spool, from `low` up to `high`, as chunks that fit into memory, or of one large item."""
    most = spool.bounds.max_record
    # After the first item of a chunk there is at most one window.
    if high - low <= most + WINDOW:
        text = spool.read(low, high)
        if not text.strip(WHITESPACE) and not is_only:
            raise Malformed("not JSON: a comma with no value after it")
        count_elements(b"[" + text + b"]")
        return [Chunk(low, high)]
    _, items = scan(chain([b"["], spool.windows(low, high), [b"]"]), base=low - 1)
    chunks = []
    for is_large, group in groupby(items, key=lambda item: item.end - item.start > most):
        parts = list(group)
        if is_large:
            chunks += [Chunk(part.start, part.end, True) for part in parts]
        else:
            chunks += _cut_chunk(spool, parts[0].start, parts[-1].end, is_only=False)
    return chunks
