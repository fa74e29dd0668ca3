"""The sensor: what a tick asks for, what it says, and that nothing is missed, doubled or blocked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from meter_pipeline.connect import open_client, open_ledger, open_store
from meter_pipeline.defs import build_defs, sensors
from meter_pipeline.sync import sync
from meter_pipeline.webhooks.inbox import Hint, Inbox
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline


class Daemon:
    """Ticks the sensor and runs what it asks for, as Dagster's daemon does."""

    def __init__(self, pipeline: Pipeline, **settings: Any) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.cursor: str | None = None
        self.reload()

    def reload(self) -> None:
        """Loads definitions again."""
        self.defs = build_defs(replace(self.pipeline.settings, **self.settings))
        (self.sensor,) = self.defs.sensors or ()

    def tick(self) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self.pipeline.instance,
            cursor=self.cursor,
            resources=self.defs.resources,
            definitions=self.defs,
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def skipped(self) -> str:
        """The reason of a tick that asks for nothing."""
        result = self.tick()
        assert not result.run_requests
        reason = result.skip_reason
        return reason.skip_message or "" if isinstance(reason, dg.SkipReason) else str(reason)

    def asked(self) -> list[str]:
        """The schedules of the run that a tick asks for; the run is done, too."""
        return self.run(self.tick())

    def run(self, result: dg.SensorResult) -> list[str]:
        """Does what the requested run does, without Dagster around it."""
        assert result.run_requests is not None
        (request,) = result.run_requests
        assert request.run_key is None
        config = request.run_config["ops"]["meter_sync"]["config"]
        assert config.keys() == {"schedules", "inbox"}
        settings = self.pipeline.settings
        with open_store(settings) as store, open_client(settings) as client:
            inbox = Inbox(settings.inbox)
            report = sync(client, store.ledger, store.lake, schedules=config["schedules"], inbox=inbox)
        assert not report.stopped
        return list(config["schedules"])

    def execute(self, result: dg.SensorResult, fails: bool = False) -> None:
        """The requested run, in Dagster."""
        (request,) = result.run_requests or ()
        done = self.defs.resolve_job_def(request.job_name or "sync").execute_in_process(
            instance=self.pipeline.instance,
            run_config={**QUIET, **request.run_config},
            asset_selection=request.asset_selection,
            tags=request.tags,
            raise_on_error=False,
        )
        assert done.success is not fails


@pytest.fixture
def daemon(pipeline: Pipeline) -> Daemon:
    """Schedules `books` and `lamps`, each with a run; nothing is loaded."""
    for name in ("Books", "Lamps"):
        pipeline.sandbox.world.add_schedule(name, schedule_id=name.lower())
        pipeline.scrape(name, {"title": "A", "price": 1}, schedule=name.lower())
    return Daemon(pipeline)


def jobs(pipeline: Pipeline, *states: str) -> set[str]:
    with open_ledger(pipeline.settings) as ledger:
        return {row.job_id for row in ledger.jobs(states=states)}


def selected(result: dg.SensorResult) -> set[str]:
    """The assets that the requested run selects."""
    (request,) = result.run_requests or ()
    return {key.to_user_string() for key in request.asset_selection or ()}


def check_status(pipeline: Pipeline, asset: str, name: str) -> str:
    """How the check was last executed, or planned."""
    key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), name)
    found = pipeline.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
    return found[key].status.value


def test_what_ran_is_asked_for_once_in_one_run(daemon: Daemon) -> None:
    result = daemon.tick()
    daemon.execute(result)
    assert jobs(daemon.pipeline, "accepted") == {job.job_id for job in daemon.pipeline.sandbox.world.jobs}
    before = len(daemon.pipeline.sandbox.log)
    assert daemon.skipped().startswith("polled 2 schedules: 0 due")
    assert len(daemon.pipeline.sandbox.log) - before <= 2
    job = daemon.pipeline.scrape("Lamps", {"title": "B", "price": 2}, schedule="lamps")
    assert daemon.asked() == ["lamps"]
    assert job in jobs(daemon.pipeline, "accepted")
    assert not daemon.pipeline.sandbox.world.schedules["lamps"].unseen


