"""The job of `docs/dagster.md` that deletes old runs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from meter_pipeline_tests.docs.snippets import read_snippets


@dg.asset
def books() -> None: ...


@dg.asset
def plans() -> None: ...


def test_old_runs_go_with_their_files_and_the_last_of_each_asset_stays(tmp_path: Path) -> None:
    [snippet] = [found for found in read_snippets() if "def delete_old_runs" in found.text]
    names: dict[str, dg.JobDefinition] = {}
    exec(compile(snippet.text.replace("days=30", "days=0"), str(snippet), "exec", dont_inherit=True), names)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        old, last_of_books, last_of_plans = (
            dg.materialize(assets, instance=instance).run_id for assets in ([books, plans], [books], [plans])
        )
        job = names["keep_a_month"].execute_in_process(instance=instance)
        assert {run.run_id for run in instance.get_runs()} == {last_of_books, last_of_plans, job.run_id}
        assert len(instance.get_asset_records()) == 2
        files = {file.stem for file in (tmp_path / "history" / "runs").glob("*.db")}
        assert old not in files
        assert {last_of_books, last_of_plans} <= files
