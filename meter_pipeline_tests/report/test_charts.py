"""Charts of a published warehouse: what they are about, and that they are pictures of a bearable size."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest
from matplotlib.figure import Figure
from PIL import Image

from meter_pipeline.commands.report import write_report
from meter_pipeline.defs.metadata.charts import embed_large, embed_small
from meter_pipeline.defs.metadata.entries import fits_inline
from meter_pipeline.report import charts
from meter_pipeline.report.breakage import MEASURES, read_panels
from meter_pipeline.report.pictures import Style
from meter_pipeline_tests.behaviour.thorough import slow

_START = datetime(2026, 3, 2, tzinfo=timezone.utc)
_LATER = _START + timedelta(hours=3, minutes=30)
# The columns that charts and report look at.
SCHEMA = """
create schema marts; create schema results; create schema meter;
create table meter.publications (publication_id varchar);
create table marts.fct_price_changes (item_id varchar, strategy varchar, field varchar, label varchar, old_price double,
    new_price double, currency varchar, relative_change double, observed_at timestamptz);
create table marts.fct_item_changes (strategy varchar, job_id varchar, url varchar, parameters varchar,
    item_key varchar, kind varchar, observed_at timestamptz, target varchar as (url));
create table marts.dim_items (item_id varchar, strategy varchar, url varchar, parameters varchar, item_key varchar,
    label varchar, first_seen_at timestamptz, last_seen_at timestamptz, removed_at timestamptz, seconds_listed double,
    target varchar as (url));
create table marts.fct_daily_activity (strategy varchar, day date, jobs int, items int, items_added int,
    items_removed int, items_changed int, held_jobs int, failed_jobs int, unreadable_jobs int);
create table marts.fct_scrape_jobs (strategy varchar, job_id varchar, schedule_id varchar, url varchar,
    parameters varchar, outcome varchar, reason varchar, item_count int, observed_at timestamptz, is_late boolean,
    lag_seconds double, verdict varchar, first_finding varchar);
create table meter.findings (job_id varchar, strategy varchar, position int, test varchar, field varchar, low double,
    high double, seen double, samples varchar, outcome varchar, message varchar);
create table marts.dim_strategies (strategy varchar, accepted_jobs int, held_jobs int, failed_jobs int,
    unreadable_jobs int);
create table marts.dim_schedules (schedule_id varchar, strategy varchar, cron_expression varchar,
    expected_interval_seconds int, is_enabled boolean, first_seen_at timestamptz, deleted_at timestamptz,
    last_job_at timestamptz);
"""


def write_warehouse(path: Path, strategies: int, jobs: int) -> Path:
    """A warehouse with as many strategies, each with as many jobs and a price that moves with every one."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(SCHEMA)
        for number in range(strategies):
            name = f"shop_{number:03}"
            failed = int(number == 1)
            connection.execute("insert into marts.dim_strategies values (?, ?, 0, ?, 0)", [name, jobs, failed])
            connection.execute(
                "insert into marts.dim_items values (?, ?, 'u', null, 'k', 'Lamp $1_$2', ?, ?, null, null)",
                [name, name, _START, _START + timedelta(hours=jobs)],
            )
            for job in range(jobs):
                at = _START + timedelta(hours=job)
                connection.execute(
                    "insert into marts.fct_scrape_jobs values (?, ?, 's', 'u', null, 'accepted', null, ?, ?, false, 0, "
                    "'accepted', null)",
                    [name, f"{name}-{job}", 10 + (job % 3) * number, at],
                )
                if job:
                    connection.execute(
                        "insert into marts.fct_price_changes values (?, ?, 'price', 'Lamp $1_$2', ?, ?, '€', 0.1, ?)",
                        [name, name, 10 + job, 11 + job, at],
                    )
            connection.execute(
                "insert into marts.fct_daily_activity values (?, ?, ?, 10, 1, 2, 3, 0, 0, 0)", [name, _START, jobs]
            )
            connection.execute(
                f"create table results.{name} as select timestamptz '2026-03-02' + to_hours(range) as "
                f"_meter_completed_at, range as sku, null::int as price from range({jobs})"
            )
    return path


