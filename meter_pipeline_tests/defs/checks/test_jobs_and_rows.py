"""A job that cannot be loaded does not fail the run: a check names it."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from meter_pipeline.connect import open_store
from meter_pipeline.defs.checks import jobs as job_checks
from meter_pipeline.defs.keys import JOBS, make_results_key
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.sync import drop
from meter_pipeline_tests.defs.conftest import Pipeline, materialized, metadata


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {f"{one.asset_key.to_user_string()}:{one.check_name}": one for one in result.get_asset_check_evaluations()}


def _run(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    """The part of the job that is about the books, which must have been loaded once."""
    return pipeline.run("meter/jobs", "results/books")


def test_all_is_well_when_every_job_was_loaded(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    checks = _checks(pipeline.run())
    jobs = {
        f"{key}:{name}"
        for key in ("meter/jobs", "results/books")
        for name in ("no_failed_jobs", "no_held_jobs", "no_odd_statuses", "no_unreadable_jobs")
    }
    rows = (
        "rows_match_api",
        "no_items_rejected",
        "keys_are_unique",
        "no_field_went_empty",
        "columns_are_stable",
        "items_have_a_key",
    )
    others = {"meter/jobs:no_strategy_is_held_up", "meter/schedules:no_late_schedules"}
    assert set(checks) == jobs | others | {f"results/books:{name}" for name in rows}
    assert all(check.passed for check in checks.values())


def test_a_held_job_is_a_warning_with_its_name_and_reason(pipeline: Pipeline) -> None:
    pipeline.sync()
    _run(pipeline)
    bad = pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8}, item_count=40)
    result = _run(pipeline)
    assert "results/books" not in materialized(result)
    check = _checks(result)["results/books:no_held_jobs"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert bad in (check.description or "")
    assert _checks(result)["results/books:no_unreadable_jobs"].passed
    assert not _checks(result)["meter/jobs:no_held_jobs"].passed


def test_the_check_of_held_jobs_says_what_the_audit_expected_and_saw_or_that_it_learns(pipeline: Pipeline) -> None:
    pipeline.sync()

    def scrape(price: int | None, count: int = 30) -> str:
        items = [{"title": f"Book {n}", "Price": None if price is None else price + n % 7} for n in range(count)]
        return pipeline.scrape("Books", *items, url="https://books.example/more")

    def check() -> dg.AssetCheckEvaluation:
        return _checks(_run(pipeline))["results/books:no_held_jobs"]

    scrape(8)
    learning = check()
    assert (learning.passed, learning.metadata["held"].value) == (True, 0)
    assert learning.description == "no job is held; the audit is still learning about 2 of 2 pages"
    for day in range(5):
        scrape(8 + day)
    assert check().description == "no job is held; the audit is still learning about 1 of 2 pages"
    first, second = scrape(None), scrape(None)
    held = check()
    assert not held.passed
    assert held.severity == dg.AssetCheckSeverity.WARN
    assert (held.description or "").startswith(
        f"2 held: {first} and 1 later (the same change again, 2 jobs: Price is empty in all items"
    )
    table = held.metadata["findings"]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data == {
        "job": first,
        "field": "Price",
        "test": "filled",
        "expected": "at least 0.75",
        "seen": "0",
        "samples": "null and null",
    }
    assert second not in str(table.records)


def test_a_job_with_a_doubt_is_named_and_fails_no_check(pipeline: Pipeline) -> None:
    pipeline.sync()

    def scrape(filled: int) -> str:
        lamps = ({"name": f"Lamp {n}", "watt": n if n < filled else None} for n in range(30))
        return pipeline.scrape("Lamps", *lamps, url="https://lamps.example/all")

    for _ in range(4):
        scrape(30)
    doubted = scrape(20)
    check = _checks(pipeline.run("meter/jobs", "results/lamps"))["results/lamps:no_held_jobs"]
    assert check.passed
    assert (check.description or "").startswith(
        f"no job is held; 1 accepted with a doubt, the latest {doubted} (watt has a value in 67 % of the items, while"
    )
    assert check.metadata["flagged"].value == 1


def test_a_page_that_fails_at_meter_is_a_warning_until_it_comes_through(pipeline: Pipeline) -> None:
    pipeline.sync()
    selection = ("meter/jobs", "meter/schedules", "results/books")
    bad = pipeline.scrape("Books", status="failed", error="no such page")
    checks = _checks(pipeline.run(*selection))
    for key in ("meter/jobs", "results/books"):
        check = checks[f"{key}:no_failed_jobs"]
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.WARN
        assert f"{bad} (no such page)" in (check.description or "")
        assert checks[f"{key}:no_held_jobs"].passed
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    assert _checks(pipeline.run(*selection))["results/books:no_failed_jobs"].passed


def test_a_late_schedule_is_a_warning_and_a_paused_one_is_not(pipeline: Pipeline) -> None:
    pipeline.sync()
    selection = ("meter/schedules", "meter/jobs")
    paused = pipeline.sandbox.add_schedule("Books", interval_seconds=3600, enabled=False)
    pipeline.scrape("Lamps", {"name": "Sun", "watt": 1})
    check = _checks(pipeline.run(*selection))["meter/schedules:no_late_schedules"]
    assert (check.passed, check.metadata["paused"].value, check.description) == (True, 1, "no schedule is late")
    late = pipeline.sandbox.add_schedule("Books", interval_seconds=3600)
    pipeline.sandbox.advance(hours=4.5)
    runs = [job for job in pipeline.sandbox.world.jobs_by_id.values() if job.schedule_id == late]
    for job in runs:
        pipeline.sandbox.delete_job(job.job_id)
    check = _checks(pipeline.run(*selection))["meter/schedules:no_late_schedules"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert f"books: schedule {late} is late: no job since" in (check.description or "")
    assert paused not in (check.description or "")


def test_a_held_job_that_is_dropped_is_a_problem_no_longer(pipeline: Pipeline) -> None:
    pipeline.sync()
    bad = pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8}, item_count=40)
    assert not _checks(_run(pipeline))["results/books:no_held_jobs"].passed
    with open_store(pipeline.settings) as store:
        drop(store.ledger, store.lake, [bad])
    assert _checks(_run(pipeline))["results/books:no_held_jobs"].passed


def test_an_unreadable_job_is_an_error_and_the_others_arrive(pipeline: Pipeline) -> None:
    pipeline.sync()
    _run(pipeline)
    bad = pipeline.scrape("Books", body=b'{"id": "x", "status": "completed", "results": [{"a": 1}')
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    result = _run(pipeline)
    assert "results/books" in materialized(result)
    check = _checks(result)["results/books:no_unreadable_jobs"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert bad in (check.description or "")


def test_a_job_with_an_unknown_status_is_a_warning_with_its_name(pipeline: Pipeline) -> None:
    pipeline.sync()
    odd = pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    pipeline.sandbox.world.jobs_by_id[odd].extra = {"status": "archived"}
    result = _run(pipeline)
    for key in ("meter/jobs", "results/books"):
        check = _checks(result)[f"{key}:no_odd_statuses"]
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.WARN
        assert odd in (check.description or "")
        assert "unknown status 'archived'" in (check.description or "")


def test_a_rejected_item_of_the_latest_job_is_a_warning_with_its_reason_until_a_job_has_none(
    pipeline: Pipeline,
) -> None:
    pipeline.sync()
    pipeline.sandbox.advance(hours=1)
    items = [b'{"title": NaN}', *({"title": f"Book {n}", "Price": n} for n in range(9))]
    bad = pipeline.sandbox.insert_job("Books", items=items)
    result = _run(pipeline)
    check = _checks(result)["results/books:no_items_rejected"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    reason = "item_index 0: not valid JSON: NaN is not a JSON value"
    assert check.description == f"1 of 10 items of {bad} are in meter.rejected_items: {reason}"
    assert _checks(result)["results/books:rows_match_api"].passed
    assert metadata(result, "results/books")["items rejected"].value == 1
    pipeline.scrape("Books", *({"title": f"Book {n}", "Price": n} for n in range(10)))
    assert _checks(_run(pipeline))["results/books:no_items_rejected"].passed


def test_checks_alone_ask_the_ledger_and_not_the_api(pipeline: Pipeline) -> None:
    pipeline.sync()
    before = len(pipeline.sandbox.log)
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["results", "books"]), "no_held_jobs"))
    job = dg.define_asset_job("look", selection=selection, executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(pipeline.defs(), dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("look").execute_in_process(instance=pipeline.instance)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    assert len(pipeline.sandbox.log) == before


def test_a_field_that_went_empty_and_a_column_that_is_new_are_warnings(pipeline: Pipeline) -> None:
    pipeline.sync()
    _run(pipeline)
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": None, "pages": 90})
    checks = _checks(_run(pipeline))
    empty, columns = checks["results/books:no_field_went_empty"], checks["results/books:columns_are_stable"]
    assert (empty.passed, empty.description) == (False, "empty now: price")
    assert empty.metadata["null rate of title"].value == 0
    assert (columns.passed, columns.description) == (False, "new: pages")
    assert checks["results/books:rows_match_api"].passed
    assert checks["results/books:keys_are_unique"].passed


class _Counted(list[JobRow]):
    """A list that counts how often its jobs are gone through."""

    walks = 0

    def __iter__(self) -> Iterator[JobRow]:
        self.walks += 1
        return super().__iter__()


def test_the_jobs_in_trouble_are_gone_through_once_however_many_strategies_there_are(pipeline: Pipeline) -> None:
    bad = pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8}, item_count=40)
    pipeline.sync()
    with open_store(pipeline.settings) as store:
        problems = _Counted(store.ledger.problems())
        slugs = {row.strategy_id: row.slug for row in store.ledger.strategies()}
    keys = [JOBS, *(make_results_key(slug) for slug in ("books", "lamps", *(f"gone_{number}" for number in range(50))))]
    found = list(job_checks.evaluate([spec.key for spec in job_checks.make_specs(keys)], problems, slugs))
    assert len(found) == 4 * len(keys)
    assert problems.walks == 1
    failed = {result.asset_key: result.description for result in found if not result.passed}
    assert set(failed) == {JOBS, make_results_key("books")}
    assert all(bad in (description or "") for description in failed.values())
