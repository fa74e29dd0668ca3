"""The ledger, on SQLite and on PostgreSQL: one row for every strategy, schedule and job, whoever writes."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from meter_pipeline.api import Job
from meter_pipeline.store import columns
from meter_pipeline.store.errors import LedgerError, StaleError
from meter_pipeline.store.ledger.findings import JudgedJobs, read_known
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.manifest import SWEPT_AT, SWEPT_BEFORE
from meter_pipeline.store.ledger.rows import Recorded
from meter_pipeline.store.ledger.tables import target_id
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.sync.containment import apply
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.store.records import commit, job, schedule, strategy

_TIME = "2026-03-02T06:00:00.000000Z"

Open = Callable[[], Ledger]


def versions(ledger: Ledger) -> list[tuple[str, str, int]]:
    """Kind, id and number of every version."""
    return sorted((row.kind, row.id, row.version) for row in ledger.rows("versions"))


def test_slugs_are_readable_unique_and_stay_when_the_name_changes(open_ledger: Open) -> None:
    ledger = open_ledger()
    first = ledger.record_strategies(
        [
            strategy("aaaaaaaa-1", "New books"),
            strategy("bbbbbbbb-2", "New Books!"),
            strategy("cccccccc-3", None),
            strategy("dddddddd-4", "書籍"),
            strategy("eeeeeeee-5", "Préis/Liste " + "x" * 100),
        ]
    )
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    assert slugs["aaaaaaaa-1"] == "new_books"
    assert slugs["bbbbbbbb-2"] == "new_books_bbbbbbbb"
    assert len(set(slugs.values())) == 5 == len(first)
    assert all(slug.isascii() and slug.replace("_", "").isalnum() and len(slug) < 80 for slug in slugs.values())
    renamed = [strategy(id_, "Another name") for id_ in slugs]
    assert ledger.record_strategies(renamed) == []
    assert {row.strategy_id: row.slug for row in ledger.strategies()} == slugs
    assert {row.name for row in ledger.strategies()} == {"Another name"}


def test_strategies_of_one_name_and_alike_ids_get_slugs_of_their_own(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_strategies([strategy(f"aaaaaaaa-{i}", "Same") for i in range(6)])
    assert len({row.slug for row in ledger.strategies()}) == 6


def test_a_snapshot_of_several_tables_is_of_one_moment(open_ledger: Open) -> None:
    reader, writer = open_ledger(), open_ledger()
    writer.record_strategies([strategy("a")])

    def names() -> Iterator[str]:
        yield "strategies"
        writer.record_strategies([strategy("a"), strategy("b", "Other")])
        writer.record_jobs([job("j", "b")])
        yield "jobs"

    seen = reader.snapshot(names())
    assert [row.strategy_id for row in seen["strategies"]] == ["a"]
    assert seen["jobs"] == []
    assert len(reader.rows("jobs")) == 1


def test_a_strategy_that_is_no_longer_listed_is_deleted_and_may_come_back(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_strategies([strategy("a"), strategy("b", "Other")])
    ledger.record_strategies([strategy("a")])
    assert [row.strategy_id for row in ledger.strategies() if row.deleted_at] == ["b"]
    ledger.record_strategies([strategy("a"), strategy("b", "Other")])
    assert not [row for row in ledger.strategies() if row.deleted_at]


def test_a_version_is_recorded_once_and_a_run_makes_no_new_one(open_ledger: Open) -> None:
    ledger = open_ledger()
    for number in range(3):
        ledger.record_strategies([strategy("a", description="one", updated_at=f"2026-03-0{number + 1}T00:00:00Z")])
        ledger.record_schedules([schedule("s", "a", last_run_at=f"2026-03-0{number + 1}T00:00:00Z")])
    assert versions(ledger) == [("schedule", "s", 1), ("strategy", "a", 1)]
    ledger.record_strategies([strategy("a", description="two")])
    ledger.record_schedules([schedule("s", "a", enabled=False)])
    assert versions(ledger) == [("schedule", "s", 1), ("schedule", "s", 2), ("strategy", "a", 1), ("strategy", "a", 2)]


def test_a_webhook_secret_is_not_kept(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_schedules([schedule("s", "a", webhook_url="https://hook.example", webhook_secret="whsec_canary")])
    assert "whsec_canary" not in str(ledger.rows("schedules")) + str(ledger.rows("versions"))


def test_every_listed_job_gets_a_row_once_and_its_strategy_too(open_ledger: Open) -> None:
    ledger = open_ledger()
    listed = [job("j1", "gone"), job("j2", "gone", status="failed", error="503"), job("j3", "gone", status="running")]
    recorded = ledger.record_jobs(listed)
    assert (recorded.fresh, recorded.moved, recorded.failed) == (["j1", "j2", "j3"], [], {"gone": 1})
    assert ledger.record_jobs(listed) == Recorded([], [], [], {})
    assert {row.job_id: row.state for row in ledger.jobs()} == {"j1": "known", "j2": "failed", "j3": "known"}
    (adopted,) = ledger.strategies()
    assert adopted.strategy_id == "gone"
    assert adopted.deleted_at is not None
    ledger.record_strategies([strategy("gone", "Back again")])
    assert [(row.slug, row.name, row.deleted_at) for row in ledger.strategies()] == [(adopted.slug, "Back again", None)]


def test_a_status_that_moves_on_is_followed_and_a_loaded_job_stays_loaded(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_jobs([job("j1", "a", status="running"), job("j2", "a")])
    commit(ledger, "a", [{"job_id": "j2", "state": "accepted", "items": 3}])
    recorded = ledger.record_jobs([job("j1", "a", status="completed"), job("j2", "a", status="failed", error="late")])
    assert (recorded.fresh, recorded.moved, recorded.reopened, recorded.failed) == ([], ["j1"], ["j2"], {})
    assert {row.job_id: (row.state, row.status) for row in ledger.jobs()} == {
        "j1": ("known", "completed"),
        "j2": ("accepted", "failed"),
    }


@pytest.mark.parametrize("before", ["failed", "unreadable", "known"])
def test_a_job_that_moved_on_is_loaded_at_once(open_ledger: Open, before: str) -> None:
    ledger = open_ledger()
    ledger.record_jobs([job("j1", "a", status="failed", error="503", schedule_id="s", url="https://shop.example/a")])
    waits = {"attempts": 12, "retry_at": "2099-01-01T00:00:00.000000Z", "reason": "x", "state": before}
    commit(ledger, "a", [{"job_id": "j1", **waits}])
    partial = Job.from_json({"job_id": "j1", "status": "completed", "item_count": 3})
    assert ledger.record_jobs([partial]).moved == ["j1"]
    (row,) = ledger.jobs()
    assert (row.state, row.status, row.error, row.reason, row.attempts, row.retry_at) == (
        "known", "completed", None, None, 0, None
    )  # fmt: skip
    # What the record left out stays as it was.
    assert (row.strategy_id, row.schedule_id, row.item_count, row.url) == ("a", "s", 3, "https://shop.example/a")
    assert row.target_id == target_id(row.url, None)


def test_jobs_come_in_order_of_strategy_time_and_id(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_jobs(
        [
            job("j3", "b"),
            job("j2", "a", completed_at="2026-03-03T00:00:00Z"),
            job("j1", "a", completed_at=None, created_at="2026-03-04T00:00:00Z"),
            job("j0", "a"),
        ]
    )
    assert [row.job_id for row in ledger.jobs()] == ["j0", "j2", "j1", "j3"]
    assert [row.job_id for row in ledger.jobs("a", ids=["j1", "j3"])] == ["j1"]
    assert [(count.jobs, count.items) for count in ledger.counts()] == [(3, 0), (1, 0)]


def test_text_that_databases_dislike_is_taken(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_strategies([strategy("a", "nul \0 here", description="half \ud800 pair")])
    ledger.record_schedules([schedule("s", "a", url="https://x.example/\0\udfff")])
    ledger.record_jobs(
        [job("j1", "a", status="failed", error="\0 \ud800", url="https://x.example/\0", item_count=2**70)]
    )
    assert [row.state for row in ledger.jobs()] == ["failed"]


def test_walks_are_remembered_by_scope(open_ledger: Open) -> None:
    ledger = open_ledger()
    assert ledger.walk() is None
    ledger.record_walk("", "2026-03-02T06:00:00.000000Z")
    ledger.record_walk("a", "2026-03-03T06:00:00.000000Z")
    ledger.record_walk("a", "2026-03-04T06:00:00.000000Z")
    assert (ledger.walk(), ledger.walk("a"), ledger.walk("b")) == (
        "2026-03-02T06:00:00.000000Z",
        "2026-03-04T06:00:00.000000Z",
        None,
    )


def test_an_intent_survives_reopening_until_it_is_resolved(open_ledger: Open) -> None:
    first = open_ledger().intents.open("schedule", "print", ["s1"])
    again = open_ledger().intents.open("schedule", "print", ["s1", "s2"])
    assert (again.intent_id, again.before, again.reused) == (first.intent_id, ("s1",), True)
    open_ledger().intents.resolve(first.intent_id, "s2")
    fresh = open_ledger().intents.open("schedule", "print", ["s1", "s2"])
    assert fresh.intent_id != first.intent_id
    assert not fresh.reused


def test_the_fields_of_a_strategy_are_kept(open_ledger: Open) -> None:
    fields = columns.infer_fields([{"a\0\ud800": 1, "b": [{"c": None}]}], ("2026-03-02", "j", 0))
    ledger = open_ledger()
    ledger.record_strategies([strategy("a")])
    commit(ledger, "a", [], fields=fields)
    row = open_ledger().strategy("a")
    assert row is not None
    assert columns.load(row.fields) == fields
    assert row.version == 1


def test_the_revision_changes_with_what_the_warehouse_shows_and_only_then(open_ledger: Open) -> None:
    ledger = open_ledger()
    seen = [ledger.revision()]
    ledger.record_strategies([strategy("a")])
    seen.append(ledger.revision())
    ledger.record_jobs([job("j", "a")])
    seen.append(ledger.revision())
    commit(ledger, "a", [{"job_id": "j", "state": "accepted"}])
    seen.append(ledger.revision())
    assert len(set(seen)) == 4
    ledger.record_strategies([strategy("a")])
    ledger.record_jobs([job("j", "a")])
    ledger.record_walk("", "2026")
    assert ledger.revision() == seen[-1]


def test_the_last_sync_that_ended_is_reported(open_ledger: Open) -> None:
    ledger = open_ledger()
    assert ledger.last_sync() is None
    done = ledger.begin_sync()
    ledger.begin_sync()
    ledger.end_sync(done, {"jobs": 3})
    assert open_ledger().unended_sync() is not None
    last = open_ledger().last_sync()
    assert last is not None
    assert (last["sync_id"], last["jobs"]) == (done, 3)


def test_a_process_that_leaves_ends_its_own_syncs_and_no_others(open_ledger: Open) -> None:
    other, ledger = open_ledger(), open_ledger()
    theirs, done, left = other.begin_sync(), ledger.begin_sync(), ledger.begin_sync()
    ledger.end_sync(done, {"exit_code": 0})
    ledger.end_open_syncs({"exit_code": 130})
    codes = {row.sync_id: row.report and json.loads(row.report)["exit_code"] for row in ledger.rows("syncs")}
    assert codes == {theirs: None, done: 0, left: 130}


def _write(url: str, own: int) -> None:
    ledger = Ledger.open(url)
    for number in range(8):
        ledger.record_jobs([job(f"shared-{number}", "a"), job(f"own-{own}-{number}", "a")])
        while True:
            try:
                commit(ledger, "a", [{"job_id": f"own-{own}-{number}", "state": "accepted", "items": 1}])
                break
            except StaleError:
                continue
        ledger.record_strategies([strategy("a"), strategy("b", "Other")])
    ledger.close()


def test_several_processes_open_migrate_and_write_at_once(open_ledger: Open) -> None:
    url = open_ledger.url  # type: ignore[attr-defined]
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_write, args=(url, own)) for own in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    ledger = open_ledger()
    assert {(count.state, count.jobs) for count in ledger.counts()} == {("known", 8), ("accepted", 24)}
    assert versions(ledger) == [("strategy", "a", 1), ("strategy", "b", 1)]


def test_a_job_of_more_than_two_gibibytes_is_recorded(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_strategies([strategy("a")])
    ledger.record_jobs([job("j", "a")])
    update = {"job_id": "j", "state": "accepted", "items": 3 * 2**31, "bytes": 5 * 2**31}
    large = Part("results/a.parquet", "results", 3 * 2**31, 5 * 2**31, _TIME, _TIME, "schema")
    commit(ledger, "a", [update], parts=PartsChange([large]))
    (row,) = ledger.jobs("a", ("accepted",))
    assert (row.items, row.bytes) == (3 * 2**31, 5 * 2**31)


@pytest.mark.parametrize("content", [b"no database, but long enough to be read as one" * 30, b"\0" * 4096])
def test_a_damaged_file_is_one_line_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError) as raised:
        Ledger.open(str(path))
    message = str(raised.value)
    assert "\n" not in message
    assert str(path) in message
    assert "move the file away and sync again" in message
    assert path.read_bytes() == content


def test_a_ledger_damaged_in_the_middle_is_one_line_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(str(path))
    ledger.record_jobs([job(f"j{i}", "a", url="x" * 500) for i in range(200)])
    ledger.close()
    whole = bytearray(path.read_bytes())
    for start in range(4096 * 8, len(whole), 4096):
        whole[start : start + 512] = b"\xa5" * 512
    path.write_bytes(whole)
    with pytest.raises(LedgerError) as raised:
        list(Ledger.open(str(path)).jobs())
    assert "\n" not in str(raised.value)
    assert "move the file away" in str(raised.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as raised:
        Ledger.open(str(tmp_path / "file" / "ledger.sqlite"))
    assert "\n" not in str(raised.value)
    assert "METER_DATA_DIR" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "check METER_LEDGER_URL"),
        ("mysql://nobody@127.0.0.1/none", "give a postgresql:// URL"),
        ("postgresql://nobody@host:port/none", "is no URL"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(url: str, part: str) -> None:
    with pytest.raises(LedgerError) as raised:
        Ledger.open(url)
    assert "\n" not in str(raised.value)
    assert part in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:canary-password@127.0.0.1:1/none",
        "postgresql://me:word@canary-password@127.0.0.1:1/none",
        "postgres://127.0.0.1:1/none?user=me&password=canary-password",
        "postgresql+asyncpg://me:canary-password@127.0.0.1:1/none",
        "postgresql:me:canary-password@127.0.0.1/none",
    ],
)
def test_a_password_in_the_url_is_not_shown(url: str) -> None:
    with pytest.raises(LedgerError) as raised:
        Ledger.open(url)
    assert "canary-password" not in str(raised.value)
    assert "METER_LEDGER_URL" in str(raised.value)


def test_a_commit_that_was_built_on_an_older_state_is_refused(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    first.record_jobs([job("j1", "a"), job("j2", "a")])
    row = first.strategy("a")
    assert row is not None
    part = Part("raw/strategy=a/1.parquet", "raw", 2, 10, _TIME, _TIME, "s")
    second.commit(Commit("a", row.version, [{"job_id": "j1", "state": "accepted", "items": 2}], PartsChange([part])))
    late = Part("raw/strategy=a/2.parquet", "raw", 2, 10, _TIME, _TIME, "s")
    with pytest.raises(StaleError, match="another process has loaded this strategy meanwhile"):
        first.commit(Commit("a", row.version, [{"job_id": "j1", "state": "held"}], PartsChange([late], [part.name])))
    assert {row.job_id: row.state for row in first.jobs()} == {"j1": "accepted", "j2": "known"}
    assert first.parts(["a"]) == {"a": [part]}


def swept(open_ledger: Open, before: str, at: str) -> tuple[Ledger, Part]:
    """A ledger with a job after a sweep, and a part of the job's strategy."""
    ledger = open_ledger()
    ledger.record_jobs([job("j", "a")])
    ledger.note(SWEPT_BEFORE, before)
    ledger.note(SWEPT_AT, at)
    return ledger, Part("raw/strategy=a/1.parquet", "raw", 2, 10, _TIME, _TIME, "s")


