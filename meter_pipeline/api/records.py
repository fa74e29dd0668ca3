"""The API's resources as frozen records. Parsing and its tolerances are here; no other module reads a JSON key.

Every record keeps its JSON object in `raw` (without `results` and without secrets), so that no field that the API adds
later is lost. Identifiers are `id` or `strategy_id`, `schedule_id`, `job_id`; timestamps have a zone or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any

from meter_pipeline.api.syntax import Malformed

TERMINAL = frozenset({"completed", "failed"})
#: The states of a job that are documented.
STATUSES = frozenset({"pending", "running", *TERMINAL})
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Unusable:
    """A row of a list, or an entry of a change set, that cannot be used. The others of its page can.

    Attributes:
        noun: The list, such as `jobs`.
        reason: What is wrong with the row, in half a sentence.
        about: The row's id, name, URL and time, as far as it has them.
        mark: Digest of the row's text.
    """

    noun: str
    reason: str
    about: str
    mark: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"a row of {self.noun} cannot be used ({self.reason}){': ' if self.about else ''}{self.about}"


@dataclass(frozen=True)
class Strategy:
    """A saved plan for extracting items from a page."""

    strategy_id: str
    name: str | None = None
    description: str | None = None
    url: str | None = None
    scraper_type: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Strategy:
        """Parses a strategy as listed or as read by its id."""
        return cls(
            strategy_id=identifier(data, "strategy_id"),
            name=_text(data, "name"),
            description=_text(data, "description"),
            url=_text(data, "url"),
            scraper_type=_text(data, "scraper_type"),
            created_at=timestamp(data.get("created_at")),
            updated_at=timestamp(data.get("updated_at")),
            raw=_without(data, "results"),
        )


@dataclass(frozen=True)
class GeneratedStrategy:
    """The answer to generating or refining a strategy: its id and sample rows."""

    strategy_id: str
    preview: tuple[Any, ...] = ()
    attempts: int | None = None
    scraper_type: str | None = None
    api_parameters: dict[str, Any] | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> GeneratedStrategy:
        """Parses the answer of generate, refine, or of the read of a strategy."""
        preview = data.get("preview_data")
        return cls(
            strategy_id=identifier(data, "strategy_id"),
            preview=tuple(preview) if isinstance(preview, list) else (),
            attempts=_integer(data, "attempts"),
            scraper_type=_text(data, "scraper_type"),
            api_parameters=_object(data, "api_parameters"),
            raw=dict(data),
        )


@dataclass(frozen=True)
class Schedule:
    """A strategy that runs regularly.

    Only the answer that created the secret has `webhook_secret`: the API shows it once.
    """

    schedule_id: str
    strategy_id: str | None = None
    url: str | None = None
    urls: tuple[str, ...] = ()
    schedule_type: str | None = None
    interval_seconds: int | None = None
    cron_expression: str | None = None
    enabled: bool | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    parameters: dict[str, Any] | None = None
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Schedule:
        """Parses a schedule as created, listed or updated."""
        urls = data.get("urls")
        return cls(
            schedule_id=identifier(data, "schedule_id"),
            strategy_id=_text(data, "strategy_id"),
            url=_text(data, "url"),
            urls=tuple(str(url) for url in urls) if isinstance(urls, list) else (),
            schedule_type=_text(data, "schedule_type"),
            interval_seconds=_integer(data, "interval_seconds"),
            cron_expression=_text(data, "cron_expression"),
            enabled=_boolean(data, "enabled"),
            webhook_url=_text(data, "webhook_url"),
            webhook_secret=_text(data, "webhook_secret"),
            parameters=_object(data, "parameters"),
            next_run_at=timestamp(data.get("next_run_at")),
            last_run_at=timestamp(data.get("last_run_at")),
            created_at=timestamp(data.get("created_at")),
            updated_at=timestamp(data.get("updated_at")),
            raw=_without(data, "webhook_secret"),
        )


@dataclass(frozen=True)
class Job:
    """One run of a strategy against a URL."""

    job_id: str
    strategy_id: str | None = None
    schedule_id: str | None = None
    batch_id: str | None = None
    url: str | None = None
    status: str | None = None
    item_count: int | None = None
    content_hash: str | None = None
    structural_signature: Any = None
    error: str | None = None
    parameters: dict[str, Any] | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Job:
        """Parses a job as created, listed, read, or carried by a change set."""
        get = data.get
        return cls(
            job_id=identifier(data, "job_id"),
            strategy_id=_text(data, "strategy_id"),
            schedule_id=_text(data, "schedule_id"),
            batch_id=_text(data, "batch_id"),
            url=_text(data, "url"),
            status=_status(data),
            item_count=_integer(data, "item_count"),
            content_hash=_text(data, "content_hash"),
            structural_signature=get("structural_signature"),
            error=_text(data, "error"),
            parameters=_object(data, "parameters"),
            started_at=timestamp(get("started_at")),
            completed_at=timestamp(get("completed_at")),
            created_at=timestamp(get("created_at")),
            raw=_without(data, "results"),
        )

    def as_dict(self) -> dict[str, Any]:
        """The job as JSON values, from which `from_json` makes an equal one."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.compare}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; a job in an unknown state counts as running."""
        return self.status in TERMINAL

    @property
    def is_completed(self) -> bool:
        """Whether the job has ended with results."""
        return self.status == "completed"

    @property
    def respelled(self) -> str | None:
        """The status as the API wrote it, where `status` is a documented one in another spelling; else None."""
        written = self.raw.get("status")
        return written if isinstance(written, str) and self.status in STATUSES and written != self.status else None


