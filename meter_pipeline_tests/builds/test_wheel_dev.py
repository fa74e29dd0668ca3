"""The Dagster UI of an installed wheel, in an empty folder; it waits a lot, so it runs beside the other tests."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time

import pytest
import requests

from meter_pipeline_tests.builds.conftest import Desk

# What is served is tested with the commands: here, that a wheel has all of it.
pytestmark = [pytest.mark.wheel, pytest.mark.slow]


def test_dev_serves_the_ui_with_our_settings(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = desk.folder.parent / "dev.log"
    with log.open("wb") as out:
        dev = subprocess.Popen(
            [desk.command, "dev", "--port", str(port)], cwd=desk.folder, env=desk.environment, stdout=out, stderr=out
        )
    try:
        assert _served(port, dev)["dagster_webserver_version"]
    finally:
        dev.send_signal(signal.SIGINT)
        assert dev.wait(120) == 0
    said = log.read_text()
    assert "this is the SANDBOX" in said
    assert not re.search("telemetry|promot|dagster cloud", said, re.IGNORECASE)
    settings = (desk.folder / "data" / ".dagster" / "dagster.yaml").read_text()
    assert "DefaultRunCoordinator" in settings
    assert re.search(r"telemetry:\s+enabled: false", settings)
    assert {path.name for path in desk.folder.iterdir()} == {"data"}


def _served(port: int, dev: subprocess.Popen[bytes]) -> dict[str, str]:
    """What the server says of itself, as soon as it answers."""
    end = time.monotonic() + 240
    while dev.poll() is None and time.monotonic() < end:
        try:
            answer: dict[str, str] = requests.get(f"http://127.0.0.1:{port}/server_info", timeout=30).json()
        except (requests.RequestException, ValueError):
            time.sleep(0.5)
        else:
            return answer
    raise AssertionError("the UI did not answer")
