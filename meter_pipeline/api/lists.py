"""Reads the API's lists, whole or page by page, while rows are added and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from meter_pipeline.api.decoding import rows
from meter_pipeline.api.errors import MeterBadRequest, MeterTooLarge
from meter_pipeline.api.paging import Endless, Walk
from meter_pipeline.api.records import Job, Schedule, Strategy, Unusable
from meter_pipeline.api.routes import Routes
from meter_pipeline.api.spool import Content
from meter_pipeline.text.durations import parse_duration

Row = TypeVar("Row")

# The API's maximum is documented for one list only, where it is 100.
LARGEST_PAGE = 100
# The API's default, for a server that refuses a larger page.
_SAFE_PAGE = 20
# Rows may carry their results: pages are asked for so that they stay about this size.
_PAGE_BYTES = 4 * 2**20


class Lists:
    """Strategies, schedules and jobs.

    Args:
        routes: Sends the requests.
        report: Receives the rows that cannot be used.
    """

    def __init__(self, routes: Routes, report: Callable[[Unusable], None]) -> None:
        self._routes = routes
        self._report = report

    def usable(self, rows: Iterable[Row | Unusable]) -> list[Row]:
        """The rows that can be used; the others are reported."""
        found = []
        for row in rows:
            if isinstance(row, Unusable):
                self._report(row)
            else:
                found.append(row)
        return found

    def strategies(self) -> Iterator[Strategy]:
        """Every strategy once."""
        walk = self._walk("strategies", {}, LARGEST_PAGE, Strategy.from_json, lambda strategy: strategy.strategy_id)
        for page in self._pages("strategies", walk):
            yield from self.usable(page)

    def schedules(self) -> list[Schedule]:
        """Every schedule; as documented, the API returns all of them in one page."""
        found, _ = self._routes.ask("GET", "schedules", parse=_page("schedules", Schedule.from_json), page=True)
        if len(found) < _SAFE_PAGE:
            return self.usable(found)
        # The list is as long as a default page or longer: it may be a page of a longer list.
        walk = self._walk("schedules", {}, LARGEST_PAGE, Schedule.from_json, lambda schedule: schedule.schedule_id)
        rest, _ = walk.fetch(len(found))
        if {walk.key(row) for row in rest} <= {walk.key(row) for row in found}:
            return self.usable(found)
        return [schedule for page in self._pages("schedules", walk) for schedule in self.usable(page)]

    def job_pages(
        self,
        *,
        strategy_id: str | None = None,
        schedule_id: str | None = None,
        status: str | None = None,
        since: datetime | str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[list[Job]]:
        """Jobs, newest first, each once, a page at a time."""
        query = {"strategy_id": strategy_id, "schedule_id": schedule_id, "status": status, "since": absolute(since)}
        walk = self._walk("jobs", query, max(page_size, 1), Job.from_json, lambda job: job.job_id)
        for page in self._pages("jobs", walk):
            # The first dialect documents no schedule_id: a server may ignore it.
            jobs = [job for job in self.usable(page) if _is_requested(job, strategy_id, schedule_id, status)]
            if jobs:
                yield jobs

    def _walk(
        self,
        noun: str,
        query: Mapping[str, str | None],
        page_size: int,
        from_json: Callable[[Mapping[str, Any]], Row],
        key: Callable[[Row], str],
    ) -> Walk[Row | Unusable]:
        limit = page_size
        most = page_size

        def fetch(offset: int) -> tuple[Sequence[Row | Unusable], int]:
            nonlocal limit, most
            asked = limit
            try:
                page, size = self._ask(noun, query, asked, offset, from_json)
            except MeterBadRequest:
                if asked <= _SAFE_PAGE:
                    raise
                asked = most = _SAFE_PAGE
                page, size = self._ask(noun, query, asked, offset, from_json)
            if page:
                # Two at least, so that pages can overlap.
                limit = min(most, max(2, _PAGE_BYTES // max(1, size // len(page))))
            return page, asked

        def key_of(row: Row | Unusable) -> str:
            # A row that cannot be used has its place in the list all the same: offsets count it.
            return f"unusable {row.mark}" if isinstance(row, Unusable) else key(row)

        return Walk(fetch, key_of)

    def _ask(
        self,
        noun: str,
        query: Mapping[str, str | None],
        limit: int,
        offset: int,
        from_json: Callable[[Mapping[str, Any]], Row],
    ) -> tuple[list[Row | Unusable], int]:
        return self._routes.ask(
            "GET", noun, parse=_page(noun, from_json), query={**query, "limit": limit, "offset": offset}, page=True
        )

    def _pages(self, noun: str, walk: Walk[Row | Unusable]) -> Iterator[list[Row | Unusable]]:
        try:
            yield from walk.pages()
        except Endless as endless:
            reason = str(endless)
        else:
            return
        raise MeterTooLarge(f"the listing does not end: {reason}", method="GET", path=self._routes.path(noun))


def _page(
    noun: str, from_json: Callable[[Mapping[str, Any]], Row]
) -> Callable[[Content], tuple[list[Row | Unusable], int]]:
    return lambda content: (rows(content, noun, from_json), content.size)


def _is_requested(job: Job, strategy_id: str | None, schedule_id: str | None, status: str | None) -> bool:
    for wanted, name, found in (
        (strategy_id, "strategy_id", job.strategy_id),
        (schedule_id, "schedule_id", job.schedule_id),
        (status, "status", job.status),
    ):
        if wanted is not None and name in job.raw and found != wanted:
            return False
    return True


def absolute(since: datetime | str | None) -> str | None:
    """`since` as a UTC time: a relative one such as `24h` would move from page to page."""
    if isinstance(since, str):
        text = since.strip()
        try:
            since = datetime.now(timezone.utc) - parse_duration(text)
        except (ValueError, OverflowError):
            return text or None
    if since is None:
        return None
    zoned = since if since.tzinfo is not None else since.replace(tzinfo=timezone.utc)
    return zoned.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
