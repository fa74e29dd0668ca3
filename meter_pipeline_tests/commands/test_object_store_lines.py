"""What the command line writes to the terminal when its lake is on an object store: its own lines alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.object_server import Failure, ObjectServer, Request


@pytest.fixture
def process(shop: Sandbox, store_place: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A sync of one strategy with two jobs, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "meter_pipeline", "sync"],
        env={**os.environ, "METER_LAKE_URL": store_place},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_sync_that_ends_well_writes_its_progress(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "2 jobs and 2 items loaded" in out
    assert all(line.endswith(" jobs done") for line in err.splitlines())


def test_a_store_that_refuses_is_one_line_for_the_strategy(
    process: subprocess.Popen[str], object_server: ObjectServer, tmp_path: Path
) -> None:
    def rule(request: Request) -> Failure | None:
        return 403 if request.method == "PUT" and request.name == "results" else None

    with object_server.failing(rule):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == (
        f"books: lake s3://lakes/{tmp_path.name}: as the test wants (PutObject: AccessDenied); "
        "check METER_LAKE_URL, its credentials and the network\n"
    )


def test_a_sync_that_is_interrupted_in_mid_write_writes_one_word(
    process: subprocess.Popen[str], object_server: ObjectServer
) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()

    def rule(request: Request) -> Failure | None:
        if request.method == "PUT" and request.name == "results":
            has_begun.set()
            may_go_on.wait(30)
        return None

    with object_server.failing(rule):
        assert has_begun.wait(60)
        process.send_signal(signal.SIGINT)
        threading.Timer(0.5, may_go_on.set).start()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "interrupted\n"
