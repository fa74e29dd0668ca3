"""Downstream assets take tables of the lake by type annotation, with every value as it was scraped."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from meter_pipeline.defs.inputs.frames import find_converter
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, failure

_POSTS = [
    {"id": 1730000000000000121, "reply_to": 1730000000000000123, "likes": 3, "flag": True,
     "nest": {"author": 1730000000000000125}, "refs": [1730000000000000127, None], "score": 0.5, "text": "a"},
    {"id": 1730000000000000129, "reply_to": None, "likes": None, "flag": None,
     "nest": {"author": None}, "refs": None, "score": None, "text": None},
]  # fmt: skip


def _run(pipeline: Pipeline, *assets: dg.AssetsDefinition, **execution: Any) -> dg.ExecuteInProcessResult:
    selection = dg.AssetSelection.assets(*assets)
    job = dg.define_asset_job("down", selection=selection, executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(pipeline.defs(), dg.Definitions(assets=assets, jobs=[job]))
    return defs.resolve_job_def("down").execute_in_process(
        instance=pipeline.instance, run_config=QUIET, raise_on_error=False, **execution
    )


def _takes(key: str, form: Any, keep: Callable[[Any], None], metadata: Any = None, **asset: Any) -> Any:
    """A downstream asset that takes `key` as `form` and keeps what it gets."""

    def taking(rows: Any) -> None:
        keep(rows)

    taking.__annotations__ = {"rows": form, "return": None}
    ins = {"rows": dg.AssetIn(dg.AssetKey.from_user_string(key), metadata=metadata)}
    return dg.asset(ins=ins, **asset)(taking)


def test_a_data_frame_and_an_arrow_table(pipeline: Pipeline) -> None:
    pipeline.sync()
    seen: dict[str, Any] = {}

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"])})
    def frame(books: pd.DataFrame) -> None:
        seen["prices"] = sorted(books["price"])

    columns = {"columns": ["watt"]}

    @dg.asset(
        ins={"lamps": dg.AssetIn(["results", "lamps"], metadata=columns), "jobs": dg.AssetIn(["meter", "jobs"]),
             "items": dg.AssetIn(["meter", "items"])}
    )  # fmt: skip
    def table(lamps: pa.Table, jobs: pa.Table, items: pd.DataFrame) -> None:
        seen["lamps"], seen["states"] = lamps, set(jobs["state"].to_pylist())
        seen["items"] = items.groupby("strategy").size().to_dict()

    assert _run(pipeline, frame).success
    assert _run(pipeline, table).success
    assert seen["prices"] == [9, 9, 11, 12.5]
    assert seen["lamps"].to_pydict() == {"watt": [40, 40]}
    assert seen["states"] == {"accepted"}
    assert seen["items"] == {"books": 4, "lamps": 2}


@pytest.mark.parametrize(
    ("form", "as_rows"),
    [
        (pa.Table, lambda table: table.to_pylist()),
        (pd.DataFrame, lambda frame: frame.astype(object).where(frame.notna(), None).to_dict("records")),
        (pl.DataFrame, lambda frame: frame.to_dicts()),
        (pl.LazyFrame, lambda frame: frame.collect().to_dicts()),
        (duckdb.DuckDBPyRelation, lambda rows: [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]),
    ],
)
def test_ids_beside_missing_values_keep_every_digit_in_every_form(
    pipeline: Pipeline, form: type, as_rows: Callable[[Any], list[dict[str, Any]]]
) -> None:
    pipeline.scrape("Posts", *_POSTS)
    pipeline.sync()
    kept: list[dict[str, Any]] = []
    columns = {"columns": list(_POSTS[0])}
    asset = _takes("results/posts", form, lambda rows: kept.extend(as_rows(rows)), metadata=columns)
    assert _run(pipeline, asset).success
    assert kept == _POSTS


def test_a_data_frame_has_arrow_types_and_objects_and_arrays_of_python(pipeline: Pipeline) -> None:
    pipeline.scrape("Posts", *_POSTS)
    pipeline.sync()
    kept: list[pd.DataFrame] = []
    assert _run(pipeline, _takes("results/posts", pd.DataFrame, kept.append)).success
    (posts,) = kept
    assert {name: str(kind) for name, kind in posts.dtypes.items() if name in _POSTS[0]} == {
        "id": "int64[pyarrow]",
        "reply_to": "int64[pyarrow]",
        "likes": "int64[pyarrow]",
        "flag": "bool[pyarrow]",
        "nest": "object",
        "refs": "object",
        "score": "double[pyarrow]",
        "text": "string[pyarrow]",
    }
    assert str(posts["_meter_completed_at"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert posts["nest"].tolist() == [{"author": 1730000000000000125}, {"author": None}]
    assert posts.explode("refs")["refs"].tolist() == [1730000000000000127, None, None]


@pytest.mark.parametrize(
    "use",
    [
        lambda posts, name: posts[name].map(repr).tolist(),
        lambda posts, name: posts[name].apply(lambda value: value).tolist(),
        lambda posts, name: posts.apply(lambda row: repr(row[name]), axis=1).tolist(),
        lambda posts, name: [row[name] for _, row in posts.iterrows()],
        lambda posts, name: posts.to_dict("records"),
        lambda posts, name: posts.astype(object)[name].tolist(),
        lambda posts, name: posts[[name]].to_json(),
        lambda posts, name: posts[[name]].to_csv(),
        lambda posts, name: posts.groupby("id")[name].first().tolist(),
        lambda posts, name: posts.merge(posts[["likes"]], on="likes", how="outer")[name].tolist(),
    ],
)
def test_every_digit_survives_what_people_do_with_a_data_frame(use: Callable[[pd.DataFrame, str], Any]) -> None:
    deep = [{**post, "deep": {"refs": post["refs"], "all": [post["nest"]]}} for post in _POSTS]
    posts = find_converter(pd.DataFrame, "results/posts")(pa.Table.from_pylist(deep))
    ids = {"reply_to": (123,), "nest": (125,), "refs": (127,), "deep": (125, 127)}
    for name, endings in ids.items():
        for ending in endings:
            assert f"1730000000000000{ending}" in str(use(posts, name)), name


def test_relations_can_be_joined_with_each_other_and_named_in_sql(pipeline: Pipeline) -> None:
    pipeline.sync()
    seen: list[Any] = []

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"]), "jobs": dg.AssetIn(["meter", "jobs"])})
    def counted(books: duckdb.DuckDBPyRelation, jobs: duckdb.DuckDBPyRelation) -> None:
        query = "select state, count(*) from books join jobs on job_id = _meter_job_id group by all"
        seen.extend(duckdb.sql(query).fetchall())
        seen.append(str(books.max("_meter_completed_at").fetchall()[0][0].tzinfo))

    assert _run(pipeline, counted).success
    assert seen == [("accepted", 4), "UTC"]


# -- partitions --------------------------------------------------------------------------------------------------------


def _three_days(pipeline: Pipeline) -> None:
    """A job of `Days` in the last hour of the 1st of February 2026, and three on the following days; one still runs."""
    for day, hour in ((1, 23), (2, 0), (2, 12), (3, 0)):
        at = datetime(2026, 2, day, hour, tzinfo=timezone.utc).isoformat()
        pipeline.sandbox.insert_job("Days", items=[{"n": 100 * day + hour}], created_at=at, completed_at=at)
    at = datetime(2026, 2, 2, 9, tzinfo=timezone.utc).isoformat()
    pipeline.sandbox.insert_job("Days", status="running", created_at=at)
    pipeline.sync()


_DAILY = dg.DailyPartitionsDefinition("2026-02-01", end_date="2026-02-05")
_IN_TOKYO = dg.DailyPartitionsDefinition("2026-02-01", end_date="2026-02-05", timezone="Asia/Tokyo")
_HOURLY = dg.HourlyPartitionsDefinition("2026-02-01-00:00", end_date="2026-02-05-00:00")
_MONTHLY = dg.MonthlyPartitionsDefinition("2025-12-01", end_date="2026-04-01")
_REGIONS = dg.StaticPartitionsDefinition(["eu", "us"])
_BOTH = dg.MultiPartitionsDefinition({"day": _DAILY, "region": _REGIONS})
_ALL = [123, 200, 212, 300]


@pytest.mark.parametrize(
    ("definition", "partition", "expected"),
    [
        (_DAILY, "2026-02-02", [200, 212]),
        slow(_DAILY, "2026-02-04", []),
        (_IN_TOKYO, "2026-02-02", [123, 200, 212]),
        (_HOURLY, "2026-02-01-23:00", [123]),
        slow(_MONTHLY, "2026-02-01", _ALL),
        (_MONTHLY, "2025-12-01", []),
        (_BOTH, dg.MultiPartitionKey({"day": "2026-02-03", "region": "eu"}), [300]),
        (_REGIONS, "eu", _ALL),
    ],
)
def test_an_asset_partitioned_by_time_gets_the_rows_of_its_window(
    pipeline: Pipeline, definition: dg.PartitionsDefinition, partition: str, expected: list[int]
) -> None:
    _three_days(pipeline)
    kept: list[pa.Table] = []
    asset = _takes("results/days", pa.Table, kept.append, partitions_def=definition)
    assert _run(pipeline, asset, partition_key=partition).success
    assert kept[0]["n"].to_pylist() == expected


def test_a_run_of_several_partitions_gets_the_rows_of_all_of_them(pipeline: Pipeline) -> None:
    _three_days(pipeline)
    kept: list[pl.DataFrame] = []
    policy = dg.BackfillPolicy.single_run()
    asset = _takes("results/days", pl.DataFrame, kept.append, partitions_def=_DAILY, backfill_policy=policy)
    span = {"dagster/asset_partition_range_start": "2026-02-02", "dagster/asset_partition_range_end": "2026-02-03"}
    assert _run(pipeline, asset, tags=span).success
    assert kept[0]["n"].to_list() == [200, 212, 300]


def test_the_whole_table_comes_to_assets_without_partitions_and_where_the_input_asks_for_it(
    pipeline: Pipeline,
) -> None:
    _three_days(pipeline)
    kept: list[pa.Table] = []
    whole = _takes("results/days", pa.Table, kept.append, {"whole_table": True}, name="whole", partitions_def=_DAILY)
    plain = _takes("results/days", pa.Table, kept.append, name="plain")
    assert _run(pipeline, whole, plain, partition_key="2026-02-02").success
    assert [table["n"].to_pylist() for table in kept] == [_ALL, _ALL]


def test_jobs_and_items_come_by_their_time_and_the_catalog_comes_whole(pipeline: Pipeline) -> None:
    _three_days(pipeline)
    kept: dict[str, Any] = {}
    assets = [
        _takes(f"meter/{name}", pa.Table, partial(kept.__setitem__, name), name=name, partitions_def=_DAILY)
        for name in ("jobs", "items", "strategies")
    ]
    assert _run(pipeline, *assets, partition_key="2026-02-02").success
    # A job that still runs has not been completed, and belongs to the day on which it was made.
    assert sorted(kept["jobs"]["state"].to_pylist()) == ["accepted", "accepted", "known"]
    assert kept["items"]["item"].to_pylist() == ['{"n":200}', '{"n":212}']
    assert set(kept["strategies"]["slug"].to_pylist()) == {"books", "lamps", "days"}


# -- what cannot be had ------------------------------------------------------------------------------------------------


def test_another_annotation_is_refused_in_one_line(pipeline: Pipeline) -> None:
    pipeline.sync()

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"])})
    def wrong(books: dict) -> None: ...

    said = failure(_run(pipeline, wrong))
    assert "polars.DataFrame" in said
    assert "not builtins.dict: annotate the input" in said


def test_a_form_whose_library_is_not_installed_is_refused_with_what_to_install(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.sync()
    asset = _takes("results/books", pl.DataFrame, print)
    monkeypatch.setitem(sys.modules, "polars", None)
    assert "install meter-pipeline[polars]" in failure(_run(pipeline, asset))


def test_a_column_or_a_strategy_that_is_not_there_is_named_in_one_line(pipeline: Pipeline) -> None:
    pipeline.sync()
    column = _takes("results/books", pa.Table, print, {"columns": ["title", "prize"]})
    assert failure(_run(pipeline, column)).endswith(
        "results/books has no column 'prize'; it has _meter_job_id, _meter_schedule_id, _meter_url, "
        "_meter_item_index, _meter_completed_at, _meter_item_key, _meter_item_hash, title, price"
    )
    job_column = _takes("meter/jobs", pa.Table, print, {"columns": ["stat"]})
    assert "meter/jobs has no column 'stat'" in failure(_run(pipeline, job_column))


def test_a_strategy_without_accepted_jobs_yet_comes_as_no_rows(pipeline: Pipeline) -> None:
    pipeline.sandbox.add_strategy("Silent", "https://silent.example/")
    pipeline.sync()
    kept: list[pd.DataFrame] = []
    assert _run(pipeline, _takes("results/silent", pd.DataFrame, kept.append)).success
    assert len(kept[0]) == 0
    assert "_meter_completed_at" in kept[0]


@pytest.mark.parametrize(
    ("key", "way_out"),
    [
        ("meter/results", "declare the strategies that you need in meter.yaml, and take their assets results/<slug>"),
        ("meter/item_changes", "read it from the warehouse"),
    ],
)
def test_an_asset_that_is_no_table_of_the_lake_names_the_way_out(pipeline: Pipeline, key: str, way_out: str) -> None:
    pipeline.sync()
    pipeline.settings = replace(pipeline.settings, max_results_assets=1)
    pipeline.run()
    done = _run(pipeline, _takes(key, pa.Table, print))
    assert f"{key} is not a table of the lake: {way_out}" in failure(done)
