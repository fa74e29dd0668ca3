"""Queries the published warehouse for the report; the rows of each result are ranked by importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import duckdb

_EVER = datetime(1970, 1, 1)
_ROWS = 30
# Maximum price moves of one strategy, to leave room for the others.
_MOVES_PER_STRATEGY = 4
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Span:
    """The span of time that the report covers.

    Attributes:
        since: Its start; None for everything ever observed.
        now: Its end, the present of the data.
    """

    since: datetime | None
    now: datetime


@dataclass(frozen=True)
class Totals:
    """Counts over the whole span. `last` is when the newest job ever ended, None without jobs."""

    jobs: int
    strategies: int
    items: int
    added: int
    removed: int
    changed: int
    last: datetime | None


@dataclass(frozen=True)
class Move:
    """An item's price at the start and end of the span; `change` is relative, None if the old price is 0."""

    strategy: str
    item: str
    field: str
    currency: str | None
    old: float
    new: float
    change: float | None
    at: datetime


@dataclass(frozen=True)
class Activity:
    """A strategy's jobs, items and changes; `came` and `went` are labels of a few added and removed items."""

    strategy: str
    jobs: int
    items: int
    added: int
    removed: int
    changed: int
    came: Sequence[str]
    went: Sequence[str]

    @property
    def came_or_went(self) -> bool:
        """Whether items were added or removed."""
        return bool(self.added or self.removed)


@dataclass(frozen=True)
class Trouble:
    """A strategy with held, failed or unreadable jobs; `broken_since` is None if it has recovered."""

    strategy: str
    jobs: int
    held: int
    failed: int
    unreadable: int
    reason: str | None
    broken_since: datetime | None

    @property
    def kinds(self) -> Sequence[tuple[str, int]]:
        """The number of jobs by outcome, without zeros."""
        counts = (("held", self.held), ("failed", self.failed), ("unreadable", self.unreadable))
        return [(name, jobs) for name, jobs in counts if jobs]

    @property
    def troubled(self) -> int:
        """The number of jobs in trouble."""
        return self.held + self.failed + self.unreadable


@dataclass(frozen=True)
class TroubledJob:
    """A held, failed or unreadable job; `recovered_at` is when the page's next accepted job ended, if any."""

    strategy: str
    job_id: str
    outcome: str
    reason: str | None
    at: datetime
    recovered_at: datetime | None


@dataclass(frozen=True)
class Waiting:
    """Jobs of a strategy that are held, whenever they ended: somebody has to release or drop them."""

    strategy: str
    jobs: int
    first: datetime
    reason: str | None


@dataclass(frozen=True)
class Doubt:
    """Jobs of a strategy that were accepted although the audit doubts them; `finding` is the first of the latest."""

    strategy: str
    jobs: int
    finding: str | None
    at: datetime


@dataclass(frozen=True)
class Lateness:
    """A schedule and its runs; `is_silent` if it has had no job for two intervals. Times are in seconds."""

    strategy: str
    cron: str | None
    interval: float | None
    runs: int
    late: int
    longest: float | None
    last: datetime | None
    is_silent: bool


@dataclass(frozen=True)
class Vanished:
    """An item that was removed; `seconds` is how long it was listed."""

    strategy: str
    item: str
    came: datetime
    went: datetime
    seconds: float


@dataclass(frozen=True)
class Facts:
    """Everything that the page shows, the most important rows of each list first."""

    totals: Totals
    moves: Sequence[Move]
    activity: Sequence[Activity]
    trouble: Sequence[Trouble]
    troubled_jobs: Sequence[TroubledJob]
    schedules: Sequence[Lateness]
    vanished: Sequence[Vanished]
    waiting: Sequence[Waiting]
    doubts: Sequence[Doubt]

    @property
    def held(self) -> int:
        """The number of jobs that wait for somebody to release or drop them."""
        return sum(waiting.jobs for waiting in self.waiting)

    @property
    def late(self) -> Sequence[Lateness]:
        """The schedules that ran late or are silent."""
        return [schedule for schedule in self.schedules if schedule.late or schedule.is_silent]