@dataclass(frozen=True)
class Batch:
    """Jobs created by one call for several URLs; the API does not return their ids."""

    batch_id: str
    job_count: int | None = None
    status: str | None = None
    strategy_id: str | None = None
    created_at: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Batch:
        """Parses the answer of a create with several URLs."""
        return cls(
            batch_id=identifier(data, "batch_id"),
            job_count=_integer(data, "job_count"),
            status=_status(data),
            strategy_id=_text(data, "strategy_id"),
            created_at=timestamp(data.get("created_at")),
            raw=dict(data),
        )


@dataclass(frozen=True)
class HistoryEntry:
    """A job in a strategy's history; `has_changes` compares it with the strategy's previous job of any URL."""

    job_id: str
    status: str | None = None
    item_count: int | None = None
    has_changes: bool | None = None
    created_at: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> HistoryEntry:
        """Parses a row of a strategy's history."""
        return cls(
            job_id=identifier(data, "job_id"),
            status=_status(data),
            item_count=_integer(data, "item_count"),
            has_changes=_boolean(data, "has_changes"),
            created_at=timestamp(data.get("created_at")),
            raw=_without(data, "results"),
        )


@dataclass(frozen=True)
class Comparison:
    """Meter's own comparison of two jobs."""

    job_id: str
    other_job_id: str
    content_hash_match: bool | None = None
    structural_match: bool | None = None
    semantic_similarity: float | None = None
    item_count_diff: int | None = None
    structural_changes: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, job_id: str, other_job_id: str, data: Json) -> Comparison:
        """Parses the answer of compare; it does not repeat the jobs' ids."""
        similarity = data.get("semantic_similarity")
        changes = data.get("structural_changes")
        return cls(
            job_id=job_id,
            other_job_id=other_job_id,
            content_hash_match=_boolean(data, "content_hash_match"),
            structural_match=_boolean(data, "structural_match"),
            semantic_similarity=_number(similarity),
            item_count_diff=_integer(data, "item_count_diff"),
            structural_changes=tuple(str(change) for change in changes) if isinstance(changes, list) else (),
            raw=dict(data),
        )


def identifier(data: Json, name: str) -> str:
    """The value of `name`, else of `id`: an opaque text, never parsed.

    Raises:
        Malformed: The object has neither.
    """
    for key in (name, "id"):
        found = data.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    raise Malformed(f"an object with neither {name} nor id")


def timestamp(text: object) -> datetime | None:
    """Parses an ISO 8601 text as an aware UTC time; without a zone it is UTC. None if it is not a valid time."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment_or_none = _parse_loosely(text)
        if moment_or_none is None:
            return None
        moment = moment_or_none
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        return None


def _parse_loosely(text: str) -> datetime | None:
    """Parses what Python 3.10 does not: fractions of other than three or six digits, and zones such as `+0000`."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if dot else ""
    zone = rest[len(digits) :] if dot else ""
    if not dot and len(head) > 5 and head[-5] in "+-" and head[-4:].isdigit():
        head, zone = head[:-5], head[-5:]
    if len(zone) == 5 and zone[0] in "+-":
        zone = f"{zone[:3]}:{zone[3:]}"
    fraction = f".{digits[:6]:0<6}" if digits else ""
    try:
        return datetime.fromisoformat(f"{head}{fraction}{zone}")
    except ValueError:
        return None


def _without(data: Json, key: str) -> dict[str, Any]:
    kept = dict(data)
    kept.pop(key, None)
    return kept


def _text(data: Json, key: str) -> str | None:
    found = data.get(key)
    if found is None or isinstance(found, str):
        return found
    return str(found)


def _status(data: Json) -> str | None:
    """A job's status: a documented one whatever its case (COMPLETED is completed), any other as received."""
    found = _text(data, "status")
    usual = "" if found is None else found.strip().lower()
    return usual if usual in STATUSES else found


def _integer(data: Json, key: str) -> int | None:
    found = data.get(key)
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, str) and len(found) < 20 and found.strip().lstrip("-").isdecimal():
        return int(found)
    return None


def _boolean(data: Json, key: str) -> bool | None:
    found = data.get(key)
    return found if isinstance(found, bool) else None


def _object(data: Json, key: str) -> dict[str, Any] | None:
    found = data.get(key)
    return found if isinstance(found, dict) else None


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
