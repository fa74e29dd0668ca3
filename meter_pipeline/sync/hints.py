"""What the webhook inbox holds, as jobs to load: through the API, by id."""

from __future__ import annotations

from meter_pipeline.api import MeterClient, MeterNotFound
from meter_pipeline.store.inbox import Inbox
from meter_pipeline.store.ledger import Ledger
from meter_pipeline.sync.report import SyncReport

# Reports that one sync deals with; the next one takes the next.
MOST = 500
_WAITING = ("known", "landed")


def take(client: MeterClient, ledger: Ledger, inbox: Inbox, report: SyncReport) -> list[str]:
    """Jobs that were reported, each with a row in the ledger; a report of a job that Meter does not know is dropped.

    Raises:
        MeterError: The API cannot be asked; the reports stay.
    """
    ids = [hint.job_id for hint in inbox.hints(MOST)]
    report.reported += len(ids)
    known = {row.job_id for row in ledger.jobs(ids=ids)}
    found, unknown = [], []
    for job_id in ids:
        if job_id in known:
            continue
        try:
            found.append(client.job(job_id))
        except MeterNotFound:
            unknown.append(job_id)
    ledger.record_jobs(found)
    inbox.remove(unknown)
    return [job_id for job_id in ids if job_id not in set(unknown)]


def clear(ledger: Ledger, inbox: Inbox, taken: list[str]) -> None:
    """Takes out the reports of jobs that a sync has dealt with; those it left to another sync stay."""
    left = {row.job_id for row in ledger.jobs(states=_WAITING, ids=taken) if row.attempts == 0}
    inbox.remove(job_id for job_id in taken if job_id not in left)
