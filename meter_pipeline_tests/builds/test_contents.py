"""What is in an sdist and a wheel: all that belongs there, and no key and no data, wherever it is built."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from meter_pipeline_tests.builds.building import ROOT, build, copy_tree

_PRIVATE = (
    ".env",
    ".env.local",
    "data/secret",
    "data/.dagster/dagster.yaml",
    "notes.txt",
    "dbt_project/.env",
    "dbt_project/target/manifest.json",
    "dbt_project/models/.env",
    "dbt_project/models/staging/results/stg_results__mine.sql",
    "docs/data/secret.md",
    "docs/.env",
    "examples/own_project/.env",
    "examples/own_project/data/secret.yaml",
    "examples/own_project/data/.dagster/dagster.yaml",
    "meter_pipeline/.env",
    "meter_pipeline/data/secret.py",
    "meter_pipeline/warehouse.duckdb",
    "meter_pipeline_tests/.env",
    "meter_pipeline_tests/data/ledger.sqlite-wal",
)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree that has been worked with: settings, data and more lie in it, and there is no Git."""
    tree = copy_tree(tmp_path_factory.mktemp("used") / "tree")
    for name in _PRIVATE:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("sk_live_secret")
    return tree


def _sdist_of(tree: Path, out: Path) -> set[str]:
    with tarfile.open(build(tree, "sdist", out)) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def _wheel_of(tree: Path, out: Path) -> set[str]:
    with zipfile.ZipFile(build(tree, "wheel", out)) as archive:
        return set(archive.namelist())


def test_no_build_holds_keys_data_or_what_else_lies_around(used: Path, tmp_path: Path) -> None:
    packed = _sdist_of(used, tmp_path / "sdist")
    assert packed.isdisjoint(_PRIVATE)
    assert ".env.example" in packed
    for wheel in (used, ROOT):
        names = _wheel_of(wheel, tmp_path / f"wheel-{wheel.name}")
        inside = {name.removeprefix("meter_pipeline/") for name in names}
        assert names.isdisjoint(_PRIVATE)
        assert inside.isdisjoint(_PRIVATE)


def test_an_sdist_and_a_wheel_hold_all_that_is_under_version_control(used: Path, tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    if not tracked:
        # An archive without Git: then everything that is here is meant.
        tracked = {path.relative_to(used).as_posix() for path in used.rglob("*") if path.is_file()} - {*_PRIVATE}
    assert tracked - {".gitignore", "data/.gitkeep"} <= _sdist_of(used, tmp_path / "sdist")
    shipped = {name for name in tracked if name.startswith("meter_pipeline/")}
    project = {name for name in tracked if name.startswith("dbt_project/")} - {"dbt_project/.sqlfluff"}
    shipped |= {f"meter_pipeline/{name}" for name in {*project, "dagster.yaml", "workspace.yaml"}}
    assert shipped <= _wheel_of(used, tmp_path / "wheel")
