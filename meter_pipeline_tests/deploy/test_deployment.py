"""The deployment of `deploy/`, its parts as processes: PostgreSQL, Redis, an object store, a code server, workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import reading
from meter_pipeline_tests.servers import store_url

pytestmark = pytest.mark.deploy
DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent
_STRATEGIES, _JOBS, _ITEMS = 6, 12, 20
_PATIENCE = 400.0
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


class Deployment:
    """All processes of a deployment, each with a data folder of its own; a context manager."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._stack = folder, ExitStack()
        self.home = folder / "home"
        self.home.mkdir()
        self._port = find_port()
        for name in ("dagster.yaml", "celery.yaml", "workspace.yaml"):
            shutil.copy(DEPLOY / name, self.home / name)
        # What differs from a real deployment: where the code server is, and how soon a run counts as dead.
        replace(self.home / "workspace.yaml", "host: code", "host: 127.0.0.1", "port: 4000", f"port: {self._port}")
        replace(
            self.home / "dagster.yaml",
            "max_runtime_seconds: 7200", "max_runtime_seconds: 60",
            "poll_interval_seconds: 30", "poll_interval_seconds: 5",
        )  # fmt: skip
        self._environment = {**os.environ, **environment, "DAGSTER_HOME": str(self.home)}
        self._environment["PATH"] = f"{BIN}:{os.environ['PATH']}"

    def __enter__(self) -> Deployment:
        module = ("--module-name", "meter_pipeline.definitions")
        self.start("code", "dagster", "code-server", "start", "--host", "127.0.0.1", "--port", str(self._port), *module)
        wait_until(lambda: is_listening(self._port))
        self.start("daemon", "dagster-daemon", "run", "--workspace", "workspace.yaml")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def start(self, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a program with a data folder and a log of its own, and ends it with the deployment."""
        environment = self._environment | {"METER_DATA_DIR": str(self.folder / name)}
        log = self._stack.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [BIN / program, *arguments], cwd=self.home, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        self._stack.callback(kill, process)
        return process

    def start_worker(self, name: str, queue: str) -> subprocess.Popen[bytes]:
        """Starts a worker as `compose.yaml` does."""
        options = ("--app", "dagster_celery.app", "--config-yaml", "celery.yaml", "--queue", queue)
        process = self.start(name, "dagster-celery", "worker", "start", *options)
        wait_until(lambda: process.poll() is not None or b"ready" in (self.folder / f"{name}.log").read_bytes())
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        return process

    def launch(self, job: str, **config: Any) -> None:
        """Launches a run of a job."""
        ops = {"ops": {"meter_sync": {"config": config}}} if config else {}
        command = [BIN / "dagster", "job", "launch", "--workspace", "workspace.yaml", "--job", job]
        subprocess.run(
            [*command, "--config-json", json.dumps(ops)],
            cwd=self.home, env=self._environment, check=True, capture_output=True, timeout=300,
        )  # fmt: skip

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The deployment's Dagster instance."""
        before = dict(os.environ)
        os.environ.update(self._environment)
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)


def replace(path: Path, *pairs: str) -> None:
    """Replaces texts in a file, each of which must be there."""
    text = path.read_text()
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.5)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and what it started, as a machine that fails does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis server."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: apt-get install redis-server"
    port = find_port()
    process = subprocess.Popen([program, "--port", str(port), "--save", ""], cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until(lambda: is_listening(port))
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


@pytest.fixture
def deployment(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path, postgres: str, object_store: str, broker: str
) -> Iterator[Deployment]:
    """The processes but the workers, and a Meter that takes its time."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        for name in ("meter", "dagster"):
            connection.execute(f"CREATE DATABASE {name}")
    sandbox = make_sandbox(worlds=(), api_key="sk_live_deployed")
    for number in range(_STRATEGIES):
        sandbox.add_strategy(f"Shop {number}", f"https://shop{number}.example/")
        for job in range(_JOBS):
            items = [{"name": f"thing {item}", "price": 10 + (item * job) % 7} for item in range(_ITEMS)]
            sandbox.insert_job(f"Shop {number}", items=items)
            sandbox.advance(hours=1)
    sandbox.world.faults.latency_ms = 400
    environment = {
        "METER_API_KEY": sandbox.api_key,
        "METER_BASE_URL": sandbox.url,
        "METER_LEDGER_URL": postgres.replace("/postgres?", "/meter?"),
        "METER_LAKE_URL": store_url(f"lakes/{tmp_path.name}", object_store),
        "METER_BROKER_URL": broker,
        "METER_DBT_PROJECT": "none",
        "METER_PUBLISH_EVERY": "15m",
        "METER_PUBLISH_TAGS": '{"dagster-celery/queue": "publishing"}',
        "DAGSTER_PG_URL": postgres.replace("/postgres?", "/dagster?"),
    }
    with Deployment(tmp_path, environment) as deployed:
        yield deployed


def test_three_runs_at_once_load_everything_though_a_worker_dies_and_one_machine_publishes(
    deployment: Deployment,
) -> None:
    workers = [deployment.start_worker(f"loader{number}", "loading") for number in range(2)]
    deployment.start_worker("publisher", "publishing")
    for number in range(3):
        deployment.launch("load", strategies=[f"shop_{number}", f"shop_{number + 3}"])
    with deployment.instance() as instance:

        def statuses() -> Counter[str]:
            return Counter(run.status.value for run in instance.get_runs())

        wait_until(lambda: statuses()["STARTED"] >= 2)
        kill(workers[0])
        # The monitor gives the dead worker's run up, and Dagster tries it again on the worker that is left.
        wait_until(lambda: statuses()["SUCCESS"] >= 3)
        wait_until(lambda: all(run.status in _ENDED for run in instance.get_runs()))
        deployment.launch("publish_warehouse")
        wait_until(lambda: statuses()["SUCCESS"] >= 4)
    warehouse = deployment.folder / "publisher" / "warehouse.duckdb"
    with reading(warehouse) as connection:
        jobs = connection.execute("SELECT state, count(*), sum(items) FROM meter.jobs GROUP BY ALL").fetchall()
        rows = connection.execute("SELECT count(*) FROM meter.items").fetchall()
        columns = "count(*), count(DISTINCT (_meter_job_id, _meter_item_key))"
        shops = [connection.execute(f"SELECT {columns} FROM results.shop_{n}").fetchone() for n in range(_STRATEGIES)]
    total = _STRATEGIES * _JOBS
    assert jobs == [("accepted", total, total * _ITEMS)]
    assert rows == [(total * _ITEMS,)]
    assert shops == [(_JOBS * _ITEMS, _JOBS * _ITEMS)] * _STRATEGIES
    assert not (deployment.folder / "loader1" / "warehouse.duckdb").exists()
