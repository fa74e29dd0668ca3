"""Models of a user's own: whatever their code uses works in a publication from the command line and in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from meter_pipeline.config.settings import PROJECT
from meter_pipeline.store.warehouse.dbt import Project
from meter_pipeline.store.warehouse.publications import FILE
from meter_pipeline_tests.commandline import Command, one_line

# Pandas itself, and pyarrow's way to it.
_PYTHON_MODEL = """
import pandas as pd
import pyarrow as pa


def model(dbt, session):
    dbt.config(materialized="table")
    jobs = session.sql("select job_id, items from meter.jobs").df()
    rows = pa.table({"job_id": pa.array(jobs["job_id"]), "items": pa.array(jobs["items"])}).to_pandas()
    return pd.DataFrame({"jobs": [len(rows)], "items": [int(rows["items"].sum())]})
"""


def _project(folder: Path, **models: str) -> Path:
    """A dbt project of a user's own; a model's name says by `_py` that it is Python."""
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: own\nversion: '1.0'\nprofile: meter_pipeline\n")
    (folder / "profiles.yml").write_text((PROJECT / "profiles.yml").read_text())
    for name, text in models.items():
        file = f"{name.removesuffix('_py')}.py" if name.endswith("_py") else f"{name}.sql"
        (folder / "models" / file).write_text(text)
    return folder


def test_a_model_in_python_that_uses_pandas_is_published_from_the_command_line(meter: Command, tmp_path: Path) -> None:
    assert meter("sync").code == 0
    # A process of its own, which has imported nothing yet.
    done = subprocess.run(
        [sys.executable, "-m", "meter_pipeline", "publish", "--json"],
        env={**os.environ, "METER_DBT_PROJECT": str(_project(tmp_path / "own", totals_py=_PYTHON_MODEL))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    with duckdb.connect(str(tmp_path / "data" / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select jobs, items from totals").fetchall() == [(2, 2)]


def test_a_snapshot_is_refused_in_one_line_since_no_publication_would_keep_it(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert meter("sync").code == 0
    project = _project(tmp_path / "own", jobs="select job_id, state from meter.jobs")
    (project / "snapshots").mkdir()
    (project / "snapshots" / "states.sql").write_text(
        "{% snapshot states %}{{ config(unique_key='job_id', strategy='check', check_cols='all') }}"
        "select * from {{ ref('jobs') }}{% endsnapshot %}"
    )
    monkeypatch.setenv("METER_DBT_PROJECT", str(project))
    line = one_line(meter("publish"))
    assert "snapshot states (snapshots/states.sql) would begin again with each publication" in line
    (project / "snapshots" / "states.sql").unlink()
    assert meter("publish").code == 0


@pytest.mark.timeout(300)
def test_models_of_two_warehouses_built_at_the_same_time_land_in_their_own(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(4)]

    def build(name: str) -> bool:
        project = Project(_project(tmp_path / name, whose=f"select '{name}' as name"))
        (tmp_path / name / "built").mkdir()
        return bool(project.run(["build"], tmp_path / name / "built" / FILE, tmp_path / name / "target").success)

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(build, names))
    for name in names:
        with duckdb.connect(str(tmp_path / name / "built" / FILE)) as connection:
            assert connection.execute("select name from whose").fetchall() == [(name,)]
