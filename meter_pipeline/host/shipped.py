"""Paths of files that are shipped with the package: beside it in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

# The files of an installed package belong to the installation; nothing may be written there.
IS_INSTALLED = (_PACKAGE / "dagster.yaml").is_file()

_FOLDER = _PACKAGE if IS_INSTALLED else _PACKAGE.parent

DBT_PROJECT = _FOLDER / "dbt_project"
DAGSTER_SETTINGS = _FOLDER / "dagster.yaml"
WORKSPACE = _FOLDER / "workspace.yaml"