def test_a_commit_whose_files_may_have_been_swept_is_refused(open_ledger: Open) -> None:
    ledger, part = swept(open_ledger, "2026-03-02T06:00:00.000000Z", "2026-03-03T05:00:00.000000Z")
    with pytest.raises(StaleError, match="may have been deleted as leftovers"):
        commit(ledger, "a", [], parts=PartsChange([part], began_at="2026-03-02T05:59:59.000000Z"))
    assert ledger.parts(["a"]) == {"a": []}
    commit(ledger, "a", [], parts=PartsChange([part], began_at="2026-03-02T06:00:01.000000Z"))
    assert ledger.parts(["a"]) == {"a": [part]}


def test_a_sweep_whose_clock_was_ahead_refuses_only_what_was_begun_before_it(open_ledger: Open) -> None:
    ledger, part = swept(open_ledger, "2099-01-01T00:00:00.000000Z", "2099-01-02T00:00:00.000000Z")
    began_at = "2026-03-02T06:00:00.000000Z"
    with pytest.raises(StaleError, match="may have been deleted as leftovers"):
        commit(ledger, "a", [], parts=PartsChange([part], began_at=began_at, swept_at="2026-03-01T00:00:00.000000Z"))
    # One that is still running may meet any file.
    known = ledger.swept_at
    ledger.note(SWEPT_AT, "")
    for swept_at in (known, ledger.swept_at):
        with pytest.raises(StaleError, match="may have been deleted as leftovers"):
            commit(ledger, "a", [], parts=PartsChange([part], began_at=began_at, swept_at=swept_at))
    ledger.note(SWEPT_AT, str(known))
    commit(ledger, "a", [], parts=PartsChange([part], began_at=began_at, swept_at=ledger.swept_at))
    assert ledger.parts(["a"]) == {"a": [part]}


