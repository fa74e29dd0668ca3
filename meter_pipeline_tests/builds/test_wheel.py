"""A wheel in an empty environment, used in an empty folder: what somebody has who never saw the repository.

They play the demo, so what it shows is tested here, too.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from meter_pipeline.commands.query import run_query
from meter_pipeline.config import origin
from meter_pipeline.sandbox import DEMO_WORLDS, AlteredJob, Sandbox
from meter_pipeline.sandbox.breaking import FLAKY
from meter_pipeline_tests.builds.conftest import Desk

pytestmark = pytest.mark.wheel


@dataclass(frozen=True)
class Played:
    """A demo that has ended: what it printed, where its data is, and the truth of its sandbox."""

    stdout: str
    data: Path
    broken: list[AlteredJob]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the published warehouse; `broken` is a table of the ids of broken jobs."""
        values = ", ".join(f"('{job.job_id}')" for job in self.broken)
        return [tuple(row) for row in run_query(self.data / "warehouse.duckdb", f"""
            with broken(job_id) as (values {values}) {sql}""").rows]  # fmt: skip


@pytest.fixture(scope="module")
def demo(desk: Desk) -> Played:
    """The demo, played to its end."""
    # Lines as long as they are, which the tests read.
    stdout = desk.run("demo", COLUMNS="")
    reached = origin.read(desk.folder / "data")
    assert reached is not None
    assert reached.reached is not None
    with Sandbox(seed=reached.seed, worlds=DEMO_WORLDS) as same:
        same.advance(reached.reached - same.now)
        return Played(stdout, desk.folder / "data", same.altered_jobs(is_healthy=False))


