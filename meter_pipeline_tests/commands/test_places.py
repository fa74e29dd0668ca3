"""A ledger and a lake that do not belong together, and places that cannot be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command
from meter_pipeline_tests.object_server import Failure, ObjectServer, Request


def _find_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def test_a_ledger_over_another_lake_loads_and_publishes_nothing(
    shop: Sandbox, meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter("sync")
    before = _find_files(tmp_path)
    shop.insert_job("Lamps", items=[{"id": "l1"}])
    monkeypatch.setenv("METER_LAKE_URL", str(tmp_path / "elsewhere"))
    for command in (("sync",), ("sync", "--strategy", "books", "--again"), ("publish",)):
        done = meter(*command)
        assert done.code == 2
        assert f"the lake {tmp_path / 'elsewhere'} has none of the files that the ledger lists" in done.err
    lake = next(check for check in meter("check", "--json").document["checks"] if check["name"] == "lake")
    assert not lake["ok"]
    assert "correct METER_LAKE_URL or METER_LEDGER_URL" in lake["detail"]
    assert _find_files(tmp_path) == before
    monkeypatch.delenv("METER_LAKE_URL")
    assert "1 job and 1 item loaded" in meter("sync").out


def test_a_lake_that_was_moved_is_the_same_lake(
    shop: Sandbox, meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter("sync")
    shutil.move(tmp_path / "data" / "lake", tmp_path / "elsewhere")
    # One damaged strategy is no other lake.
    for path in (tmp_path / "elsewhere").rglob("raw/*/*.parquet"):
        path.unlink()
    monkeypatch.setenv("METER_LAKE_URL", str(tmp_path / "elsewhere"))
    assert meter("check").code == 0
    assert meter("sync", "--strategy", "books", "--again").code == 0
    assert meter("publish", "--raw").code == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_check_fails_when_the_lake_can_only_be_read(
    shop: Sandbox,
    meter: Command,
    store_place: str,
    object_server: ObjectServer,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METER_LAKE_URL", store_place)
    assert meter("sync").code == 0

    def rule(request: Request) -> Failure | None:
        return 403 if request.method == method else None

    with object_server.failing(rule):
        done = meter("check", "--json")
    assert done.code == 1
    failed = {check["name"]: check["detail"] for check in done.document["checks"] if not check["ok"]}
    assert set(failed) == {"lake"}
    assert "AccessDenied" in failed["lake"]
    assert meter("check").code == 0
