"""What a lake on an object store costs in requests, and what happens when the store fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from botocore.retries import standard

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.cleaning import clean
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake import remote, s3
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.object_server import Failure, ObjectServer, Request, Rule
from meter_pipeline_tests.servers import SECRET, SPELLED_SECRET

STRATEGIES = 2
DAYS = 3
TABLES = ("raw", "results", "changes", "profiles")


@pytest.fixture
def shared(store_place: str, make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station whose lake is on the store, and which has loaded strategies with a history."""
    for number in range(STRATEGIES):
        empty_sandbox.add_strategy(f"S{number}", items=[])
    for age in range(DAYS, 0, -1):
        insert_everywhere(empty_sandbox, age)
    station = make_station(empty_sandbox, "shared")
    station.lake = Lake.open(store_place)
    assert station.sync().jobs == DAYS * STRATEGIES
    return station


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda self, context: 0)


def insert_everywhere(sandbox: Sandbox, age: int) -> None:
    """A job of each strategy, `age` days old, whose items differ from those of the job before."""
    for number in range(STRATEGIES):
        items = [{"id": n, "name": f"n{n}", "price": n * 7 + age * (n % 5 == 0)} for n in range(40)]
        sandbox.insert_job(f"S{number}", items=items, completed_at=sandbox.world.now - age * 86_400)


# -- requests


def test_a_new_job_costs_one_read_and_one_write_for_each_table(
    shared: Station, store_place: str, empty_sandbox: Sandbox, object_server: ObjectServer
) -> None:
    for number in range(3):
        insert_everywhere(empty_sandbox, -number)
        with object_server.counting() as counts:
            shared.lake = Lake.open(store_place)
            assert shared.sync().jobs == STRATEGIES
        tables = {f"{method} {table}": STRATEGIES for method in ("GET", "PUT") for table in TABLES}
        assert counts == {**tables, "GET lake.json": 1}
    assert_whole(shared)


def test_a_process_that_goes_on_only_writes(
    shared: Station, empty_sandbox: Sandbox, object_server: ObjectServer
) -> None:
    insert_everywhere(empty_sandbox, 0)
    with object_server.counting() as counts:
        assert shared.sync().jobs == STRATEGIES
    assert counts == {f"PUT {table}": STRATEGIES for table in TABLES}


def test_a_sync_without_news_costs_one_request_and_cleaning_one(
    shared: Station, store_place: str, empty_sandbox: Sandbox, object_server: ObjectServer
) -> None:
    insert_everywhere(empty_sandbox, 0)
    shared.sync()
    with object_server.counting() as counts:
        shared.lake = Lake.open(store_place)
        assert shared.sync().jobs == 0
    assert counts == {"GET lake.json": 1}
    with object_server.counting() as counts:
        assert clean(shared.ledger, shared.lake, grace=timedelta(0)) == len(TABLES) * STRATEGIES
    assert counts == {"POST": 1}
    listed = {part.name for slug in shared.slugs for part in shared.parts(slug)}
    assert {name for table in TABLES for name in shared.lake.files.find(table)} == listed


# -- failures


def _once(wanted: Callable[[Request], bool], failure: Failure) -> Rule:
    """Fails the first request of each kind and object that is wanted."""
    seen: set[Request] = set()

    def rule(request: Request) -> Failure | None:
        if not wanted(request) or request in seen:
            return None
        seen.add(request)
        return failure

    return rule


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_request_that_fails_once_is_sent_again(
    method: str,
    shared: Station,
    store_place: str,
    empty_sandbox: Sandbox,
    object_server: ObjectServer,
) -> None:
    failures: list[Failure] = [500, 503, "reset", "lost", "cut"]
    for number, failure in enumerate(failures):
        insert_everywhere(empty_sandbox, -number)
        with object_server.failing(_once(lambda request: request.method == method, failure)):
            shared.lake = Lake.open(store_place)
            report = shared.sync()
        assert (report.jobs, report.problems) == (STRATEGIES, []), failure
    assert_whole(shared)


