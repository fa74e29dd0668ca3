"""Item versions that are kept up from publication to publication equal those read from the whole history."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store.warehouse import item_versions
from meter_pipeline_tests.behaviour import thorough

_START = datetime(2026, 1, 20, tzinfo=timezone.utc)
_COLUMNS = (
    "strategy, url, parameters, item_key, version, valid_from, valid_to, is_current, is_latest, first_job_id, "
    "last_job_id, first_seen_at, field_changes, label, item_hash, item"
)
_TABLES = """
CREATE SCHEMA meter;
CREATE TABLE meter.jobs (
    strategy VARCHAR, job_id VARCHAR, url VARCHAR, parameters VARCHAR, state VARCHAR, items BIGINT,
    completed_at TIMESTAMPTZ, schedule_id VARCHAR, rejected BIGINT
);
CREATE TABLE meter.strategies (slug VARCHAR, identity VARCHAR);
CREATE TABLE meter.partitions (table_name VARCHAR, strategy VARCHAR, month VARCHAR, revision BIGINT);
CREATE TABLE changes (
    strategy VARCHAR, job_id VARCHAR, previous_job_id VARCHAR, item_key VARCHAR, kind VARCHAR, field VARCHAR,
    observed_at TIMESTAMPTZ
);
CREATE TABLE results (
    strategy VARCHAR, _meter_job_id VARCHAR, _meter_item_index BIGINT, _meter_item_key VARCHAR,
    _meter_item_hash VARCHAR, _meter_completed_at TIMESTAMPTZ
);
CREATE TABLE items (strategy VARCHAR, job_id VARCHAR, item_index BIGINT, item VARCHAR, completed_at TIMESTAMPTZ);
"""


def _find_rows(table: str, slugs: Sequence[str], since: datetime) -> str:
    return f"FROM {'items' if table == 'raw' else table}"


@dataclass(frozen=True)
class Job:
    """An accepted job: items are two field values by key."""

    strategy: str
    url: str | None
    day: int
    number: int
    items: tuple[tuple[str, int, int], ...]

    @property
    def job_id(self) -> str:
        return f"j{self.number}"

    @property
    def at(self) -> datetime:
        return _START + timedelta(days=self.day)

    def item(self, key: str) -> str:
        """The text of an item, some with a name."""
        first, second = self.by_key[key]
        return json.dumps({"job": self.number, "name": f"a {key}"} if first else [key, second])

    def label(self, key: str) -> str:
        """The name of an item, else its key."""
        return f"a {key}" if self.by_key[key][0] else key

    @property
    def by_key(self) -> dict[str, tuple[int, int]]:
        return {key: (first, second) for key, first, second in self.items}


_job = st.builds(
    Job,
    strategy=st.sampled_from(("books", "it's")),
    url=st.sampled_from((None, "https://one.example/")),
    # Over three months, some at the same time.
    day=st.sampled_from((0, 5, 11, 12, 13, 30, 45)),
    number=st.integers(0, 30),
    items=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 1)), max_size=3, unique_by=lambda x: x[0]
    ).map(tuple),
)


@st.composite
def _histories(draw: st.DrawFn) -> list[list[Job]]:
    """The accepted jobs at one publication after another: some come, late or in order, and some go."""
    jobs = {job.number: job for job in draw(st.lists(_job, min_size=3, max_size=9))}
    found = [[*jobs.values()]]
    for _ in range(draw(st.integers(1, 3))):
        for number in draw(st.lists(st.sampled_from(sorted(jobs)), max_size=1)):
            del jobs[number]
        jobs |= {job.number: job for job in draw(st.lists(_job, min_size=1, max_size=2))}
        found.append([*jobs.values()])
    return found


def _lines(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The jobs of each target, in the order of time."""
    targets = defaultdict(list)
    for job in jobs:
        targets[job.strategy, job.url].append(job)
    for line in targets.values():
        yield sorted(line, key=lambda job: (job.at, job.job_id))