def test_a_number_that_the_database_does_not_take_costs_its_record_alone(open_ledger: Open) -> None:
    ledger = open_ledger()
    listed = [schedule("s1", "a"), schedule("s2", "a", interval_seconds=10**12), schedule("s3", "a")]
    given_up: list[str] = []
    apply(
        listed,
        lambda some: ledger.record_schedules(some, whole=False),
        lambda row, trouble: given_up.append(row.schedule_id),
    )
    recorded = [row.schedule_id for row in ledger.schedules()]
    # SQLite takes it.
    assert (recorded, given_up) in ((["s1", "s2", "s3"], []), (["s1", "s3"], ["s2"]))


@pytest.mark.parametrize("open_ledger", ["sqlite", "postgres_url", slow("pooled_url")], indirect=True)
def test_jobs_and_strategies_are_found_by_more_ids_than_a_statement_takes(open_ledger: Open) -> None:
    ledger = open_ledger()
    names = [f"s{number % 7}" for number in range(1_200)]
    ledger.record_jobs([job(f"j{number:04}", name, time=number % 5) for number, name in enumerate(names)])
    unknown = [f"unknown{number}" for number in range(70_000)]
    ids = [row.job_id for row in ledger.jobs()]
    assert len(ids) == 1_200
    assert [row.job_id for row in ledger.jobs(ids=[*unknown, *sorted(ids), *sorted(ids)])] == ids
    assert [row.job_id for row in ledger.jobs([*unknown, *set(names)])] == ids
    assert [row.slug for row in ledger.strategies([*unknown, *set(names)])] == [row.slug for row in ledger.strategies()]
    assert ledger.with_accepted([*unknown, *set(names)]) == set()


