"""Loads everything Meter (meter.sh) scrapes into Parquet and DuckDB, watched by Dagster.

The engine (`meter_pipeline.api`, `.config`, `.store`, `.sync`) runs without Dagster. The names that this module exports
are Dagster's side of it, and need `pip install 'meter-pipeline[dagster]'`; only `MeterPipelineError` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meter_pipeline.errors import MeterPipelineError

if TYPE_CHECKING:
    from meter_pipeline.component import MeterComponent
    from meter_pipeline.defs import build_meter_defs
    from meter_pipeline.defs.merge import merge_meter_defs
    from meter_pipeline.defs.naming import MeterTranslator

# The one place of the version: the build reads it here.
__version__ = "0.1.0"
__all__ = ["MeterComponent", "MeterPipelineError", "MeterTranslator", "build_meter_defs", "merge_meter_defs"]

_DAGSTER_MODULES = {
    "MeterComponent": "meter_pipeline.component",
    "MeterTranslator": "meter_pipeline.defs.naming",
    "build_meter_defs": "meter_pipeline.defs",
    "merge_meter_defs": "meter_pipeline.defs.merge",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use: the command line and the engine must not pay for Dagster.

    Raises:
        AttributeError: The module has no such name.
        MissingExtraError: Dagster is not installed; also an ImportError.
    """
    if name not in _DAGSTER_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from meter_pipeline.host.extras import require_extra

    require_extra("dagster", f"meter_pipeline.{name}")
    return getattr(import_module(_DAGSTER_MODULES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names that are not imported yet, too: `dg` looks for components among them."""
    return sorted({*globals(), *__all__})
