"""The data dictionary: comments on all tables and columns, which SQL tools show beside the names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb

from meter_pipeline.store.columns import Column
from meter_pipeline.store.derived import describe_part, explain_text
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse.sql import literal, quote

TABLES = {
    "strategies": "Extraction plans at Meter, one row a strategy.",
    "strategy_versions": "Every version of a strategy that was ever seen.",
    "schedules": "What runs again and again at Meter, one row a schedule.",
    "schedule_versions": "Every version of a schedule that was ever seen.",
    "jobs": "Every job that Meter ever listed, with the state of its loading, one row a job.",
    "items": "Every item of every loaded job, exactly as received; those in `rejected_items` apart.",
    "rejected_items": "Items that could not be loaded, as received, with the reason; the rest of the job was loaded.",
    "item_changes": "Fields and items that changed between two consecutive accepted jobs of one target.",
    "item_versions": "Every version of every item, with the time in which it stood.",
    "kept_item_versions": "What `item_versions` shows, as it is kept up from one publication to the next.",
    "schedule_changes": "Jobs that brought changes which nobody had seen, by schedule.",
    "job_comparisons": "Meter's own comparison of consecutive jobs.",
    "findings": "Tests of the audit that spoke on a job, one row a test and field.",
    "syncs": "Runs of the load, with what each did.",
    "publications": "What this file and those before it were made from, one row a publication.",
    "lake_files": "Files of the lake that the views of this publication read.",
    "partitions": "Months of a strategy, by table of the lake, with the revision of the last change of their rows.",
    "changed_partitions": (
        "Months of a strategy, by table of the lake, whose rows have changed since the tables that were carried on."
    ),
}
# By the column's name, whatever the table.
COLUMNS = {
    "acknowledged_at": "When the change was marked as seen at Meter; null while it is not.",
    "agrees": "Whether Meter's verdict agrees with the changes found here.",
    "audit": "Verdict of the audit: accepted, flagged, held or learning (n of m); null where a job was not judged.",
    "attempts": "How often loading was tried without success.",
    "batch_id": "Id of the batch that the job belongs to, if any.",
    "bytes": "Size of the results in bytes.",
    "changes": "Rows of the job in `item_changes`.",
    "compared_at": "When the two jobs were compared.",
    "completed_at": "When the job ended.",
    "content_hash": "Meter's hash of the results.",
    "content_hash_match": "Whether Meter holds the contents to be the same.",
    "created_at": "When it was made at Meter.",
    "cron_expression": "Expression of a cron schedule.",
    "dbt_invocation_id": "The run of dbt that built the models; null without models.",
    "deleted_at": "When it was found to be gone from Meter; null while it is there.",
    "description": "What the strategy extracts, in the words of whoever made it.",
    "duplicates": "Items whose key an earlier item of the job has.",
    "enabled": "Whether the schedule runs.",
    "ended_by": "What ended the sync before it was done: usage, configuration, connection, store, interrupt or fault.",
    "error": "Error that Meter gave for a failed job.",
    "exit_code": "What the command returned: 0 all well, 1 some jobs could not be loaded, 2 usage or configuration.",
    "expected_interval_seconds": (
        "Longest time between two runs, in seconds: the interval, or the longest gap of the cron expression."
    ),
    "field": "Path of the field that changed, such as `specs.weight`; null for an item that was added or removed.",
    "field_changes": "Number of changes of single fields up to this version.",
    "files": "Parquet files behind the views.",
    "file": "Path or URL of the file.",
    "finished_at": "When it ended; null while it runs or when it was killed.",
    "first_at": "Time of the earliest job with rows in the file.",
    "first_job_id": "The first job that saw this version.",
    "first_seen_at": "When it was first seen.",
    "held_at": "When the job was held by hand; null once it is released.",
    "high": "Most that was expected; null where there is no upper bound.",
    "identity": "The strategy's item rules: key, ignored fields and types (JSON text).",
    "interval_seconds": "Interval of an interval schedule, in seconds.",
    "is_current": "Whether this version still stands.",
    "is_latest": "Whether this is the item's last version so far, also if the item is gone.",
    "item": "The item as JSON text.",
    "item_count": "Items that Meter counted.",
    "item_count_difference": "Items of the job minus items of the job before.",
    "item_hash": "Hash of the item.",
    "item_index": "Position of the item in its job, from 0.",
    "item_key": "Key of the item within its target.",
    "items": "Items that were loaded.",
    "job_id": "Id of the job at Meter.",
    "jobs": "Jobs that were known.",
    "kind": "What happened to the item: added, removed or changed.",
    "known_at": "When the job was first listed.",
    "label": "Readable name of the item: its title, name or headline, else its key.",
    "last_at": "Time of the latest job with rows in the file.",
    "last_job_id": "The last job that saw this version.",
    "last_run_at": "When Meter says it ran last.",
    "ledger_revision": "Revision of the ledger that it shows.",
    "loaded_at": "When the job was loaded.",
    "low": "Least that was expected; null where there is no lower bound.",
    "message": "What was found, as a sentence.",
    "models": "Models that dbt built; 0 where none were asked for.",
    "models_version": "Digest of the dbt project; tables are carried on only between equal ones.",
    "month": "Month in UTC, as YYYY-MM.",
    "name": "Name at Meter.",
    "new_currency": "Currency of `new_number`, if it is an amount: ISO 4217 code, or a sign that several share.",
    "new_number": "Value after as a number, where it is one or reads as an amount of money.",
    "new_value": "Value after (JSON text); the whole item where it was added.",
    "next_from": "When the item's next version was first seen; null for its latest one.",
    "next_run_at": "When Meter says it will run next.",
    "observed_at": "When the page was seen: when the job ended, else when it began, else when it was made.",
    "old_currency": "Currency of `old_number`, if it is an amount: ISO 4217 code, or a sign that several share.",
    "old_number": "Value before as a number, where it is one or reads as an amount of money.",
    "old_value": "Value before (JSON text); the whole item where it was removed.",
    "outcome": "What the test alone comes to: held or flagged.",
    "parameters": "Parameters of the scrape (JSON text), if any; with strategy and url they make the target.",
    "position": "Place among the findings about the job, from 0; those that hold come first.",
    "previous_job_id": "The job before this one on the same target.",
    "problem": "What went wrong first, in one line; null when nothing did.",
    "publication_id": "Name of its folder under `publications`.",
    "published_at": "When it was published.",
    "put_back_at": "When it was put back in the place of a later one; null for a new one.",
    "reason": "Why the job is held, failed, unreadable or dropped.",
    "record": "The record as Meter gave it (JSON text).",
    "rejected": "Items of the job in `rejected_items`.",
    "rejection": "Why the first of the rejected items could not be loaded; null without any.",
    "relative_change": "New number over old number, minus one; null for amounts in several currencies.",
    "released_at": "When a held job was accepted by hand.",
    "report": "What it did (JSON text).",
    "retry_at": "When loading is tried again.",
    "samples": "Values of the field in two items of the job, as JSON.",
    "schedule_id": "Id of the schedule at Meter; null for a job that was run by hand.",
    "schedule_type": "Kind of schedule: interval or cron.",
    "revision": "Revision of the ledger.",
    "rows": "Rows in the file.",
    "schema_digest": "Digest of the file's columns and their types.",
    "scraper_type": "Kind of scraper.",
    "seconds": "How long it took to build.",
    "seen": "What was seen.",
    "seen_at": "When this version was first seen.",
    "semantic_similarity": "Meter's measure of how alike the results are, from 0 to 1.",
    "slug": "Slug of the strategy: its name in the lake and the warehouse.",
    "started_at": "When the job began.",
    "state": "State of the loading: known, accepted, held, failed, unreadable or dropped.",
    "status": "Status at Meter.",
    "strategies": "Strategies that were known.",
    "strategy": "Slug of the strategy.",
    "strategy_id": "Id of the strategy at Meter.",
    "structural_changes": "What changed in the structure (JSON text).",
    "structural_match": "Whether Meter holds the structures to be the same.",
    "structural_signature": "Meter's signature of the results' structure (JSON text).",
    "sync_id": "Id of the run.",
    "table_name": "Table of the lake: raw, received, rejected, results or changes.",
    "target": "Page that the item belongs to, or the schedule whose pages are compared as one list.",
    "test": "Name of the test, as meter.yaml has it.",
    "updated_at": "When it was last changed at Meter.",
    "url": "Page that was scraped.",
    "urls": "Pages of the schedule (JSON text), where it has several.",
    "valid_from": "When this version of the item was first seen.",
    "valid_to": "When it was seen to be replaced or gone; null for a version that still stands.",
    "version": "Number of the version, from 1.",
    "webhook_url": "Where Meter reports changes to.",
}
# Where a column is something else than its name is elsewhere.
EXCEPTIONS = {
    ("findings", "field"): "Path of the field; null for a test of the job as a whole.",
    ("item_changes", "previous_job_id"): "The job before it; of a changed or removed item the last that showed it.",
    ("lake_files", "bytes"): "Size of the file in bytes.",
    ("rejected_items", "bytes"): "Size of the item in bytes.",
    ("rejected_items", "item"): "The item as received; the beginning of one that is larger than METER_MAX_RECORD.",
    ("rejected_items", "reason"): "Why the item could not be loaded.",
    ("schedule_changes", "first_seen_at"): "When the change was first seen.",
    ("schedule_changes", "item_count"): "Items of the change, as Meter counted them.",
    ("schedule_changes", "schedule_id"): "Id of the schedule at Meter.",
    ("schedule_versions", "schedule_id"): "Id of the schedule at Meter.",
    ("schedules", "schedule_id"): "Id of the schedule at Meter.",
    ("schedules", "url"): "Page that is scraped; null where there are several.",
    ("syncs", "started_at"): "When it began.",
}
_RESULTS = {
    "_meter_job_id": COLUMNS["job_id"],
    "_meter_schedule_id": COLUMNS["schedule_id"],
    "_meter_url": COLUMNS["url"],
    "_meter_item_index": COLUMNS["item_index"],
    "_meter_completed_at": "When the job ended: the time at which the item was seen.",
    "_meter_item_key": COLUMNS["item_key"],
    "_meter_item_hash": COLUMNS["item_hash"],
}

# Each comment leaves a copy of its view in memory until the transaction ends: views that are commented on in one.
_AT_ONCE = 100


def comment_on_all(connection: duckdb.DuckDBPyConnection, strategies: Sequence[StrategyRow]) -> None:
    """Writes the comments of all existing tables and views, where they are not there yet; no transaction is open."""
    rows = {strategy.slug: strategy for strategy in strategies}
    relations = _relations(connection)
    # There is nothing to optimize, which takes half of the time of a comment.
    connection.execute("PRAGMA disable_optimizer")
    for start in range(0, len(relations), _AT_ONCE):
        connection.begin()
        for relation in relations[start : start + _AT_ONCE]:
            if relation.schema == "meter" and relation.name in TABLES:
                _comment_on_own(connection, relation)
            elif relation.schema == "results":
                _comment_on_results(connection, relation, rows[relation.name])
        connection.commit()
    connection.execute("PRAGMA enable_optimizer")


def comment_on_new_table(connection: duckdb.DuckDBPyConnection, name: str, columns: Iterable[str]) -> None:
    """Writes the comments of a table of the schema `meter` that has none yet."""
    _comment_on_own(connection, _Relation("meter", name, "TABLE", None, dict.fromkeys(columns)))


def _comment_on_results(connection: duckdb.DuckDBPyConnection, relation: _Relation, strategy: StrategyRow) -> None:
    reasons = strategy.text_reasons
    fields = {column.name: _describe_field(column, reasons) for column in strategy.columns}
    relation.write(connection, _about(strategy), {**fields, **_RESULTS})


def _comment_on_own(connection: duckdb.DuckDBPyConnection, relation: _Relation) -> None:
    texts = {column: describe_column(relation.name, column) for column in relation.columns}
    relation.write(connection, TABLES[relation.name], texts)


def describe_column(table: str, column: str) -> str:
    """The description of a column of a table of the schema `meter`."""
    return EXCEPTIONS.get((table, column)) or COLUMNS[column]


def _describe_field(column: Column, reasons: Mapping[str, str]) -> str:
    if column.part:
        return f"{describe_part(column)}, read from field {column.field!r}"
    reason = explain_text(column, reasons)
    return f"field {column.field!r}, {column.kind}" + (f": {reason}" if reason else "")


def _about(strategy: StrategyRow) -> str:
    parts = [strategy.name or strategy.slug, strategy.description, strategy.url]
    return "Items of accepted jobs: " + "; ".join(" ".join(text.split()) for text in parts if text)


class _Relation(NamedTuple):
    """A table or view, its comment, and those of its columns by name."""

    schema: str
    name: str
    kind: str
    comment: str | None
    columns: Mapping[str, str | None]

    def write(self, connection: duckdb.DuckDBPyConnection, about: str, texts: Mapping[str, str]) -> None:
        """Writes the comments that differ."""
        if statements := list(self._statements(about, texts)):
            connection.execute(";".join(statements))

    def _statements(self, about: str, texts: Mapping[str, str]) -> Iterator[str]:
        name = f"{self.schema}.{quote(self.name)}"
        if self.comment != about:
            yield f"COMMENT ON {self.kind} {name} IS {literal(about)}"
        for column, comment in self.columns.items():
            if column in texts and texts[column] != comment:
                yield f"COMMENT ON COLUMN {name}.{quote(column)} IS {literal(texts[column])}"


def _relations(connection: duckdb.DuckDBPyConnection) -> list[_Relation]:
    """The tables and views of `meter` and `results`."""
    rows = connection.execute("""
        SELECT schema_name, name, kind, about.comment, list(column_name), list(texts.comment)
        FROM (
            SELECT database_name, schema_name, table_name AS name, 'TABLE' AS kind, comment FROM duckdb_tables()
            UNION ALL
            SELECT database_name, schema_name, view_name, 'VIEW', comment FROM duckdb_views() WHERE NOT internal
        ) AS about
        JOIN (
            SELECT database_name, schema_name, table_name AS name, column_name, comment FROM duckdb_columns()
        ) AS texts USING (database_name, schema_name, name)
        WHERE database_name = current_database() AND schema_name IN ('meter', 'results')
        GROUP BY ALL
        ORDER BY ALL
    """).fetchall()
    return [
        _Relation(schema, name, kind, about, dict(zip(columns, texts, strict=True)))
        for schema, name, kind, about, columns, texts in rows
    ]
