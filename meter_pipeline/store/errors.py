"""Errors of the ledger, the lake and the warehouse; each message is one line: the thing, the reason, the way out."""

from __future__ import annotations

from meter_pipeline.errors import MeterPipelineError


class StoreError(MeterPipelineError):
    """The ledger, the lake or the warehouse cannot be used."""


class LedgerError(StoreError):
    """The ledger cannot be opened, read or written."""


class RecordError(LedgerError):
    """The database refuses a value of the row that was written; other rows can still be written."""


class LakeError(StoreError):
    """A file of the lake cannot be read or written."""


class DamagedError(LakeError):
    """A file of the lake is missing, or what it holds cannot be read."""


class WarehouseError(StoreError):
    """The warehouse cannot be built, published or read."""


class RejectedError(WarehouseError):
    """A candidate failed its tests or its audit, and nothing was published; the message names what failed."""


class StaleError(LedgerError):
    """A commit was built on a state that is no longer current, and was refused: nothing of it counts."""
