"""The typed rows of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.connect import Store


def job_rows(store: Store, slug: str, job_id: str | None, time: str | None) -> pa.Table | None:
    """The rows of a job, read from the month of its time alone; `None` when it has none."""
    import pyarrow as pa

    from meter_pipeline.store.tables import month_of

    if job_id is None:
        return None
    batches = [
        batch
        for name in store.lake.parts("results", slug, month_of(time or ""))
        for batch in store.lake.scan_part("results", name, {job_id})
    ]
    return pa.Table.from_batches(batches) if batches else None
