"""The pipeline without an orchestrator: discover, land, audit, refine. `sync` is the one way in."""

from meter_pipeline.sync.engine import sync
from meter_pipeline.sync.report import Problem, Progress, StrategyReport, SyncReport
from meter_pipeline.sync.selection import SelectionError

__all__ = ["Problem", "Progress", "SelectionError", "StrategyReport", "SyncReport", "sync"]
