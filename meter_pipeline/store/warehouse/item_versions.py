"""`meter.item_versions`: the states of every item, kept up from publication to publication.

The versions of an item follow from the items of its page's first job and every change since. The table
`meter.kept_item_versions` has one row for each. A publication starts with the table of the last one. For a strategy
with changed partitions, versions that were replaced or gone before the first changed month stay as they are; the
others are closed, opened or added again from the events since then. So the table is the same as one built in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

import duckdb

from meter_pipeline.config.item_rules import PATIENCE
from meter_pipeline.store.warehouse import targets

TABLE = "meter.kept_item_versions"

#: Makes a query of a table of the lake (`results` in its common columns), with `strategy`: the rows of some strategies
#: since a time, and no others.
FindRows: TypeAlias = Callable[[str, Sequence[str], datetime], str]

# Jobs of this many items are read together (number of items): a bound for memory, and few scans for many strategies.
_BATCH_ITEMS = 4_000_000

_COLUMNS = """
    strategy VARCHAR, target VARCHAR, url VARCHAR, parameters VARCHAR, item_key VARCHAR, version BIGINT,
    valid_from TIMESTAMPTZ, valid_to TIMESTAMPTZ, next_from TIMESTAMPTZ, first_job_id VARCHAR, last_job_id VARCHAR,
    first_seen_at TIMESTAMPTZ, field_changes BIGINT, label VARCHAR, item_hash VARCHAR, item VARCHAR
"""

# What does not change while a version stands is in the table, so that a job costs no more than its events: the last
# job that saw a version which still stands is found when it is read.
VIEW = f"""
WITH latest AS (
    SELECT
        strategy, {targets.SELECT} AS target, parameters, arg_max(job_id, (completed_at, job_id)) AS job_id
    FROM meter.jobs
    WHERE state = 'accepted'
    GROUP BY ALL
)
SELECT
    kept.strategy, kept.target, url, kept.parameters, item_key, version, valid_from, valid_to,
    valid_to IS NULL AS is_current, next_from IS NULL AS is_latest, first_job_id,
    coalesce(last_job_id, latest.job_id) AS last_job_id, first_seen_at, field_changes, label,
    item_hash, item
FROM {TABLE} AS kept
LEFT JOIN latest
    ON kept.strategy = latest.strategy
    AND kept.target IS NOT DISTINCT FROM latest.target
    AND kept.parameters IS NOT DISTINCT FROM latest.parameters
"""  # noqa: S608

# Strategies with months that changed since a revision, the beginning of the first one, and the number of items since.
_STALE = """
CREATE TEMP TABLE all_stale AS
SELECT
    changed.strategy, month, since,
    coalesce(sum(items) FILTER (state = 'accepted' AND completed_at >= since), 0)::BIGINT AS items
FROM (
    SELECT strategy, min(month) AS month, (min(month) || '-01')::TIMESTAMP AT TIME ZONE 'UTC' AS since
    FROM meter.partitions
    WHERE revision > ?
    GROUP BY strategy
) AS changed
LEFT JOIN meter.jobs USING (strategy)
GROUP BY ALL
"""
_READ_STALE = "SELECT strategy, month, items FROM all_stale ORDER BY strategy"

# The lake's rows since then, of which each file is read once.
_CHANGED = """
CREATE OR REPLACE TEMP TABLE moved AS
SELECT
    job_id, item_key, any_value(kind) AS kind, count(*) FILTER (kind = 'changed') AS field_changes,
    any_value(previous_job_id) AS previous_job_id
