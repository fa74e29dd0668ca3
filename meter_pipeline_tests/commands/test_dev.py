"""The Dagster UI with a sandbox beside it: what it says, that it answers, and that it ends at a signal."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from meter_pipeline import origin

_SETTINGS = Path(__file__).parents[2] / "dagster.yaml"
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"


@pytest.mark.timeout(600)
def test_the_ui_comes_with_a_sandbox_says_so_and_ends_at_a_signal(tmp_path: Path) -> None:
    # As in the repository's own folder: the settings lie where the command is given.
    shutil.copyfile(_SETTINGS, tmp_path / "dagster.yaml")
    kept = ("PATH", "XDG_CACHE_HOME", "GLIBC_TUNABLES", "PYTHONMALLOC")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"HOME": os.environ.get("HOME", str(tmp_path)), "METER_DATA_DIR": str(tmp_path / "data")}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "meter_pipeline", "dev", "--port", str(port)]
        dev = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        assert _loaded(port, dev) == ["RepositoryLocation"]
    finally:
        dev.send_signal(signal.SIGINT)
        assert dev.wait(120) == 0
    said = log.read_text()
    assert "this is the SANDBOX" in said
    assert "sk_live_sandbox" not in said
    assert "WARNING" not in said
    reached = origin.read(tmp_path / "data")
    assert reached is not None
    assert reached.reached is not None
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/server_info", timeout=5)


def _loaded(port: int, dev: subprocess.Popen[bytes]) -> list[str]:
    """What has become of the code locations, as soon as the UI answers."""
    end = time.monotonic() + 400
    while dev.poll() is None and time.monotonic() < end:
        try:
            answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": _LOCATIONS}, timeout=60)
            entries = answer.json()["data"]["workspaceOrError"]["locationEntries"]
            found = [entry["locationOrLoadError"] for entry in entries]
        except (requests.RequestException, ValueError, KeyError):
            found = []
        if found and all(found):
            return [one["__typename"] for one in found]
        time.sleep(1)
    raise AssertionError("the UI did not answer")
