"""Limits the damage of a bad record to that record: in discovery, polling, loading and acknowledging alike.

An error that concerns everything (the key, an unreachable API, a disk, the ledger) passes through and ends the sync.
Any other error costs the one record that caused it, which the caller names in the report. An unforeseen error is a
fault of this program: it is contained in the same way, and written to the log with its traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from meter_pipeline.api import MeterAuthError, MeterConnectionError, MeterError
from meter_pipeline.store.errors import RecordError, StaleError, StoreError
from meter_pipeline.store.item_json import ItemError

Record = TypeVar("Record")
Result = TypeVar("Result")

log = logging.getLogger("meter_pipeline.sync")

_FORESEEN = (MeterError, StoreError, ItemError, pa.ArrowException, OSError)


@dataclass(frozen=True)
class Trouble:
    """Why a record was given up.

    Attributes:
        reason: The reason in one line.
        is_ours: Whether it is an unforeseen fault of this program, whose traceback is in the log.
    """

    reason: str
    is_ours: bool = False


def concerns_all(error: BaseException) -> bool:
    """Whether an error concerns more than the record in whose processing it occurred."""
    if isinstance(error, RecordError):
        return False
    return not isinstance(error, Exception) or isinstance(
        error, (MeterAuthError, MeterConnectionError, StoreError, OSError)
    )


def explain(error: Exception) -> Trouble:
    """Describes an error in one line; an unforeseen one is logged with its traceback."""
    if isinstance(error, _FORESEEN):
        return Trouble(" ".join(str(error).split()) or type(error).__name__)
    log.error("a fault of meter-pipeline itself; the sync goes on without the record", exc_info=error)
    lines = str(error).strip().splitlines() or [""]
    return Trouble(f"a fault of meter-pipeline itself, see its log: {type(error).__name__}: {lines[0][:200]}", True)


@contextmanager
def refusal_explained(outcome: str, way_out: str) -> Iterator[None]:
    """Completes the message of a commit that is refused: what became of the work, why, and the way out."""
    try:
        yield
    except StaleError as error:
        raise StaleError(f"{outcome}, since {error}: {way_out}") from None


@contextmanager
def contained(give_up: Callable[[Trouble], None], *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Catches errors that concern one record and hands them to `give_up`; `passing` errors are raised."""
    try:
        yield
    except Exception as error:
        if concerns_all(error) or isinstance(error, passing):
            raise
        give_up(explain(error))


def apply(
    records: Sequence[Record], use: Callable[[Sequence[Record]], Result], give_up: Callable[[Record, Trouble], None]
) -> list[Result]:
    """Applies `use` to all records at once; if that fails, to halves, down to the bad record, which is given up.

    Args:
        records: The records.
        use: A function of any number of records that has no effect when it fails.
        give_up: Called with each record that cannot be used.

    Returns:
        The results of the successful calls of `use`.
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
