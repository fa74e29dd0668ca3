"""`audit` and `status` name held and doubted jobs with their reasons, and `audit --again` changes verdicts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command


def test_status_names_held_and_doubted_jobs(
    shop: Sandbox, meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scrape(day: int, *, is_broken: bool = False) -> str:
        items = [{"id": n, "title": f"Book {n}", "price": None if is_broken else 10 + n} for n in range(40)]
        return shop.insert_job("Pages", items=items, completed_at=shop.world.now - 86_400 * (10 - day))

    for day in range(5):
        scrape(day)
    broken = scrape(5, is_broken=True)
    (tmp_path / "meter.yaml").write_text('strategies:\n  pages:\n    audit: {flag: ["*"]}\n')
    doubted = scrape(6, is_broken=True)
    monkeypatch.setenv("METER_CONFIG", str(tmp_path / "meter.yaml"))
    meter("sync")
    shown = meter("status").out
    lines = [line for line in shown.splitlines() if broken in line or doubted in line]
    assert any(f"pages: job {broken} was accepted with a doubt:" in line and "price" in line for line in lines)
    found = json.loads(meter("status", "--json").out)["flagged"]
    assert broken in {job["job_id"] for job in found}


@pytest.fixture
def ids(shop: Sandbox, meter: Command) -> list[str]:
    """Ten days of a page, loaded; on the last three its prices are missing."""

    def scrape(day: int) -> str:
        items = [{"id": n, "title": f"Book {n}", "price": None if day >= 7 else 10 + n} for n in range(40)]
        return shop.insert_job("Pages", items=items, completed_at=shop.world.now - 86_400 * (10 - day))

    jobs = [scrape(day) for day in range(10)]
    assert meter("sync").code == 1
    return jobs


def test_status_leads_with_held_jobs_and_says_the_same_change_once(meter: Command, ids: list[str]) -> None:
    lines = meter("status").out.splitlines()
    (line,) = [line for line in lines if any(job_id in line for job_id in ids[7:])]
    assert line.startswith(f"pages: job {ids[7]} is held, and 2 later ones: price is empty in all ")
    assert not line.endswith("more findings")
    assert lines.index(line) < next(place for place, text in enumerate(lines) if text.startswith("strategy"))


def test_status_has_one_sentence_on_a_held_job_and_the_number_of_further_findings(
    shop: Sandbox, meter: Command, ids: list[str]
) -> None:
    items = [{"id": n, "title": "Cookies?", "price": 10 + n} for n in range(40)]
    banner = shop.insert_job("Pages", items=items, completed_at=shop.world.now - 3600)
    assert meter("sync").code == 1
    found = next(own for own in meter("audit", "--json").document["jobs"] if own["job_id"] == banner)["findings"]
    assert len(found) > 1
    (line,) = [line for line in meter("status").out.splitlines() if banner in line]
    first, more = line.removeprefix(f"pages: job {banner} is held: ").rsplit("; and ", 1)
    assert first == found[0]["message"]
    assert more == f"{len(found) - 1} more finding" + "s" * (len(found) > 2)


def test_audit_says_what_was_expected_and_seen(meter: Command, ids: list[str]) -> None:
    shown = meter("audit", "pages").out
    (row,) = [line for line in shown.splitlines() if line.startswith("held")]
    assert ids[7] in row
    assert "the same change again, 3 jobs: price is empty in all items" in row
    assert any(re.fullmatch(rf"{ids[7]} +filled +price +at least 0.75 +0 +held.*", line) for line in shown.splitlines())
    assert "10 jobs: 3 held, 4 accepted, 3 accepted while the audit learned" in shown
    found = json.loads(meter("audit", "--json").out)
    assert [job["job_id"] for job in found["jobs"]] == ids[7:]
    assert found["jobs"][0]["findings"][0] | {"message": ""} == {
        "test": "filled",
        "field": "price",
        "low": 0.75,
        "high": None,
        "seen": 0.0,
        "samples": ["null", "null"],
        "outcome": "held",
        "message": "",
    }
    assert {"strategy": "pages", "verdict": "held", "jobs": 3} in found["verdicts"]


def test_all_that_are_held_for_the_same_are_released_by_the_job_that_status_names(
    meter: Command, ids: list[str]
) -> None:
    assert "3 jobs with 120 items released" in meter("release", "--all-like", ids[7]).out
    assert "10 jobs: 7 accepted, 3 accepted while the audit learned" in meter("audit", "pages").out


def test_audit_again_shows_what_would_change_and_changes_it_when_asked_to(
    meter: Command, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert meter("audit", "--again").out == "12 jobs judged again: no verdict changes\n"
    (tmp_path / "meter.yaml").write_text("strategies:\n  pages:\n    audit: {off: [filled]}\n")
    monkeypatch.setenv("METER_CONFIG", str(tmp_path / "meter.yaml"))
    for _ in range(2):
        shown = meter("audit", "pages", "--again").out
        assert "10 jobs judged again, 0 to be held, 3 to be accepted; nothing has changed yet: add --apply" in shown
        assert [line.split()[1] for line in shown.splitlines() if line.startswith("pages")] == ids[7:]
    document = json.loads(meter("audit", "pages", "--again", "--apply", "--json").out)
    assert document["problems"] == []
    assert [(own["strategy"], own["jobs"], own["applied"]) for own in document["strategies"]] == [("pages", 10, True)]
    assert [(change["job_id"], change["now"], change["then"]) for change in document["strategies"][0]["changes"]] == [
        (job_id, "held", "accepted") for job_id in ids[7:]
    ]
    assert "held" not in meter("status").out
    assert meter("audit", "--again", "--apply").out == "12 jobs judged again: no verdict changes\n"


def test_a_strategy_that_is_being_loaded_does_not_stop_the_others(
    meter: Command, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meter.yaml").write_text("strategies:\n  pages:\n    audit: {off: [filled]}\n")
    monkeypatch.setenv("METER_CONFIG", str(tmp_path / "meter.yaml"))
    with open_store(Settings.from_env()) as store:
        claim = store.ledger.claims.try_claim("books")
        assert claim is not None
        done = meter("audit", "--again", "--apply")
        claim.release()
    assert done.code == 1
    assert "10 jobs judged again, 0 held, 3 accepted" in done.out
    assert "books is being loaded by" in done.err


def test_apply_without_again_is_refused_with_the_way_out(meter: Command) -> None:
    done = meter("audit", "--apply")
    assert (done.code, "`meter-pipeline audit --again` shows what it would change" in done.err) == (2, True)
    assert meter("audit").out == "no job is loaded yet: run `meter-pipeline sync`\n"


def test_rejected_items_are_named_by_sync_status_and_query_and_shown_as_received(shop: Sandbox, meter: Command) -> None:
    items = [b'{"id": 0, "price": NaN}', b'{"id": 1, "name": "\xff\x1b[31m"}', *({"id": n} for n in range(2, 20))]
    job = shop.insert_job("Pages", items=items)
    found = meter("sync")
    reason = "item_index 0: not valid JSON: NaN is not a JSON value"
    assert found.code == 0
    assert f"pages: 2 items rejected, see meter.rejected_items: job {job}, {reason}" in found.out.splitlines()
    assert f"pages: job {job} was accepted without 2 rejected items: {reason}" in meter("status").out.splitlines()
    (known,) = json.loads(meter("status", "--json").out)["rejected"]
    assert known == {"job_id": job, "strategy": "pages", "items": 2, "first": reason}
    assert meter("publish").code == 0
    shown = meter("query", "SELECT item_index, item, bytes FROM meter.rejected_items ORDER BY ALL")
    assert "NaN" in shown.out
    assert "\x1b" not in shown.out + shown.err
    at_meter = meter("jobs", "show", job, "--items", "3", "--json")
    assert json.loads(at_meter.out)["items"] == [items[0].decode(), '{"id": 1, "name": "\\xff\x1b[31m"}', {"id": 2}]
    assert meter("jobs", "show", job, "--items", "3").code == 0
