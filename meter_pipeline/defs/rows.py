"""Reads the typed rows of single jobs from the lake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.connect import Store


def read_job_rows(store: Store, slug: str, job_id: str | None, time: str | None) -> pa.Table | None:
    """Reads the rows of a job from the files that may hold them; `None` if it has none."""
    return read_rows_by_job(store, slug, [(job_id, time)] if job_id else []).get(job_id or "")


def read_rows_by_job(store: Store, slug: str, jobs: Iterable[tuple[str, str | None]]) -> dict[str, pa.Table]:
    """Reads the rows of several jobs, by job id, each file once; a job without rows is absent.

    Args:
        store: The store with the lake.
        slug: The strategy's slug.
        jobs: Ids and ISO times of completion of the jobs; only files with rows of these times are read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = {job_id: time for job_id, time in jobs if time is not None}
    found: dict[str, list[pa.RecordBatch]] = {}
    for batch in store.stored_rows(slug).scan("results", wanted):
        for job_id in pc.unique(batch["_meter_job_id"]).to_pylist():
            rows = batch.filter(pc.equal(batch["_meter_job_id"], job_id)) if len(wanted) > 1 else batch
            found.setdefault(job_id, []).append(rows)
    return {job_id: pa.Table.from_batches(batches) for job_id, batches in found.items()}
