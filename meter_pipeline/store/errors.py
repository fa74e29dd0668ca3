"""What can go wrong on this floor; every message is one line that names the thing, the reason and the way out."""

from __future__ import annotations

from meter_pipeline.errors import MeterPipelineError


class StoreError(MeterPipelineError):
    """The ledger, the lake or the warehouse cannot be used."""


class LedgerError(StoreError):
    """The ledger cannot be opened, read or written."""


class RecordError(LedgerError):
    """The database does not take a value of the row that was written; other rows it does."""


class LakeError(StoreError):
    """A file of the lake cannot be read or written."""


class WarehouseError(StoreError):
    """The warehouse cannot be built, published or read."""
