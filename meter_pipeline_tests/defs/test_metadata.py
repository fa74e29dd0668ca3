"""What the UI shows of a table: markdown that stays on the page, and columns with types and descriptions."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from meter_pipeline.defs import build_defs
from meter_pipeline.defs.columns import meter_columns
from meter_pipeline.defs.metadata import fits, grid, moment, sample
from meter_pipeline.settings import Settings
from meter_pipeline_tests.defs.conftest import Pipeline


def test_a_table_has_as_many_rows_as_the_page_shows_and_says_how_many_are_missing() -> None:
    rows = [(f"job-{number}", "held: the API counted 57 items") for number in range(5_000)]
    shown = grid(("job", "reason"), rows).value
    assert fits(shown)
    lines = shown.splitlines()
    assert lines[2].startswith("| job-0 |")
    assert lines[-1] == f"and {5_000 - (len(lines) - 4):,} more"
    assert grid(("a",), [("1",), ("2",)]).value.splitlines() == ["| a |", "| --- |", "| 1 |", "| 2 |"]


def test_a_row_that_is_too_long_for_the_page_is_shown_all_the_same() -> None:
    shown = grid(["x" * 30] * 40, [["🙂" * 30] * 40]).value
    assert not fits(shown)
    assert "🙂" in shown


def test_scraped_text_is_no_markup_and_an_address_is_told_by_its_path() -> None:
    text = grid(("a", "b"), [("x|*y* <b> [l](u) _em_ a_b", "https://shop.example/lamps/4")]).value.splitlines()[2]
    assert text == r"| x\|\*y\* &lt;b> \[l\](u) \_em\_ a_b | /lamps/4 |"
    assert "\ufffd" not in text
    assert grid(("a",), [("\ud800",)]).value.encode()


def test_a_sample_of_wide_items_stays_on_the_page() -> None:
    rows = [{f"field_{number}": "long text " * 20 for number in range(50)} for _ in range(5)]
    shown = sample(rows)
    assert shown is not None
    assert fits(shown.value)


def test_times_of_the_ledger_become_instants() -> None:
    for text in ("1970-01-01T00:01:00Z", "1970-01-01T00:01:00", "1970-01-01T00:01:00.000000Z"):
        found = moment(text)
        assert found is not None
        assert found.value == 60
    assert moment(None) is None


@pytest.mark.parametrize("name", ["strategies", "schedules", "jobs", "items", "schedule_changes", "job_comparisons"])
def test_every_column_has_a_description_and_a_type(name: str) -> None:
    columns = {column.name: column for column in meter_columns(name)}
    assert columns
    assert all(column.description for column in columns.values())
    assert columns["strategy" if name != "strategies" else "slug"].type == "VARCHAR"
    assert {column.type for name, column in columns.items() if name.endswith("_at")} == {"TIMESTAMPTZ"}


def test_types_are_those_of_the_warehouse() -> None:
    tables = ("item_changes", "item_versions", "jobs")
    types = {column.name: column.type for table in tables for column in meter_columns(table)}
    assert types["relative_change"] == "DOUBLE"
    assert types["is_current"] == "BOOLEAN"
    assert types["valid_from"] == "TIMESTAMPTZ"
    assert types["item_count"] == "BIGINT"


def test_the_groups_of_the_graph_do_not_lead_back_to_each_other(tmp_path: Path) -> None:
    graph = build_defs(Settings(data_dir=tmp_path)).resolve_asset_graph()
    after: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        for child in node.child_keys:
            if (group := graph.get(child).group_name) != node.group_name:
                after.setdefault(str(node.group_name), set()).add(str(group))
    reached = {"changes"}
    while (further := reached | {name for group in reached for name in after.get(group, set())}) != reached:
        reached = further
    assert "meter" not in reached
    assert "results" not in reached


def test_the_latest_changes_name_items_and_show_old_and_new(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Stools", "https://stools.example/")
    for price in (12, 14):
        items = [{"title": f"Stool {n}", "sku": f"S-{n:03}", "price": price + n} for n in range(30)]
        pipeline.scrape("Stools", *items)
        pipeline.run()
    events = pipeline.instance.get_latest_materialization_event(dg.AssetKey(["meter", "item_changes"]))
    assert events is not None
    assert events.asset_materialization is not None
    shown = events.asset_materialization.metadata["latest changes"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    assert fits(shown.value)
    assert shown.value.splitlines()[0] == "| strategy | item | change | old | new |"
    assert "| stools | Stool 3 | price | 15 | 17 |" in shown.value