def test_the_package_comes_from_the_wheel(desk: Desk) -> None:
    said = subprocess.run(
        [desk.programs / "python", "-c", "import meter_pipeline, dagster; print(meter_pipeline.__file__)"],
        cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(said.stdout.strip()).is_relative_to(desk.programs.parent)


def test_the_demo_shows_its_data_and_nothing_of_dagsters_own(desk: Desk, demo: Played) -> None:
    assert "Biggest price moves this week" in demo.stdout
    assert not re.search("telemetry|dagster.io|dagster cloud|welcome", demo.stdout, re.IGNORECASE)
    assert {path.name for path in desk.folder.iterdir()} == {"data"}


def test_the_demo_loads_through_dagster_and_shows_what_came_of_it(demo: Played) -> None:
    titles = [
        "Broken scrapes of the flaky shop, held before they became data",
        "What became of the flaky shop's jobs",
        "Biggest price moves this week",
        "Prices and stock of variants, inside an array",
        "The same bikes in pounds and in euros",
        "The page of one product, version by version",
        "Adverts that slide through a listing of five pages, compared as one list",
        "What the bookshop looked like last Tuesday",
        "Postings that vanished within two days",
    ]
    blocks = {block.splitlines()[0]: block.splitlines() for block in demo.stdout.split("\n\n")[1:]}
    assert [*titles, "What next:"] == list(blocks)
    # A heading, names, a rule, and rows.
    assert all(len(blocks[title]) > 5 for title in titles)
    assert demo.stdout.count("Dagster job sync") == 2
    assert len(demo.stdout.splitlines()) < 110
    assert "sk_live_sandbox" not in demo.stdout


def test_the_runs_of_the_demo_are_listed_by_the_page_of_their_job(demo: Played) -> None:
    with dg.DagsterInstance.from_config(str(demo.data / ".dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="sync"))
    assert [run.tags[".dagster/repository"] for run in runs] == ["__repository__@meter_pipeline"] * 2


def test_the_shop_of_the_demo_breaks_in_every_way_and_no_row_of_it_is_data(demo: Played) -> None:
    assert {(job.kind, job.field) for job in demo.broken} == {(kind, field) for kind, field, _ in FLAKY}
    assert demo.query("select distinct state from meter.jobs where job_id in (from broken)") == [("held",)]
    for table, columns in {
        "meter.item_changes": ("job_id", "previous_job_id"),
        "meter.item_versions": ("first_job_id", "last_job_id"),
        "marts.fct_item_changes": ("job_id",),
        "marts.fct_price_changes": ("job_id",),
        "results.flaky_shop": ("_meter_job_id",),
    }.items():
        for column in columns:
            assert demo.query(f"select count(*) from {table} where {column} in (from broken)") == [(0,)], table
    # Nothing in the feed but the true changes of prices: no item goes or comes, no name and no rating moves.
    assert demo.query("select distinct kind, field from meter.item_changes where strategy = 'flaky_shop'") == [
        ("changed", "price")
    ]
    assert demo.query("""
        select max(abs(relative_change)) < 0.5 from meter.item_changes where strategy = 'flaky_shop'""") == [(True,)]


def test_each_broken_job_of_the_demo_is_named_with_what_is_broken(demo: Played) -> None:
    of_whole = {
        "zero_items": "no items", "null_results": "no items", "login_page": "1 item, while the last 20 jobs had 30",
        "fewer_items": "12 items, while the last 20 jobs had 30", "repeated_items": "50 % of the items repeat",
        "wrong_count": "the API counted 57 items",
    }  # fmt: skip
    rows = demo.query("""
        select job_id, reason, findings.field from meter.jobs left join meter.findings using (job_id)
        where job_id in (from broken) and coalesce(findings.position, 0) = 0""")
    said = {job_id: (reason, field) for job_id, reason, field in rows}
    held = next(block for block in demo.stdout.split("\n\n") if block.startswith("Broken scrapes")).splitlines()[3:]
    assert len(held) == len(said) == len(demo.broken)
    for job, line in zip(demo.broken, held, strict=True):
        reason, field = said[job.job_id]
        if job.field:
            assert field == job.field
            assert line.split()[2] == job.field
        else:
            assert of_whole[job.kind] in reason
            assert of_whole[job.kind] in line


def test_variants_currencies_and_pages_of_one_product_are_in_the_demos_feed(demo: Played) -> None:
    feed = "from meter.item_changes where strategy"
    (variants,) = demo.query(f"select count(*) {feed} = 'bikes_with_variants' and regexp_matches(field, '^variants\\[id=\\d+\\]\\.price$')")  # fmt: skip # noqa: E501
    (whole,) = demo.query(f"select count(*) {feed} = 'bikes_with_variants' and field = 'variants'")
    assert variants > (20,)
    assert whole == (0,)
    assert demo.query(f"select distinct kind {feed} = 'single_products'") == [("changed",)]
    assert demo.query(f"select count(*) > 5 {feed} = 'single_products' and field = 'price'") == [(True,)]
    prices = "from marts.fct_price_changes where strategy"
    assert set(demo.query(f"select currency, url[-2:] {prices} = 'bikes_in_two_shops'")) == {
        ("EUR", "de"), ("GBP", "gb")
    }  # fmt: skip
    assert set(demo.query(f"select distinct currency {prices} = 'bikes_by_currency'")) == {("GBP",), ("PLN",)}
    # A bike's price moves by the same share in each currency, by up to 15 % around its base.
    assert demo.query(f"select max(abs(relative_change)) < 0.36 {prices} like 'bikes_%'") == [(True,)]


def test_adverts_that_slide_in_the_demo_come_and_go_as_the_runs_of_all_pages_show(demo: Played) -> None:
    adverts = demo.query("""
        select distinct epoch(_meter_completed_at)::bigint // 10800, _meter_item_key, _meter_url
        from results.classified_adverts""")
    pages: dict[str, set[str]] = {}
    runs: dict[int, set[str]] = {}
    for run, key, url in adverts:
        pages.setdefault(key, set()).add(url)
        runs.setdefault(run, set()).add(key)
    assert sum(len(urls) > 1 for urls in pages.values()) > 50
    listed = [runs[run] for run in sorted(runs)]
    moves: Counter[tuple[str, str]] = Counter()
    for before, after in pairwise(listed):
        moves.update([("added", key) for key in after - before] + [("removed", key) for key in before - after])
    feed = demo.query("select kind, item_key from meter.item_changes where strategy = 'classified_adverts' and kind <> 'changed'")  # fmt: skip # noqa: E501
    assert Counter(feed) == moves


@pytest.mark.slow
def test_what_the_demo_says_comes_next_can_be_done(desk: Desk, demo: Played) -> None:
    lines = demo.stdout.split("What next:\n")[1].splitlines()
    commands = [shlex.split(re.split(r" {3,}", line.strip())[0]) for line in lines]
    assert len(commands) == 7
    assert "make" not in {word for words in commands for word in words}
    own = [words for words in commands if words[0].endswith("meter-pipeline")]
    assert [words[1] for words in own] == ["dev", "audit", "keys", "query", "status", "report"]
    for words in own[1:]:
        desk.run(*words[1:])
    assert (desk.folder / "report.html").is_file()


def test_publishing_again_finds_nothing_new(desk: Desk, demo: Played) -> None:
    assert desk.run("publish").startswith("nothing new since the last publication")


@pytest.mark.slow
def test_a_model_is_written_into_a_copy_of_the_project_and_published_from_there(desk: Desk, demo: Played) -> None:
    before = desk.installed()
    said = desk.run("model", "new_books").splitlines()
    project = desk.folder / "dbt_project"
    assert [line.split()[0] for line in said] == ["wrote", "wrote", str(project)]
    setting = next(word for word in said[-1].split() if word.startswith("METER_DBT_PROJECT="))
    (desk.folder / ".env").write_text(f"{setting}\n")
    # From now on the copy is the project, for another model as well.
    desk.run("model", "job_board")
    # The demo has built the other models.
    for folder in ("intermediate", "marts"):
        shutil.rmtree(project / "models" / folder)
    assert len(list((project / "models" / "staging" / "results").glob("stg_results__*.sql"))) == 2
    desk.run("publish")
    assert int(desk.run("query", "select count(*) as n from staging.stg_results__new_books", "--csv").split()[1])
    (desk.folder / ".env").unlink()
    refused = subprocess.run(
        [desk.command, "model", "new_books"],
        cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr == f"meter-pipeline: {project} is there already: set {setting} to write the model there\n"
    assert desk.installed() == before
