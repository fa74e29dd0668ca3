"""Parts: the Parquet files that hold the lake's rows. A part is written once and never changed.

The lake writes and reads parts; the ledger's manifest says which of them count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from meter_pipeline.store.times import month_of


@dataclass(frozen=True)
class Part:
    """A file with rows of one strategy.

    Attributes:
        name: Its path in the lake, with `/` between folders.
        table: The table of the lake, such as `raw`.
        rows: Number of its rows, at least 1.
        bytes: Size of the file.
        first_at: Time of the earliest job with rows in it, ISO 8601.
        last_at: Time of the latest one.
        schema: A digest of its columns, their types and how they spell values.
    """

    name: str
    table: str
    rows: int
    bytes: int
    first_at: str
    last_at: str
    schema: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What orders the parts of a table: time, then name."""
        return self.first_at, self.last_at, self.name

    def may_hold(self, times: Iterable[str]) -> bool:
        """Whether rows of a job at one of some times, ISO 8601, can be in it."""
        return any(self.first_at <= time <= self.last_at for time in times)

    def months(self) -> Iterator[str]:
        """The months from its first to its last row, `YYYY-MM`."""
        (year, number), last = (tuple(map(int, month_of(time).split("-"))) for time in (self.first_at, self.last_at))
        while (year, number) <= last:
            yield f"{year:04}-{number:02}"
            year, number = (year, number + 1) if number < 12 else (year + 1, 1)


@dataclass(frozen=True)
class PartsChange:
    """How a commit changes the manifest of one strategy.

    Attributes:
        added: Parts that count from then on.
        removed: Names of parts that no longer count.
        months: Months whose rows differ afterwards, by table; a merge of parts touches none.
        began_at: When the first of the added files was begun, ISO 8601; None if there are none.
        swept_at: `Ledger.swept_at` as read before that; None if that is not known.
    """

    added: Sequence[Part] = ()
    removed: Sequence[str] = ()
    months: Mapping[str, frozenset[str]] | None = None
    began_at: str | None = None
    swept_at: str | None = None

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.months)


NO_CHANGE = PartsChange()
