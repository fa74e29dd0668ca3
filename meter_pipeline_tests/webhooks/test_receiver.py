"""The webhook inbox: what is genuine is kept once and loaded once; nothing else is kept."""

from __future__ import annotations

import json
import random
import socket
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import MeterClient
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync import SyncReport, sync
from meter_pipeline.webhooks.connections import Limits
from meter_pipeline.webhooks.inbox import Hint, Inbox
from meter_pipeline.webhooks.receiver import InboxError, create_app, create_server, read_hint

SECRET = "whsec_one"
MOST = 5_000


class Door:
    """A running inbox and a way to post to it."""

    def __init__(self, inbox: Inbox, limits: Limits | None = None) -> None:
        self.inbox = inbox
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        app = create_app(inbox, [SECRET, "whsec_two"], max_bytes=MOST)
        self._server = create_server(app, limits)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        self._pool = urllib3.PoolManager(retries=False, maxsize=8)

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._pool.clear()
        self._listener.close()

    def post(self, body: Any, secret: str | None = SECRET, path: str = "/", **options: Any) -> int:
        content = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
        headers = {"X-Webhook-Secret": secret} if secret is not None else {}
        return self._pool.request("POST", self.url + path, body=content, headers=headers, **options).status

    @property
    def connections(self) -> set[Any]:
        """The connections that are open."""
        return self._server.server_state.connections

    @property
    def runs(self) -> bool:
        """Whether the server has not ended."""
        return self._thread.is_alive()

    def ids(self) -> set[str]:
        return {hint.job_id for hint in self.inbox.hints()}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(Inbox(tmp_path / "inbox")) as door:
        yield door


@pytest.fixture
def syncing(tmp_path: Path, empty_sandbox: Sandbox) -> Iterator[Any]:
    """Syncs the sandbox with an inbox."""
    ledger, lake = Ledger.open(str(tmp_path / "ledger.sqlite")), Lake.open(str(tmp_path / "lake"))
    with MeterClient(empty_sandbox.api_key, base_url=empty_sandbox.url, wait_scale=0) as client:

        def run(inbox: Inbox, **options: Any) -> SyncReport:
            return sync(client, ledger, lake, inbox=inbox, **options)

        run.ledger = ledger  # type: ignore[attr-defined]
        yield run
    ledger.close()


def test_a_genuine_report_is_kept_and_holds_nothing_but_a_hint(door: Door) -> None:
    report = {"job_id": "j1", "schedule_id": "s1", "status": "failed", "error": "503", "results": [{"a": 1}]}
    assert door.post(report) == 200
    assert door.post({"id": "j2"}, secret="whsec_two", path="/hooks/meter") == 200
    hints = {hint.job_id: hint for hint in door.inbox.hints()}
    assert hints["j1"].schedule_id == "s1"
    assert hints["j1"].status == "failed"
    assert hints.keys() == {"j1", "j2"}
    (kept,) = door.inbox.folder.glob("j1*")
    assert b"results" not in kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("secret", [None, "", "whsec_on", "whsec_one2", "whsec_one,whsec_two", "é"])
def test_a_forged_report_is_refused_and_leaves_nothing(door: Door, secret: str | None) -> None:
    assert door.post({"job_id": "j1"}, secret=secret) == 401
    assert not door.ids()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'"j"',
        b'{"job_id": null}',
        b'{"job_id": ""}',
        b'{"job_id": {}}',
        b'{"a": 1}',
        b"\xff",
        b'{"x":' + b"[" * 4_000,
    ],
)
def test_a_report_that_names_no_job_is_refused(door: Door, body: bytes) -> None:
    assert door.post(body) == 400
    assert not door.ids()


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"job_id": "j1", "schedule_id": {"id": 1}, "status": 7}', ("j1", None, None)),
        (b'{"job_id": null, "id": "j1", "status": ["completed"]}', ("j1", None, None)),
        (b'{"job_id": {"id": "x"}, "id": "j1", "schedule_id": true}', ("j1", None, None)),
        (b'{"job_id": "j1", "schedule_id": "' + b"s" * 501 + b'", "status": "failed"}', ("j1", None, "failed")),
        (b'{"job_id": "j1", "schedule_id": NaN, "status": "failed", "price": NaN}', ("j1", None, "failed")),
        (b'{"results": ' + b"[" * 2_000 + b"]" * 2_000 + b', "job_id": "j1"}', ("j1", None, None)),
        (b'{"results": [{"title": "\\ud83d"}], "job_id": "j1"}', ("j1", None, None)),
        (b'{"results": ["\xff\xfe"], "job_id": "j1", "a\xff": 1}', ("j1", None, None)),
        (b'\xef\xbb\xbf{"job_id": 17}', ("17", None, None)),
        (b'{"job_id": "x", "job_id": "j1", "item_count": 1e999}', ("j1", None, None)),
    ],
)
def test_an_odd_field_costs_itself_and_not_the_report(door: Door, body: bytes, kept: tuple[Any, ...]) -> None:
    assert door.post(body) == 200
    assert [(hint.job_id, hint.schedule_id, hint.status) for hint in door.inbox.hints()] == [kept]


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
    ),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_whatever_else_a_report_holds_its_job_is_found(report: dict[str, Any], encoding: str) -> None:
    body = json.dumps({**report, "job_id": "j1"}).encode(encoding)
    hint = read_hint(body)
    assert hint is not None
    assert hint.job_id == "j1"


def test_a_report_that_is_too_large_is_refused_while_it_arrives(door: Door) -> None:
    large = json.dumps({"job_id": "j1", "results": "x" * MOST}).encode()
    assert door.post(large) == 413
    pieces = (large[start : start + 500] for start in range(0, len(large), 500))
    assert door.post(pieces, chunked=True) == 413
    assert not door.ids()


