"""A target in `meter.yaml` is an asset downstream of the warehouse, and a secret is in nothing that Dagster keeps."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from meter_pipeline.config.deliveries import DeliveryTarget
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.defs.assets.delivery import build_delivery_assets
from meter_pipeline_tests.defs.conftest import Pipeline, failure, logged, materialized

_SECRET = "canary/s3cret"


def _configure(pipeline: Pipeline, folder: Path, text: str) -> None:
    (folder / "meter.yaml").write_text(text)
    pipeline.settings = replace(pipeline.settings, config=folder / "meter.yaml")


def test_a_run_ends_with_the_delivery_of_what_it_has_published(pipeline: Pipeline, tmp_path: Path) -> None:
    _configure(pipeline, tmp_path, f"deliver: {{lite: {{to: 'sqlite:///{tmp_path}/out.sqlite'}}}}\n")
    result = pipeline.run()
    assert materialized(result)[-2:] == ["warehouse", "deliveries/lite"]
    (event,) = result.asset_materializations_for_node("deliver_lite")
    facts = event.metadata
    with sqlite3.connect(tmp_path / "out.sqlite") as target:
        ((rows, publication),) = target.execute("SELECT rows, publication_id FROM _meter_deliveries").fetchall()
        assert target.execute("SELECT count(*) FROM results_books").fetchall() == [(4,)]
    assert (facts["rows"].value, facts["publication"].value) == (rows, publication)
    assert facts["seconds"].value > 0
    assert facts["tables"].value["results_books"] == 4
    again = pipeline.run("deliveries/lite")
    (event,) = again.asset_materializations_for_node("deliver_lite")
    assert (event.metadata["rows"].value, event.metadata["unchanged"].value) == (0, True)


def test_a_target_that_is_down_fails_its_own_step_alone_and_in_one_line(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOWN_PASSWORD", _SECRET)
    lines = (
        "deliver:\n"
        "  down: {to: 'postgresql://me:${DOWN_PASSWORD}@127.0.0.1:1/db'}\n"
        f"  lite: {{to: 'sqlite:///{tmp_path}/out.sqlite'}}\n"
    )
    _configure(pipeline, tmp_path, lines)
    result = pipeline.run(fails=True)
    assert {"warehouse", "deliveries/lite"} <= set(materialized(result))
    line = failure(result)
    assert "postgresql://127.0.0.1:1/db" in line
    assert "\n" not in line.strip()
    kept = [*logged(pipeline, result), line, repr(list(result.all_events))]
    assert not [text for text in kept if "s3cret" in text]


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("postgres://me@db/x", "postgres"),
        ("md:x", "duckdb"),
        ("clickhouses://me@db/x", "clickhouse"),
        ("bigquery://p/d", "bigquery"),
        ("snowflake://me@account/d/s", "snowflake"),
        ("databricks://token:${T}@host/c/s?http_path=/p&volume=v", "databricks"),
        ("env:URL", "table"),
    ],
)
def test_an_asset_shows_the_kind_of_its_database(to: str, kind: str) -> None:
    (assets,) = build_delivery_assets(Config(deliver={"there": DeliveryTarget("there", to)}))
    (spec,) = assets.specs
    assert spec.kinds == {kind}


def test_a_variable_that_is_not_set_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    _configure(pipeline, tmp_path, "deliver: {there: {to: 'env:NOWHERE_URL'}}\n")
    assert "deliver.there.to: NOWHERE_URL is not set" in failure(pipeline.run(fails=True))