@pytest.fixture(params=[(1, 1), slow((1, 40)), (30, 12)], ids=["one job", "one strategy", "many strategies"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_warehouse(tmp_path / "warehouse.duckdb", *request.param)


def test_charts_are_pictures_of_a_bearable_size_and_the_small_ones_stay_on_the_page(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        drawn = charts.all_of(connection)
    assert {"activity", "sizes"} <= set(drawn)
    for chart in drawn.values():
        assert len(chart.png) < 30_000
        # What is wider than the value column of an asset's page is cut off, see `pictures`.
        with Image.open(io.BytesIO(chart.small)) as image:
            assert image.width <= 270
        for picture in (chart.png, chart.narrow, chart.small):
            with Image.open(io.BytesIO(picture)) as image:
                assert image.format == "PNG"
                assert image.convert("RGBA").getpixel((1, 1))[3] == 0 or chart.title.startswith("Field coverage")
        assert fits_inline(embed_small(chart).value)
        assert "data:image/png;base64," in embed_small(chart).value
        assert "data:image/png;base64," in embed_large(chart).value


@pytest.mark.parametrize("form", ["png", "small"])
def test_the_first_picture_prints_nothing_and_leaves_logging_as_a_user_has_set_it(form: str, tmp_path: Path) -> None:
    code = (
        # Matplotlib warns when building its list of fonts takes longer than a timer: here, at once.
        "import threading; timer = threading.Timer; threading.Timer = lambda seconds, warn: timer(0, warn);"
        "import logging, sys; fonts = logging.getLogger('matplotlib.font_manager'); fonts.setLevel(logging.WARNING);"
        f"from meter_pipeline.report.pictures import Chart; Chart('t', 'a', lambda figure, look: None).{form};"
        "sys.exit(fonts.level != logging.WARNING)"
    )
    variables = {**os.environ, "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_items_of_one_name_have_lines_of_their_own_and_prices_their_currency(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into marts.dim_items select 'another', strategy, url, parameters, 'l', label, first_seen_at, "
            "last_seen_at, removed_at, seconds_listed from marts.dim_items"
        )
        connection.execute(
            "insert into marts.fct_price_changes select 'another', * exclude item_id from marts.fct_price_changes"
        )
        chart = charts.prices(connection)
    assert chart is not None
    assert chart.about == "Lamp $1_$2 (anothe) €11.00 → €15.00; Lamp $1_$2 (shop_0) €11.00 → €15.00"


def test_prices_of_different_strategies_and_currencies_share_no_axis(tmp_path: Path) -> None:
    with duckdb.connect(str(write_warehouse(tmp_path / "w.duckdb", 2, 5))) as connection:
        connection.execute("update marts.fct_price_changes set currency = 'JPY' where observed_at > ?", [_LATER])
        chart = charts.prices(connection)
    assert chart is not None
    figure = Figure()
    chart.draw(figure, Style())
    panels = [(axes.get_title(loc="left"), axes.get_ylabel()) for axes in figure.axes]
    assert panels == [("shop_000", "price, JPY"), ("shop_000", "price, €"), ("shop_001", "price, JPY")]
    assert all(len(axes.lines) == 1 for axes in figure.axes)


def test_with_more_strategies_than_lines_the_chart_says_so(tmp_path: Path) -> None:
    with duckdb.connect(str(write_warehouse(tmp_path / "w.duckdb", 30, 3)), read_only=True) as connection:
        chart = charts.sizes(connection)
        troubled = charts.coverage(connection)
    assert chart is not None
    assert chart.about.startswith("8 of 30 strategies; those that vary most: shop_007")
    assert troubled is not None
    assert troubled.title == "Field coverage"
    assert troubled.about == "shop_001: price 0 %, sku 100 % over 3 jobs"


def test_a_chart_whose_axis_would_leave_the_calendar_is_left_out_and_the_report_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_warehouse(tmp_path / "warehouse.duckdb", strategies=2, jobs=4)
    with duckdb.connect(str(file)) as connection:
        for at in ("0001-01-01 00:00:00+00", "9999-12-31 23:00:00+00"):
            connection.execute(
                "insert into marts.fct_scrape_jobs values "
                "('shop_000', ?, 's', 'u', null, 'accepted', null, 3, ?, false, 0, 'accepted', null)",
                [at, at],
            )
    page = write_report(file, tmp_path / "report.html").read_text()
    assert page.count("<img") >= 1
    assert "cannot be drawn and is left out" in caplog.text
    assert "Traceback" not in caplog.text


def test_the_figure_that_a_held_job_broke_out_of_is_drawn_from_job_to_job(tmp_path: Path) -> None:
    file = write_warehouse(tmp_path / "warehouse.duckdb", strategies=2, jobs=6)

    def find(job: str, verdict: str, at: datetime, *findings: tuple[object, ...]) -> None:
        row = ["shop_000", job, verdict if verdict == "held" else "accepted", at, verdict]
        connection.execute(
            "insert into marts.fct_scrape_jobs values (?, ?, 's', 'u', null, ?, 'no', 9, ?, false, 0, ?, 'no')", row
        )
        for position, (test, field, low, high, seen) in enumerate(findings):
            found = [job, position, test, field, low, high, seen]
            connection.execute(
                "insert into meter.findings values (?, 'shop_000', ?, ?, ?, ?, ?, ?, '[]', '', 'no')", found
            )

    with duckdb.connect(str(file)) as connection:
        connection.execute("alter table results.shop_000 add column _meter_job_id varchar")
        connection.execute("update results.shop_000 set _meter_job_id = 'shop_000-' || sku, price = nullif(sku, 3)")
        connection.execute("comment on column results.shop_000.price is 'field ''Price'', integer'")
        at = _START + timedelta(hours=3, minutes=30)
        assert charts.breakage(connection) is None
        find("bad-1", "held", at, ("pattern", "Price", None, 0.3, 1), ("filled", "Price", 0.75, None, 0.0))
        find(
            "bad-2",
            "held",
            at + timedelta(hours=1),
            ("filled", "Price", 0.75, None, 0.1),
            ("equal", "sku", None, 0.1, 1),
        )
        find("odd", "flagged", at + timedelta(hours=2), ("items", None, 16, None, 9), ("items", "no_such", 1, 1, 1))
        find("elsewhere", "held", at, ("filled", "site.operator", 0.75, None, 0.0))
        chart = charts.breakage(connection)
        items, price = read_panels(connection)
    assert chart is not None
    assert chart.about == (
        "shop_000: 9 items, expected at least 16 (doubted on 2 Mar); "
        "shop_000: Price 10 % with a value, expected at least 75 % (held on 2 Mar)"
    )
    assert [(mark.seen, mark.is_held) for mark in price.marks] == [(0.0, True), (0.1, True)]
    assert [value for _, value in price.points] == [1, 1, 1, 0, 1, 1]
    assert [(mark.seen, mark.is_held) for mark in items.marks] == [(9, False)]
    assert len(items.points) == 7
    for picture in (chart.png, chart.narrow, chart.small):
        assert len(picture) < 30_000


def test_each_figure_of_a_breakage_can_be_computed() -> None:
    with duckdb.connect() as connection:
        connection.execute("create table rows as select * from (values (1, 'ab'), (1, 'abc'), (3, null)) as t(n, s)")
        found = {
            (test, column): connection.execute(f"select {measure.sql.format(column=column)} from rows").fetchall()[0][0]
            for test, measure in MEASURES.items()
            if measure.sql is not None
            for column in ("n", "s")
        }
    assert found["filled", "s"] == found["distinct", "n"] == found["equal", "n"] == pytest.approx(2 / 3)
    assert (found["equal", "s"], found["length", "s"]) == (0.5, 2.5)
    assert (found["level", "n"], found["level", "s"]) == (1, None)
