"""What the UI shows of a table: markdown that stays on the page, and columns with types and descriptions."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.settings import Settings
from meter_pipeline.defs import build_defs
from meter_pipeline.defs.metadata.columns import list_meter_columns
from meter_pipeline.defs.metadata.entries import fits_inline, list_rows, list_sample, make_timestamp
from meter_pipeline_tests.defs.conftest import Pipeline, metadata


def test_a_list_has_as_many_entries_as_the_page_shows_and_says_how_many_are_missing() -> None:
    rows = [(f"job-{number}", "held: the API counted 57 items") for number in range(5_000)]
    shown = list_rows(rows).value
    assert fits_inline(shown)
    lines = shown.splitlines()
    assert lines[0] == "- **job-0** · held: the API counted 57 items"
    assert lines[-1] == f"and {5_000 - (len(lines) - 2):,} more"
    assert list_rows([("1",), (("of", 2), None, "")]).value.splitlines() == ["- **1**", "- of 2"]


def test_an_entry_that_is_too_long_for_the_page_is_shown_all_the_same() -> None:
    shown = list_rows([["🙂" * 20] * 40]).value
    assert not fits_inline(shown)
    assert "🙂" in shown


@given(rows=st.lists(st.lists(st.text() | st.none() | st.integers(), max_size=4), max_size=4))
def test_no_entry_is_a_table_or_has_a_word_wider_than_the_page(rows: list[list[object]]) -> None:
    shown = list_rows(rows, cell=200).value
    assert len(shown.splitlines()) == len(rows)
    words = re.sub(r"&lt;|\\(?=\W)|\\(?=_)", "<", shown.replace("**", "")).split()
    assert all(len(word.replace("<", "")) <= 28 for word in words)


def test_scraped_text_is_no_markup_and_an_address_is_reported_by_its_path() -> None:
    text = list_rows([("x|*y* <b> [l](u) _em_ a_b", "https://shop.example/lamps/4")]).value
    assert text == r"- **x\|\*y\* &lt;b> \[l\](u) \_em\_ a_b** · /lamps/4"
    assert "\ufffd" not in text
    assert list_rows([("\ud800",)]).value.encode()


def test_a_sample_of_wide_items_stays_on_the_page() -> None:
    rows = [{f"field_{number}": "long text " * 20 for number in range(50)} for _ in range(5)]
    shown = list_sample(rows)
    assert shown is not None
    assert fits_inline(shown.value)


def test_times_of_the_ledger_become_instants() -> None:
    for text in ("1970-01-01T00:01:00Z", "1970-01-01T00:01:00", "1970-01-01T00:01:00.000000Z"):
        found = make_timestamp(text)
        assert found is not None
        assert found.value == 60
    assert make_timestamp(None) is None


@pytest.mark.parametrize("name", ["strategies", "schedules", "jobs", "items", "schedule_changes", "job_comparisons"])
def test_every_column_has_a_description_and_a_type(name: str) -> None:
    columns = {column.name: column for column in list_meter_columns(name)}
    assert columns
    assert all(column.description for column in columns.values())
    assert columns["strategy" if name != "strategies" else "slug"].type == "VARCHAR"
    assert {column.type for name, column in columns.items() if name.endswith("_at")} == {"TIMESTAMPTZ"}


def test_types_are_those_of_the_warehouse() -> None:
    tables = ("item_changes", "item_versions", "jobs")
    types = {column.name: column.type for table in tables for column in list_meter_columns(table)}
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
    assert fits_inline(shown.value)
    assert "- **stools** · Stool 3 · price 15 → 17" in shown.value.splitlines()


def test_a_column_of_results_says_how_its_field_was_received(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Stools", "https://stools.example/")
    items = [{"Seat Height (cm)": 40 + n, "note": "<b>*new*</b>" if n == 3 else None, "[x](y)": ""} for n in range(4)]
    pipeline.scrape("Stools", *items)
    result = pipeline.run()
    schema = metadata(result, "results/stools")["dagster/column_schema"]
    described = {column.name: column.description for column in schema.schema.columns}
    assert all(described.values())
    assert described["seat_height_cm"] == "Field “Seat Height (cm)”, in 4 of 4 items of the latest job, for example 40"
    assert described["note"] == "Field “note”, in 1 of 4 items of the latest job, for example &lt;b>\\*new\\*&lt;/b>"
    assert described["x_y"] == "Field “\\[x\\](y)”, in 4 of 4 items of the latest job, for example an empty text"


def test_the_example_of_a_typed_column_is_spelt_like_the_value(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Lamps", "https://lamps.example/")
    pipeline.scrape("Lamps", *({"price": f"{9 + n}.50 €", "since": f"{13 + n}/02/2026"} for n in range(4)))
    schema = metadata(pipeline.run(), "results/lamps")["dagster/column_schema"]
    described = {column.name: column.description for column in schema.schema.columns}
    assert described["price_amount"].endswith("for example 9.5")
    assert described["since_date"].endswith("for example 2026-02-13")


def test_a_column_that_stays_text_although_it_looks_like_dates_says_why(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Stools", "https://stools.example/")
    dates = [("01/02/2026", "2026-02-01"), ("03/04/2026", "2026-02-09")]
    pipeline.scrape("Stools", *[{"made": made, "sold": sold} for made, sold in dates])
    schema = metadata(pipeline.run(), "results/stools")["dagster/column_schema"]
    described = {column.name: column.description for column in schema.schema.columns}
    assert described["made"] == (
        "Field “made”, in 2 of 2 items of the latest job, for example 01/02/2026. Stays text: no date shows whether "
        "the day or the month comes first, as in '01/02/2026'."
    )
    assert "text" not in described["sold"] + described["sold_date"]


def test_fields_that_always_change_are_named_on_the_page_of_the_results(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Stools", "https://stools.example/")
    for job in range(6):
        pipeline.scrape("Stools", *[{"sku": f"S-{n:03}", "views": 50 * n + job} for n in range(6)])
    pipeline.sync()
    result = pipeline.run("results/stools", "results/books")
    facts = metadata(result, "results/stools")
    assert facts["noise"].value.endswith("where they are noise, write `ignore: [views]` into meter.yaml")
    assert "noise" not in metadata(result, "results/books")
