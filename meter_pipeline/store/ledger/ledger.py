"""The ledger: what exists at Meter, and in what state each job is with us.

Every job the API ever listed has a row, in one of these states:

    known        listed, not loaded yet (it may still run)
    landed       its raw items are in the lake, nothing was derived from them yet
    accepted     it passed the audit and is in `results` and `changes`
    held         the audit said no: raw items are kept, `reason` says why
    failed       it failed at Meter, `error` says why
    unreadable   it could not be fetched, `reason` says why; it is tried again after `retry_at`

A commit here comes after the files it speaks of are in the lake.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, func, literal, select, text, tuple_, update

from meter_pipeline.store import columns
from meter_pipeline.store.ledger import tables
from meter_pipeline.store.ledger.claims import Claims, claims_for
from meter_pipeline.store.ledger.database import connect, readable
from meter_pipeline.store.ledger.intervals import expected_interval
from meter_pipeline.store.ledger.rows import Counts, Gap, JobRow, Recorded, ScheduleRow, StrategyRow
from meter_pipeline.store.ledger.slugs import make_slug
from meter_pipeline.store.ledger.tables import (
    facts,
    intents,
    jobs,
    plain,
    schedules,
    strategies,
    syncs,
    target_id,
    walks,
)
from meter_pipeline.store.times import iso, moment, now

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Intent, Job, Schedule, Strategy

# What changes with every run of a schedule is no new version of it.
_PASSING = frozenset({"next_run_at", "last_run_at", "updated_at", "preview_data"})


def job_values(job: Job) -> dict[str, Any]:
    """The ledger's columns of what the API says of a job."""
    values: dict[str, Any] = {
        "job_id": job.job_id,
        "schedule_id": job.schedule_id,
        "batch_id": job.batch_id,
        "url": job.url,
        "parameters": _json(job.parameters) if job.parameters else None,
        "status": job.status,
        "item_count": job.item_count,
        "content_hash": job.content_hash,
        "structural_signature": None if job.structural_signature is None else _json(job.structural_signature),
        "error": job.error,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "completed_at": iso(job.completed_at),
    }
    values = plain(values)
    return {**values, "target_id": target_id(values["url"], values["parameters"])}