FROM ({rows})
GROUP BY job_id, item_key
"""
_KEYED = """
CREATE OR REPLACE TEMP TABLE keyed AS
SELECT job_id, item_key, item_index, item_hash, is_first
FROM (
    SELECT
        _meter_job_id AS job_id, _meter_item_index AS item_index, _meter_item_key AS item_key,
        _meter_item_hash AS item_hash
    FROM ({rows})
)
JOIN telling USING (job_id)
LEFT JOIN (FROM moved WHERE kind <> 'removed') AS moved USING (job_id, item_key)
WHERE is_first OR kind IS NOT NULL
"""
# The last version before then of each item; `row` is its row in the table.
_STANDING = f"""
CREATE OR REPLACE TEMP TABLE standing AS
SELECT kept.rowid AS row, kept.* EXCLUDE (label, item_hash, item), since
FROM {TABLE} AS kept JOIN stale USING (strategy)
WHERE valid_from < since AND (next_from IS NULL OR next_from >= since)
"""  # noqa: S608

# A condition of strategies with jobs that rejected items.
_REJECTS = "strategy IN (SELECT strategy FROM meter.jobs WHERE state = 'accepted' AND rejected > 0)"
_ITEM = "strategy, target, parameters, item_key"
_FOLLOWING = f"PARTITION BY {_ITEM} ORDER BY step, seen_at, job_id"
_ACCEPTED = f"""
CREATE OR REPLACE TEMP TABLE accepted AS
SELECT strategy, job_id, {targets.SELECT} AS target, url, parameters, completed_at, since
FROM meter.jobs JOIN stale USING (strategy)
WHERE state = 'accepted'
"""  # noqa: S608
# Jobs since then that may begin versions: the first of each page, and those with changes.
_TELLING = f"""
CREATE OR REPLACE TEMP TABLE telling AS
WITH first AS (
    SELECT min(struct_pack(at := completed_at, id := job_id)) AS place, any_value(since) AS since
    FROM accepted
    GROUP BY strategy, target, url, parameters
),
-- What the first jobs of a page rejected was there before when one of the next ones shows it, and has no change then.
early AS (
    FROM accepted
    WHERE {_REJECTS}
    QUALIFY row_number() OVER (PARTITION BY strategy, target, url, parameters ORDER BY completed_at, job_id)
        BETWEEN 2 AND {PATIENCE}
)
SELECT job_id, bool_or(is_first) AS is_first
FROM (
    SELECT place.id AS job_id, true AS is_first FROM first WHERE place.at >= since
    UNION ALL
    SELECT job_id, true FROM early WHERE completed_at >= since
    UNION ALL
    SELECT job_id, false FROM moved WHERE kind <> 'removed'
)
GROUP BY job_id
"""  # noqa: S608
# Those versions, then all events since then, with what each says of the version that it begins. What its job says is
# added at the end.
_EVENTS = f"""
CREATE OR REPLACE TEMP TABLE events AS
WITH found AS (
    SELECT
        job_id, item_key, 'first' AS kind, 0 AS field_changes, NULL AS previous_job_id, item_index, item_hash
    FROM keyed
    WHERE is_first
    UNION ALL
    SELECT job_id, item_key, kind, field_changes, previous_job_id, item_index, item_hash
    FROM moved LEFT JOIN keyed USING (job_id, item_key)
),
placed AS (
    SELECT
        2 AS step, NULL AS row, strategy, target, url, parameters, item_key, kind, completed_at AS seen_at, job_id,
        previous_job_id, (kind <> 'removed')::INTEGER AS version, field_changes, completed_at AS first_seen_at,
        item_index, item_hash
    FROM found JOIN accepted USING (job_id)
    WHERE completed_at >= since
    UNION ALL
    SELECT
        0, row, strategy, target, url, parameters, item_key, 'kept', valid_from, first_job_id, NULL, version,
        field_changes, first_seen_at, NULL, NULL
    FROM standing
    UNION ALL
    SELECT
        1, NULL, strategy, target, url, parameters, item_key, 'removed', valid_to, NULL, last_job_id, 0, 0, valid_to,
        NULL, NULL
    FROM standing
    WHERE valid_to < since
),
-- Most items have one event, which nothing follows: they are spared the windows.
several AS (
    SELECT hash({_ITEM}) AS mark FROM placed GROUP BY ALL HAVING count(*) > 1
),
followed AS (
    FROM placed WHERE hash({_ITEM}) IN (FROM several)
),
settled AS (
    FROM followed
    WHERE NOT ({targets.IS_LIST} OR {_REJECTS})
    UNION ALL
    -- An item may stand in the list already when a page of it is seen for the first time.
    FROM followed
    WHERE {targets.IS_LIST} OR {_REJECTS}
    QUALIFY kind <> 'first' OR coalesce(lag(kind) OVER ({_FOLLOWING}, kind = 'first'), 'removed') = 'removed'
)
SELECT
    row, item_key, kind, seen_at, job_id, item_index, item_hash,
    sum(version) OVER (following ROWS UNBOUNDED PRECEDING)::BIGINT AS version,
    sum(field_changes) OVER (following ROWS UNBOUNDED PRECEDING)::BIGINT AS field_changes,
    first_value(first_seen_at) OVER following AS first_seen_at,
    lead(seen_at) OVER following AS valid_to,
    lead(previous_job_id) OVER following AS last_job_id,
    CASE WHEN lead(kind) OVER following = 'removed' THEN lead(seen_at, 2) OVER following
        ELSE lead(seen_at) OVER following END AS next_from
