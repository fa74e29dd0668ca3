"""Walks a list by offset while its rows move, and yields each row that exists throughout exactly once.

The API has neither cursors nor totals. During a walk, new rows push the others down (they would come twice) and deleted
rows pull them up (they would be skipped). So pages overlap by one row, and a page counts only if its first row is
already known: then no row is missing between it and the earlier pages. A short page does not end the list, because
servers reduce `limit` without notice. Only an empty page does, and only if the last known row is still in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Generic, TypeVar

from meter_pipeline.api.errors import MeterBadRequest, MeterServerError

Row = TypeVar("Row")

# Past any real list; a server that still answers with rows ignores offsets.
_FAR = 10**6
# Where no real list has a row. Requested once a walk is long, and again each time it is longer by a factor.
_BEYOND = 10**9
_LONG = 100
_LONGER = 8
# A list with this many pages in a row without a new row, or with this many rows, has no end.
_MOST_STALE = 200
_MOST_ROWS = 10**7
# A list whose head grows as fast as it is read is left to the next reading after this many rounds.
_MOST_ROUNDS = 1000

log = logging.getLogger("meter_pipeline.api")


class Endless(Exception):
    """A list that seems to have no end; the message has the reason."""


class Walk(Generic[Row]):
    """One walk through a list, newest rows first.

    Args:
        fetch: Returns the rows at an offset, any number of them, and the limit that it requested.
        key: A row's identity.
    """

    def __init__(self, fetch: Callable[[int], tuple[Sequence[Row], int]], key: Callable[[Row], str]) -> None:
        self.fetch = fetch
        self.key = key
        # Invariant: of a row in here, every older-standing row above it that was there throughout is in here too.
        self._seen: set[str] = set()
        self._reads, self._next_probe = 0, _LONG
        self._stale = 0
        self._largest = 0

    def pages(self) -> Iterator[list[Row]]:
        """The rows, each once, in pages that are never empty.

        Raises:
            Endless: There is no end to them.
        """
        settled = yield from self._down()
        rounds = 0
        while not settled and rounds < _MOST_ROUNDS:
            settled = yield from self._head()
            rounds += 1
        if not settled:
            log.warning("a list grows as fast as it is read; its newest rows are left to the next reading")

    def _down(self) -> Generator[list[Row], None, bool]:
        """Walks from the head to the end; returns whether the head was unchanged at the end."""
        offset, back, ended = 0, 1, False
        ids: list[str] = []
        top: list[str] = []
        while True:
            page, limit = self._read(offset)
            if not page:
                if offset == 0:
                    return True
                if ended:
                    return False
                if offset == len(top):
                    # The list has one page. If it still reads the same, no row moved up during the read below it.
                    if self._ids(self._read(0)[0]) == top:
                        return True
                    offset, top = 0, []
                    continue
            if not page or not (offset == 0 or self.key(page[0]) in self._seen or self._adjoins(offset)):
                # Rows were deleted above: ours moved up past this page. Back, until a known row comes first.
                offset, back, ended = max(0, offset - back), back * 2, False
                continue
            repeated, ids = ids, self._ids(page)
            if ids == repeated and self._read(_FAR)[0]:
                return False  # the server ignores offsets: its first answer was the whole list
            fresh = self._fresh(page)
            if fresh:
                yield fresh
            known = min(limit, self._largest)
            ended = len(page) < known or (known == 1 and not fresh)
            short = len(page) < limit if not top else ended
            top = ids if offset == 0 and not top else top
            # The overlap of one row, but not where it would keep us in place, nor where the list seems to end.
            overlap = 1 if fresh and len(page) > 1 and not short else 0
            offset, back = offset + len(page) - overlap, 1

    def _head(self) -> Generator[list[Row], None, bool]:
        """Walks new rows at the head; returns whether there were none."""
        offset = 0
        while True:
            page, _ = self._read(offset)
            fresh = self._fresh(page)
            if fresh:
                yield fresh
            if len(fresh) < len(page) or not page:
                return offset == 0 and not fresh
            offset += len(page)

    def _adjoins(self, offset: int) -> bool:
        """Whether the row just above is known, on a server that returns only one row here."""
        above, _ = self._read(offset - 1)
        return len(above) == 1 and self.key(above[0]) in self._seen

    def _read(self, offset: int) -> tuple[Sequence[Row], int]:
        page, limit = self.fetch(offset)
        self._reads += 1
        if self._reads >= self._next_probe:
            self._next_probe *= _LONGER
            self._check_end()
        if offset < _FAR:
            self._largest = max(self._largest, len(page))
        return page, limit

    def _check_end(self) -> None:
        """Checks that the list has an end, now and then in a long walk."""
        try:
            page, _ = self.fetch(_BEYOND)
        except (MeterBadRequest, MeterServerError):
            return  # a server that refuses such offsets, or is too slow for them
        if page:
            raise Endless(f"after {len(self._seen):,} rows there still are some at offset {_BEYOND:,}")

    def _ids(self, page: Sequence[Row]) -> list[str]:
        return [self.key(row) for row in page]

    def _fresh(self, page: Sequence[Row]) -> list[Row]:
        fresh = []
        for row in page:
            identity = self.key(row)
            if identity not in self._seen:
                self._seen.add(identity)
                fresh.append(row)
        self._stale = 0 if fresh else self._stale + 1
        if self._stale > _MOST_STALE:
            raise Endless(f"{_MOST_STALE} pages in a row repeated rows of earlier ones")
        if len(self._seen) > _MOST_ROWS:
            raise Endless(f"it has more than {_MOST_ROWS:,} rows")
        return fresh
