"""What each job's scrape brought: computed from the page on demand, with only the latest bodies kept."""

from __future__ import annotations

from meter_pipeline.sandbox.alterations import Alteration, change_content
from meter_pipeline.sandbox.content import Bodies, Content, Visit
from meter_pipeline.sandbox.filters import build_filter, keep_rows
from meter_pipeline.sandbox.kinds import KINDS
from meter_pipeline.sandbox.records import COMPLETED, Digest, Job


class Contents:
    """The contents of jobs and what the API reports about them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._bodies = Bodies()

    def content(self, job: Job) -> Content:
        """The content of a completed job."""
        return self._bodies.get(job.job_id, lambda: self._scrape(job))

    def digest(self, job: Job) -> Digest:
        """Count, hash and signature of a job's content; computed once."""
        if job.digest is None:
            if job.status != COMPLETED:
                return Digest(None, None, None)
            content = self.content(job)
            count = content.item_count if job.item_count is None else job.item_count
            job.digest = Digest(count, content.content_hash, content.signature)
        return job.digest

    def _scrape(self, job: Job) -> Content:
        if job.recorded is not None:
            content = job.recorded.content()
        elif job.page is not None:
            content = job.page.content(visit_of(job))
        else:
            content = Content([])
        for alteration in job.alterations:
            content = self._alter(job, content, alteration)
        return keep_rows(content, build_filter(job.filter_config)) if job.filter_config else content

    def _alter(self, job: Job, content: Content, alteration: Alteration) -> Content:
        def visit(ago: float, suffix: str) -> Content:
            elsewhere = Visit(job.url + suffix, job.created_at - ago, job.parameters)
            return job.page.content(elsewhere) if job.page else content

        seed = f"{self._seed}/{job.job_id}/{alteration.kind}/{alteration.field}"
        return change_content(content, KINDS[alteration.kind], alteration.field, seed, visit)


def visit_of(job: Job) -> Visit:
    """The visit of the page that a job is."""
    return Visit(job.url, job.created_at, job.parameters)
