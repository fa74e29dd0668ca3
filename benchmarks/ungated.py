"""The command line without the gate: jobs are neither profiled nor judged. `gate` measures it beside the real one.

Run it as ``python -m benchmarks.ungated`` in place of ``meter-pipeline``, in one process, since others have the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from meter_pipeline.host.memory import spare_memory

# As the command line does, which calls it before anything imports PyArrow.
spare_memory()

from meter_pipeline import cli  # noqa: E402
from meter_pipeline.sync.audit.profile import JobProfile  # noqa: E402
from meter_pipeline.sync.audit.profiler import PickedItems, PieceProfiler  # noqa: E402
from meter_pipeline.sync.items.raw import time_of  # noqa: E402
from meter_pipeline.sync.loading import loader  # noqa: E402
from meter_pipeline.sync.loading.fetch import Fetched  # noqa: E402
from meter_pipeline.sync.loading.job import CompletedJob  # noqa: E402


class _NoAuditor:
    """Reads the jobs of a batch in order of time."""

    def __init__(self, context: object, known: object) -> None:
        pass

    def judge_all(
        self, batch: Sequence[Fetched], read: Callable[[Fetched], CompletedJob], memory: object
    ) -> list[CompletedJob]:
        bodies = [(fetched.body.job, fetched) for fetched in batch if fetched.body is not None]
        bodies.sort(key=lambda entry: (time_of(entry[0]), entry[0].job_id))
        return [read(fetched) for _, fetched in bodies]

    def profiler(self, job: object) -> _NoProfiler:
        return _NoProfiler("")

    def settle(self) -> None:
        pass


class _NoProfiler(PieceProfiler):
    def without_items(self) -> _NoProfiler:
        return self

    def pick(self, values: Sequence[Any]) -> PickedItems:
        return PickedItems((), len(values), [], np.empty(0, np.uint32), np.empty(0, np.int64))

    def add(self, picked: PickedItems) -> None:
        pass

    def finish(self) -> JobProfile:
        return None  # type: ignore[return-value]


if __name__ == "__main__":
    loader.Auditor = _NoAuditor  # type: ignore[assignment,misc,attr-defined]
    cli.main()