class Ledger:
    """One SQLite file, or a PostgreSQL database when it is shared. Safe for threads; every call is one transaction."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._engine = engine
        self._upserts: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Any] = {}
        self._begun: set[str] = set()
        self._write = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        self.claims = claims

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Opens, makes or migrates the ledger at a path or SQLAlchemy URL.

        Raises:
            LedgerError: It cannot be reached, is damaged, or was made by a newer version.
        """
        engine = connect(url)
        return cls(engine, claims_for(engine))

    def close(self) -> None:
        """Lets go of every connection."""
        self._engine.dispose()

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
        with self._write, readable(self._engine), self._engine.connect().execution_options(**options) as connection:
            with connection.begin():
                if self._engine.dialect.name == "postgresql":
                    # One writer at a time there too: else two that see the same new strategy both insert it.
                    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('meter_pipeline ledger'))"))
                self.claims.verify(connection)
                yield connection

    def revise(self, connection: Connection) -> None:
        """Gives the ledger a new revision: what a reader of the warehouse sees has changed."""
        row = {"name": "revision", "value": uuid.uuid4().hex}
        self.upsert(connection, facts, [row], keys=["name"], set_=["value"])

    def upsert(
        self, connection: Connection, table: Any, rows: Sequence[dict[str, Any]], *, keys: list[str], set_: list[str]
    ) -> None:
        """Inserts rows; where a row with these `keys` is there, its columns `set_` are changed, or nothing."""
        if rows:
            connection.execute(self._upsert(table, tuple(keys), tuple(set_)), list(rows))

    def _upsert(self, table: Any, keys: tuple[str, ...], set_: tuple[str, ...]) -> Any:
        """The statement, kept: making one takes longer than carrying it out."""
        made = self._upserts.get((table.name, keys, set_))
        if made is None:
            dialect: Any = import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}")
            made = dialect.insert(table)
            if set_:
                changed = {name: made.excluded[name] for name in set_}
                made = made.on_conflict_do_update(index_elements=keys, set_=changed)
            else:
                made = made.on_conflict_do_nothing(index_elements=keys)
            self._upserts[table.name, keys, set_] = made
        return made

    @property
    def intents(self) -> LedgerIntents:
        """What is about to be created at Meter, noted here so that a crash does not make it twice."""
        return LedgerIntents(self)

    # -- facts

    def revision(self) -> str:
        """A mark that is another one after every change of the ledger."""
        return self.fact("revision") or ""

    def fact(self, name: str) -> str | None:
        """A value noted by `note`."""
        with self.reading() as connection:
            return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()

    def note(self, name: str, value: str) -> None:
        """Notes a value under a name."""
        with self.writing() as connection:
            self.upsert(connection, facts, [{"name": name, "value": value}], keys=["name"], set_=["value"])

    # -- catalog

    def record_strategies(self, listed: Iterable[Strategy], *, whole: bool = True) -> list[str]:
        """Takes over what the API lists; returns the slugs of strategies that are new.

        A strategy that is no longer listed keeps its row and gets a `deleted_at`; its jobs stay. Where the list is not
        `whole`, nothing is said of those that are not in it.
        """
        seen = now()
        with self.writing() as connection:
            known = {row.strategy_id: row for row in connection.execute(select(strategies))}
            latest = self._versions(connection, "strategy")
            versions: list[dict[str, Any]] = []
            taken = {row.slug for row in known.values()}
            fresh = []
            current = set()
            changed = False
            for item in sorted(listed, key=lambda s: (iso(s.created_at) or "", s.strategy_id)):
                current.add(item.strategy_id)
                values = {
                    "strategy_id": item.strategy_id,
                    "name": item.name,
                    "url": item.url,
                    "description": item.description,
                    "scraper_type": item.scraper_type,
                    "created_at": iso(item.created_at),
                    "updated_at": iso(item.updated_at),
                    "deleted_at": None,
                }
                values = plain(values)
                if item.strategy_id in known:
                    old = known[item.strategy_id]
                    if any(getattr(old, name) != value for name, value in values.items()):
                        where = strategies.c.strategy_id == item.strategy_id
                        connection.execute(update(strategies).where(where).values(**values))
                        changed = True
                else:
                    slug = make_slug(item.name, item.strategy_id, taken)
                    taken.add(slug)
                    fresh.append(slug)
                    changed = True
                    connection.execute(strategies.insert().values(**values, slug=slug, first_seen_at=seen, dirty=True))
                versions += self._version("strategy", item.strategy_id, item.raw, seen, latest)
            gone = [i for i, row in known.items() if whole and i not in current and row.deleted_at is None]
            if gone:
                connection.execute(update(strategies).where(strategies.c.strategy_id.in_(gone)).values(deleted_at=seen))
            if versions:
                connection.execute(tables.versions.insert(), versions)
            if changed or gone or versions:
                self.revise(connection)
        return fresh

    def record_schedules(self, listed: Iterable[Schedule], *, whole: bool = True) -> None:
        """Takes over what the API lists; one that is not in a `whole` list any more gets a `deleted_at`."""
        seen = now()
        with self.writing() as connection:
            known = {row.schedule_id: row for row in connection.execute(select(schedules))}
            latest = self._versions(connection, "schedule")
            versions: list[dict[str, Any]] = []
            made: list[dict[str, Any]] = []
            current = set()
            changed = False
            for item in listed:
                current.add(item.schedule_id)
                values = {
                    "schedule_id": item.schedule_id,
                    "strategy_id": item.strategy_id,
                    "url": item.url,
                    "urls": _json(list(item.urls)) if item.urls else None,
                    "schedule_type": item.schedule_type,
                    "interval_seconds": item.interval_seconds,
                    "cron_expression": item.cron_expression,
                    "enabled": item.enabled,
                    "webhook_url": item.webhook_url,
                    "next_run_at": iso(item.next_run_at),
                    "last_run_at": iso(item.last_run_at),
                    "created_at": iso(item.created_at),
                    "updated_at": iso(item.updated_at),
                    "deleted_at": None,
                }
                values = plain(values)
                old = known.get(item.schedule_id)
                if old is None:
                    made.append({**values, "first_seen_at": seen})
                elif any(getattr(old, name) != value for name, value in values.items()):
                    where = schedules.c.schedule_id == item.schedule_id
                    connection.execute(update(schedules).where(where).values(**values))
                    changed = True
                versions += self._version("schedule", item.schedule_id, item.raw, seen, latest)
            gone = [i for i, row in known.items() if whole and i not in current and row.deleted_at is None]
            if gone:
                connection.execute(update(schedules).where(schedules.c.schedule_id.in_(gone)).values(deleted_at=seen))
            if made:
                connection.execute(schedules.insert(), made)
            if versions:
                connection.execute(tables.versions.insert(), versions)
            if changed or gone or made or versions:
                self.revise(connection)

    def _versions(self, connection: Connection, kind: str) -> dict[str, tuple[int, str]]:
        """The latest version of each strategy or schedule, with its number."""
        table = tables.versions
        query = select(table.c.id, table.c.version, table.c.record).where(table.c.kind == kind)
        return {id_: (number, record) for id_, number, record in connection.execute(query.order_by(table.c.version))}

    @staticmethod
    def _version(kind: str, id_: str, raw: dict[str, Any], seen: str, latest: dict[str, tuple[int, str]]) -> Any:
        """The row of a new version, as a list; an empty one when nothing but what passes has changed."""
        record = _json({name: value for name, value in raw.items() if name not in _PASSING})
        number, last = latest.get(id_, (0, None))
        if last == record:
            return []
        latest[id_] = (number + 1, record)
        return [{"kind": kind, "id": id_, "version": number + 1, "seen_at": seen, "record": record}]

    def strategies(self, ids: Sequence[str] | None = None) -> list[StrategyRow]:
        """Every strategy, or those with some ids, in the order of their slugs."""
        query = select(strategies).order_by(strategies.c.slug)
        if ids is not None:
            query = query.where(strategies.c.strategy_id.in_(list(ids)))
        with self.reading() as connection:
            return [StrategyRow(**row._mapping) for row in connection.execute(query)]

    def strategy(self, strategy_id: str) -> StrategyRow | None:
        """One strategy by its id."""
        return next(iter(self.strategies([strategy_id])), None)

    def schedules(self) -> list[ScheduleRow]:
        """Every schedule."""
        with self.reading() as connection:
            rows = connection.execute(select(schedules).order_by(schedules.c.schedule_id))
            return [ScheduleRow(**row._mapping) for row in rows]

    # -- discovery

    def record_jobs(self, listed: Sequence[Job]) -> Recorded:
        """Gives every listed job a row, and follows the status of those that have one.

        A job that waits takes over what the API says now. One that was failed or unreadable and has another status now
        waits again, to be loaded at once. Of one that is loaded only the status is noted: its items stay as they are.
        """
        seen = now()
        with self.writing() as connection:
            known = self._known(connection, [job.job_id for job in listed])
            rows, moved, loaded = [], [], []
            for job in listed:
                old = known.get(job.job_id)
                is_moved = old is not None and job.status is not None and job.status != old.status
                if old is None or (old.state == "known" and not is_moved):
                    new = {"strategy_id": job.strategy_id or "", "state": _listed_state(job), "known_at": seen}
                    rows.append({**job_values(job), **new})
                elif is_moved and old.state in ("known", "failed", "unreadable"):
                    moved.append(_moved(old, job))
                elif is_moved:
                    loaded.append(plain({"job_id": job.job_id, "status": job.status, **_owned(old)}))
            kept = {"job_id", "strategy_id", "known_at"}
            for some in (rows, moved, loaded):
                set_ = [name for name in _names(some) if name not in kept]
                self.upsert(connection, jobs, some, keys=["job_id"], set_=set_)
            self._adopt(connection, {row["strategy_id"] for row in rows}, seen)
            if rows or moved or loaded:
                self.revise(connection)
        failed = Counter(
            row["strategy_id"]
            for row in (*rows, *moved)
            if row["state"] == "failed" and (row["job_id"] not in known or known[row["job_id"]].state != "failed")
        )
        fresh = [job.job_id for job in listed if job.job_id not in known]
        return Recorded(fresh, [row["job_id"] for row in moved], [row["job_id"] for row in loaded], dict(failed))

    def _adopt(self, connection: Connection, ids: set[str], seen: str) -> None:
        """Gives strategies that only their jobs speak of (deleted at Meter, say) a row."""
        query = select(strategies.c.strategy_id).where(strategies.c.strategy_id.in_(sorted(ids)))
        strange = ids - set(connection.execute(query).scalars())
        taken = set(connection.execute(select(strategies.c.slug)).scalars()) if strange else set()
        for id_ in sorted(strange):
            slug = make_slug(None, id_, taken)
            taken.add(slug)
            connection.execute(
                strategies.insert().values(strategy_id=id_, slug=slug, first_seen_at=seen, deleted_at=seen, dirty=True)
            )

    def _known(self, connection: Connection, ids: Sequence[str]) -> dict[str, JobRow]:
        found: dict[str, JobRow] = {}
        for start in range(0, len(ids), 500):
            query = select(jobs).where(jobs.c.job_id.in_(ids[start : start + 500]))
            found.update((row.job_id, JobRow(*row)) for row in connection.execute(query))
        return found

    def walk(self, scope: str = "") -> str | None:
        """The time up to which all jobs of a scope (all strategies, or one) are known; `None` before a whole walk."""
        with self.reading() as connection:
            return connection.execute(select(walks.c.complete_to).where(walks.c.scope == scope)).scalar()

    def record_walk(self, scope: str, complete_to: str) -> None:
        """Notes that all jobs of a scope up to a time are known."""
        with self.writing() as connection:
            row = {"scope": scope, "complete_to": complete_to, "walked_at": now()}
            self.upsert(connection, walks, [row], keys=["scope"], set_=["complete_to", "walked_at"])

    # -- jobs

    def jobs(
        self,
        strategy: str | Sequence[str] | None = None,
        states: Sequence[str] = (),
        ids: Sequence[str] | None = None,
    ) -> Iterator[JobRow]:
        """Jobs in order of strategy, time and id; only of one or some strategies, in some states, with some ids."""
        query = select(jobs).order_by(
            jobs.c.strategy_id,
            func.coalesce(jobs.c.completed_at, jobs.c.started_at, jobs.c.created_at, ""),
            jobs.c.job_id,
        )
        if strategy is not None:
            query = query.where(jobs.c.strategy_id.in_([strategy] if isinstance(strategy, str) else list(strategy)))
        if states:
            query = query.where(jobs.c.state.in_(states))
        if ids is not None:
            query = query.where(jobs.c.job_id.in_(list(ids)))
        with self.reading() as connection:
            for row in connection.execution_options(stream_results=True, max_row_buffer=5_000).execute(query):
                yield JobRow(*row)

    def counts(self) -> list[Counts]:
        """Jobs and items by strategy and state."""
        query = (
            select(strategies.c.slug, jobs.c.state, func.count(), func.coalesce(func.sum(jobs.c["items"]), 0))
            .join(strategies, strategies.c.strategy_id == jobs.c.strategy_id)
            .group_by(strategies.c.slug, jobs.c.state)
            .order_by(strategies.c.slug, jobs.c.state)
        )
        with self.reading() as connection:
            return [
                Counts(slug, state, int(count), int(items)) for slug, state, count, items in connection.execute(query)
            ]

    def duplicates(self) -> dict[str, int]:
        """Items of accepted jobs whose key an earlier item of the job has, by strategy id."""
        query = select(jobs.c.strategy_id, func.sum(jobs.c.duplicates)).where(jobs.c.state == "accepted")
        with self.reading() as connection:
            return {id_: int(count or 0) for id_, count in connection.execute(query.group_by(jobs.c.strategy_id))}

    def problems(self) -> list[JobRow]:
        """Jobs that are held or unreadable."""
        return list(self.jobs(states=("held", "unreadable")))

    def odd_statuses(self) -> list[JobRow]:
        """Jobs that wait with a status that Meter does not document, or with none."""
        return [row for row in self.jobs(states=("known",)) if row.has_odd_status]

    def gaps(self) -> list[Gap]:
        """Where two jobs of a schedule lie further apart than two of its intervals, the latest gaps first."""
        expected = {row.schedule_id: expected_interval(row) for row in self.schedules()}
        slugs = {row.strategy_id: row.slug for row in self.strategies()}
        time = func.coalesce(jobs.c.created_at, jobs.c.started_at, jobs.c.completed_at)
        before = func.lag(time).over(partition_by=jobs.c.schedule_id, order_by=time)
        runs = select(jobs.c.schedule_id, jobs.c.strategy_id, before.label("since"), time.label("until")).where(
            jobs.c.schedule_id.in_([id_ for id_, seconds in expected.items() if seconds])
        )
        found = []
        with self.reading() as connection:
            for id_, strategy_id, since, until in connection.execute(runs):
                seconds, start, end = expected[id_], moment(since), moment(until)
                if not seconds or start is None or end is None:
                    continue
                apart = (end - start).total_seconds()
                if apart > 2 * seconds:
                    found.append(Gap(id_, slugs.get(strategy_id, "?"), since, until, round(apart / seconds) - 1))
        return sorted(found, key=lambda gap: (gap.until, gap.schedule_id), reverse=True)

    def accepted(self, strategy_id: str) -> set[str]:
        """Ids of a strategy's accepted jobs."""
        query = select(jobs.c.job_id).where((jobs.c.strategy_id == strategy_id) & (jobs.c.state == "accepted"))
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def with_accepted(self, strategy_ids: Sequence[str]) -> set[str]:
        """Those of some strategies that have an accepted job."""
        one = select(jobs.c.job_id).where(
            (jobs.c.strategy_id == strategies.c.strategy_id) & (jobs.c.state == "accepted")
        )
        query = select(strategies.c.strategy_id).where(strategies.c.strategy_id.in_(list(strategy_ids)) & one.exists())
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def neighbourhood(
        self, strategy_id: str, spans: Mapping[str, tuple[tuple[str, str], tuple[str, str]]]
    ) -> dict[str, list[JobRow]]:
        """The accepted jobs of targets around and within spans of time, in order: what a feed compares.

        Args:
            strategy_id: The strategy of the targets.
            spans: First and last (time, job id) by `target_id`.

        Returns:
            By target: the last job before the span, those within, and the first one after it.
        """
        place = tuple_(jobs.c.completed_at, jobs.c.job_id)
        down = (jobs.c.completed_at.desc(), jobs.c.job_id.desc())
        up = (jobs.c.completed_at, jobs.c.job_id)
        found = {}
        with self.reading() as connection:
            for target, (first, last) in spans.items():
                start, end = (tuple_(*map(literal, bound)) for bound in (first, last))
                there = select(jobs).where(
                    (jobs.c.strategy_id == strategy_id) & (jobs.c.target_id == target) & (jobs.c.state == "accepted")
                )
                before = there.where(place < start).order_by(*down).limit(1)
                within = there.where((place >= start) & (place <= end)).order_by(*up)
                after = there.where(place > end).order_by(*up).limit(1)
                found[target] = [JobRow(*row) for query in (before, within, after) for row in connection.execute(query)]
        return found

    def mark_dirty(self, strategy_ids: Sequence[str]) -> None:
        """Marks that these strategies' parts of the lake are about to be written; must come before the first write."""
        with self.writing(durable=True) as connection:
            connection.execute(update(strategies).where(strategies.c.strategy_id.in_(strategy_ids)).values(dirty=True))

    def commit(
        self,
        strategy_id: str,
        rows: Sequence[dict[str, Any]],
        *,
        fields: Sequence[columns.Field] | None = None,
        dirty: bool | None = None,
        identity: str | None = None,
    ) -> None:
        """Commits what became of jobs, after the lake holds what the rows say.

        Args:
            strategy_id: Their strategy.
            rows: Values by column name, `job_id` among them; all rows name the same columns.
            fields: The strategy's fields after these jobs.
            dirty: Whether the strategy's part of the lake is still being written.
            identity: What the strategy's items are told apart by from now on.
        """
        changes: dict[str, Any] = {}
        if fields is not None:
            changes["fields"] = columns.dump(fields)
        if dirty is not None:
            changes["dirty"] = dirty
        if identity is not None:
            changes["identity"] = identity
        with self.writing() as connection:
            if rows:
                defaults = {"strategy_id": strategy_id, "known_at": now()}
                names = [name for name in _names(rows) if name not in ("job_id", "strategy_id")]
                complete = [plain({**defaults, **row}) for row in rows]
                self.upsert(connection, jobs, complete, keys=["job_id"], set_=names)
            if changes:
                connection.execute(update(strategies).where(strategies.c.strategy_id == strategy_id).values(**changes))
            self.revise(connection)

    # -- syncs

    def begin_sync(self) -> str:
        """Notes the start of a sync; returns its id."""
        id_ = uuid.uuid4().hex
        with self.writing() as connection:
            connection.execute(syncs.insert().values(sync_id=id_, started_at=now()))
        self._begun.add(id_)
        return id_

    def end_sync(self, sync_id: str, report: dict[str, Any]) -> None:
        """Notes the end of a sync with its report."""
        with self.writing() as connection:
            where = syncs.c.sync_id == sync_id
            connection.execute(update(syncs).where(where).values(finished_at=now(), report=_json(report)))
        self._begun.discard(sync_id)

    def end_open_syncs(self, report: dict[str, Any]) -> None:
        """Notes the end of every sync that was begun here and has not ended: this process is about to leave."""
        where = syncs.c.sync_id.in_(self._begun) & syncs.c.finished_at.is_(None)
        with self.writing() as connection:
            connection.execute(update(syncs).where(where).values(finished_at=now(), report=_json(report)))

    def last_sync(self) -> dict[str, Any] | None:
        """The report of the latest sync that ended."""
        query = select(syncs).where(syncs.c.finished_at.is_not(None)).order_by(syncs.c.started_at.desc()).limit(1)
        with self.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        report = {"sync_id": row.sync_id, "started_at": row.started_at, "finished_at": row.finished_at}
        return {**json.loads(row.report or "{}"), **report}

    def unended_sync(self) -> str | None:
        """When the latest sync began, if it has not ended: it is at work, or was killed; `None` if it has."""
        query = select(syncs.c.started_at, syncs.c.finished_at).order_by(syncs.c.started_at.desc()).limit(1)
        with self.reading() as connection:
            row = connection.execute(query).first()
        return row.started_at if row is not None and row.finished_at is None else None

    def rows(self, name: str) -> list[Row[Any]]:
        """Every row of one of the ledger's tables."""
        return self.snapshot([name])[name]

    def snapshot(self, names: Iterable[str]) -> dict[str, list[Row[Any]]]:
        """Every row of some of the ledger's tables, all as of one moment, for the warehouse."""
        # A transaction of SQLite sees one state anyway.
        options = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with readable(self._engine), self._engine.connect().execution_options(**options) as connection:
            with connection.begin():
                return {name: list(connection.execute(select(tables.metadata.tables[name]))) for name in names}


