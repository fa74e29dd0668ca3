"""The report: a page for people who know nothing of the pipeline, about what happened since a moment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meter_pipeline.commands.report import write_report
from meter_pipeline.report import charts
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.report.test_charts import SCHEMA, write_warehouse

_START = datetime(2026, 3, 2, tzinfo=timezone.utc)
_NOW = _START + timedelta(days=2)
_HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


class _Markup(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, name) for name, _ in attributes} or {(tag, "")}

    @classmethod
    def of(cls, page: str) -> set[tuple[str, str]]:
        """What is in a page."""
        parser = cls()
        parser.feed(page)
        return parser.found


def _words(page: str) -> str:
    """The part in words, without markup, in one line."""
    section = page[page.index('<section class="words">') : page.index("</section>")]
    return " ".join(re.sub(r"<[^>]*>", "", section).split())


def _page(path: Path, *, draws: bool = True, **options: Any) -> str:
    """The page; its pictures take a second."""
    with pytest.MonkeyPatch.context() as patched:
        if not draws:
            patched.setattr(charts, "all_of", lambda connection, since: {})
        return write_report(path, path.parent / "out" / "report.html", **{"now": _NOW, **options}).read_text()


def _page_in_words(path: Path, **span: datetime) -> str:
    """The part in words of the page."""
    return _words(_page(path, draws=False, **span))


@pytest.mark.parametrize("strategies", [slow(1), 52, slow(200)])
def test_the_page_needs_nothing_else_whatever_the_number_of_strategies(strategies: int, tmp_path: Path) -> None:
    page = _page(write_warehouse(tmp_path / "w.duckdb", strategies, 5))
    assert "data:image/png;base64," in page
    for address in ("http://", "https://", "//cdn", "@import", "<script", "<link"):
        assert address not in page
    assert len(page) < 400_000
    assert f"{strategies} strateg" in _words(page)
    assert (f"and {strategies - 50} more" in page) is (strategies > 50)


def test_a_warehouse_without_data_says_so(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute(SCHEMA)
    page = _page(tmp_path / "w.duckdb")
    assert _words(page) == "Nothing has been loaded yet: no job has ended."
    assert "data:image" not in page


def test_a_time_without_jobs_tells_of_the_last_one(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    page = _page(path, since=_NOW - timedelta(days=1))
    assert "No job ended in this time. The last one ended on Mon 2 Mar 2026, 04:00, 1 day 20 hours before" in _words(
        page
    )
    # A day alone is no picture: they go further back than the words.
    assert "data:image" in page
    assert "data:image" not in _page(path, since=_NOW + timedelta(days=400), now=_NOW + timedelta(days=401))


def test_a_price_is_reported_by_its_net_move_in_its_currency(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    assert "Lamp $1_$2 in shop_000 rose 36 %, from €11.00 to €15.00" in _page_in_words(path)
    # Of what moves there and back again there is nothing to tell.
    with duckdb.connect(str(path)) as connection:
        back = ["shop_000", 15, 11, "€", -0.27, _START + timedelta(hours=9)]
        connection.execute(
            "insert into marts.fct_price_changes by name select $1 as item_id, $1 as strategy, 'price' as field, "
            "$2 as old_price, $3 as new_price, $4 as currency, $5 as relative_change, $6 as observed_at",
            back,
        )
    assert "price moves" not in _page(path, draws=False)


def test_what_is_still_broken_comes_before_what_has_recovered(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 3, 5)
    with duckdb.connect(str(path)) as connection:
        for strategy, hour, outcome, reason in (
            ("shop_000", 1, "failed", "Target answered 503"),
            ("shop_000", 2, "failed", "Target answered 503"),
            ("shop_002", 4, "held", "3 of 40 items"),
            ("shop_002", 5, "unreadable", "no JSON"),
        ):
            connection.execute(
                "insert into marts.fct_scrape_jobs values (?, ?, 's', 'u', null, ?, ?, 0, ?, false, 0, null, null)",
                [strategy, f"{strategy}-bad-{hour}", outcome, reason, _START + timedelta(hours=hour, minutes=30)],
            )
    page = _page(path, draws=False)
    words = _words(page)
    assert "1 strategy is broken at the moment." in words
    broken = "shop_002: 2 jobs of 7 in trouble (1 held, 1 unreadable: no JSON), broken since Mon 2 Mar 2026, 04:30"
    recovered = "shop_000: 2 jobs of 7 in trouble (2 failed: Target answered 503), recovered"
    assert words.index(broken) < words.index(recovered)
    jobs = re.findall(r"shop_00\d-bad-\d", page)
    assert jobs == ["shop_002-bad-5", "shop_002-bad-4", "shop_000-bad-2", "shop_000-bad-1"]
    assert "after 30 minutes" in page
    assert "not yet" in page


def test_the_page_leads_with_held_and_doubted_jobs(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 3, 5)
    with duckdb.connect(str(path)) as connection:
        reason = "price is empty in all items"
        for hour, again in ((1, ""), (2, "the same change again, 2 jobs: ")):
            connection.execute(
                "insert into marts.fct_scrape_jobs values ('shop_001', ?, 's', 'u', null, 'held', ?, 0, ?, false, 0, "
                "'held', ?)",
                [f"bad-{hour}", again + reason, _START + timedelta(hours=hour, minutes=30), reason],
            )
        connection.execute(
            "update marts.fct_scrape_jobs set verdict = 'flagged', first_finding = '9 items' "
            "where job_id = 'shop_002-3'"
        )
    words = _page_in_words(path)
    assert "2 held jobs wait for somebody to release or drop them." in words
    held = f"shop_001: 2 jobs held since Mon 2 Mar 2026, 01:30, the latest: the same change again, 2 jobs: {reason}"
    doubted = "shop_002: 1 job accepted with a doubt: 9 items (Mon 2 Mar 2026, 03:00)"
    assert words.index(held) < words.index(doubted) < words.index("What broke") < words.index("Biggest price moves")
    # What waits for a decision does not end with the span of time.
    later = _page_in_words(path, since=_NOW - timedelta(hours=1))
    assert held in later
    assert doubted not in later


def test_late_and_silent_schedules_are_reported_with_how_often_they_run(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 2, 12)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update marts.fct_scrape_jobs set is_late = true, lag_seconds = 1500 where job_id like '%-3'"
        )
        for name, cron, enabled, last in (
            ("s", None, True, 11),
            ("silent", "15 * * * *", True, 2),
            ("paused", None, False, 2),
        ):
            connection.execute(
                "insert into marts.dim_schedules values (?, ?, ?, 3600, ?, ?, null, ?)",
                [name, f"of_{name}", cron, enabled, _START, _START + timedelta(hours=last)],
            )
    words = _page_in_words(path)
    assert "1 schedule ran late. 1 schedule fell silent." in words
    assert "of_silent (at least every hour): no run since Mon 2 Mar 2026, 02:00" in words
    assert "of_s (every hour): 2 runs of 24 late, the longest by 25 minutes" in words
    assert "paused" not in words


def test_what_came_and_went_is_counted_and_named(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    with duckdb.connect(str(path)) as connection:
        for number in range(5):
            connection.execute(
                "insert into marts.dim_items (item_id, strategy, url, item_key, label) "
                "values (?, 'shop_000', 'u', ?, ?)",
                [f"new-{number}", str(number), f"Stool {number}"],
            )
            kind = "removed" if number == 4 else "added"
            connection.execute(
                "insert into marts.fct_item_changes values ('shop_000', 'j', 'u', null, ?, ?, ?)",
                [str(number), kind, _START],
            )
    words = _page_in_words(path)
    assert "4 items came, 1 went and none changed." in words
    assert "shop_000: 4 came (Stool 0, Stool 1, Stool 2 and 1 more); 1 went (Stool 4)" in words


def test_scraped_text_is_no_markup(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    with duckdb.connect(str(path)) as connection:
        for column in ("label", "currency", "field"):
            connection.execute(f"update marts.fct_price_changes set {column} = ?", [_HOSTILE])
        connection.execute("update marts.fct_scrape_jobs set outcome = 'held', reason = ?, job_id = ?", [_HOSTILE] * 2)
        connection.execute("update marts.dim_items set removed_at = first_seen_at, label = ?", [_HOSTILE])
        connection.execute(
            "insert into marts.dim_schedules values ('s', ?, ?, 60, true, null, null, null)", [_HOSTILE, _HOSTILE]
        )
    page = write_report(path, tmp_path / "report.html", now=_NOW, notes=[_HOSTILE]).read_text()
    assert "49" not in _words(page)
    assert "&lt;script&gt;" in page
    plain = write_report(
        write_warehouse(tmp_path / "plain.duckdb", 1, 5), tmp_path / "plain.html", now=_NOW
    ).read_text()
    assert _Markup.of(page) <= _Markup.of(plain) | {("b", "class"), ("details", ""), ("summary", "")}


def test_a_sandbox_is_named_above_everything_else(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    page = _page(path, draws=False, notes=["Made-up data of the sandbox, not of Meter."])
    assert page.index("Made-up data of the sandbox") < page.index('<section class="words">')


def test_a_warehouse_without_models_or_with_older_ones_is_one_clear_line(tmp_path: Path) -> None:
    path = write_warehouse(tmp_path / "w.duckdb", 1, 5)
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table marts.fct_price_changes drop currency")
    with pytest.raises(WarehouseError, match="models of another version: run `meter-pipeline publish`"):
        _page(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("drop schema marts cascade")
    with pytest.raises(WarehouseError, match="no models: run `meter-pipeline publish`"):
        _page(path)