@pytest.mark.parametrize(
    ("what", "failure"),
    [
        ("GET raw", 500),
        slow("GET raw", 403),
        slow("GET raw", "cut"),
        slow("GET results", 503),
        slow("PUT raw", 503),
        ("PUT results", "reset"),
        ("PUT changes", 403),
        slow("PUT changes", "lost"),
    ],
)
def test_a_strategy_whose_requests_fail_is_one_line_and_the_others_go_on(
    what: str,
    failure: Failure,
    shared: Station,
    store_place: str,
    empty_sandbox: Sandbox,
    object_server: ObjectServer,
    make_station: Callable[..., Station],
) -> None:
    insert_everywhere(empty_sandbox, 0)
    before = shared.read("raw", "s1").num_rows

    def rule(request: Request) -> Failure | None:
        is_meant = "/strategy=s1/" in request.path and f"{request.method} {request.name}" == what
        return failure if is_meant else None

    with object_server.failing(rule):
        start = len(object_server.requests)
        shared.lake = Lake.open(store_place)
        report = shared.sync()
        tries = [request for request in object_server.requests[start:] if rule(request) is not None]
    assert report.jobs == STRATEGIES - 1
    (problem,) = report.problems
    assert problem.slug == "s1"
    assert "lake s3://lakes/" in problem.reason
    assert "\n" not in problem.reason
    assert not any(secret in problem.reason for secret in (SECRET, SPELLED_SECRET, "canary"))
    assert len(tries) == len(set(tries)) * (1 if failure == 403 else s3.ATTEMPTS)
    assert shared.read("raw", "s1").num_rows == before
    assert_whole(shared)
    report = shared.sync()
    assert (report.jobs, report.problems) == (1, [])
    assert_whole(shared)
    undisturbed = make_station(empty_sandbox, "undisturbed")
    undisturbed.sync()
    assert_equal(shared, undisturbed)


def test_a_store_that_does_not_answer_is_waited_for_once_and_not_by_each_strategy(
    shared: Station,
    store_place: str,
    empty_sandbox: Sandbox,
    object_server: ObjectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setattr(s3, "_READ_SECONDS", 0.5)
    insert_everywhere(empty_sandbox, 0)
    waiting: list[Request] = []
    may_answer = threading.Event()

    def rule(request: Request) -> Failure | None:
        if request.name in TABLES:
            waiting.append(request)
            may_answer.wait(30)
        return None

    shared.lake = Lake.open(store_place)
    with object_server.failing(rule):
        report = shared.sync(limits=Limits(writers=1))
        may_answer.set()
    assert len(waiting) == 1
    assert report.jobs == 0
    assert sorted(problem.slug for problem in report.problems) == shared.slugs
    assert {"Read timeout" in problem.reason for problem in report.problems} == {True}
    # Later, the same process asks again.
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + remote._REST_SECONDS))
    assert shared.sync().jobs == STRATEGIES
    assert_whole(shared)


def test_a_store_that_cannot_delete_many_objects_at_once_deletes_each(
    shared: Station, empty_sandbox: Sandbox, object_server: ObjectServer
) -> None:
    insert_everywhere(empty_sandbox, 0)
    shared.sync()
    with object_server.failing(lambda request: 501 if request.method == "POST" else None):
        with object_server.counting() as counts:
            assert clean(shared.ledger, shared.lake, grace=timedelta(0)) == len(TABLES) * STRATEGIES
    assert counts == {"POST": 1, **{f"DELETE {table}": STRATEGIES for table in TABLES}}
    assert_whole(shared)


def test_an_upload_in_pieces_that_fails_leaves_nothing(
    store_place: str, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PUT_BYTES", "_UPLOAD_BYTES"):
        monkeypatch.setattr(s3, name, 6 * 2**20)
    files = Lake.open(store_place).files

    def rule(request: Request) -> Failure | None:
        return 503 if "partNumber=2" in request.query else None

    def write() -> None:
        with files.writing("raw/large") as file:
            file.write(bytes(15 * 2**20))

    with object_server.failing(rule), pytest.raises(LakeError, match="as the test wants"):
        write()
    assert object_server.requests[-1].method == "DELETE"
    assert files.find("raw") == []
    write()
    assert files.size("raw/large") == 15 * 2**20
