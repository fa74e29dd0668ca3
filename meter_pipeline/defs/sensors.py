"""The sensor `schedule_changes`: requests a sync within a minute of a run at Meter, one sync at a time.

The ledger and the API decide which schedules are due, not earlier requests: if a requested run failed or never started,
its schedules stay due. So nothing here can block a retry.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.config.variables import SettingsError
from meter_pipeline.defs.keys import METER_RESOURCE, STORE_RESOURCE, SYNC_STEP
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.resources import MeterResource, StoreResource
from meter_pipeline.defs.schedules import LOAD, PUBLISH, SYNC
from meter_pipeline.text.printable import PrintableLog, printable

if TYPE_CHECKING:
    from meter_pipeline.sync.discovery.polling import Poll

NAME, PUBLICATION = "schedule_changes", "schedule_changes_publication"
#: Tag of the runs that the sensor requested.
TAG = "meter/asked_by"
INTERVAL_SECONDS = 30
BUDGET_SECONDS = 40.0
#: Maximum schedules per requested run: a backlog is loaded in bounded runs.
MOST_SCHEDULES = 100
_PATIENCE = timedelta(hours=1)
# A run that logged nothing for this long died with its machine; Dagster itself does not detect that.
_SILENCE = timedelta(minutes=10)
_STRATEGIES_EVERY = timedelta(minutes=10)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
_NAMED = 5
_IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Cursor:
    """The state that one tick passes to the next; times are in ISO format.

    Attributes:
        after: The last schedule that was requested; if more are due than a run takes, the next run continues after it.
        strategies_at: When the strategies were last listed.
        unreachable_since: Since when polling has failed; None while it works.
        failed_run: The latest requested run that failed.
        failures: Number of requested runs that failed in a row.
        before: After a failure, the time before which no run is requested.
    """

    after: str = ""
    strategies_at: str | None = None
    unreachable_since: str | None = None
    failed_run: str | None = None
    failures: int = 0
    before: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Parses the cursor; returns an empty one if the text is not valid."""
        try:
            return cls(**json.loads(text)) if text else cls()
        except (ValueError, TypeError):
            return cls()

    def to_json(self) -> str:
        """Returns the cursor as JSON, without empty fields."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})


@dataclass(frozen=True)
class SensorSettings:
    """Settings of the sensor.

    Attributes:
        acknowledge: Whether changes are marked as seen at Meter.
        budget: Maximum seconds of a tick.
        most: Maximum schedules of one run.
        publish_every: Minimum time between two publications; None to publish in each run that loads.
    """

    acknowledge: bool = True
    budget: float = BUDGET_SECONDS
    most: int = MOST_SCHEDULES
    publish_every: timedelta | None = None


def build_schedule_sensor(
    jobs: Mapping[str, Any],
    known: Collection[str] | None,
    *,
    assets: Mapping[str, Collection[dg.AssetKey]],
    settings: SensorSettings = SensorSettings(),
    keys: Keys = Keys(),
    names: Names = Names(),
) -> dg.SensorDefinition:
    """Builds the sensor, which is off until you switch it on.

    Args:
        jobs: The jobs that it requests runs of, from `build_jobs`.
        known: Slugs of the strategies that have an asset; None if a new one needs none.
        assets: The assets of the jobs that load, by the job's name.
        settings: How it works.
        keys: Translates between the project's asset keys and this package's.
        names: Names of the sensor, its resources and the syncing step in this code location.
    """

    @dg.sensor(
        name=names.qualify(NAME),
        jobs=list(jobs.values()),
        required_resource_keys={names.qualify(METER_RESOURCE), names.qualify(STORE_RESOURCE)},
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Syncs schedules that ran at Meter and jobs that webhooks reported. Off until you switch it on.",
    )
    def sensor(context: dg.SensorEvaluationContext, **resources: object) -> dg.SensorResult:
        # The resources' names differ per account, so they are read from the context; a direct call passes them as well.
        context.log.addFilter(PrintableLog())
        return _Tick(context, names, None if known is None else frozenset(known), assets, keys, settings).evaluate()

    return sensor


class _Tick:
    """One poll of Meter and of the webhook inbox."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        names: Names,
        known: frozenset[str] | None,
        assets: Mapping[str, Collection[dg.AssetKey]],
        keys: Keys,
        settings: SensorSettings,
    ) -> None:
        self._context, self._names, self._assets, self._keys = context, names, assets, keys
        self._meter: MeterResource = getattr(context.resources, names.qualify(METER_RESOURCE))
        self._store: StoreResource = getattr(context.resources, names.qualify(STORE_RESOURCE))
        self._known, self._settings = known, settings
        self._tags = {TAG: names.qualify(NAME)}
        self._cursor = Cursor.parse(context.cursor)
        self._notices: list[str] = []
        self._now = datetime.now(timezone.utc)

    def evaluate(self) -> dg.SensorResult:
        """Returns requests for runs, or the reason for none."""
        from meter_pipeline.api import MeterError

        # Asked first, and whatever is being loaded: with thousands of schedules something is loaded at every tick.
        publication = self._request_publication()
        reason = self._find_running(SYNC, LOAD) or self._back_off()
        if reason is not None:
            return self._finish(publication, reason)
        try:
            load, summary = self._poll()
        except (MeterError, SettingsError) as error:
            load, summary = [], self._explain_unreachable(error)
        return self._finish([*load, *publication], summary)

    def _finish(self, requests: list[dg.RunRequest], summary: str) -> dg.SensorResult:
        """Returns the requests, or the summary as the reason for none."""
        cursor = self._cursor.to_json()
        if not requests:
            return dg.SensorResult(skip_reason=printable(summary), cursor=cursor)
        self._context.log.info(printable(summary))
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    def _request_publication(self) -> list[dg.RunRequest]:
        """Requests a publication if the ledger has news, and the last request is long enough ago."""
        from meter_pipeline.store.ledger.facts import read_revision
        from meter_pipeline.store.ledger.manifest import find_published_revision

        every = self._settings.publish_every
        if every is None:
            return []
        name = self._names.qualify(PUBLISH)
        for record in self._context.instance.get_run_records(dg.RunsFilter(job_name=name), limit=1):
            if self._now - _in_utc(record.create_timestamp) < every or self._find_running(PUBLISH) is not None:
                return []
        with self._store.open() as store, store.ledger.reading() as connection:
            if find_published_revision(connection) >= read_revision(connection):
                return []
        # With another tag: a publication that fails is no reason to load less.
        return [dg.RunRequest(job_name=name, tags={TAG: self._names.qualify(PUBLICATION)})]

    def _find_running(self, *jobs: str) -> str | None:
        for job in jobs:
            running = dg.RunsFilter(job_name=self._names.qualify(job), statuses=_IN_FLIGHT)
            for record in self._context.instance.get_run_records(running):
                run = record.dagster_run
                if run.status is dg.DagsterRunStatus.QUEUED or self._now - self._find_last_event(record) < _SILENCE:
                    return f"run {run.run_id[:8]} is {run.status.value.lower()}: polling again when it has ended"
                # If it is alive after all, the engine's claims keep it and the next run apart.
                last_event = f"{self._find_last_event(record):%Y-%m-%d %H:%M}"
                self._context.log.warning(
                    f"run {run.run_id[:8]} is {run.status.value.lower()} but has logged nothing since {last_event}; "
                    "not waiting for it"
                )
        return None

    def _find_last_event(self, record: dg.RunRecord) -> datetime:
        """Returns the time of a run's last event or change of status."""
        last = self._context.instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
        logged = datetime.fromtimestamp(last[0].timestamp if last else 0, timezone.utc)
        return max(logged, _in_utc(record.update_timestamp))

    def _back_off(self) -> str | None:
        """Returns why no run is requested yet after failed ones; the pause doubles with each, up to 15 minutes."""
        from meter_pipeline.store.times import back_off

        cursor = self._cursor
        for run in self._context.instance.get_runs(dg.RunsFilter(tags=self._tags), limit=1):
            if run.status is dg.DagsterRunStatus.SUCCESS and cursor.failures:
                cursor = replace(cursor, failed_run=None, failures=0, before=None)
            elif run.status is dg.DagsterRunStatus.FAILURE and run.run_id != cursor.failed_run:
                pause = back_off(cursor.failures + 1, _FIRST_PAUSE, _LONGEST_PAUSE)
                before = (self._now + pause).isoformat(timespec="seconds")
                cursor = replace(cursor, failed_run=run.run_id, failures=cursor.failures + 1, before=before)
        self._cursor = cursor
        if cursor.before is None or self._now.isoformat() >= cursor.before:
            return None
        run_id = (cursor.failed_run or "")[:8]
        return f"run {run_id} failed, {cursor.failures} in a row: trying again at {cursor.before}"

    def _poll(self) -> tuple[list[dg.RunRequest], str]:
        """Polls Meter and reads the inbox; returns a request for a run if something is due, and a summary."""
        from meter_pipeline.sync.discovery.polling import Poll, poll_schedules

        found = Poll()
        until = time.monotonic() + self._settings.budget / 2
        self._store.refuse_mixing(self._meter)
        listed_at = self._cursor.strategies_at
        stale = listed_at is None or self._now - datetime.fromisoformat(listed_at) >= _STRATEGIES_EVERY
        acknowledge = self._settings.acknowledge
        with self._store.open() as store:
            # At most two requests follow the deadline: the listing of schedules, and one page of another listing.
            spool, share = self._store.settings().spool, self._settings.budget / 4
            with self._meter.client(store.ledger, deadline=share, timeout=(5.0, share), spool_folder=spool) as client:
                try:
                    poll_schedules(client, store.ledger, found, strategies=stale, acknowledge=acknowledge, until=until)
                finally:
                    self._notices = found.notices
            reported, others = self._read_inbox(store.ledger)
            unknown = self._find_unknown(store.ledger)
        if found.strategies_listed:
            self._cursor = replace(self._cursor, strategies_at=self._now.isoformat(timespec="seconds"))
        self._cursor = replace(self._cursor, unreachable_since=None)
        self._log(found, unknown)
        chosen = self._choose(sorted({*found.due, *reported}))
        summary = _summarise(found, unknown)
        if not chosen and not others:
            return [], summary
        job = SYNC if self._settings.publish_every is None else LOAD
        step = {"config": {"schedules": chosen, "inbox": True}}
        config = {"ops": {self._names.qualify(SYNC_STEP): step}}
        # Which strategies other jobs in the inbox belong to is not known yet.
        selection = None if others else self._select(self._assets[job], chosen)
        name = self._names.qualify(job)
        return [dg.RunRequest(job_name=name, run_config=config, tags=self._tags, asset_selection=selection)], summary

    def _select(self, assets: Collection[dg.AssetKey], schedules: Collection[str]) -> list[dg.AssetKey]:
        from meter_pipeline.defs.selection import select_assets

        with self._store.open() as store:
            return select_assets(self._context.instance, store.ledger, assets, schedules, self._keys)

    def _find_unknown(self, ledger: Any) -> list[str]:
        """Returns the slugs of strategies at Meter that have no asset until definitions are loaded again."""
        if self._known is None:
            return []
        return [row.slug for row in ledger.strategies() if row.slug not in self._known and not row.deleted_at]

    def _read_inbox(self, ledger: Any) -> tuple[set[str], int]:
        """Returns the schedules of jobs in the inbox and the number of other jobs; removes loaded jobs from it."""
        from meter_pipeline.sync.discovery.change_sets import SETTLED
        from meter_pipeline.sync.discovery.webhooks import MOST
        from meter_pipeline.webhooks.inbox import Inbox

        inbox = Inbox(self._store.settings().inbox)
        hints = inbox.hints(MOST)
        settled = {row.job_id for row in ledger.jobs(ids=[hint.job_id for hint in hints], states=tuple(SETTLED))}
        inbox.remove(settled)
        waiting = [hint for hint in hints if hint.job_id not in settled]
        known = {row.schedule_id for row in ledger.schedules()} if waiting else set()
        reported = [hint.schedule_id for hint in waiting]
        own = {schedule_id for schedule_id in reported if schedule_id is not None and schedule_id in known}
        return own, sum(schedule_id not in own for schedule_id in reported)

    def _choose(self, due: list[str]) -> list[str]:
        """Returns at most as many schedules as a run takes, starting after the last requested one, in turn."""
        if len(due) <= self._settings.most:
            return due
        later = [schedule_id for schedule_id in due if schedule_id > self._cursor.after]
        chosen = list(dict.fromkeys(later + due))[: self._settings.most]
        self._cursor = replace(self._cursor, after=chosen[-1])
        return sorted(chosen)

    def _log(self, found: "Poll", unknown: list[str]) -> None:
        for notice in found.notices:
            self._context.log.info(notice)
        for problem in found.problems:
            self._context.log.warning(f"{problem.subject}{problem.reason}")
        for slug in unknown:
            self._context.log.info(f"reload definitions to see asset results/{slug}")

    def _explain_unreachable(self, error: Exception) -> str:
        """Returns why Meter cannot be polled.

        Raises:
            dg.Failure: Polling has failed for an hour.
        """
        reason = " ".join(printable(str(error)).split())
        since = self._cursor.unreachable_since
        if since is not None and self._now - datetime.fromisoformat(since) >= _PATIENCE:
            raise dg.Failure(f"polling Meter has failed since {since}: {reason}") from None
        since = since or self._now.isoformat(timespec="seconds")
        self._cursor = replace(self._cursor, unreachable_since=since)
        notices = "".join(f"; {notice}" for notice in _clip_list(self._notices))
        return f"polling Meter has failed since {since}: {reason}{notices}"


def _in_utc(time: datetime) -> datetime:
    """Returns one of Dagster's times, which are in UTC, some of them without a time zone."""
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _summarise(found: "Poll", unknown: list[str]) -> str:
    parts = [f"polled {found.schedules:,} schedules: {len(found.due):,} due"]
    if found.scraping:
        parts.append(f"{found.scraping:,} still scraping")
    if found.resting:
        parts.append(f"{found.resting:,} to be tried again later")
    text = ", ".join(parts)
    if found.notices:
        text += "; " + "; ".join(_clip_list(found.notices))
    if unknown:
        text += "; reload definitions to see asset " + ", ".join(f"results/{slug}" for slug in unknown[:_NAMED])
    return text


def _clip_list(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _NAMED
    return [*lines[:_NAMED], *([f"{more:,} more"] if more > 0 else [])]
