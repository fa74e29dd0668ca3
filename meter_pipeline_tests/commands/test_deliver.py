"""`deliver` says in one line a target what it has done, or why it could not."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from meter_pipeline_tests.commandline import Command

_SECRET = "canary/s3cret"


def test_what_was_published_is_delivered_once(meter: Command, tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text("deliver: {lite: {to: 'sqlite:///out.sqlite'}}\n")
    assert "there is no warehouse at" in meter("deliver").err
    for command in ("sync", "publish"):
        assert meter(command).code == 0
    done = meter("deliver")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("lite (out.sqlite) has publication ")
    assert meter("deliver", "lite").out.endswith(" already\n")
    (again,) = json.loads(meter("deliver", "--json").out)
    assert (again["target"], again["rows"], again["unchanged"]) == ("lite", 0, True)
    full = meter("deliver", "--full")
    assert full.err == "lite: everything is sent again\n"
    with sqlite3.connect(tmp_path / "out.sqlite") as target:
        assert target.execute("SELECT price FROM results_books ORDER BY 1").fetchall() == [(11,), (12,)]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_the_folder_of_a_file_is_made(meter: Command, tmp_path: Path, kind: str) -> None:
    (tmp_path / "meter.yaml").write_text(f"deliver: {{copy: {{to: '{kind}:///exports/new/out.file'}}}}\n")
    for command in ("sync", "publish", "deliver"):
        assert meter(command).code == 0
    assert (tmp_path / "exports" / "new" / "out.file").stat().st_size


def test_a_target_that_is_down_keeps_no_other_from_what_is_new(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOWN_PASSWORD", _SECRET)
    (tmp_path / "meter.yaml").write_text(
        "deliver:\n"
        "  down: {to: 'postgresql://me:${DOWN_PASSWORD}@127.0.0.1:1/db'}\n"
        "  lite: {to: 'sqlite:///out.sqlite'}\n"
    )
    for command in ("sync", "publish"):
        assert meter(command).code == 0
    done = meter("deliver")
    assert done.code == 2
    assert done.out.startswith("lite (out.sqlite) has publication ")
    assert done.err.startswith("down: postgresql://127.0.0.1:1/db: ")
    assert done.err.count("\n") == 1
    assert "s3cret" not in done.err
    alone = meter("deliver", "down")
    assert (alone.code, alone.err.count("\n")) == (2, 1)
    assert "check the address and the server" in alone.err


def test_check_tries_the_targets_and_leaves_files_to_their_delivery(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setenv("DOWN_PASSWORD", _SECRET)
    monkeypatch.setenv("PLACE", postgres_url)
    (tmp_path / "meter.yaml").write_text(
        "deliver:\n"
        "  down: {to: 'postgresql://me:${DOWN_PASSWORD}@127.0.0.1:1/db'}\n"
        "  unset: {to: 'env:NO_SUCH_VARIABLE'}\n"
        "  here: {to: 'env:PLACE'}\n"
        "  lite: {to: 'sqlite:///out.sqlite'}\n"
    )

    def check() -> dict[str, tuple[bool, str]]:
        done = meter("check", "--json")
        assert "s3cret" not in done.out + done.err
        found = {entry["name"]: (entry["ok"], entry["detail"]) for entry in json.loads(done.out)["checks"]}
        assert done.code == 1
        return found

    found = check()
    ok, detail = found["target down"]
    assert not ok
    assert detail.startswith("postgresql://127.0.0.1:1/db: ")
    ok, detail = found["target unset"]
    assert not ok
    assert "NO_SUCH_VARIABLE is not set" in detail
    ok, detail = found["target here"]
    assert ok
    assert detail.endswith(" answers, nothing delivered yet")
    assert found["target lite"] == (True, "out.sqlite, a file")
    assert not (tmp_path / "out.sqlite").exists()
    for command in ("sync", "publish"):
        assert meter(command).code == 0
    meter("deliver", "here")
    assert " answers, has publication " in check()["target here"][1]


def test_a_name_that_is_no_target_is_refused(meter: Command, tmp_path: Path) -> None:
    assert "meter.yaml names no target" in meter("deliver").err
    (tmp_path / "meter.yaml").write_text("deliver: {lite: {to: 'sqlite:///out.sqlite'}}\n")
    assert "meter.yaml has no target 'light': it has lite" in meter("deliver", "light").err