def test_content_that_goes_and_comes_back_is_loaded_each_time(daemon: Daemon) -> None:
    daemon.asked()
    loaded = []
    for price in (2, 1, 2):
        loaded.append(daemon.pipeline.scrape("Books", {"title": "A", "price": price}, schedule="books"))
        assert daemon.asked() == ["books"]
    assert set(loaded) <= jobs(daemon.pipeline, "accepted")


def test_nothing_is_asked_for_while_a_run_is_in_flight(daemon: Daemon) -> None:
    job = daemon.defs.resolve_job_def("sync")
    run = daemon.pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    before = len(daemon.pipeline.sandbox.log)
    assert run.run_id[:8] in daemon.skipped()
    assert len(daemon.pipeline.sandbox.log) == before


def test_a_run_that_died_with_its_machine_is_not_waited_for_for_ever(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, instance = daemon.defs.resolve_job_def("sync"), daemon.pipeline.instance
    dead = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert dead.run_id[:8] in daemon.skipped()
    monkeypatch.setattr(sensors, "_SILENCE", timedelta(0))
    assert daemon.asked() == ["books", "lamps"]


def test_a_failed_run_is_tried_again_later_each_time(daemon: Daemon) -> None:
    result = daemon.tick()
    daemon.pipeline.sandbox.set_faults(rate_500=1.0, path="/jobs")
    daemon.execute(result, fails=True)
    daemon.pipeline.sandbox.clear_faults()
    assert "failed, 1 in a row" in daemon.skipped()
    reported = json.loads(daemon.cursor or "")
    assert reported["failures"] == 1
    reported["before"] = "2000-01-01T00:00:00+00:00"
    daemon.cursor = json.dumps(reported)
    daemon.execute(daemon.tick())
    assert "polled" in daemon.skipped()
    assert "failures" not in json.loads(daemon.cursor or "{}")


def test_a_scrape_that_goes_on_is_waited_for(daemon: Daemon) -> None:
    daemon.asked()
    world = daemon.pipeline.sandbox.world
    daemon.pipeline.sandbox.advance(60)
    books = world.schedules["books"]
    world.start_job(books.strategy_id, "https://b.example/", world.now, schedule=books)
    books.last_run_at = world.now
    assert "1 still scraping" in daemon.skipped()
    daemon.pipeline.sandbox.advance(60)
    assert daemon.asked() == ["books"]


def test_scrapes_that_take_longer_than_the_time_between_runs_are_not_waited_for_for_ever(daemon: Daemon) -> None:
    daemon.asked()
    sandbox, world = daemon.pipeline.sandbox, daemon.pipeline.sandbox.world
    books = world.schedules["books"]
    for _ in range(3):
        job = world.start_job(books.strategy_id, "https://b.example/", world.now, schedule=books)
        job.duration = 90
        books.last_run_at = world.now
        sandbox.advance(60)
    # The last run still goes on; the two before it are over.
    assert daemon.asked() == ["books"]
    assert sum(job.completed_at is None for job in world.jobs) == 1
    assert "1 to be tried again later" in daemon.skipped()


def test_a_schedule_with_more_runs_than_are_looked_at_is_not_waited_for(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meter_pipeline.sync.discovery import polling as watch

    daemon.asked()
    sandbox, world = daemon.pipeline.sandbox, daemon.pipeline.sandbox.world
    monkeypatch.setattr(watch, "_PAGES", 1)
    books = world.schedules["books"]
    daemon.pipeline.scrape("Books", {"title": "Z", "price": 1}, schedule="books")
    for _ in range(110):
        sandbox.advance(60)
        world.insert_job("Lamps", items=[])
    world.start_job(books.strategy_id, "https://b.example/", world.now, schedule=books)
    books.last_run_at = world.now
    assert daemon.asked() == ["books"]


def test_what_was_noticed_is_reported_even_if_the_api_goes_away_half_way(daemon: Daemon) -> None:
    daemon.asked()
    sandbox, world = daemon.pipeline.sandbox, daemon.pipeline.sandbox.world
    daemon.pipeline.scrape("Books", {"title": "Z", "price": 1}, schedule="books")
    world.schedules["lamps"].enabled = False
    sandbox.set_faults(rate_500=1.0, path="/jobs$")
    reason = daemon.skipped()
    assert reason.startswith("polling Meter has failed since")
    assert reason.endswith("schedule lamps was paused")
    sandbox.clear_faults()
    world.schedules["lamps"].enabled = True
    assert daemon.asked() == ["books"]


def test_an_unreachable_api_is_a_skip_and_after_an_hour_a_failed_tick(daemon: Daemon) -> None:
    daemon.pipeline.sandbox.stop()
    reason = daemon.skipped()
    assert reason.startswith("polling Meter has failed since")
    since = json.loads(daemon.cursor or "")["unreachable_since"]
    assert daemon.skipped() == reason
    reported = {"unreachable_since": (datetime.fromisoformat(since) - timedelta(minutes=61)).isoformat()}
    daemon.cursor = json.dumps(reported)
    with pytest.raises(dg.Failure, match="polling Meter has failed since"):
        daemon.tick()
    daemon.pipeline.sandbox.start()
    assert daemon.asked() == ["books", "lamps"]
    assert "unreachable_since" not in json.loads(daemon.cursor or "")


def test_new_schedules_and_strategies_are_reported(daemon: Daemon) -> None:
    daemon.asked()
    daemon.reload()
    world = daemon.pipeline.sandbox.world
    daemon.pipeline.sandbox.add_strategy("Chairs", "https://chairs.example/")
    world.add_schedule("Chairs", schedule_id="chairs")
    world.schedules["books"].enabled = False
    world.schedules["lamps"].interval_seconds = 60
    reason = daemon.skipped()
    for part in (
        "schedule chairs is new",
        "schedule books was paused",
        "schedule lamps now runs every 60 s (before: every 86400 s)",
        "reload definitions to see asset results/chairs",
    ):
        assert part in reason
    world.delete_schedule(world.schedules["books"])
    assert "schedule books was deleted" in daemon.skipped()


def test_reports_in_the_inbox_are_loaded_whatever_the_listing_says(daemon: Daemon) -> None:
    pipeline = daemon.pipeline
    daemon.asked()
    inbox = Inbox(pipeline.settings.inbox)
    alone = pipeline.scrape("Books", {"title": "Z", "price": 1})
    for hint in (Hint(alone, None), Hint("no-such-job", "no-such-schedule")):
        inbox.put(hint)
    assert daemon.asked() == []
    assert alone in jobs(pipeline, "accepted")
    assert not inbox.hints()
    # A replay of a job that is loaded is no reason for a run.
    inbox.put(Hint(alone, "books"))
    assert "0 due" in daemon.skipped()
    assert not inbox.hints()


def test_a_run_selects_what_it_may_have_something_to_say_about(daemon: Daemon) -> None:
    pipeline = daemon.pipeline
    daemon.execute(daemon.tick())
    daemon.reload()
    for name in ("Books", "Lamps"):
        pipeline.scrape(name, {"title": "B", "price": 2}, schedule=name.lower())
    daemon.execute(daemon.tick())
    pipeline.scrape("Lamps", {"title": "C", "price": 2}, schedule="lamps")
    result = daemon.tick()
    assert {"meter/jobs", "meter/item_changes", "results/lamps", "warehouse"} <= selected(result)
    assert "results/books" not in selected(result)
    daemon.execute(result)
    # A check that was not asked for keeps its result: Dagster would show it as skipped.
    books, lamps = (check_status(pipeline, f"results/{slug}", "no_held_jobs") for slug in ("books", "lamps"))
    assert (books, lamps) == ("SUCCEEDED", "SUCCEEDED")
    # Another program loads Books: the next run shows it, whatever it is for.
    pipeline.scrape("Books", {"title": "D", "price": 2})
    pipeline.sync()
    pipeline.scrape("Lamps", {"title": "E", "price": 2}, schedule="lamps")
    assert {"results/books", "results/lamps"} <= selected(daemon.tick())


def test_a_run_for_jobs_whose_strategy_is_not_known_selects_everything(daemon: Daemon) -> None:
    daemon.execute(daemon.tick())
    daemon.reload()
    job = daemon.pipeline.scrape("Books", {"title": "B", "price": 2})
    Inbox(daemon.pipeline.settings.inbox).put(Hint(job, None))
    (request,) = daemon.tick().run_requests or ()
    assert request.asset_selection is None


def test_a_cursor_that_cannot_be_read_starts_afresh(daemon: Daemon) -> None:
    for cursor in ("", "{", "[]", '{"unknown": 1}', "null"):
        assert sensors.Cursor.parse(cursor) == sensors.Cursor()


def test_a_backlog_drains_in_bounded_runs_that_miss_and_double_nothing(pipeline: Pipeline) -> None:
    world = pipeline.sandbox.world
    names = [f"s{number:02}" for number in range(25)]
    for name in names:
        world.add_schedule("Books", schedule_id=name, url=f"https://books.example/{name}")
        world.insert_job("Books", items=[{"of": name}], schedule=name)
    daemon = Daemon(pipeline, schedules_per_run=10)
    pipeline.sandbox.set_faults(rate_500=0.03, rate_503=0.02, path="/(jobs|schedules|strategies)$")
    asked = []
    while (result := daemon.tick()).run_requests:
        asked.append(daemon.run(result))
    assert [len(some) for some in asked] == [10, 10, 5]
    assert sorted(name for some in asked for name in some) == names
    scheduled = {job.job_id for job in world.jobs if job.schedule_id}
    assert scheduled <= jobs(pipeline, "accepted")
    marked = [id_ for mark in pipeline.sandbox.marks for id_ in mark.marked or ()]
    assert sorted(marked) == sorted(scheduled)


def test_with_more_due_than_a_run_takes_all_have_their_turn(pipeline: Pipeline) -> None:
    world = pipeline.sandbox.world
    for number in range(7):
        world.add_schedule("Books", schedule_id=f"s{number}")
        world.insert_job("Books", items=[], schedule=f"s{number}")
    daemon = Daemon(pipeline, schedules_per_run=3)
    # Nothing of what is asked for ever gets done.
    turns = []
    for _ in range(3):
        (request,) = daemon.tick().run_requests or ()
        turns.append(request.run_config["ops"]["meter_sync"]["config"]["schedules"])
    assert turns == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s0", "s1", "s6"]]


def test_publications_have_runs_apart_and_do_not_wait_for_what_is_loading(
    pipeline: Pipeline, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(pipeline, publish_every=timedelta(minutes=15), publish_tags=(("place", "here"),))
    assert daemon.defs.resolve_job_def("publish_warehouse").tags["place"] == "here"
    job = daemon.defs.resolve_job_def("load")
    (load,) = daemon.tick().run_requests or ()
    assert load.job_name == "load"
    daemon.execute(dg.SensorResult(run_requests=[load]))
    assert not pipeline.settings.warehouse.exists()
    pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    (publish,) = daemon.tick().run_requests or ()
    assert publish.job_name == "publish_warehouse"
    daemon.execute(dg.SensorResult(run_requests=[publish]))
    assert pipeline.settings.warehouse.exists()
    # Nothing new, then something new too early, then late enough.
    assert daemon.skipped().endswith("polling again when it has ended")
    pipeline.scrape("Lamps", {"title": "B", "price": 2}, schedule="lamps")
    pipeline.sync()
    assert daemon.skipped().endswith("polling again when it has ended")
    late = datetime.now(sensors.timezone.utc) + timedelta(minutes=16)
    monkeypatch.setattr(sensors._Tick, "_find_running", lambda self, *jobs: "loading" if "load" in jobs else None)
    monkeypatch.setattr(sensors, "datetime", type("Clock", (datetime,), {"now": classmethod(lambda cls, zone: late)}))
    (publish,) = daemon.tick().run_requests or ()
    assert publish.job_name == "publish_warehouse"


def test_a_run_has_as_many_schedules_as_the_settings_say(pipeline: Pipeline, daemon: Daemon) -> None:
    daemon = Daemon(pipeline, schedules_per_run=1)
    assert daemon.asked() == ["books"]
    assert daemon.asked() == ["lamps"]
