"""A wheel in an empty environment, used in an empty folder: what somebody has who never saw the repository."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from meter_pipeline_tests.builds.conftest import Desk

pytestmark = pytest.mark.wheel


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
    assert len(commands) == 7
    assert "make" not in {word for words in commands for word in words}
    own = [words for words in commands if words[0].endswith("meter-pipeline")]
    assert [words[1] for words in own] == ["dev", "audit", "keys", "query", "status", "report"]
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