@pytest.mark.parametrize("job_id", ["../../etc/passwd", "..", "a/b\\c", "ü" * 200, "nul\0byte", 17, "x" * 500])
def test_no_job_id_leaves_the_folder(door: Door, job_id: Any) -> None:
    assert door.post({"job_id": job_id}) == 200
    assert door.ids() == {str(job_id)}
    assert [path.parent for path in door.inbox.folder.parent.rglob("*.json")] == [door.inbox.folder]
    door.inbox.remove([str(job_id)])
    assert not door.ids()


def test_a_disk_that_cannot_be_written_is_answered_so_that_meter_tries_again(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("a file stands where the folder should")
    with Door(Inbox(tmp_path / "inbox")) as door:
        assert door.post({"job_id": "j1"}) == 503


def test_an_inbox_without_a_secret_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(InboxError, match="METER_WEBHOOK_SECRET"):
        create_app(Inbox(tmp_path), ["", ""])


def test_a_file_that_is_no_report_is_taken_out(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put(Hint("j1"))
    (tmp_path / "broken.json").write_bytes(b"{")
    assert [hint.job_id for hint in inbox.hints()] == ["j1"]
    assert [path.name for path in tmp_path.iterdir()] == ["j1.json"]


def test_many_deliveries_doubled_shuffled_forged_and_replayed_give_one_load_each(
    door: Door, syncing: Any, empty_sandbox: Sandbox
) -> None:
    chance = random.Random(3)
    empty_sandbox.add_strategy("Shop", "https://shop.example/", items=[])
    schedule = empty_sandbox.world.add_schedule("Shop", schedule_id="daily")
    ids = [empty_sandbox.insert_job("Shop", items=[{"n": n}], schedule="daily") for n in range(100)]
    failed = empty_sandbox.insert_job("Shop", schedule="daily", status="failed")
    genuine = [{"job_id": id_, "schedule_id": schedule.schedule_id, "status": "completed"} for id_ in ids]
    genuine.append({"job_id": failed, "schedule_id": schedule.schedule_id, "status": "failed"})
    doubled = genuine + chance.choices(genuine, k=50)
    letters = [(body, SECRET) for body in doubled] + [({"job_id": f"forged-{n}"}, "guess") for n in range(49)]
    chance.shuffle(letters)
    assert len(letters) == 200
    first, second = letters[:100], letters[100:]
    statuses: Counter[int] = Counter()
    for some in (first, second):
        # Nothing looks into the inbox while these come.
        with ThreadPoolExecutor(8) as pool:
            statuses.update(pool.map(lambda letter: door.post(letter[0], letter[1]), some))
        assert not [id_ for id_ in door.ids() if id_.startswith("forged")]
        assert syncing(door.inbox, schedules=[]).exit_code == 0
        assert not door.ids()
    assert statuses == {200: 151, 401: 49}
    # Replays of what is loaded are no news.
    for body in genuine[:20]:
        assert door.post(body) == 200
    assert syncing(door.inbox, schedules=[]).jobs == 0
    assert not door.ids()
    jobs = {row.job_id: row.state for row in syncing.ledger.jobs()}
    assert jobs == {**dict.fromkeys(ids, "accepted"), failed: "failed"}
    asked = Counter(entry.path.rpartition("/")[2] for entry in empty_sandbox.log if "/jobs/" in entry.path)
    assert not [id_ for id_ in asked if id_.startswith("forged")]


def test_the_sandbox_really_delivers_and_a_report_of_an_unknown_job_is_dropped(
    door: Door, syncing: Any, empty_sandbox: Sandbox
) -> None:
    empty_sandbox.add_strategy("Shop", "https://shop.example/", items=[{"a": 1}])
    empty_sandbox.world.add_schedule(
        "Shop", interval_seconds=3600, webhook_url=f"{door.url}/meter", webhook_secret=SECRET
    )
    empty_sandbox.set_faults(webhook_duplicates=0.5, webhook_reorder=0.5)
    empty_sandbox.advance(hours=12.5)
    assert empty_sandbox.drain_webhooks()
    assert {delivery.status for delivery in empty_sandbox.deliveries} == {200}
    delivered = {delivery.job_id for delivery in empty_sandbox.deliveries}
    assert door.ids() == delivered
    assert len(delivered) == 12
    door.post({"job_id": "no-such-job"})
    report = syncing(door.inbox)
    assert report.reported == 13
    assert report.exit_code == 0
    assert {row.job_id for row in syncing.ledger.jobs(states=("accepted",))} == delivered
    assert not door.ids()


def test_reports_stay_while_the_api_cannot_be_asked(door: Door, syncing: Any, empty_sandbox: Sandbox) -> None:
    empty_sandbox.add_strategy("Shop", "https://shop.example/", items=[])
    job = empty_sandbox.insert_job("Shop", items=[{"a": 1}])
    door.post({"job_id": job})
    empty_sandbox.set_faults(path=f"/jobs/{job}", rate_500=1.0)
    report = syncing(door.inbox, schedules=[])
    assert [problem.job_id for problem in report.problems] == [job]
    # It is kept, and not asked for again at once.
    (kept,) = door.inbox.folder.glob("*.json")
    assert json.loads(kept.read_bytes())["attempts"] == 1
    assert not door.ids()
    empty_sandbox.clear_faults()
    kept.unlink()
    door.post({"job_id": job})
    syncing(door.inbox, schedules=[])
    assert not door.ids()
    assert [row.state for row in syncing.ledger.jobs()] == ["accepted"]
