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

from meter_pipeline.cli import run
from meter_pipeline.config import origin

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
        command = [sys.executable, "-m", "meter_pipeline", "dev", "--port", str(port), "--sandbox-port", "0"]
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


@pytest.mark.parametrize(
    ("option", "other", "key"),
    [("--port", "--sandbox-port", ""), ("--sandbox-port", "--port", ""), ("--port", "--sandbox-port", "sk_live_mine")],
)
def test_a_port_that_is_in_use_is_refused_at_once_with_the_way_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    other: str,
    key: str,
) -> None:
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_API_KEY", key)
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as free:
        port, unused = listener.getsockname()[1], free.getsockname()[1]
        free.close()
        assert run(["dev", option, str(port), other, str(unused)]) == 2
    said = capsys.readouterr()
    refused = f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another {option}"
    assert (said.out, said.err) == ("", f"meter-pipeline: {refused}\n")
    # Nothing was begun.
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_machine_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    assert run(["dev", "--host", "192.0.2.1"]) == 2
    assert "cannot listen on 192.0.2.1:3000: Cannot assign requested address; choose another --host" in (
        capsys.readouterr().err
    )


def test_a_home_of_dagster_that_does_not_exist_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_API_KEY", "sk_live_mine")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert run(["dev", "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith("meter-pipeline: DAGSTER_HOME=")


def test_a_sandbox_refuses_a_port_before_it_makes_its_world(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # A world of this age takes minutes to make.
        assert run(["sandbox", "--port", str(port), "--days", "100000"]) == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err
