"""What is kept: the ledger says what there is and in what state, the lake holds the rows, the warehouse is read."""

from meter_pipeline.store.errors import LakeError, LedgerError, StoreError, WarehouseError
from meter_pipeline.store.lake import Lake
from meter_pipeline.store.ledger import Ledger
from meter_pipeline.store.rows import JobRow, ScheduleRow, StrategyRow

__all__ = [
    "JobRow",
    "Lake",
    "LakeError",
    "Ledger",
    "LedgerError",
    "ScheduleRow",
    "StoreError",
    "StrategyRow",
    "WarehouseError",
]