class LedgerIntents:
    """`meter_pipeline.api.IntentLog` in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def open(self, kind: str, fingerprint: str, before: Sequence[str]) -> Intent:
        """Notes an intent, or returns the unresolved one with the same fingerprint."""
        from meter_pipeline.api import Intent

        where = (intents.c.kind == kind) & (intents.c.fingerprint == fingerprint) & intents.c.resolved_at.is_(None)
        with self._ledger.writing() as connection:
            old = connection.execute(select(intents).where(where).order_by(intents.c.opened_at)).first()
            if old is not None:
                return Intent(old.intent_id, kind, fingerprint, tuple(json.loads(old.before)), reused=True)
            id_ = uuid.uuid4().hex
            values = {"intent_id": id_, "kind": kind, "fingerprint": fingerprint, "opened_at": now()}
            connection.execute(intents.insert().values(**values, before=_json(list(before))))
            return Intent(id_, kind, fingerprint, tuple(before), reused=False)

    def resolve(self, intent_id: str, resource_id: str | None) -> None:
        """Closes an intent: the resource it made, or `None` when none was made."""
        where = intents.c.intent_id == intent_id
        with self._ledger.writing() as connection:
            connection.execute(update(intents).where(where).values(resolved_at=now(), resource_id=resource_id))


def _listed_state(job: Job) -> str:
    """The state of a listed job that is not loaded; a failed one has nothing to fetch if the listing says why."""
    return "failed" if job.status == "failed" and job.error else "known"


def _moved(old: JobRow, job: Job) -> dict[str, Any]:
    """The row of a job whose status is another one now; what this record leaves out stays as it was."""
    listed = job_values(job)
    values = {
        name: getattr(old, name) if value is None and name != "error" else value for name, value in listed.items()
    }
    return {
        **values,
        **_owned(old),
        "target_id": target_id(values["url"], values["parameters"]),
        "state": _listed_state(job),
        "reason": None,
        "loaded_at": None,
        "attempts": 0,
        "retry_at": None,
    }


def _owned(old: JobRow) -> dict[str, Any]:
    """What an insert needs and an update leaves alone."""
    return {"strategy_id": old.strategy_id, "state": old.state, "known_at": old.known_at}


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(rows[0]) if rows else []


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
