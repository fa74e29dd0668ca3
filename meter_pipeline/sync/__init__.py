"""The pipeline without an orchestrator: discover, load, audit, refine. `sync` is the one way in;
`hold`, `release`, `release_items` and `drop` are what a person decides about jobs, `audit_again` judges loaded jobs
once more."""

from meter_pipeline.sync.engine import sync
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.readmission import Readmission, release_items
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.second_audit import ChangedVerdict, SecondAudit, audit_again
from meter_pipeline.sync.loading.withdraw import drop, hold
from meter_pipeline.sync.report import Problem, Progress, StrategyReport, SyncReport
from meter_pipeline.sync.selection import SelectionError

__all__ = [
    "ChangedVerdict",
    "DecisionError",
    "Problem",
    "Progress",
    "Readmission",
    "SecondAudit",
    "SelectionError",
    "StrategyReport",
    "SyncReport",
    "audit_again",
    "drop",
    "hold",
    "release",
    "release_items",
    "sync",
]
