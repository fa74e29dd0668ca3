"""What the webhook inbox holds, as jobs to load: through the API, by id."""

from __future__ import annotations

from meter_pipeline.api import (
    MeterBadRequest,
    MeterClient,
    MeterConnectionError,
    MeterNotFound,
)
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.containment import Trouble, contained, explain
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.report import Problem, SyncReport
from meter_pipeline.webhooks.inbox import Hint, Inbox

# Reports that one sync deals with; the next one takes the next.
MOST = 500
# So many jobs in a row without an answer: the API is gone.
_SILENCE = 3
_WAITING = ("known", "landed")


def take(client: MeterClient, ledger: Ledger, inbox: Inbox, report: SyncReport) -> list[str]:
    """Jobs that were reported, each with a row in the ledger.

    A report of a job that Meter does not know is dropped; one of a job that cannot be asked for stays for later.

    Raises:
        MeterAuthError: The key is not accepted.
    """
    waiting = {hint.job_id: hint for hint in inbox.hints(MOST)}
    report.reported += len(waiting)
    rows = list(ledger.jobs(ids=list(waiting)))
    taken = [row.job_id for row in rows]
    # A job that had failed may be reported since it has not, after all.
    settled = {row.job_id for row in rows if row.state != "failed" or waiting[row.job_id].status == "failed"}
    found, silent = [], 0
    for job_id in sorted(waiting.keys() - settled):
        hint = waiting[job_id]

        def give_up(trouble: Trouble, hint: Hint = hint) -> None:
            inbox.postpone(hint)
            report.problems.append(Problem(hint.job_id, "inbox", "known", trouble.reason, is_ours=trouble.is_ours))

        try:
            with contained(give_up, passing=(MeterNotFound, MeterBadRequest)):
                found.append(client.job(job_id))
            silent = 0
        except (MeterNotFound, MeterBadRequest):
            inbox.remove([job_id])
        except MeterConnectionError as error:
            give_up(explain(error))
            silent += 1
            if silent == _SILENCE:
                break
    record_jobs(ledger, report, found)
    return list(dict.fromkeys([*taken, *(job.job_id for job in found)]))


def clear(ledger: Ledger, inbox: Inbox, taken: list[str]) -> None:
    """Takes out the reports of jobs that a sync has dealt with; those it left to another sync stay."""
    left = {row.job_id for row in ledger.jobs(states=_WAITING, ids=taken) if row.attempts == 0}
    inbox.remove(job_id for job_id in taken if job_id not in left)
