"""The ledger's tables, as the last migration leaves them.

Times are ISO 8601 text in UTC with microseconds, so that they sort as text on any database.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# A value for each name: the revision, the account that the ledger was filled from.
facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

strategies = Table(
    "strategies",
    metadata,
    Column("strategy_id", String, primary_key=True),
    Column("slug", String, nullable=False, unique=True),
    Column("name", Text),
    Column("url", Text),
    Column("description", Text),
    Column("scraper_type", Text),
    Column("created_at", Text),
    Column("updated_at", Text),
    Column("first_seen_at", String, nullable=False),
    Column("deleted_at", Text),
    Column("fields", Text, nullable=False, server_default="[]"),
    # The strategy's item rules, as JSON: see `meter_pipeline.sync.items.rules`.
    Column("identity", Text),
    # What the texts of its fields have shown, and their typed columns, as JSON: see `meter_pipeline.store.derived`.
    Column("readings", Text),
    # Goes up with every commit of the strategy's rows; a commit names the version that it was built on.
    Column("version", Integer, nullable=False, server_default="0"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("schedule_id", String, primary_key=True),
    Column("strategy_id", Text),
    Column("url", Text),
    Column("urls", Text),
    Column("schedule_type", Text),
    Column("interval_seconds", Integer),
    Column("cron_expression", Text),
    Column("enabled", Boolean),
    Column("webhook_url", Text),
    Column("next_run_at", Text),
    Column("last_run_at", Text),
    Column("created_at", Text),
    Column("updated_at", Text),
    Column("first_seen_at", String, nullable=False),
    Column("deleted_at", Text),
)

# Every version of a strategy or schedule that was ever seen; members that change with every run are left out.
versions = Table(
    "versions",
    metadata,
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("seen_at", String, nullable=False),
    Column("record", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("strategy_id", String, nullable=False),
    Column("schedule_id", Text),
    Column("batch_id", Text),
    Column("url", Text),
    Column("parameters", Text),
    Column("status", Text),
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("item_count", BigInteger),
    Column("items", BigInteger),
    Column("bytes", BigInteger),
    Column("content_hash", Text),
    Column("structural_signature", Text),
    Column("error", Text),
    Column("created_at", Text),
    Column("started_at", Text),
    Column("completed_at", Text),
    Column("known_at", String, nullable=False),
    Column("loaded_at", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", Text),
    # A digest of URL and parameters, since URLs can be longer than an index allows.
    Column("target_id", String),
    # Items whose key an earlier item of the job has.
    Column("duplicates", BigInteger),
    # When a held job was accepted by hand.
    Column("released_at", String),
    # Its rows in the lake's table `changes`.
    Column("changes", Integer),
    # The audit's verdict: accepted, flagged, held or learning (n of m); NULL for a job that was not judged.
    Column("audit", String),
    # The ledger's revision at the last change of this row.
    Column("revision", BigInteger, nullable=False, server_default="0"),
    # When it was held by hand, until it is released.
    Column("held_at", Text),
    # Items that could not be loaded, and why the first of them could not.
    Column("rejected", Integer),
    Column("rejection", Text),
    Index("jobs_by_revision", "revision"),
    Index("jobs_by_strategy", "strategy_id", "state", "completed_at", "job_id"),
    Index("jobs_by_state", "state"),
    Index("jobs_by_target", "strategy_id", "target_id", "completed_at", "job_id"),
)

# What the audit found, one row for each test that spoke on a job; `position` orders those of a job.
findings = Table(
    "findings",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("strategy_id", String, nullable=False),
    Column("test", String, nullable=False),
    # NULL for a test of the job as a whole.
    Column("field", Text),
    # What was expected at least and at most, and what was seen.
    Column("low", Float),
    Column("high", Float),
    Column("seen", Float, nullable=False),
    # Values of the field in two items of the job, as a JSON array of texts.
    Column("samples", Text, nullable=False),
    Column("outcome", String, nullable=False),
    Column("message", Text, nullable=False),
)

# The manifest: every part of the lake that counts, and those that count no longer but may still be read.
parts = Table(
    "parts",
    metadata,
    Column("name", String, primary_key=True),
    Column("table_name", String, nullable=False),
    Column("strategy_id", String, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # Times of the first and the last job with rows in it.
    Column("first_at", String, nullable=False),
    Column("last_at", String, nullable=False),
    Column("schema", String, nullable=False),
    # The revisions from which on it counts, and counts no longer.
    Column("revision_in", BigInteger, nullable=False),
    Column("revision_out", BigInteger),
    Column("left_at", String),
    Index("parts_by_strategy", "strategy_id", "revision_out"),
    Index("parts_by_revision_out", "revision_out"),
)

# The revision in which the rows of a strategy's month last changed, by table of the lake.
partitions = Table(
    "partitions",
    metadata,
    Column("strategy_id", String, primary_key=True),
    Column("table_name", String, primary_key=True),
    Column("month", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

# Readers of older revisions: publications of the warehouse, and candidates that are being built.
pins = Table(
    "pins",
    metadata,
    Column("pin_id", String, primary_key=True),
    # The warehouse's machine and path.
    Column("place", String, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # Whether the revision may still move on: a candidate reads what counts after the pin was set.
    Column("is_open", Boolean, nullable=False),
    Column("pinned_at", String, nullable=False),
    # When the place last said that it still needs it.
    Column("renewed_at", String, nullable=False),
)

# Who works on what at this moment: a courtesy between processes.
claims = Table(
    "claims",
    metadata,
    # A strategy's slug; or, with a dot in it, other work that one process does at a time.
    Column("name", String, primary_key=True),
    Column("holder_id", String, nullable=False),
    Column("machine", String, nullable=False),
    Column("process_id", BigInteger, nullable=False),
    Column("work", String, nullable=False),
    Column("since", String, nullable=False),
    # When the holder last said that it still works.
    Column("renewed_at", String, nullable=False),
    # Syncs in a row that skipped the strategy, at the version that it had then.
    Column("skips", Integer, nullable=False, server_default="0"),
    Column("skipped_version", Integer),
)

change_sets = Table(
    "change_sets",
    metadata,
    Column("schedule_id", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("first_seen_at", String, nullable=False),
    Column("item_count", BigInteger),
    Column("acknowledged_at", Text),
)

# The last peek at each schedule's unseen changes.
peeks = Table(
    "peeks",
    metadata,
    Column("schedule_id", String, primary_key=True),
    # The schedule's `last_run_at` up to which there is nothing left to do.
    Column("run_at", Text),
    # The schedule's `last_run_at` at the last peek, if that peek left something to do.
    Column("tried_at", Text),
    Column("peeked_at", Text),
    # Peeks that left something to do, and when to peek again.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", Text),
    # When an acknowledging read began whose answer is not noted yet, and the latest job time known then.
    Column("marking_at", Text),
    Column("marking_after", Text),
)

# Meter's own comparison of two consecutive accepted jobs of a target.
job_comparisons = Table(
    "job_comparisons",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("strategy_id", String, nullable=False),
    Column("previous_job_id", String, nullable=False),
    Column("content_hash_match", Boolean),
    Column("structural_match", Boolean),
    Column("semantic_similarity", Float),
    Column("item_count_difference", BigInteger),
    Column("structural_changes", Text),
    Column("compared_at", String, nullable=False),
    Column("agrees", Boolean),
)

# The time up to which all jobs are known, for all strategies (scope "") or for one.
walks = Table(
    "walks",
    metadata,
    Column("scope", String, primary_key=True),
    Column("complete_to", Text),
    Column("walked_at", Text),
)

intents = Table(
    "intents",
    metadata,
    Column("intent_id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("before", Text, nullable=False),
    Column("opened_at", String, nullable=False),
    Column("resolved_at", Text),
    Column("resource_id", Text),
    Index("intents_by_fingerprint", "kind", "fingerprint"),
)

syncs = Table(
    "syncs",
    metadata,
    Column("sync_id", String, primary_key=True),
    Column("started_at", String, nullable=False),
    Column("finished_at", Text),
    Column("report", Text),
)


# The jobs of a target follow one another.
@lru_cache(1_024)
def target_id(url: str | None, parameters: str | None) -> str:
    """A digest of a URL and parameters: jobs of a strategy with the same digest are compared with each other."""
    return blake2b(f"{url or ''}\0{parameters or ''}".encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that every database accepts: NUL and half surrogates as escapes, numbers beyond 64 bits as None."""
    return {name: None if value is None else _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        is_safe = value.isprintable()
        return value if is_safe else value.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()
    return None if kind is int and abs(value) >= 2**63 else value