_TOTALS = """
select count(*), count(distinct strategy), coalesce(sum(item_count) filter (where outcome = 'accepted'), 0),
    (select count(*) from marts.fct_item_changes where kind = 'added' and observed_at >= $since),
    (select count(*) from marts.fct_item_changes where kind = 'removed' and observed_at >= $since),
    (
        select count(distinct row(job_id, item_key)) from marts.fct_item_changes
        where kind = 'changed' and observed_at >= $since
    ),
    (select max(observed_at) from marts.fct_scrape_jobs where outcome <> 'pending')
from marts.fct_scrape_jobs where outcome <> 'pending' and observed_at >= $since
"""
_MOVES = """
with net as (
    select strategy, any_value(label) as item, field, currency, arg_min(old_price, observed_at) as old_price,
        arg_max(new_price, observed_at) as new_price, max(observed_at) as moved_at
    from marts.fct_price_changes
    where observed_at >= $since
    group by item_id, strategy, field, currency
)
select strategy, item, field, currency, old_price, new_price, new_price / nullif(old_price, 0) - 1 as change, moved_at
from net
where old_price <> new_price
qualify row_number() over (partition by strategy order by abs(change) desc nulls last, moved_at desc, item) <= $moves
order by abs(change) desc nulls last, moved_at desc, item
limit $rows
"""
_ACTIVITY = """
with jobs as (
    select strategy, count(*) as jobs, coalesce(sum(item_count) filter (where outcome = 'accepted'), 0) as items
    from marts.fct_scrape_jobs
    where outcome <> 'pending' and observed_at >= $since
    group by strategy
), labelled as (
    select changes.strategy, kind, changes.job_id, changes.item_key, changes.observed_at, label
    from marts.fct_item_changes as changes
    left join marts.dim_items as items
        on changes.strategy = items.strategy and changes.item_key = items.item_key
        and changes.target is not distinct from items.target
        and changes.parameters is not distinct from items.parameters
    where changes.observed_at >= $since
), changes as (
    select strategy, count(*) filter (where kind = 'added') as added,
        count(*) filter (where kind = 'removed') as removed,
        count(distinct row(job_id, item_key)) filter (where kind = 'changed') as changed,
        list(distinct label order by label) filter (where kind = 'added' and label is not null) as came,
        list(distinct label order by label) filter (where kind = 'removed' and label is not null) as went
    from labelled
    group by strategy
)
select strategy, jobs, items, coalesce(added, 0), coalesce(removed, 0), coalesce(changed, 0),
    coalesce(came[:3], []), coalesce(went[:3], [])
from jobs
left join changes using (strategy)
order by coalesce(added, 0) + coalesce(removed, 0) desc, changed desc nulls last, strategy
"""
_TROUBLED_JOBS = """
with sound as (
    select strategy, url, parameters, observed_at from marts.fct_scrape_jobs where outcome = 'accepted'
)
select jobs.strategy, job_id, outcome, reason, jobs.observed_at, min(sound.observed_at) as recovered_at
from marts.fct_scrape_jobs as jobs
left join sound
    on jobs.strategy = sound.strategy and jobs.url is not distinct from sound.url
    and jobs.parameters is not distinct from sound.parameters and sound.observed_at > jobs.observed_at
where outcome in ('held', 'failed', 'unreadable') and jobs.observed_at >= $since
group by jobs.strategy, job_id, outcome, reason, jobs.observed_at
"""
_TROUBLE = f"""
with troubled as ({_TROUBLED_JOBS}), jobs as (
    select strategy, count(*) as jobs from marts.fct_scrape_jobs
    where outcome <> 'pending' and observed_at >= $since
    group by strategy
)
select strategy, any_value(jobs), count(*) filter (where outcome = 'held'),
    count(*) filter (where outcome = 'failed'), count(*) filter (where outcome = 'unreadable'),
    coalesce(arg_max(reason, observed_at) filter (where recovered_at is null), mode(reason)),
    min(observed_at) filter (where recovered_at is null) as broken_since
from troubled
inner join jobs using (strategy)
group by strategy
order by broken_since is null, count(*) / any_value(jobs) desc, count(*) desc, strategy
"""  # noqa: S608
_SCHEDULES = """
with jobs as (
    select schedule_id, count(*) as runs, count(*) filter (where is_late) as late, max(lag_seconds) as longest
    from marts.fct_scrape_jobs
    where observed_at >= $since
    group by schedule_id
), newest as (
    select max(observed_at) as newest_at from marts.fct_scrape_jobs
), judged as (
    select strategy, cron_expression, expected_interval_seconds, coalesce(runs, 0) as runs,
        coalesce(late, 0) as late, longest, last_job_at,
        is_enabled and deleted_at is null and coalesce(
            epoch(newest_at) - epoch(coalesce(last_job_at, first_seen_at)) > 2 * expected_interval_seconds, false
        ) as is_silent
    from marts.dim_schedules
    left join jobs using (schedule_id)
    cross join newest
)
select * from judged
where runs > 0 or is_silent
order by is_silent desc, late desc, longest desc nulls last, strategy
"""
_VANISHED = """
select strategy, label, first_seen_at, removed_at, seconds_listed
from marts.dim_items where removed_at >= $since order by seconds_listed, removed_at desc, label limit 15
"""
# A job after others with the same change says so in its reason, which is of use once.
_WAITING = """
select strategy, count(*), min(observed_at), arg_max(reason, observed_at)
from marts.fct_scrape_jobs where outcome = 'held'
group by strategy
order by max(observed_at) desc, strategy
"""
_DOUBTS = """
select strategy, count(*), arg_max(first_finding, observed_at), max(observed_at)
from marts.fct_scrape_jobs where verdict = 'flagged' and observed_at >= $since
group by strategy
order by max(observed_at) desc, strategy
"""


def gather(connection: duckdb.DuckDBPyConnection, span: Span) -> Facts:
    """Queries the warehouse for a span of time.

    Raises:
        duckdb.CatalogException: The warehouse has no models.
        duckdb.BinderException: Its models are of another version.
    """
    since: dict[str, object] = {"since": span.since or _EVER}
    ranked = f"select * from ({_TROUBLED_JOBS}) order by recovered_at is not null, observed_at desc limit {_ROWS}"  # noqa: S608

    def query(kind: type[_Row], sql: str, more: Mapping[str, object] = {}) -> list[_Row]:
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        found = connection.execute(sql, {**since, **more} if "$since" in sql else more).fetchall()
        return [kind(**dict(zip(names, row, strict=True))) for row in found]

    return Facts(
        totals=query(Totals, _TOTALS)[0],
        moves=query(Move, _MOVES, {"moves": _MOVES_PER_STRATEGY, "rows": _ROWS}),
        activity=query(Activity, _ACTIVITY),
        trouble=query(Trouble, _TROUBLE),
        troubled_jobs=query(TroubledJob, ranked),
        schedules=query(Lateness, _SCHEDULES),
        vanished=query(Vanished, _VANISHED),
        waiting=query(Waiting, _WAITING),
        doubts=query(Doubt, _DOUBTS),
    )
