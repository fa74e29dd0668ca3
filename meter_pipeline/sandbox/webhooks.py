"""Webhooks over HTTP: a thread posts them, retries failed calls, and keeps a record of each."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import urllib3

from meter_pipeline.sandbox.changes import has_changes
from meter_pipeline.sandbox.pages import noise
from meter_pipeline.sandbox.records import COMPLETED, Delivery, Job, Schedule
from meter_pipeline.sandbox.shapes import render_payload
from meter_pipeline.sandbox.world import World

#: The API gives a receiver thirty seconds.
_TIMEOUT_SECONDS = 30.0


@dataclass
class _Letter:
    schedule_id: str
    job_id: str
    url: str
    secret: str
    body: bytes
    duplicate: bool = False


class Courier:
    """Delivers webhooks in the background, in order of completion unless switches reorder or duplicate them."""

    def __init__(self, world: World) -> None:
        self.deliveries: list[Delivery] = []
        self._world = world
        self._letters: deque[_Letter] = deque()
        self._wake = threading.Condition()
        self._open = 0  # letters queued and neither accepted nor given up
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS)

    def post(self, schedule: Schedule, job: Job) -> None:
        """Queue the webhook of a run that ended, if its schedule has a webhook."""
        world, faults = self._world, self._world.faults
        if not schedule.webhook_url:
            return
        changed = job.status == COMPLETED and has_changes(world, schedule, job)
        if job.status == COMPLETED and not changed and not faults.webhook_unchanged:
            return
        first = _Letter(schedule.schedule_id, job.job_id, schedule.webhook_url, schedule.webhook_secret or "",
                         render_payload(world, schedule, job, changed))  # fmt: skip
        letters = [first]
        if noise(world.seed, "double", job.job_id) < faults.webhook_duplicates:
            letters.append(_Letter(**{**vars(first), "duplicate": True}))
        with self._wake:
            for letter in letters:
                place = len(self._letters)
                chance = noise(world.seed, "shuffle", letter.job_id, letter.duplicate)
                if self._letters and chance < faults.webhook_reorder:
                    place = int(noise(world.seed, "place", letter.job_id) * len(self._letters))
                self._letters.insert(place, letter)
                self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="sandbox-webhooks", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def drain(self, timeout: float = 30.0) -> bool:
        """Wait until every queued webhook was accepted or given up; returns False after `timeout` real seconds."""
        with self._wake:
            return self._wake.wait_for(lambda: self._open == 0, timeout)

    def close(self) -> None:
        """Stop delivering and drop what is queued."""
        with self._wake:
            self._stopped = True
            self._letters.clear()
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._pool.clear()

    def send(self, url: str, body: bytes, secret: str) -> int:
        """Post once and return the status; 0 without an answer."""
        headers = {"Content-Type": "application/json", "User-Agent": "meter-sandbox"}
        if secret:
            headers["X-Webhook-Secret"] = secret
        try:
            return self._pool.request("POST", url, body=body, headers=headers, redirect=False).status
        except urllib3.exceptions.HTTPError:
            return 0

    def _deliver(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._letters or self._stopped)
                if self._stopped:
                    return
                letter = self._letters.popleft()
            self._insist(letter)
            with self._wake:
                self._open -= 1
                self._wake.notify_all()

    def _insist(self, letter: _Letter) -> None:
        faults = self._world.faults
        for attempt in range(1, max(1, faults.webhook_attempts) + 1):
            status = self.send(letter.url, letter.body, letter.secret)
            self.deliveries.append(
                Delivery(letter.schedule_id, letter.job_id, letter.url, attempt, status, letter.duplicate)
            )
            if 200 <= status < 300 or self._stopped:
                return
            if attempt < faults.webhook_attempts:
                time.sleep(faults.webhook_backoff * 2 ** (attempt - 1))
