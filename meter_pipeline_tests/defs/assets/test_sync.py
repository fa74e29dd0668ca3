"""What a run of the `sync` job materialises, skips, and says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg

from meter_pipeline.connect import open_ledger
from meter_pipeline.defs import build_defs
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, logged, materialized, metadata


def _fetched(pipeline: Pipeline, since: int) -> int:
    """How many job bodies were asked for."""
    paths = [entry.path for entry in pipeline.sandbox.log[since:]]
    return sum("/jobs/" in path for path in paths)


def test_the_first_sync_tells_of_strategies_that_have_no_asset_yet(pipeline: Pipeline) -> None:
    result = pipeline.run()
    meter = ["meter/strategies", "meter/schedules", "meter/jobs", "meter/items"]
    results = ["results/books", "results/lamps"]
    feed = ["meter/item_changes", "meter/item_versions"]
    assert materialized(result) == [*meter, *feed, *results, "meter/job_comparisons", "warehouse"]
    reported = metadata(result, "meter/strategies")["reload definitions to see"]
    assert reported.value == "results/books, results/lamps"
    keys = {key.to_user_string() for key in pipeline.defs().resolve_all_asset_keys()}
    assert {"results/books", "results/lamps"} <= keys


def test_without_news_every_asset_is_skipped_and_so_is_the_warehouse(pipeline: Pipeline) -> None:
    pipeline.run()
    result = pipeline.run()
    assert materialized(result) == []
    skipped = {event.step_key for event in result.all_events if event.event_type_value == "STEP_SKIPPED"}
    assert skipped == {"meter_compare", "publication.publish"}


def test_only_what_has_news_is_materialised_and_the_warehouse_is_published(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.scrape("Lamps", {"name": "Star", "watt": 60})
    assert materialized(pipeline.run()) == [
        "meter/jobs",
        "meter/items",
        "results/lamps",
        "meter/item_changes",
        "meter/item_versions",
        "meter/job_comparisons",
        "warehouse",
    ]


def test_what_the_command_line_loaded_is_news_to_dagster(pipeline: Pipeline) -> None:
    pipeline.sync()
    selection = ("meter/strategies", "meter/jobs", "results/books", "results/lamps")
    pipeline.run(*selection)
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    assert pipeline.sync().strategies["books"].accepted == 1
    assert materialized(pipeline.run(*selection)) == ["meter/jobs", "results/books"]


def test_selecting_one_result_syncs_that_strategy_alone(pipeline: Pipeline) -> None:
    pipeline.sync()
    defs = pipeline.defs()
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    pipeline.scrape("Lamps", {"name": "Star", "watt": 60})
    before = len(pipeline.sandbox.log)
    result = pipeline.run("results/lamps", defs=defs)
    assert materialized(result) == ["results/lamps"]
    assert _fetched(pipeline, before) == 1
    assert materialized(pipeline.run("results/lamps", "results/books", defs=defs)) == ["results/books"]


def test_the_configuration_narrows_a_sync_by_name(pipeline: Pipeline) -> None:
    result = pipeline.run(strategies=["Lamps"])
    assert "results/lamps" in materialized(result)
    assert "results/books" not in materialized(result)


def test_results_carry_rows_schema_links_and_a_sample(pipeline: Pipeline) -> None:
    pipeline.sync()
    pipeline.run("results/lamps")
    job = pipeline.scrape("Lamps", {"name": "Moon | Sun", "watt": 12.5, "Dimmable": True})
    facts = metadata(pipeline.run("results/lamps"), "results/lamps")
    assert facts["dagster/row_count"].value == 3
    assert facts["dagster/table_name"].value == "results.lamps"
    columns = {column.name: column for column in facts["dagster/column_schema"].value.columns}
    assert columns["watt"].type == "DOUBLE"
    assert columns["dimmable"].type == "BOOLEAN"
    assert columns["dimmable"].description == ("Field “Dimmable”, in 1 of 1 items of the latest job, for example true")
    assert columns["name"].description == ("Field “name”, in 1 of 1 items of the latest job, for example Moon \\| Sun")
    assert columns["_meter_completed_at"].type == "TIMESTAMPTZ"
    assert columns["_meter_job_id"].description
    assert facts["jobs loaded"].value == 1
    assert facts["items"].value == 1
    assert facts["bytes"].value > 0
    assert facts["page"].value == "https://lamps.example/"
    assert facts["latest job"].value == job
    assert facts["latest job completed"].value == pipeline.sandbox.world.jobs_by_id[job].completed_at
    assert "Moon \\| Sun" in facts["sample"].value


def test_the_warehouse_can_be_materialised_alone(pipeline: Pipeline) -> None:
    pipeline.sync()
    assert materialized(pipeline.run("warehouse")) == ["warehouse"]
    assert pipeline.settings.warehouse.is_file()


def test_downstream_of_a_result_runs_only_when_it_has_news(pipeline: Pipeline) -> None:
    pipeline.sync()

    @dg.asset(deps=[dg.AssetKey(["results", "books"])])
    def report() -> None: ...

    selection = dg.AssetSelection.assets(["results", "books"], report)
    chosen = dg.define_asset_job("chosen", selection=selection, executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(pipeline.defs(), dg.Definitions(assets=[report], jobs=[chosen]))
    ran = []
    for scrape in (True, False, True):
        if scrape:
            pipeline.scrape("Books", {"title": "Tide Tables", "Price": 7})
        job = defs.resolve_job_def("chosen")
        ran.append("report" in materialized(job.execute_in_process(instance=pipeline.instance, run_config=QUIET)))
    assert ran == [True, False, True]


def test_a_run_warns_of_a_strategy_of_meter_yaml_that_does_not_exist(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text("strategies:\n  boks: {key: title}\n")
    assert any(
        "no strategy has the id, slug or name 'boks'" in line for line in logged(pipeline, pipeline.run("meter/jobs"))
    )


def test_a_run_says_how_many_changes_it_marks_and_leaves_them_when_its_configuration_says_so(
    pipeline: Pipeline,
) -> None:
    identifier = pipeline.sandbox.add_schedule("Books")
    pipeline.scrape("Books", {"title": "Dust"}, schedule=identifier)
    schedule = pipeline.sandbox.world.schedules[identifier]
    marking = "1 unseen change of 1 schedule: a sync loads them, then marks them as seen at Meter"
    result = pipeline.run("meter/jobs", acknowledge=False)
    assert len(schedule.unseen) == 1
    assert not any(marking in line for line in logged(pipeline, result))
    assert any(marking in line for line in logged(pipeline, pipeline.run("meter/jobs")))
    assert len(schedule.unseen) == 0


def test_strategies_without_an_asset_are_partitions_and_their_checks_are_one(pipeline: Pipeline) -> None:
    pipeline.sync()
    with open_ledger(pipeline.settings) as ledger:
        assert len(ledger.strategies()) == 2
    settings = replace(pipeline.settings, max_results_assets=1)
    defs = build_defs(settings, strategies=["Books"])
    pipeline.scrape("Lamps", {"name": "Moon | Sun", "watt": None})
    result = pipeline.run(defs=defs)
    assert "results/lamps" not in materialized(result)
    others = dg.AssetKey(["meter", "results"])
    assert pipeline.instance.get_dynamic_partitions("meter_strategies") == ["lamps"]
    assert pipeline.instance.get_materialized_partitions(others) == {"lamps"}
    evaluated = result.get_asset_check_evaluations()
    checks = {check.check_name: check for check in evaluated if check.asset_key.path[-1] == "items"}
    assert not checks["no_field_went_empty"].passed
    assert checks["no_field_went_empty"].description == "lamps: empty now: watt"
    assert checks["rows_match_api"].passed
    # A sync without news materialises nothing; a strategy that appears needs no reload.
    assert materialized(pipeline.run(defs=defs)) == []
    pipeline.sandbox.add_strategy("Chairs", "https://chairs.example/")
    pipeline.scrape("Chairs", {"name": "Stool"})
    assert "reload definitions" not in " ".join(logged(pipeline, pipeline.run(defs=defs)))
    assert pipeline.instance.get_materialized_partitions(others) == {"lamps", "chairs"}
