"""Storage: the ledger records what exists and what counts, the lake holds the rows, people read the warehouse.

The names below are imported on first use: the lake imports Arrow, and definitions that only need an error's name should
load without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meter_pipeline.store.errors import StoreError
    from meter_pipeline.store.lake.lake import Lake
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.warehouse.build import publish, reading

__all__ = ["Lake", "Ledger", "StoreError", "publish", "reading"]

_HOMES = {
    "Lake": "meter_pipeline.store.lake.lake",
    "Ledger": "meter_pipeline.store.ledger.ledger",
    "StoreError": "meter_pipeline.store.errors",
    "publish": "meter_pipeline.store.warehouse.build",
    "reading": "meter_pipeline.store.warehouse.build",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
