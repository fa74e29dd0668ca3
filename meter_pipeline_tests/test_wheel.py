"""A wheel in an empty environment, used in an empty folder: what somebody has who never saw the repository."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from meter_pipeline_tests.builds import build, copy_tree, install, unpack

pytestmark = pytest.mark.wheel


@dataclass(frozen=True)
class Desk:
    """An environment and a folder to work in, with nothing configured."""

    programs: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a machine on which nothing is configured; how memory is allocated is the Makefile's."""
        allocation = {name: os.environ[name] for name in ("GLIBC_TUNABLES", "PYTHONMALLOC") if name in os.environ}
        home = self.folder.parent / "home"
        return {"PATH": "/usr/bin:/bin", "HOME": str(home), "COLUMNS": "140", **allocation}

    @property
    def command(self) -> str:
        """The `meter-pipeline` that the wheel has installed."""
        return str(self.programs / "meter-pipeline")

    def run(self, *arguments: str, **variables: str) -> str:
        """What a command prints; nothing may go wrong, and nothing be said about it."""
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.folder, env={**self.environment, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def installed(self) -> dict[Path, tuple[int, int]]:
        """Size and time of every file of the environment, without what Python compiles."""
        files = (path for path in self.programs.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The wheel of the sdist of the tree, installed; nothing has been done yet."""
    root = tmp_path_factory.mktemp("wheel")
    tree = unpack(build(copy_tree(root / "tree"), "sdist", root / "sdist"), root / "unpacked")
    programs = install(build(tree, "wheel", root / "dist"), root / "environment")
    for name in ("desk", "home"):
        (root / name).mkdir()
    return Desk(programs, root / "desk")


@pytest.fixture(scope="module")
def demo(desk: Desk) -> str:
    """What the demo prints."""
    return desk.run("demo", "--days", "1")


def test_the_package_comes_from_the_wheel(desk: Desk) -> None:
    said = subprocess.run(
        [desk.programs / "python", "-c", "import meter_pipeline, dagster; print(meter_pipeline.__file__)"],
        cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(said.stdout.strip()).is_relative_to(desk.programs.parent)


def test_the_demo_shows_its_data_and_nothing_of_dagsters_own(desk: Desk, demo: str) -> None:
    assert "Biggest price moves this week" in demo
    assert not re.search("telemetry|dagster.io|dagster cloud|welcome", demo, re.IGNORECASE)
    assert {path.name for path in desk.folder.iterdir()} == {"data"}


def test_what_the_demo_says_comes_next_can_be_done(desk: Desk, demo: str) -> None:
    lines = demo.split("What next:\n")[1].splitlines()
    commands = [shlex.split(re.split(r" {3,}", line.strip())[0]) for line in lines]
    assert len(commands) == 5
    assert "make" not in {word for words in commands for word in words}
    own = [words for words in commands if words[0].endswith("meter-pipeline")]
    assert [words[1] for words in own] == ["dev", "query", "status", "report"]
    for words in own[1:]:
        desk.run(*words[1:])
    assert (desk.folder / "report.html").is_file()


def test_publishing_again_finds_nothing_new(desk: Desk, demo: str) -> None:
    assert desk.run("publish").startswith("nothing new since the last publication")


def test_a_model_is_written_into_a_copy_of_the_project_and_published_from_there(desk: Desk, demo: str) -> None:
    before = desk.installed()
    said = desk.run("model", "new_books").splitlines()
    project = desk.folder / "dbt_project"
    assert [line.split()[0] for line in said] == ["wrote", "wrote", str(project)]
    setting = next(word for word in said[-1].split() if word.startswith("METER_DBT_PROJECT="))
    (desk.folder / ".env").write_text(f"{setting}\n")
    # From now on the copy is the project, for another model as well.
    desk.run("model", "job_board")
    assert len(list((project / "models" / "staging" / "results").glob("stg_results__*.sql"))) == 2
    desk.run("publish")
    assert int(desk.run("query", "select count(*) as n from staging.stg_results__new_books", "--csv").split()[1])
    (desk.folder / ".env").unlink()
    refused = subprocess.run(
        [desk.command, "model", "new_books"],
        cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr == f"meter-pipeline: {project} is there already: set {setting} to write the model there\n"
    assert desk.installed() == before


def test_dev_serves_the_ui_with_our_settings(desk: Desk, demo: str) -> None:
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
    assert {path.name for path in desk.folder.iterdir()} <= {"data", "dbt_project", "report.html"}


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
