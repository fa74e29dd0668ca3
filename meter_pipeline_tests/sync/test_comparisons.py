"""Meter's verdict on consecutive jobs: requested once for each pair, newest first, and compared with the items."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from meter_pipeline.api import MeterClient
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.ledger_tables import read_ledger_table
from meter_pipeline.sync.comparisons import compare
from meter_pipeline_tests.behaviour.station import Station


def run(sandbox: Sandbox, *prices: Any, **fields: Any) -> list[str]:
    """Jobs an hour apart."""
    ids = []
    for price in prices:
        sandbox.advance(hours=1)
        ids.append(sandbox.insert_job("Shop", items=[{"title": "Lamp", "price": price}, {"title": "Chair"}], **fields))
    return ids


def verdicts(station: Station) -> dict[str, Any]:
    return {row.job_id: row for row in station.ledger.rows("job_comparisons")}


def count_requests(sandbox: Sandbox) -> int:
    return sum("compare" in entry.path for entry in sandbox.log)


@pytest.mark.parametrize("without", ["no_api", "no_v1"])
def test_consecutive_jobs_of_a_target_are_compared_once_in_both_dialects(
    station: Station, empty_sandbox: Sandbox, without: str
) -> None:
    empty_sandbox.set_faults(**{without: True})
    first, second, third = run(empty_sandbox, 1, 1, 2)
    elsewhere = run(empty_sandbox, 5, url="https://shop.example/sale")
    station.sync()
    report = compare(station.client, station.ledger, station.lake)
    assert (report.compared, report.agreed, report.left, report.exit_code) == (2, 2, 0, 0)
    rows = verdicts(station)
    assert {id_: row.previous_job_id for id_, row in rows.items()} == {second: first, third: second}
    assert (rows[second].content_hash_match, rows[third].content_hash_match) == (True, False)
    assert {row.agrees for row in rows.values()} == {True}
    shown = read_ledger_table(station.ledger, "job_comparisons").to_pylist()
    assert {row["job_id"]: (row["strategy"], row["agrees"]) for row in shown} == dict.fromkeys(rows, ("shop", True))
    assert not set(elsewhere) & set(rows)
    before = count_requests(empty_sandbox)
    assert compare(station.client, station.ledger, station.lake).compared == 0
    assert count_requests(empty_sandbox) == before


def test_a_run_requests_the_newest_pairs_up_to_its_limit(station: Station, empty_sandbox: Sandbox) -> None:
    ids = run(empty_sandbox, *range(6))
    station.sync()
    report = compare(station.client, station.ledger, station.lake, limit=2)
    assert (report.compared, report.left) == (2, 3)
    assert verdicts(station).keys() == set(ids[-2:])
    assert compare(station.client, station.ledger, station.lake, limit=10).compared == 3
    assert verdicts(station).keys() == set(ids[1:])


def test_a_late_job_has_its_neighbours_compared_again(station: Station, empty_sandbox: Sandbox) -> None:
    first, last = run(empty_sandbox, 1, 1)
    station.sync()
    compare(station.client, station.ledger, station.lake)
    late = empty_sandbox.insert_job(
        "Shop", items=[{"title": "Lamp", "price": 9}], completed_at=empty_sandbox.world.now - 1800
    )
    station.sync(reconcile=True)
    assert compare(station.client, station.ledger, station.lake).compared == 2
    rows = verdicts(station)
    assert {id_: row.previous_job_id for id_, row in rows.items()} == {late: first, last: late}
    assert rows[last].content_hash_match is False


def test_where_meter_says_otherwise_is_listed(station: Station, empty_sandbox: Sandbox) -> None:
    first, second = run(empty_sandbox, 1, 1)
    # The same items in another order: another content to Meter, the same set of items to us.
    third = empty_sandbox.insert_job("Shop", items=[{"title": "Chair"}, {"title": "Lamp", "price": 1}])
    station.sync()
    report = compare(station.client, station.ledger, station.lake)
    assert report.agreed == 1
    (disagreement,) = report.disagreements
    assert (
        disagreement.job_id,
        disagreement.previous_job_id,
        disagreement.meter_says,
        disagreement.items_say,
    ) == (third, second, "changed", "the same")
    assert verdicts(station)[third].agrees is False
    assert first not in verdicts(station)


def test_items_that_could_not_be_loaded_are_compared_as_received(station: Station, empty_sandbox: Sandbox) -> None:
    jobs = []
    for damaged in (
        b'{"title": "Lamp", "price": NaN}',
        b'{"title": "Lamp", "price": NaN}',
        b'{"title": "Lamp", "price": }',
    ):
        empty_sandbox.advance(hours=1)
        items = [*({"title": f"Chair {number}", "price": number} for number in range(9)), damaged]
        jobs.append(empty_sandbox.insert_job("Shop", items=items))
    station.sync()
    report = compare(station.client, station.ledger, station.lake)
    assert (report.compared, report.agreed, report.disagreements) == (2, 2, [])
    assert {id_: row.content_hash_match for id_, row in verdicts(station).items()} == {jobs[1]: True, jobs[2]: False}


def test_a_pair_that_meter_cannot_compare_is_not_requested_again(station: Station, empty_sandbox: Sandbox) -> None:
    first, second, third = run(empty_sandbox, 1, 2, 3)
    station.sync()
    empty_sandbox.delete_job(first)
    report = compare(station.client, station.ledger, station.lake)
    assert (report.compared, report.refused, report.exit_code) == (1, 1, 0)
    assert verdicts(station)[second].agrees is None
    before = count_requests(empty_sandbox)
    compare(station.client, station.ledger, station.lake)
    assert count_requests(empty_sandbox) == before
    assert verdicts(station)[third].agrees is True


def test_an_api_that_is_gone_is_asked_by_one_worker_and_not_by_all_in_turn(
    station: Station, empty_sandbox: Sandbox
) -> None:
    run(empty_sandbox, *range(20))
    station.sync()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with MeterClient(empty_sandbox.api_key, base_url=address, wait_scale=0) as client:
        report = compare(client, station.ledger, station.lake)
        assert client.requests_made < 10
    assert "the API does not answer: GET /v1/strategies: connection refused" in str(report.stopped)
    assert (report.exit_code, report.compared, report.left) == (1, 0, 19)


def test_a_pair_whose_request_failed_is_requested_again(station: Station, empty_sandbox: Sandbox) -> None:
    _, second = run(empty_sandbox, 1, 2)
    station.sync()
    empty_sandbox.set_faults(path="compare", rate_500=1.0)
    report = compare(station.client, station.ledger, station.lake)
    assert report.exit_code == 1
    assert second in report.problems[0]
    empty_sandbox.clear_faults()
    assert compare(station.client, station.ledger, station.lake).compared == 1
