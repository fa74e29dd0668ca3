"""The key in what a server answers: it is taken out on the way in, wherever it stands and however the answer is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import MeterClient
from meter_pipeline.api.credentials import SHOWN, Credentials
from meter_pipeline_tests.api.conftest import CANARY
from meter_pipeline_tests.api.scripted import Answer, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]
KEY = CANARY.encode()


def scrubbed(key: str, pieces: list[bytes]) -> bytes:
    """What is left of a text that came in pieces."""
    scrubber = Credentials(key).scrubber()
    return b"".join([*map(scrubber.feed, pieces), scrubber.end()])


@given(
    st.lists(st.sampled_from([KEY, KEY[:5], KEY[5:], KEY[:-1], b"s", b"sk_", b" ", b"text"]), max_size=12), st.data()
)
def test_the_key_is_found_wherever_a_text_is_cut(words: list[bytes], data: st.DataObject) -> None:
    text = b"".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert scrubbed(CANARY, pieces) == text.replace(KEY, SHOWN.encode())


@given(st.binary(), st.integers(0, 40))
def test_a_text_without_the_key_stays_as_it_is(text: bytes, cut: int) -> None:
    assert scrubbed(CANARY, [text[:cut], text[cut:]]) == text


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda key: quote(key, safe=""),
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(key)[1:-1].replace("/", r"\/"),
    ],
)
def test_the_key_is_found_in_an_address_and_in_json(spell: Callable[[str], str]) -> None:
    key = 'sk_live_with/slash"and+plus'
    assert scrubbed(key, [f"a {spell(key)} b".encode()]) == f"a {SHOWN} b".encode()


def test_a_key_that_may_be_a_word_is_left_in_data() -> None:
    assert scrubbed("test", [b'{"title": "a test"}']) == b'{"title": "a test"}'
    assert Credentials("test").scrub(b"the key test is wrong") == f"the key {SHOWN} is wrong".encode()


@pytest.mark.parametrize("spool_bytes", [2**20, 64])
def test_records_items_and_errors_come_without_the_key(serve: Serve, connect: Connect, spool_bytes: int) -> None:
    said = f"Authorization: Bearer {CANARY}"
    job = {
        "id": "j1", "status": "failed", "error": said, "parameters": {"url": f"https://x.example/?key={CANARY}"},
        "structural_signature": [said], "unknown": {said: [said]}, "results": [{"page": said}, *[{"n": 1}] * 50],
    }  # fmt: skip
    client = connect(serve(Answer(json=job, chunked=True)), spool_bytes=spool_bytes)
    with client.job_body("j1") as body:
        items = b"".join(body.items())
        assert body.job.error == f"Authorization: Bearer {SHOWN}"
        assert body.job.parameters == {"url": f"https://x.example/?key={SHOWN}"}
        assert CANARY not in repr(body.job) + json.dumps(body.job.raw)
    assert items.count(b"{") == 51
    assert KEY not in items
    strategy = connect(serve(Answer(json={"id": "s1", "name": said, "other": said}))).strategy("s1")
    assert CANARY not in repr(strategy) + json.dumps(strategy.raw)
