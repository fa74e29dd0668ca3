"""The reading half of the Meter client: strategies, schedules, changes, jobs and their items."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from meter_pipeline.api.bodies import ChangeSet, JobBody
from meter_pipeline.api.decoding import change_set, job_body
from meter_pipeline.api.dialect import Dialect
from meter_pipeline.api.lists import LARGEST_PAGE, Lists
from meter_pipeline.api.parsers import parse_comparison, parse_history, parse_record
from meter_pipeline.api.records import Comparison, HistoryEntry, Job, Schedule, Strategy, Unusable
from meter_pipeline.api.retries import never, transient
from meter_pipeline.api.routes import Routes
from meter_pipeline.api.transport import Transport

# Rows that cannot be used are kept up to this number: a list with no usable row would fill the memory.
_MOST_UNUSABLE = 1_000


class Reads:
    """Reads from the Meter API; every method raises a `MeterError` when its last attempt fails. Thread-safe.

    Args:
        transport: The connections to the server.
        dialect: The server's dialect; None to find out by asking once.
    """

    def __init__(self, transport: Transport, dialect: Dialect | None) -> None:
        self._transport = transport
        self._routes = Routes(transport, dialect)
        self._unusable: dict[Unusable, None] = {}
        self._lists = Lists(self._routes, self._note_unusable)

    @property
    def requests_made(self) -> int:
        """Requests sent so far, retries included."""
        return self._transport.requests_made

    def take_unusable(self) -> list[Unusable]:
        """Returns the rows of lists that could not be used since the last call, each once."""
        found, self._unusable = list(self._unusable), {}
        return found

    def _note_unusable(self, row: Unusable) -> None:
        if len(self._unusable) < _MOST_UNUSABLE:
            self._unusable[row] = None

    def probe(self) -> Dialect:
        """Finds out by one request which dialect the server uses, and remembers it.

        Raises:
            MeterError: It cannot be reached, does not accept the key, or is not a Meter server.
        """
        return self._routes.probe()

    # Strategies

    def strategies(self) -> Iterator[Strategy]:
        """Every strategy once, also while strategies are created and deleted."""
        return self._lists.strategies()

    def strategy(self, strategy_id: str) -> Strategy:
        """One strategy."""
        return self._routes.ask("GET", "strategies", strategy_id, parse=parse_record(Strategy, "strategy", strategy_id))

    def strategy_history(self, strategy_id: str) -> list[HistoryEntry]:
        """A strategy's jobs, newest first, each with whether it brought changes."""
        return self._routes.ask_any(
            self._routes.dialect.history,
            {"strategy_id": strategy_id},
            lambda content: self._lists.usable(parse_history(strategy_id)(content)),
            page=True,
        )

    # Schedules

    def schedules(self) -> list[Schedule]:
        """Every schedule of the account."""
        return self._lists.schedules()

    def changes(
        self, schedule_id: str, *, mark_seen: bool, filter: str | None = None, known: Collection[str] = ()
    ) -> ChangeSet:
        """The unseen changes of a schedule.

        Args:
            schedule_id: The schedule.
            mark_seen: Whether this read marks the changes as seen, for every consumer. Such a read is never retried:
                no other read brings the same changes.
            filter: Only rows that match, `+both +words` for example. The server may mark changes that it hides.
            known: Ids of jobs whose items the caller has no use for: their entries come without a body.
        """
        return self._routes.ask(
            "GET",
            "schedules",
            schedule_id,
            "changes",
            parse=lambda content: change_set(content, schedule_id, known),
            query={"mark_seen": "true" if mark_seen else "false", "filter": filter},
            again=never if mark_seen else transient,
        )

    # Jobs

    def job_pages(
        self,
        *,
        strategy_id: str | None = None,
        schedule_id: str | None = None,
        status: str | None = None,
        since: datetime | str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[list[Job]]:
        """Jobs, newest first, each once, in pages that are never empty. The caller may stop at any page.

        Args:
            strategy_id: Only jobs of this strategy.
            schedule_id: Only jobs of this schedule.
            status: Only jobs in this state.
            since: Only jobs since this time; a relative one such as `24h` is made absolute.
            page_size: Rows per page; fewer if rows turn out to be big.
        """
        return self._lists.job_pages(
            strategy_id=strategy_id, schedule_id=schedule_id, status=status, since=since, page_size=page_size
        )

    def job(self, job_id: str) -> Job:
        """A job's record, without its items."""
        with self.job_body(job_id) as body:
            return body.job

    def job_body(self, job_id: str) -> JobBody:
        """A job with its items, each as it was received: reading them from the body cannot fail.

        Raises:
            MeterBadResponse: No attempt was answered with a job whose items can be separated.
            MeterWrongResource: The last attempt was answered with another job.
            MeterTooLarge: The body is larger than a bound, or than the free space on the disk.
        """
        return self._routes.ask("GET", "jobs", job_id, parse=lambda content: job_body(content, job_id), direct=True)

    def compare_jobs(self, job_id: str, other_job_id: str) -> Comparison:
        """Meter's comparison of two jobs."""
        return self._routes.ask_any(
            self._routes.dialect.compare,
            {"job_id": job_id, "other_job_id": other_job_id},
            parse_comparison(job_id, other_job_id),
        )
