"""What is listed of jobs, strategies and schedules: filters, order, bounds, and how a strategy came to be as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command, one_line


@pytest.fixture
def loaded(shop: Sandbox, meter: Command) -> Sandbox:
    """Two accepted jobs of books, one that failed, one that cannot be loaded, and one of lamps; all of them synced."""
    shop.advance(hours=1)
    shop.insert_job("Books", status="failed", error="Target answered 503")
    shop.insert_job("Books", items=[{"title": "Salt Road"}], item_count=7)
    shop.advance(days=2)
    (schedule,) = shop.world.schedules
    shop.insert_job("Books", items=[{"title": "Dust", "price": 3}], schedule=schedule)
    shop.add_strategy("Lamps", "https://lamps.example/")
    shop.insert_job("Lamps", items=[{"name": "Moon", "watt": 40}])
    assert meter("sync").code == 1
    return shop


def listed(meter: Command, *filters: str) -> list[tuple[str, str]]:
    """Strategy and state of the jobs that pass."""
    document = meter("jobs", "list", *filters, "--json").document
    assert document["total"] == len(document["jobs"])
    return [(job["strategy"], job["state"]) for job in document["jobs"]]


def test_jobs_are_listed_newest_first_through_filters(loaded: Sandbox, meter: Command) -> None:
    everything = listed(meter)
    assert everything[0] in (("lamps", "accepted"), ("books", "accepted"))
    assert len(everything) == len(loaded.world.jobs)
    made = [job["created_at"] for job in meter("jobs", "list", "--json").document["jobs"]]
    assert made == sorted(made, reverse=True)
    assert listed(meter, "--strategy", "Lamps") == [("lamps", "accepted")]
    assert set(listed(meter, "--state", "failed", "--state", "held")) == {("books", "failed"), ("books", "held")}
    assert listed(meter, "--status", "failed") == [("books", "failed")]
    (schedule,) = loaded.world.schedules
    of_schedule = meter("jobs", "list", "--schedule", schedule, "--json").document["jobs"]
    assert {job["schedule_id"] for job in of_schedule} == {schedule}
    newest = meter("jobs", "list", "--json").document["jobs"][0]["created_at"]
    assert {job["created_at"] for job in meter("jobs", "list", "--since", newest, "--json").document["jobs"]} == {
        newest
    }


def test_a_list_of_jobs_is_bounded_and_says_how_many_there_are(loaded: Sandbox, meter: Command) -> None:
    total = len(loaded.world.jobs)
    document = meter("jobs", "list", "--limit", "2", "--json").document
    assert (len(document["jobs"]), document["total"]) == (2, total)
    assert f"{total - 2} older jobs: give --limit" in meter("jobs", "list", "--limit", "2").out
    assert "the API counted 7 items" in meter("jobs", "list", "--state", "held").out
    assert "Target answered 503" in meter("jobs", "list", "--status", "failed").out


def test_listing_jobs_does_not_ask_the_api_and_refuses_what_it_does_not_know(loaded: Sandbox, meter: Command) -> None:
    before = len(loaded.log)
    assert meter("jobs", "list", "--status", "nope").out == "no job in the ledger matches\n"
    assert "--state 'nope' is not a state: give one of known" in one_line(meter("jobs", "list", "--state", "nope"))
    assert "no schedule 'nope'" in one_line(meter("jobs", "list", "--schedule", "nope"))
    assert "no strategy 'nope'" in one_line(meter("jobs", "list", "--strategy", "nope"))
    assert len(loaded.log) == before


def test_a_strategy_is_shown_with_what_is_loaded_of_it_and_by_its_slug(loaded: Sandbox, meter: Command) -> None:
    shown = meter("strategies", "show", "books", "--json").document
    assert shown["name"] == "Books"
    assert (shown["jobs"]["failed"], shown["jobs"]["held"]) == (1, 1)
    assert sum(shown["jobs"].values()) == len(loaded.world.jobs) - 1
    assert shown["columns"] == {"title": "text", "price": "integer"}
    assert shown["versions_seen"] == 1
    assert f"accepted {shown['jobs']['accepted']}, failed 1, held 1" in meter("strategies", "show", "Books").out


def test_a_strategy_is_shown_with_the_reasons_why_fields_stay_text(shop: Sandbox, meter: Command) -> None:
    shop.advance(hours=1)
    shop.insert_job("Books", items=[{"title": "Dust", "price": 3, "printed": "01/02/2026"}])
    assert meter("sync").code == 0
    reason = "no date shows whether the day or the month comes first, as in '01/02/2026'"
    assert meter("strategies", "show", "books", "--json").document["text_reasons"] == {"printed": reason}
    assert f"printed stays text: {reason}\n" in meter("strategies", "show", "books").out


def test_a_strategy_is_shown_before_anything_is_loaded_and_no_ledger_is_made(
    shop: Sandbox, meter: Command, tmp_path: Path
) -> None:
    assert meter("strategies", "show", "Books", "--json").document["url"] == "https://books.example/new"
    assert "no sync has seen this strategy yet" in meter("strategies", "history", "Books").out
    assert not (tmp_path / "data").exists()


def test_a_strategys_history_has_the_versions_that_were_seen_and_meters_jobs(loaded: Sandbox, meter: Command) -> None:
    (strategy,) = [one for one in loaded.world.strategies.values() if one.name == "Books"]
    strategy.description = "titles and prices"
    strategy.url = "https://books.example/all"
    meter("sync")
    document = meter("strategies", "history", "books", "--limit", "2", "--json").document
    assert [(version["version"], version["changed"]) for version in document["versions"]] == [
        (2, ["description", "url"]),
        (1, []),
    ]
    assert document["versions"][0]["record"]["description"] == "titles and prices"
    assert len(document["jobs"]) == 2
    assert document["jobs_in_all"] == len([job for job in loaded.world.jobs if job.strategy_id == strategy.strategy_id])
    assert "description, url" in meter("strategies", "history", "books").out


def test_schedules_are_listed_with_their_strategy_and_how_many_pages(
    shop: Sandbox, meter: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("METER_API_PREFIX", "/api")
    pages = [f"https://books.example/{number}" for number in range(3)]
    shop.add_schedule("Books", urls=pages, interval_seconds=3600)
    done = meter("schedules", "list")
    assert "3 pages: https://books.example/0, ..." in done.out
    assert done.out.count("Books") == 2
    assert {row["strategy"] for row in meter("schedules", "list", "--json").document} == {"Books"}


def test_fields_that_always_change_are_named_with_what_to_write(shop: Sandbox, meter: Command, tmp_path: Path) -> None:
    for job in range(7):
        shop.advance(hours=1)
        items = [{"id": f"l{place}", "watt": 40, "views": 50 * place + job} for place in range(6)]
        shop.insert_job("Lamps", url="https://lamps.example/", items=items)
    meter("sync")
    message = (
        "fields that change in nearly every job for nearly every item: views (in 6 of 6 jobs); where they are noise, "
        "write `ignore: [views]` into meter.yaml"
    )
    assert f"lamps: {message}" in " ".join(meter("status").out.split())
    assert meter("status", "--json").document["noise"] == [{"strategy": "lamps", "finding": message}]
    assert message in " ".join(meter("strategies", "show", "lamps").out.split())
    Path("meter.yaml").write_text("strategies:\n  lamps:\n    ignore: [views]\n", encoding="utf-8")
    meter("sync")
    assert "nearly every" not in meter("status").out + meter("strategies", "show", "lamps").out


def test_status_sums_up_the_jobs_of_many_strategies(shop: Sandbox, meter: Command) -> None:
    for number in range(60):
        shop.insert_job(f"Shop {number}", items=[{"name": "Moon"}, {"name": "Sun"}])
    meter("sync")
    counts = meter("status", "--json").document["jobs"]
    shown = meter("status").out
    jobs, items = (sum(count[what] for count in counts) for what in ("jobs", "items"))
    assert {count["state"] for count in counts} == {"accepted"}
    assert f"accepted  {jobs:>4}  {items:>5}" in shown
    assert f"of {len({count['strategy'] for count in counts})} strategies: see --json for each" in shown
    assert "shop_59" not in shown


def test_status_shows_the_rest_when_changes_cannot_be_read(shop: Sandbox, meter: Command, tmp_path: Path) -> None:
    for job in range(7):
        shop.advance(hours=1)
        shop.insert_job("Lamps", items=[{"id": f"l{place}", "views": 50 * place + job} for place in range(6)])
    meter("sync")
    for part in (tmp_path / "data" / "lake").rglob("*.parquet"):
        if "changes" in part.parts:
            part.write_bytes(b"")
    shown = meter("status")
    assert shown.code == 0
    assert "fields that always change, and wrapped items, were not looked for: " in shown.out
    assert "last sync: " in shown.out


def test_items_that_wrap_a_list_are_named_until_meter_yaml_says_where_the_items_are(
    shop: Sandbox, meter: Command
) -> None:
    for job in range(2):
        shop.advance(hours=1)
        plans = [{"name": name, "price": f"${price + job}"} for name, price in (("Basic", 10), ("Pro", 30))]
        shop.insert_job("Plans", url="https://plans.example/", items=[{"title": "Plans", "products": plans}])
        # Sizes are few beside the rest of the product.
        shirt = {"title": "Shirt", "about": "It is made of wool. " * 9, "sizes": [{"label": "M", "price": 20 + job}]}
        shop.insert_job("Shirt", url="https://shirt.example/", items=[shirt])
    assert meter("sync").code == 0
    message = (
        "each job has one item, most of which is the list products; where its elements are the items, write "
        "`items: products, key: name` into meter.yaml"
    )
    assert f"plans: {message}" in " ".join(meter("status").out.split())
    assert meter("status", "--json").document["wrappers"] == [{"strategy": "plans", "finding": message}]
    assert message in " ".join(meter("strategies", "show", "plans").out.split())
    Path("meter.yaml").write_text("strategies:\n  plans: {items: products, key: name}\n", encoding="utf-8")
    assert meter("sync").code == 0
    shown = meter("strategies", "show", "plans", "--json").document
    assert (shown["wrapper"], shown["items_in"], shown["items"]) == (None, "products", 4)
    assert shown["columns"] == {"name": "text", "price": "text", "price_amount": "decimal", "price_currency": "text"}
    assert meter("status", "--json").document["wrappers"] == []


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        (("keys",), "no strategy is known yet: run `meter-pipeline sync`"),
        (("audit",), "no job is loaded yet: run `meter-pipeline sync`"),
        (("status",), "no job is known yet: run `meter-pipeline sync`"),
        (("strategies", "list"), "no strategy at Meter: make one with `meter-pipeline strategies generate"),
        (("schedules", "list"), "no schedule at Meter: make one with `meter-pipeline schedules create"),
    ],
)
def test_an_empty_account_and_an_empty_ledger_are_answered_with_what_to_do(
    shop: Sandbox, meter: Command, arguments: tuple[str, ...], way_out: str
) -> None:
    (schedule,) = shop.world.schedules
    assert meter("schedules", "delete", schedule, "--yes").code == 0
    assert meter("strategies", "delete", "Books", "--yes").code == 0
    done = meter(*arguments)
    assert done.code == 0
    assert way_out in done.out
    assert "no rows" not in done.out
