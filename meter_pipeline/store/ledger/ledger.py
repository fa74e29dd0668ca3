"""The ledger: what exists at Meter, and in what state each job is here.

Every job that the API ever listed has a row, in one of these states:

    known        listed, not loaded yet (it may still run)
    accepted     it passed the audit and is in `results` and `changes`
    held         the audit held it: raw items are kept, `reason` says why
    failed       it failed at Meter, `error` says why
    unreadable   it could not be fetched, `reason` says why; it is tried again after `retry_at`
    dropped      a user threw it away: it has no rows, and is loaded again only when a user names it

A commit comes after its files are written, and makes all of them count at once, together with the jobs' states. It
names the version of the strategy that it was built on, and is refused when somebody else has committed since.

`Ledger` opens the transactions; the statements are in a module for each subject: `catalog` (strategies and schedules),
`jobs`, `job_queries`, `manifest`, `syncs`, `walks`, `facts` and `intents`. Questions of a single reader are in modules
above this one, such as `findings` and `troubles`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Table, select, text

from meter_pipeline.store.ledger import catalog, facts, job_queries, jobs, manifest, syncs, tables, walks
from meter_pipeline.store.ledger.claims import Claims
from meter_pipeline.store.ledger.database import connect, readable
from meter_pipeline.store.ledger.intents import LedgerIntents
from meter_pipeline.store.ledger.jobs import Commit, job_values, target_of
from meter_pipeline.store.ledger.pooling import pools_transactions
from meter_pipeline.store.ledger.presence import presence_for
from meter_pipeline.store.ledger.rows import Counts, ItemsRow, JobRow, Recorded, ScheduleRow, StrategyRow
from meter_pipeline.store.ledger.upserts import upsert
from meter_pipeline.store.parts import Part

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Job, Schedule, Strategy

__all__ = ["Commit", "Ledger", "job_values", "target_of"]


_LOCK = text(
    "SELECT set_config('idle_in_transaction_session_timeout', '60s', true), "
    "pg_advisory_xact_lock(hashtext('meter_pipeline ledger'))"
)


class Ledger:
    """A SQLite file, or a PostgreSQL database when it is shared. Safe for threads; every call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open_syncs: set[str] = set()
        self._write_lock = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        self.claims = Claims(self.reading, self.writing, presence_for(engine))

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Opens, creates or migrates the ledger at a path or SQLAlchemy URL.

        Raises:
            LedgerError: It cannot be reached, is damaged, or was made by a newer version.
        """
        return cls(connect(url))

    def close(self) -> None:
        """Gives up all claims and closes every connection."""
        self.claims.close()
        self._engine.dispose()

    @property
    def pools_transactions(self) -> bool:
        """Whether transactions of one connection may run in different sessions of the database's server."""
        with readable(self._engine):
            return pools_transactions(self._engine)

    # -- transactions

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger."""
        with readable(self._engine), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[Connection]:
        """A transaction that changes the ledger; a `durable` one, and all before it, survive a power cut."""
        options = {"writes": True, "durable": durable}
        # SQLite has one writer at a time: threads of this process wait here, not by polling the file.
        with (
            self._write_lock,
            readable(self._engine),
            self._engine.connect().execution_options(**options) as connection,
        ):
            with connection.begin():
                if self._engine.dialect.name == "postgresql":
                    # One writer at a time there too: else two that see the same new strategy both insert it. The
                    # server ends the session of one that stands still, so that the others go on.
                    connection.execute(_LOCK)
                yield connection

    def revise(self, connection: Connection) -> None:
        """Gives the ledger a new revision: a reader of the warehouse would see something else than before."""
        facts.revise(connection)

    def upsert(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, keys: list[str], set_: list[str]
    ) -> None:
        """Inserts rows; of a row whose `keys` exist, the columns `set_` are updated, or nothing."""
        upsert(connection, table, rows, keys=keys, set_=set_)

    def rows(self, name: str) -> list[Row[Any]]:
        """Every row of one of the ledger's tables."""
        return self.snapshot([name])[name]

    def snapshot(self, names: Iterable[str]) -> dict[str, list[Row[Any]]]:
        """Every row of some of the ledger's tables, all as of one moment."""
        with self.reading_state() as connection:
            return {name: list(connection.execute(select(tables.metadata.tables[name]))) for name in names}

    @contextmanager
    def reading_state(self) -> Iterator[Connection]:
        """A transaction all of whose statements see the same state of the ledger."""
        # A transaction of SQLite sees one state anyway.
        options = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with readable(self._engine), self._engine.connect().execution_options(**options) as connection:
            with connection.begin():
                yield connection

    # -- facts, walks and intents

    @property
    def intents(self) -> LedgerIntents:
        """What is about to be created at Meter, noted here so that a crash does not create it twice."""
        return LedgerIntents(self.writing)

    def revision(self) -> int:
        """The ledger's revision, which goes up with every change of what a reader of the warehouse would see."""
        return int(self.fact(facts.REVISION) or 0)

    def fact(self, name: str) -> str | None:
        """A value noted by `note`."""
        with self.reading() as connection:
            return facts.read_fact(connection, name)

    def note(self, name: str, value: str) -> None:
        """Notes a value under a name."""
        with self.writing() as connection:
            facts.write_fact(connection, name, value)

    def walk(self, scope: str = "") -> str | None:
        """The time up to which all jobs of a scope are known, `None` before the first complete walk.

        Args:
            scope: A strategy's id; empty for all strategies together.
        """
        with self.reading() as connection:
            return walks.read_walk(connection, scope)

    def record_walk(self, scope: str, complete_to: str) -> None:
        """Notes that all jobs of a scope up to a time are known."""
        with self.writing() as connection:
            walks.record_walk(connection, scope, complete_to)

    # -- strategies and schedules

    def record_strategies(self, listed: Iterable[Strategy], *, whole: bool = True) -> list[str]:
        """Records the strategies that the API listed; returns the slugs of the new ones.

        A strategy that a `whole` list lacks keeps its row and its jobs and gets a `deleted_at`.
        """
        with self.writing() as connection:
            return catalog.record_strategies(connection, listed, whole=whole)

    def record_schedules(self, listed: Iterable[Schedule], *, whole: bool = True) -> None:
        """Records the schedules that the API listed; one that a `whole` list lacks gets a `deleted_at`."""
        with self.writing() as connection:
            catalog.record_schedules(connection, listed, whole=whole)

    def strategies(self, ids: Sequence[str] | None = None) -> list[StrategyRow]:
        """Every strategy, or those with some ids, in the order of their slugs."""
        with self.reading() as connection:
            return catalog.read_strategies(connection, ids)

    def strategy(self, strategy_id: str) -> StrategyRow | None:
        """The strategy of an id, `None` if there is none."""
        return next(iter(self.strategies([strategy_id])), None)

    def schedules(self) -> list[ScheduleRow]:
        """Every schedule, in the order of their ids."""
        with self.reading() as connection:
            return catalog.read_schedules(connection)

    # -- the manifest

    @cached_property
    def name(self) -> str:
        """The ledger's own name: the lake's files carry it, so that ledgers know their own files apart."""
        with self.reading() as connection:
            name = facts.read_name(connection)
        if name is None:
            with self.writing() as connection:
                name = facts.give_name(connection)
        return name

    def parts(self, strategy_ids: Sequence[str]) -> dict[str, list[Part]]:
        """The parts that count, by strategy id."""
        with self.reading() as connection:
            return manifest.read_parts(connection, strategy_ids)

    def parts_of(self, slug: str) -> list[Part]:
        """The parts that count of the strategy with a slug; none if there is no such strategy."""
        with self.reading() as connection:
            return manifest.read_parts_of(connection, slug)

    def sample_parts(self, most: int) -> list[str]:
        """Names of parts that count: the `most` oldest and the `most` newest."""
        with self.reading() as connection:
            return manifest.sample_names(connection, most)

    @property
    def swept_at(self) -> str | None:
        """When the last sweep of the lake's files ended, ISO 8601 by that machine's clock.

        None before the first sweep, empty while one is running.
        """
        return self.fact(manifest.SWEPT_AT)

    def last_changes(self, table: str) -> dict[str, int]:
        """The revision in which rows of a table of the lake last changed, by strategy id."""
        with self.reading() as connection:
            return manifest.read_last_changes(connection, table)

    def state_of(self, strategy_ids: Sequence[str]) -> dict[str, tuple[StrategyRow, list[Part]]]:
        """Strategies with the parts that count, as of one moment, by strategy id: what a commit is built on."""
        with self.reading() as connection:
            found = manifest.read_parts(connection, strategy_ids)
            rows = catalog.read_strategies(connection, strategy_ids)
        return {row.strategy_id: (row, found[row.strategy_id]) for row in rows}

    # -- jobs

    def record_jobs(self, listed: Sequence[Job]) -> Recorded:
        """Gives every listed job a row, and follows the status of those that have one.

        A job that waits is updated from the listing. A failed or unreadable job with a new status waits again, to be
        loaded at once. Of a loaded job only the status is noted: its items stay as they are.
        """
        with self.writing() as connection:
            return jobs.record_jobs(connection, listed)

    def commit(self, commit: Commit) -> int:
        """Makes a commit, all of it or nothing; returns the strategy's next version.

        Raises:
            StaleError: It was built on a state that is no longer current.
        """
        with self.writing() as connection:
            version = jobs.apply_commit(connection, commit)
            if commit.claim is not None:
                commit.claim.remove(connection)
        if commit.claim is not None:
            commit.claim.forget()
        return version

    def jobs(
        self,
        strategy: str | Sequence[str] | None = None,
        states: Sequence[str] = (),
        ids: Sequence[str] | None = None,
    ) -> Iterator[JobRow]:
        """Jobs in order of strategy, time and id.

        Args:
            strategy: Only jobs of one or some strategies, by id.
            states: Only jobs in one of these states.
            ids: Only jobs with one of these ids.
        """
        strategy_ids = [strategy] if isinstance(strategy, str) else strategy
        with self.reading() as connection:
            yield from job_queries.stream_jobs(connection, strategy_ids, states, ids)

    def counts(self) -> list[Counts]:
        """Jobs and items by strategy and state."""
        with self.reading() as connection:
            return job_queries.count_jobs(connection)

    def duplicates(self) -> dict[str, int]:
        """Items of accepted jobs that repeat the key of an earlier item of the job, by strategy id."""
        with self.reading() as connection:
            return job_queries.count_duplicates(connection)

    def problems(self) -> list[JobRow]:
        """Jobs that are held or unreadable."""
        return list(self.jobs(states=("held", "unreadable")))

    def odd_statuses(self) -> list[JobRow]:
        """Jobs that wait with a status that Meter does not document, or with none."""
        return [row for row in self.jobs(states=("known",)) if row.has_odd_status]

    def accepted(self, strategy_id: str) -> set[str]:
        """Ids of a strategy's accepted jobs."""
        with self.reading() as connection:
            return job_queries.read_accepted(connection, strategy_id)

    def with_accepted(self, strategy_ids: Sequence[str]) -> set[str]:
        """Those of the given strategies that have an accepted job."""
        with self.reading() as connection:
            return job_queries.find_strategies_with(connection, strategy_ids, "accepted")

    def neighbourhood(
        self, strategy_id: str, spans: Mapping[str, tuple[tuple[str, str], tuple[str, str]]], reach: int = 1
    ) -> dict[str, list[JobRow]]:
        """The accepted jobs of targets around and within spans of time, in order: those that a feed compares.

        Args:
            strategy_id: The strategy of the targets.
            spans: First and last (time, job id) by `target_id`.
            reach: How many jobs on either side of a span.

        Returns:
            By target: the last jobs before the span, those within, and the first ones after it.
        """
        with self.reading() as connection:
            return job_queries.find_neighbours(connection, strategy_id, spans, reach)

    def count_comparable(self, strategy_id: str) -> int:
        """Accepted jobs of a strategy with items that have an earlier one of the same target."""
        with self.reading() as connection:
            return job_queries.count_comparable(connection, strategy_id)

    def with_items(self, strategy_id: str) -> list[ItemsRow]:
        """The accepted jobs of a strategy that have items, in any order."""
        with self.reading() as connection:
            return job_queries.read_with_items(connection, strategy_id)

    def accepted_of(self, strategy_id: str, schedule_ids: Iterable[str | None]) -> list[JobRow]:
        """A strategy's accepted jobs of some schedules, in any order; `None` stands for jobs of no schedule."""
        with self.reading() as connection:
            return job_queries.read_accepted_of(connection, strategy_id, schedule_ids)

    def lists_around(self, strategy_id: str, first: str, last: str) -> set[tuple[str | None, ...]]:
        """Schedule, parameters and target of the accepted jobs within a span of time (ISO 8601), each once."""
        with self.reading() as connection:
            return job_queries.find_lists_around(connection, strategy_id, first, last)

    # -- syncs

    def begin_sync(self) -> str:
        """Notes the start of a sync; returns its id."""
        with self.writing() as connection:
            sync_id = syncs.begin_sync(connection)
        self._open_syncs.add(sync_id)
        return sync_id

    def end_sync(self, sync_id: str, report: dict[str, Any]) -> None:
        """Notes the end of a sync with its report."""
        with self.writing() as connection:
            syncs.end_sync(connection, sync_id, report)
        self._open_syncs.discard(sync_id)

    def end_open_syncs(self, report: dict[str, Any]) -> None:
        """Notes the end of every sync that this object began and that has not ended: the process is about to exit."""
        with self.writing() as connection:
            syncs.end_open_syncs(connection, self._open_syncs, report)

    def last_sync(self) -> dict[str, Any] | None:
        """The report of the latest sync that ended, `None` before the first one."""
        with self.reading() as connection:
            return syncs.read_last_sync(connection)

    def unended_sync(self) -> str | None:
        """When the latest sync began, if it still runs or was killed; `None` if it has ended."""
        with self.reading() as connection:
            return syncs.read_unended_sync(connection)