def test_many_schedules_that_ran_are_updated_by_one_statement(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.record_schedules([schedule(f"d{number}", "s") for number in range(300)])
    statements: list[str] = []
    sqlalchemy.event.listen(
        ledger._engine, "before_cursor_execute", lambda *about: statements.append(about[2].split()[0])
    )
    ran = [schedule(f"d{number}", "s", last_run_at=f"2026-03-0{1 + number % 9}T00:00:00Z") for number in range(300)]
    ledger.record_schedules(ran)
    assert statements.count("UPDATE") <= 2
    assert [row.last_run_at for row in sorted(ledger.schedules(), key=lambda row: int(row.schedule_id[1:]))] == [
        f"2026-03-0{1 + number % 9}T00:00:00.000000Z" for number in range(300)
    ]
    assert len(versions(ledger)) == 300


def test_a_ledger_has_a_name_of_its_own_and_keeps_it(open_ledger: Open, tmp_path: Path) -> None:
    names = {open_ledger().name, open_ledger().name}
    assert len(names) == 1
    assert re.fullmatch("[0-9a-f]{8}", names.pop())


def test_only_durable_transactions_wait_for_the_disk_whatever_came_before_them(ledger: Ledger) -> None:
    waits = []
    for is_durable in (False, True, True, False, True):
        with ledger.writing(durable=is_durable) as connection:
            waits.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2)
    assert waits == [False, True, True, False, True]


def test_what_is_known_of_many_strategies_is_what_each_would_be_asked(open_ledger: Open) -> None:
    ledger = open_ledger()
    names = ["new", "waits", "accepted", "held", "changed"]
    ledger.record_strategies([strategy(name) for name in names])
    ledger.record_strategies(
        [strategy(name, url=f"https://{name}.example") for name in names if name == "changed"], whole=False
    )
    ledger.record_jobs([job(f"j-{name}", name) for name in ("waits", "accepted", "held")])
    for state in ("accepted", "held"):
        commit(ledger, state, [{"job_id": f"j-{state}", "state": state, "completed_at": "2026-03-02T06:00:00.000000Z"}])
    known = read_known(ledger, names)
    assert {name for name in names if known[name].has_loaded} == {"accepted", "held"}
    assert {name for name in names if known[name].has_versions} == {"changed"}
    for name in names:
        asked, spared = JudgedJobs(ledger, name), JudgedJobs(ledger, name, known[name])
        assert spared.latest() == asked.latest()
        assert [seen for seen, _ in spared.versions()[1:]] == [seen for seen, _ in asked.versions()[1:]]
