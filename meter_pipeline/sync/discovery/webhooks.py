"""Turns the webhook inbox into jobs to load: a report names a job, and the job itself is read from the API by id."""

from __future__ import annotations

from meter_pipeline.api import (
    MeterBadRequest,
    MeterClient,
    MeterConnectionError,
    MeterNotFound,
)
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.breaker import CircuitBreaker
from meter_pipeline.sync.containment import Trouble, contained, explain
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.report import Problem, SyncReport
from meter_pipeline.webhooks.inbox import Hint, Inbox

#: Most reports that one sync reads; the others wait for the next sync.
MOST = 500
_WAITING = ("known",)


def record_reported_jobs(client: MeterClient, ledger: Ledger, inbox: Inbox, report: SyncReport) -> list[str]:
    """Gives every job that a webhook reported a row in the ledger; returns the jobs' ids.

    A report of a job that Meter does not know is removed. When a job cannot be read, its report stays for a later sync.

    Raises:
        MeterAuthError: The key is not accepted.
    """
    waiting = {hint.job_id: hint for hint in inbox.hints(MOST)}
    report.reported += len(waiting)
    rows = list(ledger.jobs(ids=list(waiting)))
    known = [row.job_id for row in rows]
    # A webhook may report that a job completed which the ledger has as failed: that job is read again.
    current = {row.job_id for row in rows if row.state != "failed" or waiting[row.job_id].status == "failed"}
    found = []
    breaker = CircuitBreaker()
    for job_id in sorted(waiting.keys() - current):
        hint = waiting[job_id]

        def give_up(trouble: Trouble, hint: Hint = hint) -> None:
            inbox.postpone(hint)
            report.problems.append(Problem(hint.job_id, "inbox", "known", trouble.reason, is_ours=trouble.is_ours))

        try:
            with contained(give_up, passing=(MeterNotFound, MeterBadRequest)):
                found.append(client.job(job_id))
            breaker.record(None)
        except (MeterNotFound, MeterBadRequest):
            breaker.record(None)
            inbox.remove([job_id])
        except MeterConnectionError as error:
            give_up(explain(error))
            if breaker.record(error):
                break
    record_jobs(ledger, report, found)
    return list(dict.fromkeys([*known, *(job.job_id for job in found)]))


def remove_loaded_reports(ledger: Ledger, inbox: Inbox, job_ids: list[str]) -> None:
    """Removes the reports of these jobs from the inbox, except of jobs that another sync is still to load."""
    left = {row.job_id for row in ledger.jobs(states=_WAITING, ids=job_ids) if row.attempts == 0}
    inbox.remove(job_id for job_id in job_ids if job_id not in left)
