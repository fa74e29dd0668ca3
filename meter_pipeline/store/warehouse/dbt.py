"""The dbt project: builds and tests its models in a candidate of the warehouse, and names those that failed.

dbt runs in this process, which has imported it anyway. Parsing is the slow part of a small build, and its result
depends on the project's files alone: each version of them is parsed once and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from meter_pipeline.config.variables import environment
from meter_pipeline.host.causes import explain
from meter_pipeline.host.extras import require_extra
from meter_pipeline.store.errors import RejectedError, StoreError
from meter_pipeline.store.warehouse.layout import LAYOUT
from meter_pipeline.store.warehouse.models import Built

_PARSED = ("manifest.json", "partial_parse.msgpack")
_QUIET = (
    "--quiet",
    "--no-use-colors",
    "--log-level",
    "none",
    "--log-level-file",
    "none",
    "--no-send-anonymous-usage-stats",
)
# Failed models and tests that a message names (number).
_NAMED = 3
# dbt keeps one adapter, and the environment is one, for all threads of a process.
_running = threading.Lock()


class ProjectError(StoreError):
    """The dbt project cannot be used; the message is one line."""


@dataclass(frozen=True)
class Result:
    """The outcome of one model or test.

    Attributes:
        unique_id: dbt's unique id, such as `model.meter.stg_items`.
        name: The name of the model or test alone.
        kind: model, test, or another of dbt's resource types.
        status: success, pass, warn, fail, error or skipped.
        message: dbt's message.
        failures: Rows that a test found.
        seconds: How long it took.
        sql: Path of its compiled SQL.
    """

    unique_id: str
    name: str
    kind: str
    status: str
    message: str | None
    failures: int | None
    seconds: float
    sql: str | None

    @property
    def failed(self) -> bool:
        """Whether the outcome keeps a candidate from being published."""
        return self.status in ("fail", "error", "runtime error")


class Project:
    """A dbt project whose models are built over the raw side of the warehouse.

    Args:
        folder: The folder with `dbt_project.yml` and `profiles.yml`.

    Raises:
        MissingExtraError: dbt is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_extra("dbt", "a warehouse with models", "publish without models: --raw or METER_DBT_PROJECT=none")
        self.folder = folder
        self.results: list[Result] = []

    @cached_property
    def version(self) -> str:
        """A digest of the project's files, of the warehouse's layout that they stand on, and of dbt's version."""
        digest = hashlib.sha256(f"{LAYOUT} {installed('dbt-core')} {installed('dbt-duckdb')}".encode())
        for file in sorted(self.folder.glob("**/*")):
            name = file.relative_to(self.folder)
            built = {"target", "logs", "dbt_packages"} & set(name.parts) or ".duckdb" in name.name
            if file.is_file() and not built:
                digest.update(f"{name}\0".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:20]

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """dbt's manifest of the project.

        Raises:
            ProjectError: It cannot be parsed.
        """
        found: Mapping[str, Any] = json.loads((self.parsed() / _PARSED[0]).read_text())
        return found

    @property
    def carried(self) -> Sequence[str]:
        """Tables of the incremental models, as `schema.name`."""
        nodes = self.manifest["nodes"].values()
        return sorted(
            f"{node['schema']}.{node['alias']}"
            for node in nodes
            if node["resource_type"] == "model" and node["config"]["materialized"] == "incremental"
        )

    def parsed(self) -> Path:
        """The folder with the parsed project; parses it when this version was not parsed before.

        Raises:
            ProjectError: It cannot be parsed.
        """
        if not (self.folder / "dbt_project.yml").is_file():
            raise ProjectError(
                f"there is no dbt project at {self.folder}: set METER_DBT_PROJECT to the folder of yours"
            )
        folder = _cache() / self.version
        if all((folder / name).is_file() for name in _PARSED):
            return folder
        temporary = folder.with_name(f".{self.version}-{uuid.uuid4().hex[:8]}")
        try:
            done = _invoke(["parse"], self.folder, temporary, Path("warehouse.duckdb"))
            if not done.success:
                raise ProjectError(f"dbt cannot parse {self.folder}: {_reason(done)}")
            temporary.chmod(0o700)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        except OSError as error:
            if not all((folder / name).is_file() for name in _PARSED):
                raise ProjectError(f"{folder} cannot be written: {explain(error)}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def run(self, arguments: Sequence[str], file: Path, target: Path) -> Any:
        """Runs a dbt command on a DuckDB file and returns dbt's own result; dbt writes its files to `target`.

        Raises:
            ProjectError: The project cannot be parsed.
        """
        return _invoke(arguments, self.folder, target, file, self.parsed() / _PARSED[1])

    def build(self, file: Path) -> Built:
        """Builds all models in a candidate's file and tests them; `results` has the outcome of each.

        Raises:
            RejectedError: A model or a test failed; the message names it.
            ProjectError: The project cannot be parsed, or has a snapshot.
        """
        self._refuse_snapshots()
        target = file.parent / "dbt"
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        done = self.run(arguments, file, target)
        self.results = [_result(outcome, target) for outcome in getattr(done.result, "results", None) or ()]
        failed = [result for result in self.results if result.failed]
        if failed:
            raise RejectedError(f"nothing was published: {_describe(failed)}")
        if not done.success:
            raise RejectedError(f"nothing was published, dbt failed: {_reason(done)}")
        models = sum(result.kind == "model" for result in self.results)
        return Built(_invocation(target), models)

    def _refuse_snapshots(self) -> None:
        """Refuses snapshots: each publication is built from the lake alone, so they would lose what they have seen."""
        for node in self.manifest["nodes"].values():
            if node["resource_type"] == "snapshot":
                raise ProjectError(
                    f"nothing was published: snapshot {node['name']} ({node['original_file_path']}) would begin again "
                    "with each publication; remove it, meter.item_versions and meter.strategy_versions have the history"
                )


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "meter_pipeline" / "dbt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"meter_pipeline-{os.getuid()}" / "dbt"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _invoke(arguments: Sequence[str], project: Path, target: Path, file: Path, parsed: Path | None = None) -> Any:
    """Runs dbt in this process on the project and a DuckDB file; other threads wait for their turn."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    # Parsed again for each run: dbt changes the manifest while it runs.
    manifest = None if parsed is None else Manifest.from_msgpack(parsed.read_bytes())
    if manifest is not None:
        # What macros know as `graph`, which dbt makes only while it parses.
        manifest.build_flat_graph()
    paths = ("--project-dir", project, "--profiles-dir", project, "--target-path", target, "--log-path", target)
    with _running:
        try:
            with environment({"METER_DBT_TARGET": "warehouse", "METER_DBT_DATABASE": str(file)}):
                return dbtRunner(manifest=manifest).invoke([*arguments, *_QUIET, *map(str, paths)])
        finally:
            # Another connection to the file, with other settings, must be possible at once.
            DuckDBConnectionManager.close_all_connections()


def _result(outcome: Any, target: Path) -> Result:
    node = outcome.node
    path = getattr(node, "compiled_path", None)
    return Result(
        unique_id=node.unique_id,
        name=node.name,
        kind=str(node.resource_type),
        status=str(outcome.status),
        message=outcome.message,
        failures=outcome.failures,
        seconds=round(outcome.execution_time, 3),
        sql=str(Path(path) if path and Path(path).is_absolute() else target.parent / path) if path else None,
    )


def _describe(failed: Sequence[Result]) -> str:
    """The first failed models and tests by name, each with dbt's message, and the number of the others."""
    named = []
    for result in failed[:_NAMED]:
        is_failed_test = result.kind == "test" and result.failures
        found = f"{result.failures} rows" if is_failed_test else " ".join((result.message or "").split())
        where = f", see {result.sql}" if result.sql else ""
        named.append(f"{result.kind} {result.name} failed ({found}{where})")
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return "; ".join(named) + more


def _reason(done: Any) -> str:
    return " ".join(str(done.exception or "it gave no reason").split())


def _invocation(target: Path) -> str:
    found: str = json.loads((target / "run_results.json").read_text())["metadata"]["invocation_id"]
    return found
