"""The Meter HTTP API: a client, its records and its errors. Knows no storage."""

from __future__ import annotations

from meter_pipeline.api.bodies import ChangeEntry, ChangeSet, JobBody, Shape
from meter_pipeline.api.bounds import Bounds
from meter_pipeline.api.client import MeterClient
from meter_pipeline.api.dialect import Dialect
from meter_pipeline.api.errors import (
    MeterAmbiguous,
    MeterAuthError,
    MeterBadRequest,
    MeterBadResponse,
    MeterConfigError,
    MeterConflict,
    MeterConnectionError,
    MeterError,
    MeterForbidden,
    MeterNotFound,
    MeterRateLimited,
    MeterServerError,
    MeterTooLarge,
    MeterWrongResource,
)
from meter_pipeline.api.intents import Intent, IntentLog, MemoryIntents
from meter_pipeline.api.records import (
    Batch,
    Comparison,
    GeneratedStrategy,
    HistoryEntry,
    Job,
    Schedule,
    Strategy,
    Unusable,
)
from meter_pipeline.api.retries import set_wait_scale

__all__ = [
    "Batch",
    "Bounds",
    "ChangeEntry",
    "ChangeSet",
    "Comparison",
    "Dialect",
    "GeneratedStrategy",
    "HistoryEntry",
    "Intent",
    "IntentLog",
    "Job",
    "JobBody",
    "MemoryIntents",
    "MeterAmbiguous",
    "MeterAuthError",
    "MeterBadRequest",
    "MeterBadResponse",
    "MeterClient",
    "MeterConfigError",
    "MeterConflict",
    "MeterConnectionError",
    "MeterError",
    "MeterForbidden",
    "MeterNotFound",
    "MeterRateLimited",
    "MeterServerError",
    "MeterTooLarge",
    "MeterWrongResource",
    "Schedule",
    "Shape",
    "Strategy",
    "Unusable",
    "set_wait_scale",
]
