"""An error has what, where and what to do, on one line, and never the key."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from meter_pipeline.api import MeterClient, MeterConfigError, MeterConnectionError, MeterError, MeterRateLimited
from meter_pipeline.api.credentials import Credentials
from meter_pipeline_tests.api.conftest import CANARY
from meter_pipeline_tests.api.scripted import HANG_UP, Answer, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]

HIDDEN = "private words"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(404, {"detail": "Job not found"}), "GET /v1/jobs/j1 answered 404: Job not found"),
        (
            Answer(401, {"detail": "Invalid API key"}),
            "GET /v1/jobs/j1 answered 401: Invalid API key; check METER_API_KEY",
        ),
        (
            Answer(422, {"detail": [{"loc": ["body", "url"], "msg": "not a URL", "type": "x"}, {"msg": "too long"}]}),
            "GET /v1/jobs/j1 answered 422: body.url: not a URL; too long",
        ),
        (
            Answer(400, body=b"<html><head><title>Bad\n gateway</title></head>"),
            "GET /v1/jobs/j1 answered 400: Bad gateway",
        ),
        (Answer(400, body=b""), "GET /v1/jobs/j1 answered 400: no explanation"),
        (Answer(400, {"message": "x\ny"}), "GET /v1/jobs/j1 answered 400: x y"),
        (
            Answer(404, {"detail": "Not Found"}),
            "GET /v1/jobs/j1 answered 404: Not Found; check METER_BASE_URL and METER_API_PREFIX",
        ),
        (
            Answer(308, body=b"", headers={"Location": "https://new.example/x?key=secret"}),
            "GET /v1/jobs/j1 answered 308: a redirect to https://new.example/x; "
            "point METER_BASE_URL at the final address",
        ),
    ],
)
def test_a_refusal_is_one_telling_line(serve: Serve, connect: Connect, answer: Answer, expected: str) -> None:
    with pytest.raises(MeterError) as caught:
        connect(serve(answer)).job("j1")
    assert str(caught.value) == expected


def test_long_explanations_are_shortened(serve: Serve, connect: Connect) -> None:
    with pytest.raises(MeterError) as caught:
        connect(serve(Answer(400, {"detail": "x" * 5000}))).job("j1")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key": ""}, "there is no API key; set METER_API_KEY"),
        ({"api_key": "sk_live_a\nb"}, "characters that cannot be in one"),
        ({"base_url": "api.meter.sh"}, "is not an http.s. address; set METER_BASE_URL"),
        ({"base_url": "https://"}, "is not an http.s. address"),
        ({"base_url": "https://host:port"}, "is not an http.s. address"),
        ({"base_url": "https://me:secret@host"}, "a password in it"),
        ({"base_url": "https://host?x=1"}, "has a query"),
        ({"base_url": "https://host/api", "prefix": "/v1"}, "ends in /api, the prefix is /v1"),
        ({"prefix": "/v2"}, "the prefix '/v2' is not known; set METER_API_PREFIX"),
        ({"max_attempts": 0}, "max_attempts is 0, not a number above 0"),
        ({"max_requests_per_second": -1}, "max_requests_per_second is -1"),
    ],
)
def test_bad_settings_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MeterConfigError, match=message) as caught:
        MeterClient(**{"api_key": CANARY, **settings})
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def everything_said(error: BaseException) -> Iterator[str]:
    """All that a log or an error tracker could show of an exception."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield from (str(current), repr(current), repr(vars(current)), "".join(traceback.format_exception(current)))
        request = getattr(current, "request", None)
        yield repr(getattr(request, "headers", ""))
        waiting += [current.__cause__, current.__context__]


@pytest.mark.parametrize(
    "answer",
    [
        HANG_UP,
        Answer(401, {"detail": f"the key {CANARY} is not known"}),
        Answer(500, body=f"<title>{CANARY}</title>".encode()),
        Answer(400, {"detail": [{"msg": CANARY, "loc": [CANARY]}]}),
        Answer(302, body=b"", headers={"Location": f"https://x.example/{CANARY}"}),
        Answer(body=f"Bearer {CANARY} {quote(CANARY)}".encode()),
        Answer(body=f'{{"{CANARY}": 1}}'.encode(), cut=8),
    ],
)
def test_the_key_is_never_shown(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    client = connect(serve(answer), max_attempts=2)
    for ask in (
        lambda: client.job_body("j1"),
        lambda: client.strategy("s1"),
        lambda: client.changes("s1", mark_seen=False, filter=HIDDEN),
    ):
        with pytest.raises(MeterError) as caught:
            ask()
        said = "\n".join(everything_said(caught.value))
        assert CANARY not in said
        assert HIDDEN.split()[0] not in said
    assert CANARY not in caplog.text
    assert CANARY not in repr(client) + repr(vars(client)) + repr(vars(client._transport))


def test_credentials_show_and_pickle_nothing() -> None:
    credentials = Credentials(CANARY)
    assert CANARY not in repr(credentials)
    with pytest.raises(TypeError):
        pickle.dumps(credentials)


def test_a_netrc_does_not_replace_the_key(
    serve: Serve, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(Answer(json={"id": "s1"}))
    connect(server).strategy("s1")
    connect(server).job("s1")
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("http://127.0.0.1:1", "connection refused"),
        ("http://no-such-host.invalid", "the host's name cannot be resolved"),
    ],
)
def test_a_network_error_names_its_cause(base_url: str, message: str) -> None:
    client = MeterClient(CANARY, base_url=base_url, prefix="/v1", wait_scale=0, max_attempts=2)
    for ask in (lambda: client.job("j1"), lambda: client.strategy("s1")):
        with pytest.raises(MeterConnectionError, match=message) as caught:
            ask()
        assert not caught.value.ambiguous


def test_plain_http_is_not_taken_for_tls(serve: Serve) -> None:
    server = serve(HANG_UP)
    client = MeterClient(CANARY, base_url=server.url.replace("http:", "https:"), prefix="/v1", wait_scale=0)
    with pytest.raises(MeterConnectionError, match="no secure connection"):
        client.job("j1")


def test_an_error_carries_what_a_program_needs() -> None:
    error = MeterRateLimited("slow down", status=429, method="GET", path="/v1/jobs", retry_after=3)
    assert (error.status, error.method, error.path, error.detail, error.retry_after) == (
        429, "GET", "/v1/jobs", "slow down", 3,
    )  # fmt: skip
    assert error.hint
