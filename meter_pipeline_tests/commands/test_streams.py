"""Standard output and error that are closed, full, or read by somebody who has seen enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meter_pipeline_tests.commandline import Command


def _run(shell: str) -> subprocess.CompletedProcess[str]:
    command = shell.replace("METER", f"'{sys.executable}' -m meter_pipeline")
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)


@pytest.fixture
def published(meter: Command) -> None:
    """Everything is loaded, and a warehouse published."""
    meter("sync")
    meter("publish", "--raw")


@pytest.mark.parametrize("command", ["sync", "status", "status --json", "publish --raw"])
def test_a_command_whose_output_is_closed_does_its_work(meter: Command, command: str) -> None:
    done = _run(f"METER {command} <&- >&-")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert _run(f"METER {command} <&- >&- 2>&-").returncode == 0
    assert meter("status").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("command", ["status", "status --json", "query --json 'select 1'", "query --csv 'select 1'"])
@pytest.mark.usefixtures("published")
def test_output_that_cannot_be_written_is_one_line(command: str) -> None:
    done = _run(f"METER {command} >/dev/full")
    assert (done.returncode, done.stderr) == (2, "meter-pipeline: the disk is full; free some space on it\n")


@pytest.mark.parametrize("option", ["", "--csv", "--json", "--vertical"])
@pytest.mark.usefixtures("published")
def test_a_reader_that_has_seen_enough_is_no_failure(option: str) -> None:
    done = _run(f"METER query {option} 'select range, repeat($$x$$, 100) from range(20000)' | head -1")
    assert (done.returncode, done.stderr) == (0, "")
