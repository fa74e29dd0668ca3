"""Keeps what is wrong with one record to that record: for discovery, polling, loading and acknowledging alike.

What concerns everything (the key, an API that is gone, a disk, the ledger) goes through and ends the sync. Anything
else costs the record that it came with, which is named by whoever was at it. An error that nobody foresaw is one of
ours: it is contained in the same way, and written to the log with its traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from meter_pipeline.api import MeterAuthError, MeterConnectionError, MeterError
from meter_pipeline.store.columns import ColumnError
from meter_pipeline.store.errors import RecordError, StoreError

Record = TypeVar("Record")
Result = TypeVar("Result")

log = logging.getLogger("meter_pipeline.sync")

_FORESEEN = (MeterError, StoreError, ColumnError, pa.ArrowException, OSError)


@dataclass(frozen=True)
class Trouble:
    """What was wrong with a record.

    Attributes:
        reason: In one line.
        is_ours: Whether nobody foresaw it: a fault of this program, with its traceback in the log.
    """

    reason: str
    is_ours: bool = False


def concerns_all(error: BaseException) -> bool:
    """Whether an error is about more than the record that was dealt with when it came."""
    if isinstance(error, RecordError):
        return False
    return not isinstance(error, Exception) or isinstance(
        error, (MeterAuthError, MeterConnectionError, StoreError, OSError)
    )


def explain(error: Exception) -> Trouble:
    """An error in one line; one that nobody foresaw is logged with its traceback."""
    if isinstance(error, _FORESEEN):
        return Trouble(" ".join(str(error).split()) or type(error).__name__)
    log.error("a fault of meter-pipeline itself; the sync goes on without the record", exc_info=error)
    lines = str(error).strip().splitlines() or [""]
    return Trouble(f"a fault of meter-pipeline itself, see its log: {type(error).__name__}: {lines[0][:200]}", True)


@contextmanager
def contained(give_up: Callable[[Trouble], None], *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Keeps what goes wrong inside to the record it is about, which `give_up` gives up; `passing` errors are raised."""
    try:
        yield
    except Exception as error:
        if concerns_all(error) or isinstance(error, passing):
            raise
        give_up(explain(error))


def apply(
    records: Sequence[Record], use: Callable[[Sequence[Record]], Result], give_up: Callable[[Record, Trouble], None]
) -> list[Result]:
    """Uses records all at once; where that fails, by halves, down to the one that is to blame, which is given up.

    Args:
        records: What is used, as few times as can be.
        use: Takes any number of them; when it fails, nothing was done.
        give_up: Takes one that cannot be used.

    Returns:
        What `use` returned, each time that it did.
    """
    if not records:
        return []
    try:
        return [use(records)]
    except Exception as error:
        if concerns_all(error):
            raise
        if len(records) == 1:
            give_up(records[0], explain(error))
            return []
    half = len(records) // 2
    return apply(records[:half], use, give_up) + apply(records[half:], use, give_up)
