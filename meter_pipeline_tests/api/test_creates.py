"""Creates are carried out once, whatever happens to the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.api import (
    Batch,
    GeneratedStrategy,
    Job,
    MemoryIntents,
    MeterAmbiguous,
    MeterBadRequest,
    MeterClient,
    MeterConnectionError,
    MeterServerError,
)
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.api.scripted import HANG_UP, Answer, Asked, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]
URL = "https://books.example/new"
FAULTS_AFTER = ["drop_after", "error_after", "truncate"]


@pytest.fixture
def strategy_id(sandbox: Sandbox, connect: Connect) -> str:
    return next(connect(sandbox).strategies()).strategy_id


def job_ids(client: MeterClient) -> set[str]:
    return {job.job_id for page in client.job_pages() for job in page}


@pytest.mark.parametrize("fault", FAULTS_AFTER)
def test_a_job_whose_answer_was_lost_is_found_not_made_again(
    sandbox: Sandbox, connect: Connect, strategy_id: str, fault: str
) -> None:
    client = connect(sandbox)
    known = job_ids(client)
    sandbox.set_faults(script=[fault], method="POST")
    job = client.create_job(strategy_id=strategy_id, url=URL)
    assert isinstance(job, Job)
    assert job_ids(client) - known == {job.job_id}


@pytest.mark.parametrize("fault", ["drop_before", "rate_500", "rate_502", "rate_503", "rate_429"])
def test_a_job_that_was_not_made_is_made(sandbox: Sandbox, connect: Connect, strategy_id: str, fault: str) -> None:
    client = connect(sandbox)
    known = job_ids(client)
    sandbox.set_faults(script=[fault], method="POST")
    client.create_job(strategy_id=strategy_id, url=URL)
    assert len(job_ids(client) - known) == 1


def test_the_same_job_twice_on_purpose_is_two_jobs(sandbox: Sandbox, connect: Connect, strategy_id: str) -> None:
    client = connect(sandbox)
    made = [client.create_job(strategy_id=strategy_id, url=URL) for _ in range(2)]
    assert made[0] != made[1]


@pytest.mark.parametrize("fault", FAULTS_AFTER)
def test_a_batch_is_found_by_its_jobs(sandbox: Sandbox, connect: Connect, strategy_id: str, fault: str) -> None:
    client = connect(sandbox)
    known = job_ids(client)
    sandbox.set_faults(script=[fault], method="POST")
    batch = client.create_job(strategy_id=strategy_id, urls=[URL, "https://books.example/old"])
    assert isinstance(batch, Batch)
    made = [job for page in client.job_pages() for job in page if job.job_id not in known]
    assert [job.batch_id for job in made] == [batch.batch_id] * 2


@pytest.mark.parametrize("fault", FAULTS_AFTER)
def test_a_schedule_is_made_once(sandbox: Sandbox, connect: Connect, strategy_id: str, fault: str) -> None:
    client = connect(sandbox, prefix="/api")
    known = {schedule.schedule_id for schedule in client.schedules()}
    sandbox.set_faults(script=[fault], method="POST")
    made = client.create_schedule(
        strategy_id=strategy_id,
        url=URL,
        interval_seconds=7200,
        webhook_url="https://hook.example/in",
        webhook_secret="whsec_mine",
    )
    assert {schedule.schedule_id for schedule in client.schedules()} - known == {made.schedule_id}
    assert made.webhook_secret == "whsec_mine"


@pytest.mark.parametrize("fault", FAULTS_AFTER)
def test_a_strategy_is_generated_once(sandbox: Sandbox, connect: Connect, fault: str) -> None:
    client = connect(sandbox)
    known = {strategy.strategy_id for strategy in client.strategies()}
    sandbox.set_faults(script=[fault], method="POST")
    made = client.generate_strategy(url=URL, description="titles", name="Titles")
    assert isinstance(made, GeneratedStrategy)
    assert {strategy.strategy_id for strategy in client.strategies()} - known == {made.strategy_id}


def test_an_executed_job_whose_answer_was_lost_is_waited_for(
    sandbox: Sandbox, connect: Connect, strategy_id: str
) -> None:
    client = connect(sandbox)
    known = job_ids(client)
    sandbox.set_faults(script=["drop_after"], method="POST")
    job = client.execute_job(strategy_id=strategy_id, url=URL)
    assert job.is_terminal
    assert job_ids(client) - known == {job.job_id}


class Service:
    """Makes jobs, and then does with the answer what a test wants."""

    def __init__(self, *fates: Answer | None) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.fates = list(fates)
        self.blind = False

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            rows = self.jobs[::-1] if int(asked.query.get("offset", 0)) == 0 else []
            return Answer(500, {"detail": "blind"}) if self.blind else Answer(json=rows)
        fate = self.fates.pop(0) if self.fates else None
        if fate is not None and not fate.hang_up:
            return fate
        self.jobs.append({"job_id": f"j{len(self.jobs)}", "url": asked.payload["url"], "status": "pending"})
        self.blind = fate is not None and self.blind_after
        return fate or Answer(201, self.jobs[-1])

    blind_after = False


def test_an_unknown_outcome_is_an_error_and_the_next_call_searches_first(serve: Serve, connect: Connect) -> None:
    service = Service(HANG_UP)
    service.blind_after = True
    server = serve(service)
    intents = MemoryIntents()
    client = connect(server, intents=intents, max_attempts=2)
    with pytest.raises(MeterAmbiguous, match="not known whether the job was created"):
        client.create_job(strategy_id="s1", url=URL)
    service.blind = False
    # Another client, as after a crash: only the intent shows what may have happened.
    job = connect(server, intents=intents).create_job(strategy_id="s1", url=URL)
    assert isinstance(job, Job)
    assert (job.job_id, len(service.jobs)) == ("j0", 1)


def test_somebody_elses_job_is_not_taken_for_ours(serve: Serve, connect: Connect) -> None:
    service = Service(Answer(500, {"detail": "no"}))
    server = serve(service)
    service.jobs.append({"job_id": "old", "url": URL, "status": "completed"})

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST" and len(service.jobs) == 1:
            service.jobs.append({"job_id": "scheduled", "url": URL, "schedule_id": "x"})
            service.jobs.append({"job_id": "elsewhere", "url": "https://other.example"})
        return service(asked)

    server.answer = answer
    job = connect(server).create_job(strategy_id="s1", url=URL)
    assert isinstance(job, Job)
    assert job.job_id == "j3"


def test_an_execution_that_timed_out_without_a_trace_is_not_repeated(serve: Serve, connect: Connect) -> None:
    server = serve(lambda asked: Answer(json=[]) if asked.method == "GET" else Answer(504, body=b""))
    with pytest.raises(MeterAmbiguous, match="make the same call again later"):
        connect(server).execute_job(strategy_id="s1", url=URL)
    assert server.paths().count("POST /v1/jobs/execute") == 1


def test_generate_sends_one_key_and_waits_for_a_twin(serve: Serve, connect: Connect) -> None:
    answers = iter(
        [
            Answer(409, {"detail": "still running"}, headers={"Retry-After": "5"}),
            Answer(500, {"detail": "oops"}),
            Answer(201, {"strategy_id": "s1", "preview_data": [{"a": 1}], "attempts": 1}),
        ]
    )
    server = serve(lambda asked: Answer(json=[]) if asked.method == "GET" else next(answers))
    made = connect(server).generate_strategy(url=URL, description="d", name="n", output_schema={"a": "string"})
    assert made.preview == ({"a": 1},)
    keys = [asked.headers["Idempotency-Key"] for asked in server.asked if asked.method == "POST"]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_refusal_closes_the_intent(serve: Serve, connect: Connect) -> None:
    intents = MemoryIntents()
    server = serve(lambda asked: Answer(json=[]) if asked.method == "GET" else Answer(422, {"detail": "no URL"}))
    with pytest.raises(MeterBadRequest, match="no URL"):
        connect(server, intents=intents).create_job(strategy_id="s1", url=URL)
    assert intents.open("job", "any", []).reused is False
    assert server.paths().count("POST /v1/jobs") == 1


def test_a_create_that_fails_for_good_gives_up(serve: Serve, connect: Connect) -> None:
    server = serve(lambda asked: Answer(json=[]) if asked.method == "GET" else Answer(503, {"detail": "later"}))
    with pytest.raises(MeterServerError, match="after 3 attempts"):
        connect(server, max_attempts=3).create_job(strategy_id="s1", url=URL)


def test_refining_is_not_repeated_blindly(serve: Serve, connect: Connect) -> None:
    server = serve(HANG_UP)
    with pytest.raises(MeterAmbiguous, match="updated_at"):
        connect(server).refine_strategy("s1", "more")
    assert len(server.asked) == 1
    again = serve(Answer(503, {"detail": "later"}), Answer(json={"strategy_id": "s1", "preview_data": []}))
    assert connect(again).refine_strategy("s1", "more").strategy_id == "s1"


@pytest.mark.parametrize(
    "arguments",
    [
        {"strategy_id": "s"},
        {"strategy_id": "s", "url": URL, "urls": [URL]},
        {"strategy_id": "s", "urls": []},
    ],
)
def test_one_url_or_several_not_both(connect: Connect, serve: Serve, arguments: dict[str, Any]) -> None:
    server = serve(HANG_UP)
    with pytest.raises(MeterBadRequest, match="exactly one of url and urls"):
        connect(server).create_job(**arguments)
    with pytest.raises(MeterBadRequest, match="exactly one of interval_seconds and cron_expression"):
        connect(server).create_schedule(strategy_id="s", url=URL)
    assert server.asked == []


def test_nobody_listening_means_nothing_was_made(connect: Connect, serve: Serve) -> None:
    with pytest.raises(MeterConnectionError, match="connection refused"):
        MeterClient("sk_live_x", base_url="http://127.0.0.1:1", prefix="/v1", wait_scale=0, max_attempts=2).create_job(
            strategy_id="s", url=URL
        )