def _changes(jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
    rows = []
    for line in _lines(jobs):
        for old, new in pairwise(line):
            for key in old.by_key.keys() | new.by_key.keys():
                before, after = old.by_key.get(key), new.by_key.get(key)
                found = [("removed", None)] if after is None else [("added", None)] if before is None else []
                if before and after:
                    found = [("changed", str(place)) for place in (0, 1) if before[place] != after[place]]
                rows += [(new.strategy, new.job_id, old.job_id, key, kind, field, new.at) for kind, field in found]
    return rows


def _expected(jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
    """The versions, read job by job."""
    rows: list[dict[str, Any]] = []
    for line in _lines(jobs):
        of_item: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for place, job in enumerate(line):
            before = line[place - 1] if place else None
            for key in {key for earlier in line[: place + 1] for key in earlier.by_key}:
                known, value = of_item[key], job.by_key.get(key)
                standing = known[-1] if known and known[-1]["valid_to"] is None else None
                if standing and value == standing["value"]:
                    continue
                if standing and before:
                    standing.update(valid_to=job.at, last_job_id=before.job_id)
                if value is None:
                    continue
                fields = sum(a != b for a, b in zip(standing["value"], value, strict=True)) if standing else 0
                if known:
                    known[-1]["is_latest"] = False
                known.append(
                    {
                        "strategy": job.strategy, "url": job.url, "parameters": None, "item_key": key,
                        "version": len(known) + 1, "valid_from": job.at, "valid_to": None, "is_latest": True,
                        "first_job_id": job.job_id, "last_job_id": line[-1].job_id,
                        "first_seen_at": known[0]["valid_from"] if known else job.at,
                        "field_changes": (known[-1]["field_changes"] if known else 0) + fields,
                        "label": job.label(key),
                        "item_hash": f"{value}", "item": job.item(key), "value": value,
                    }
                )  # fmt: skip
        rows += [row for versions in of_item.values() for row in versions]
    for row in rows:
        row["is_current"] = row["valid_to"] is None
    return sorted((tuple(row[name] for name in _COLUMNS.split(", ")) for row in rows), key=repr)


def _fill(connection: duckdb.DuckDBPyConnection, before: Sequence[Job], jobs: Sequence[Job]) -> None:
    """Replaces ledger and lake by those with these jobs, and lists the partitions that differ."""
    numbered = [(job, place, item) for job in jobs for place, item in enumerate(job.items)]
    rows = {
        "meter.jobs": [
            (job.strategy, job.job_id, job.url, None, "accepted", len(job.items), job.at, None, 0) for job in jobs
        ],
        "changes": _changes(jobs),
        "results": [
            (job.strategy, job.job_id, place, key, f"{(first, second)}", job.at)
            for job, place, (key, first, second) in numbered
        ],
        "items": [(job.strategy, job.job_id, place, job.item(key), job.at) for job, place, (key, _, _) in numbered],
    }
    # A job that is not accepted counts for nothing.
    rows["meter.jobs"].append(("books", "held", None, None, "held", 5, _START - timedelta(days=3), None, 0))
    for table, found in rows.items():
        connection.execute(f"DELETE FROM {table}")
        if found:
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(found[0]))})", found)
    was, now = (
        {(job.strategy, f"{job.at:%Y-%m}"): set() for job in (*before, *jobs)} for _ in range(2)
    )  # fmt: skip
    for side, some in ((was, before), (now, jobs)):
        for job in some:
            side[job.strategy, f"{job.at:%Y-%m}"].add(job)
        for change in _changes(some):
            side[change[0], f"{change[-1]:%Y-%m}"].add(change)
    connection.execute("UPDATE meter.partitions SET revision = 1")
    for partition, content in now.items():
        if content != was[partition]:
            connection.execute("INSERT INTO meter.partitions VALUES ('results', ?, ?, 2)", list(partition))


@settings(max_examples=thorough.examples(5, 10))
@given(histories=_histories(), is_split=st.booleans())
def test_versions_kept_up_over_any_history_equal_those_of_a_slow_reading(
    histories: list[list[Job]], is_split: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_TABLES)
        item_versions.create(connection)
        if is_split:
            patch.setattr(item_versions, "_BATCH_ITEMS", 0)
        before: list[Job] = []
        for jobs in histories:
            _fill(connection, before, jobs)
            item_versions.update(connection, _find_rows, 1)
            found = connection.execute(f"SELECT {_COLUMNS} FROM meter.item_versions").fetchall()
            assert sorted(found, key=repr) == _expected(jobs)
            before = jobs


def test_rows_of_unchanged_strategies_and_of_earlier_months_are_not_touched() -> None:
    jobs = [
        Job(strategy, None, day, number + 10 * place, (("a", day, 0), ("b", 0, 0)))
        for place, strategy in enumerate(("books", "lamps"))
        for number, day in enumerate((0, 5, 30))
    ]
    late = Job("books", None, 45, 30, (("a", 7, 0), ("b", 0, 0)))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_TABLES)
        item_versions.create(connection)
        _fill(connection, [], jobs)
        item_versions.update(connection, _find_rows, 1)
        connection.execute(f"UPDATE {item_versions.TABLE} SET item = 'untouched'")
        _fill(connection, jobs, [*jobs, late])
        item_versions.update(connection, _find_rows, 1)
        touched = connection.execute(
            "SELECT strategy, item_key, valid_from FROM meter.item_versions WHERE item <> 'untouched'"
        ).fetchall()
    assert touched == [("books", "a", late.at)]


def _count_opened(connection: duckdb.DuckDBPyConnection, work: Callable[[], object]) -> Counter[str]:
    """How often each Parquet file is opened by some work."""
    connection.execute("CALL enable_logging('FileSystem')")
    work()
    connection.execute("CALL disable_logging()")
    paths = connection.execute(
        "SELECT path FROM duckdb_logs_parsed('FileSystem') WHERE op = 'OPEN' AND path LIKE '%.parquet'"
    ).fetchall()
    connection.execute("CALL truncate_duckdb_logs()")
    return Counter(path for (path,) in paths)


def test_each_file_is_opened_as_often_as_for_a_single_query_of_it(tmp_path: Path) -> None:
    jobs = [Job("books", None, day, day, (("a", day, 0), ("b", 0, 0))) for day in (0, 5, 11, 30)]

    def scan(table: str) -> str:
        return f"FROM read_parquet({[str(file) for file in sorted((tmp_path / table).glob('*'))]!r})"

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_TABLES)
        item_versions.create(connection)
        _fill(connection, [], jobs)
        for table in ("changes", "results", "items"):
            (tmp_path / table).mkdir()
            for part in range(2):
                connection.execute(
                    f"COPY (FROM {table} WHERE rowid % 2 = {part}) TO '{tmp_path / table / str(part)}.parquet'"
                )
        once = Counter[str]()
        for table in ("changes", "results", "items"):
            once += _count_opened(
                connection, partial(connection.execute, f"CREATE TEMP TABLE once_{table} AS {scan(table)}")
            )
        opened = _count_opened(
            connection,
            lambda: item_versions.update(
                connection, lambda table, slugs, since: scan("items" if table == "raw" else table), 1
            ),
        )
        found = connection.execute(f"SELECT {_COLUMNS} FROM meter.item_versions").fetchall()
    assert sorted(found, key=repr) == _expected(jobs)
    assert opened == once
    assert len(opened) == 6
