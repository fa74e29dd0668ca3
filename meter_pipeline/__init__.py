"""Loads everything Meter (meter.sh) scrapes into Parquet and DuckDB, watched by Dagster."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["MeterComponent", "MeterPipelineError", "MeterTranslator", "build_meter_defs", "merge_meter_defs"]

_HOMES = {
    "MeterComponent": "meter_pipeline.component",
    "MeterPipelineError": "meter_pipeline.errors",
    "MeterTranslator": "meter_pipeline.defs.naming",
    "build_meter_defs": "meter_pipeline.defs",
    "merge_meter_defs": "meter_pipeline.defs.merge",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is asked for: the command line and the engine must not pay for Dagster."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """With the public names that are not imported yet: `dg` looks for components among them."""
    return sorted({*globals(), *__all__})