FROM settled
WINDOW following AS ({_FOLLOWING})
UNION ALL
SELECT
    row, item_key, kind, seen_at, job_id, item_index, item_hash, version, field_changes, first_seen_at, NULL, NULL, NULL
FROM placed
WHERE hash({_ITEM}) NOT IN (FROM several)
"""  # noqa: S608

_CLOSE = f"""
UPDATE {TABLE} AS kept
SET valid_to = events.valid_to, next_from = events.next_from, last_job_id = events.last_job_id
FROM events
WHERE kept.rowid = events.row AND (kept.valid_to, kept.next_from, kept.last_job_id)
    IS DISTINCT FROM (events.valid_to, events.next_from, events.last_job_id)
"""  # noqa: S608

_FORGET = f"DELETE FROM {TABLE} AS kept USING stale WHERE kept.strategy = stale.strategy AND valid_from >= since"  # noqa: S608

# The readable name of an item: the first of the usual naming fields that it has, else its key.
_LABEL = "coalesce(names[1], names[2], names[3], names[4], item_key)"
# DuckDB refuses some texts that are JSON to others, such as half a surrogate.
_NAMES = "TRY(json_extract_string(item, ['$.title', '$.name', '$.headline', '$.heading']))"

_ADD = f"""
INSERT INTO {TABLE} BY NAME
SELECT
    strategy, target, url, parameters, item_key, version, seen_at AS valid_from, valid_to, next_from,
    job_id AS first_job_id, last_job_id, first_seen_at, field_changes, {_LABEL} AS label, item_hash, item
FROM (
    SELECT *, {_NAMES} AS names
    FROM (SELECT job_id, item_index, item FROM ({{rows}}))
    JOIN (FROM events WHERE item_index IS NOT NULL) AS events USING (job_id, item_index)
)
JOIN (SELECT job_id, strategy, target, url, parameters FROM accepted) AS accepted USING (job_id)
"""  # noqa: S608
# The right side of a join is kept in memory: it is the one with new versions alone.
_AS_WRITTEN = "SET disabled_optimizers = 'join_order,build_side_probe_side'"
# Items are texts of any size: each thread would hold a row group of them, twice as JSON.
_ADD_ON_ONE_THREAD = f"SET threads = 1; {_ADD}; RESET threads"
# Each with the table of the lake that it reads, if it reads any.
_STATEMENTS = (
    (_STANDING, None), (_ACCEPTED, None), (_CHANGED, "changes"), (_TELLING, None), (_KEYED, "results"),
    (_EVENTS, None), (_CLOSE, None), (_FORGET, None), (_ADD_ON_ONE_THREAD, "raw"),
)  # fmt: skip


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates the empty table, and the view that shows it; `meter.jobs` must exist."""
    connection.execute(f"CREATE TABLE {TABLE} ({_COLUMNS})")
    connection.execute(f"CREATE VIEW meter.item_versions AS {VIEW}")


def update(connection: duckdb.DuckDBPyConnection, find_rows: FindRows, carried_revision: int | None) -> None:
    """Brings the table up to date with the lake; `meter.partitions` must exist.

    Args:
        connection: The candidate's file.
        find_rows: Makes queries of the lake's rows.
        carried_revision: The ledger's revision that the table's rows are of; None if it has none.
    """
    since_revision = -1 if carried_revision is None else carried_revision
    connection.execute(_STALE, [since_revision])
    for batch in _batches(connection.execute(_READ_STALE).fetchall()):
        slugs = [slug for slug, _ in batch]
        since = datetime.fromisoformat(f"{min(month for _, month in batch)}-01T00:00:00+00:00")
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE stale AS FROM all_stale WHERE strategy IN (SELECT unnest(?))", [slugs]
        )
        for statement, table in _STATEMENTS:
            if table is None:
                connection.execute(statement)
            else:
                reading = statement.format(rows=find_rows(table, slugs, since))
                connection.execute(f"{_AS_WRITTEN}; {reading}; RESET disabled_optimizers")
    connection.execute("DROP TABLE all_stale")


def _batches(stale: Sequence[tuple[str, str, int]]) -> Iterator[list[tuple[str, str]]]:
    """Strategies that are read together, each with the first month that has changed."""
    batch: list[tuple[str, str]] = []
    waiting = 0
    for slug, month, items in stale:
        if batch and waiting + items > _BATCH_ITEMS:
            yield batch
            batch, waiting = [], 0
        batch.append((slug, month))
        waiting += items
    if batch:
        yield batch
