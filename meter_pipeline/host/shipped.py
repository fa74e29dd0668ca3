"""Files that come with the package: beside it in a checkout, inside it where it is installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

# An installed package's files belong to the installation: nothing is written among them.
IS_INSTALLED = (_PACKAGE / "dagster.yaml").is_file()

_FOLDER = _PACKAGE if IS_INSTALLED else _PACKAGE.parent

DBT_PROJECT = _FOLDER / "dbt_project"
DAGSTER_SETTINGS = _FOLDER / "dagster.yaml"
WORKSPACE = _FOLDER / "workspace.yaml"
