"""`hold`, `release` and `drop`: what a user sees and is asked."""

from __future__ import annotations

import json

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command


@pytest.fixture
def ids(shop: Sandbox, meter: Command) -> list[str]:
    """The shop's two jobs, loaded."""
    assert meter("sync").code == 0
    return [job.job_id for job in shop.world.jobs]


def states(meter: Command) -> dict[str, str]:
    """The state of every job, by id."""
    return {job["job_id"]: job["state"] for job in json.loads(meter("jobs", "list", "--json").out)["jobs"]}


def test_a_job_is_held_and_released_and_status_names_it_meanwhile(meter: Command, ids: list[str]) -> None:
    done = meter("hold", ids[1], "--reason", "prices of another country")
    assert (done.code, done.out) == (
        0,
        "books: 1 job held, 1 item left the results; publish the warehouse to see it\n"
        # The job that is left shows no key.
        "books: the rows of its other jobs were made again: columns or a key had come from what left\n",
    )
    assert f"books: job {ids[1]} is held: held by hand: prices of another country" in meter("status").out
    assert meter("hold", ids[1]).err == (
        f"meter-pipeline: job {ids[1]} is held: only accepted jobs can be held by hand\n"
    )
    released = meter("release", ids[1])
    assert released.out == "books: 1 job with 1 item released; publish the warehouse to see it\n"
    assert set(states(meter).values()) == {"accepted"}


def test_the_rows_of_other_jobs_are_named_only_where_there_are_any(meter: Command, ids: list[str]) -> None:
    assert "other jobs" in meter("drop", ids[0], "--yes").out
    assert meter("drop", ids[1], "--yes").out == (
        "books: 1 job dropped, 1 item left the results; publish the warehouse to see it\n"
    )


def test_jobs_held_for_the_same_are_released_together(meter: Command, ids: list[str], shop: Sandbox) -> None:
    alike = [shop.insert_job("Books", items=[{"title": "x"}], item_count=40 + n) for n in range(3)]
    meter("sync")
    meter("hold", ids[0])
    assert json.loads(meter("release", "--all-like", alike[0], "--json").out) == {
        "released": [{"strategy": "books", "jobs": 3, "items": 3}]
    }
    assert [job_id for job_id, state in states(meter).items() if state == "held"] == ids[:1]
    refused = meter("release")
    assert (refused.code, "--all-like JOB" in refused.err) == (2, True)


def test_a_job_is_dropped_only_when_the_user_agrees(meter: Command, ids: list[str]) -> None:
    refused = meter("drop", ids[0])
    assert refused.code == 2
    assert "1 job with 1 item: add --yes" in refused.err
    assert set(states(meter).values()) == {"accepted"}
    assert json.loads(meter("drop", ids[0], "--yes", "--reason", "a test", "--json").out) == {
        "dropped": [{"strategy": "books", "jobs": 1, "items": 1}]
    }
    assert states(meter)[ids[0]] == "dropped"
    assert "dropped" in meter("status").out
    assert "dropped by hand: a test" in meter("jobs", "list", "--state", "dropped").out
    meter("sync", "--again")
    assert states(meter)[ids[0]] == "dropped"
    meter("sync", "--job", ids[0], "--again")
    assert states(meter)[ids[0]] == "accepted"


@pytest.mark.parametrize("command", ["hold", "drop", "release"])
def test_an_unknown_job_is_one_line(command: str, meter: Command, ids: list[str]) -> None:
    done = meter(command, "nobody")
    assert (done.code, done.err) == (2, "meter-pipeline: no job nobody: see `meter-pipeline jobs list`\n")


def test_rejected_items_are_let_in_and_those_that_cannot_be_read_are_named(meter: Command, shop: Sandbox) -> None:
    items = [json.dumps({"title": f"Book {number}", "price": number}).encode() for number in range(12)]
    items[3], items[9] = b'{"title":"Book 3","price":NaN}', b"{'title': 9}"
    job = shop.insert_job("Books", items=items)
    meter("sync")
    done = meter("release", job, "--items")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first == "books: 1 rejected item of 1 job let in; publish the warehouse to see it"
    assert second.startswith(f"books: 1 item cannot be read and stay out: job {job}, item_index 9: not valid JSON")
    refused = meter("release", job, "--items")
    assert (refused.code, "none of its 1 rejected items can be read" in refused.err) == (2, True)
    other = shop.insert_job("Books", items=[*items[:3], *items[3:4] * 2])
    meter("sync")
    assert json.loads(meter("release", other, "--items", "--json").out) == {
        "released": [{"strategy": "books", "jobs": 1, "items": 2, "left": 0}]
    }
    assert states(meter)[other] == "accepted"
