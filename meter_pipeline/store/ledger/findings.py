"""Questions of the audit: what it found about jobs, and which judged jobs precede others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Tuple, bindparam, case, func, literal, select, tuple_

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.job_queries import find_strategies_with
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import FindingRow, JobRow, JudgedRow
from meter_pipeline.store.ledger.tables import findings, jobs, versions

Place = tuple[str, str]

_LOADED = ("accepted", "held")
_COLUMNS = [jobs.c[name] for name in ("job_id", "target_id", "completed_at", "state", "audit", "released_at", "items")]
_OLDEST_FIRST = (jobs.c.completed_at, jobs.c.job_id)
_NEWEST_FIRST = (jobs.c.completed_at.desc(), jobs.c.job_id.desc())
# Asked for every strategy of a load: to build a query takes longer than to run it.
_LATEST = (
    select(jobs.c.completed_at, jobs.c.job_id)
    .where((jobs.c.strategy_id == bindparam("strategy_id")) & (jobs.c.state == bindparam("state")))
    .order_by(*_NEWEST_FIRST)
    .limit(1)
)
_VERSIONS = (
    select(versions.c.seen_at, versions.c.record)
    .where((versions.c.kind == "strategy") & (versions.c.id == bindparam("id")))
    .order_by(versions.c.version)
)


def read_findings(ledger: Ledger, job_ids: Sequence[str]) -> dict[str, list[FindingRow]]:
    """What was found about jobs, by job id; a job without findings is absent."""
    found: defaultdict[str, list[FindingRow]] = defaultdict(list)
    with ledger.reading() as connection:
        for some in chunks(list(job_ids)):
            query = select(findings).where(findings.c.job_id.in_(some))
            for row in connection.execute(query.order_by(findings.c.job_id, findings.c.position)):
                found[row.job_id].append(FindingRow(**row._mapping))
    return dict(found)


def find_flagged(ledger: Ledger, strategy_ids: Sequence[str] | None = None) -> list[JobRow]:
    """The jobs that were accepted although the audit doubts them, the latest first; None for all strategies."""
    query = select(jobs).where((jobs.c.audit == "flagged") & (jobs.c.state == "accepted")).order_by(*_NEWEST_FIRST)
    with ledger.reading() as connection:
        if strategy_ids is None:
            return [JobRow(*row) for row in connection.execute(query)]
        some = (query.where(jobs.c.strategy_id.in_(part)) for part in chunks(list(strategy_ids)))
        return [JobRow(*row) for part in some for row in connection.execute(part)]


class VerdictCount(NamedTuple):
    """The jobs of a strategy with one verdict: accepted, flagged, held or learning."""

    strategy_id: str
    verdict: str
    jobs: int


def count_verdicts(ledger: Ledger) -> list[VerdictCount]:
    """Loaded jobs by strategy and verdict; a job that a person released or that was never judged is accepted."""
    verdict = case(
        (jobs.c.state == "held", "held"),
        (jobs.c.audit == "flagged", "flagged"),
        (jobs.c.audit.like("learning%"), "learning"),
        else_="accepted",
    )
    query = select(jobs.c.strategy_id, verdict, func.count()).where(jobs.c.state.in_(_LOADED))
    with ledger.reading() as connection:
        rows = connection.execute(query.group_by(jobs.c.strategy_id, verdict)).all()
    return sorted(VerdictCount(*row) for row in rows)


def count_accepted(ledger: Ledger, strategy_ids: Sequence[str]) -> list[tuple[str, int]]:
    """The number of accepted jobs of each target with loaded jobs, as pairs with the id of its strategy."""
    accepted = func.sum(case((jobs.c.state == "accepted", 1), else_=0))
    query = select(jobs.c.strategy_id, accepted).group_by(jobs.c.strategy_id, jobs.c.target_id)
    with ledger.reading() as connection:
        return [
            (strategy_id, int(count))
            for part in chunks(list(strategy_ids))
            for strategy_id, count in connection.execute(
                query.where(jobs.c.strategy_id.in_(part) & jobs.c.state.in_(_LOADED))
            )
        ]


class Doubt(NamedTuple):
    """A job that was accepted although the audit doubts it, and what it found first."""

    job_id: str
    strategy_id: str
    message: str


def find_doubts(ledger: Ledger) -> list[Doubt]:
    """The flagged jobs, the latest first."""
    query = (
        select(jobs.c.job_id, jobs.c.strategy_id, findings.c.message)
        .join(findings, (findings.c.job_id == jobs.c.job_id) & (findings.c.position == 0))
        .where((jobs.c.audit == "flagged") & (jobs.c.state == "accepted"))
        .order_by(*_NEWEST_FIRST)
    )
    with ledger.reading() as connection:
        return [Doubt(*row) for row in connection.execute(query)]


class Known(NamedTuple):
    """What of a strategy was asked for many strategies at once: of most there is nothing else to ask.

    Attributes:
        has_loaded: Whether a job of it is accepted or held.
        has_versions: Whether it has changed since it was first seen.
    """

    has_loaded: bool
    has_versions: bool


def read_known(ledger: Ledger, strategy_ids: Sequence[str]) -> dict[str, Known]:
    """What of strategies need not be asked one by one, by strategy id."""
    changed: set[str] = set()
    with ledger.reading() as connection:
        loaded = set[str]().union(*(find_strategies_with(connection, strategy_ids, state) for state in _LOADED))
        for some in chunks(list(strategy_ids)):
            later = (versions.c.kind == "strategy") & versions.c.id.in_(some) & (versions.c.version > 1)
            changed.update(connection.execute(select(versions.c.id).where(later)).scalars())
    return {strategy_id: Known(strategy_id in loaded, strategy_id in changed) for strategy_id in strategy_ids}


class JudgedJobs:
    """The loaded jobs of a strategy with what the audit found about them, as verdicts on further jobs need them.

    Args:
        ledger: The ledger.
        strategy_id: The strategy.
        known: What is known of it; None to ask the ledger.
    """

    def __init__(self, ledger: Ledger, strategy_id: str, known: Known | None = None) -> None:
        self._ledger = ledger
        self._strategy_id = strategy_id
        self._known = known or Known(has_loaded=True, has_versions=True)
        self._of_strategy = jobs.c.strategy_id == strategy_id

    def latest(self) -> Place | None:
        """Time and id of the latest loaded job; None if none is loaded."""
        if not self._known.has_loaded:
            return None
        with self._ledger.reading() as connection:
            found = [connection.execute(_LATEST, self._of(state)).first() for state in _LOADED]
        return max(((row.completed_at, row.job_id) for row in found if row is not None), default=None)

    def of_target(self, target_id: str, first: Place, last: Place, most: int) -> list[JudgedRow]:
        """The jobs of a target that verdicts on jobs from `first` to `last` may need, in order of time.

        Args:
            target_id: The target.
            first: Time and id of the first job that is judged.
            last: Time and id of the last one.
            most: How many accepted jobs before `first` are needed, and how many held ones after the last of these.
        """
        is_before = _place() < _literal(first)
        is_within = (_place() >= _literal(first)) & (_place() <= _literal(last))
        of_target = self._of_strategy & (jobs.c.target_id == target_id)
        loaded = select(*_COLUMNS).where(of_target & jobs.c.state.in_(_LOADED))
        before = loaded.where(is_before).order_by(*_NEWEST_FIRST)
        with self._ledger.reading() as connection:
            near = self._read(connection, before.limit(2 * most))
            accepted = [row for row in near if row.state == "accepted"]
            if len(accepted) < most and len(near) == 2 * most:
                accepted = self._read(connection, before.where(jobs.c.state == "accepted").limit(most))
            within = self._read(connection, loaded.where(is_within).order_by(*_OLDEST_FIRST))
        since = accepted[0].place if accepted else ("", "")
        held = [row for row in near if row.place > since]
        return [*reversed(accepted[:most]), *reversed(held[:most]), *within]

    def accepted_before(self, place: Place, most: int) -> list[JudgedRow]:
        """The last accepted jobs before a time and id, in order of time."""
        with self._ledger.reading() as connection:
            query = self._latest_first("accepted").where(_place() < _literal(place)).limit(most)
            return self._read(connection, query)[::-1]

    def versions(self) -> list[tuple[str, str]]:
        """When each version of the strategy was first seen, and its record as JSON, in order; none if it has one."""
        if not self._known.has_versions:
            return []
        with self._ledger.reading() as connection:
            return [(row.seen_at, row.record) for row in connection.execute(_VERSIONS, {"id": self._strategy_id})]

    def _of(self, state: str) -> dict[str, str]:
        return {"strategy_id": self._strategy_id, "state": state}

    def _latest_first(self, state: str) -> Select[Any]:
        return select(*_COLUMNS).where(self._of_strategy & (jobs.c.state == state)).order_by(*_NEWEST_FIRST)

    def _read(self, connection: Connection, query: Select[Any]) -> list[JudgedRow]:
        return [JudgedRow(*row) for row in connection.execute(query)]


def _literal(place: Place) -> Tuple:
    return tuple_(*map(literal, place))


def _place() -> Tuple:
    return tuple_(jobs.c.completed_at, jobs.c.job_id)
