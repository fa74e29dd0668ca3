"""Jobs audited again get the verdicts and rows that loading them with today's rules would give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.findings import read_findings
from meter_pipeline.sync import SecondAudit, audit_again, drop, hold, release
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.likeness import group_alike
from meter_pipeline.sync.loading.release import find_alike
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.sync.audit.pages import shop, spoil
from meter_pipeline_tests.sync.loading.test_gate import (
    BROKEN,
    commit_without_verdicts,
    findings,
    scrape,
    verdicts,
)
from meter_pipeline_tests.sync.loading.test_withdraw import counts, feed

FLAGGING = flagging("Shop")


def again(
    station: Station, config: Config | None = None, *, apply: bool = False, limits: Limits = Limits()
) -> SecondAudit:
    """Audits the only strategy again."""
    (strategy,) = station.ledger.strategies()
    return audit_again(station.ledger, station.lake, strategy.strategy_id, apply=apply, config=config, limits=limits)


def assert_alike(station: Station, other: Station) -> None:
    """Two stations have the same verdicts, findings, rows and counts."""
    assert verdicts(station) == verdicts(other)
    assert findings(station.ledger) == findings(other.ledger)
    assert counts(station) == counts(other)
    assert feed(station) == feed(other)
    assert_equal(station, other)
    assert_whole(station)


@pytest.mark.slow
def test_by_the_same_rules_no_verdict_changes(tmp_path: Path) -> None:
    with Sandbox(worlds=("breakingshop",)) as sandbox, Station(tmp_path / "shop", sandbox) as station:
        sandbox.advance(days=14)
        station.sync()
        for strategy in station.ledger.strategies():
            found = audit_again(station.ledger, station.lake, strategy.strategy_id)
            assert (found.changes, found.restated) == ((), 0)
            loaded = list(station.ledger.jobs(strategy.strategy_id, ("accepted", "held")))
            assert found.jobs >= sum(row.state == "accepted" for row in loaded) > 10


@pytest.mark.parametrize("limits", [Limits(), slow(Limits(large_bytes=1_000))], ids=repr)
def test_other_rules_give_what_loading_with_them_gives(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, limits: Limits
) -> None:
    ids = scrape(empty_sandbox)
    strict, lenient = make_station(empty_sandbox, "strict"), make_station(empty_sandbox, "lenient")
    changing = make_station(empty_sandbox, "changing")
    strict.sync(limits=limits)
    lenient.sync(config=FLAGGING, limits=limits)
    changing.sync(config=FLAGGING, limits=limits)

    before = (verdicts(changing), changing.files())
    preview = again(changing, limits=limits)
    assert (verdicts(changing), changing.files()) == before
    assert [(change.job_id, change.now, change.then) for change in preview.changes] == [
        (ids[day], "flagged", "held") for day in sorted(BROKEN)
    ]
    assert all(change.reason == strict.jobs()[change.job_id].reason for change in preview.changes)
    assert (preview.held, preview.accepted, preview.is_applied) == (3, 0, False)

    applied = again(changing, apply=True, limits=limits)
    assert (applied.changes, applied.is_applied) == (preview.changes, True)
    assert_alike(changing, strict)
    assert again(changing).changes == ()

    back = again(changing, FLAGGING, apply=True, limits=limits)
    assert (back.held, back.accepted) == (0, 3)
    assert_alike(changing, lenient)


def test_what_a_person_decided_stands(station: Station, empty_sandbox: Sandbox) -> None:
    ids = scrape(empty_sandbox)
    station.sync()
    release(station.ledger, station.lake, [ids[6]])
    hold(station.ledger, station.lake, [ids[4]], "another country")
    drop(station.ledger, station.lake, [ids[9]])
    station.sync()
    again(station, FLAGGING, apply=True)
    states = {job_id: row.state for job_id, row in station.jobs().items()}
    assert (states[ids[4]], states[ids[6]], states[ids[9]]) == ("held", "accepted", "dropped")
    assert station.jobs()[ids[4]].reason == "held by hand: another country"
    assert states[ids[12]] == "accepted"
    again(station, apply=True)
    assert station.jobs()[ids[6]].state == "accepted"
    assert set(station.jobs("held")) == {ids[4], ids[12]}
    assert_whole(station)


def test_a_hold_that_follows_from_the_body_stands(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox)
    wrong = empty_sandbox.insert_job("Shop", items=shop(1)[0], item_count=7, completed_at=empty_sandbox.world.now)
    station.sync()
    reason = station.jobs()[wrong].reason
    assert reason is not None
    again(station, FLAGGING, apply=True)
    assert set(station.jobs("held")) == {wrong}
    assert station.jobs()[wrong].reason == reason


def test_a_verdict_on_one_job_changes_what_later_ones_are_judged_by(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    # Once three jobs in a row were flagged, what they show is normal; held ones teach nothing.
    scrape(empty_sandbox, broken=dict.fromkeys(range(8, 15), lambda items: spoil(items, _without_price)))
    strict, changing = make_station(empty_sandbox, "strict"), make_station(empty_sandbox, "changing")
    strict.sync()
    changing.sync(config=FLAGGING)
    assert "accepted" in {row.audit for row in list(changing.jobs().values())[8:]}
    again(changing, apply=True)
    assert_alike(changing, strict)
    assert "the same change again, 7 jobs" in {
        (row.reason or "").partition(":")[0] for row in changing.jobs("held").values()
    }


def _without_price(item: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in item.items() if name != "price"}


def test_jobs_of_before_the_audit_are_judged_by_their_raw_items(station: Station, empty_sandbox: Sandbox) -> None:
    ids = scrape(empty_sandbox)
    station.sync(config=FLAGGING)
    (strategy,) = station.ledger.strategies()
    draft = station.lake.draft(strategy.slug, station.parts(strategy.slug), station.ledger.name)
    draft.drop("profiles")
    commit_without_verdicts(station, strategy.strategy_id, draft)
    found = again(station)
    assert [change.job_id for change in found.changes] == [ids[day] for day in sorted(BROKEN)]
    assert not station.parts(strategy.slug, "profiles")
    again(station, apply=True)
    assert set(station.jobs("held")) == {ids[day] for day in BROKEN}
    assert set(station.read("profiles", strategy.slug)["job_id"].to_pylist()) == set(ids)
    assert_whole(station)


def test_verdicts_on_a_strategy_that_is_being_loaded_are_shown_and_not_applied(
    station: Station, empty_sandbox: Sandbox
) -> None:
    scrape(empty_sandbox)
    station.sync(config=FLAGGING)
    claim = station.ledger.claims.try_claim("shop")
    assert claim is not None
    assert len(again(station).changes) == 3
    with pytest.raises(DecisionError, match="shop is being loaded"):
        again(station, apply=True)
    claim.release()
    assert len(again(station, apply=True).changes) == 3


def test_jobs_are_alike_that_failed_mostly_the_same_tests_whatever_their_values(
    station: Station, empty_sandbox: Sandbox
) -> None:
    titles = {10: "Just a moment...", 12: "Access denied for robots", 14: "Just a moment..."}
    ids = scrape(
        empty_sandbox,
        broken={
            13: BROKEN[6],
            **{
                day: lambda items, title=title: spoil(items, lambda item: item | {"title": title})
                for day, title in titles.items()
            },
        },
    )
    station.sync()
    held = station.jobs("held")
    assert set(held) == {ids[day] for day in (10, 12, 13, 14)}
    assert held[ids[10]].reason != held[ids[12]].reason
    assert find_alike(station.ledger, ids[12]) == [ids[10], ids[12], ids[14]]
    groups = group_alike(held.values(), read_findings(station.ledger, list(held)))
    assert [[job.job_id for job in group.jobs] for group in groups] == [[ids[10], ids[12], ids[14]], [ids[13]]]
