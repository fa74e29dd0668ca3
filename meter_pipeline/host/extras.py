"""The optional parts of the installation: which packages each extra brings, and one line for an extra that is missing.

The engine, the command line and the sandbox work without any extra. What needs one asks for it before it starts work,
so that nothing is left half done.
"""

from __future__ import annotations

from importlib.util import find_spec

from meter_pipeline.errors import MeterPipelineError

# Modules that are there exactly when an extra of pyproject.toml is installed.
_MODULES = {
    "bigquery": ("google.cloud.bigquery",),
    "clickhouse": ("clickhouse_connect",),
    "charts": ("matplotlib", "PIL"),
    "databricks": ("databricks.sql",),
    "dagster": ("dagster", "dagster_webserver", "dagster_dbt", "matplotlib"),
    "iceberg": ("pyiceberg",),
    "dbt": ("dbt.cli", "dbt.adapters.duckdb", "sqlglot"),
    "postgres": ("psycopg",),
    "snowflake": ("snowflake.connector",),
}


class MissingExtraError(MeterPipelineError, ImportError):
    """An extra of the package is not installed; the message is one line that says what to install."""


def require_extra(extra: str, needed_by: str, otherwise: str = "") -> None:
    """Makes sure that an extra is installed, without importing it.

    Args:
        extra: Name of the extra in `pyproject.toml`: bigquery, charts, clickhouse, dagster, databricks, dbt,
            iceberg, postgres or snowflake.
        needed_by: What needs the extra; the message begins with it.
        otherwise: Another way out than to install the extra.

    Raises:
        MissingExtraError: One of its packages is missing.
    """
    if not all(map(_is_installed, _MODULES[extra])):
        ways = [f"pip install 'meter-pipeline[{extra}]'", *([otherwise] if otherwise else [])]
        raise MissingExtraError(f"{needed_by} needs packages that are not installed: {', or '.join(ways)}")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        # A package that holds the module is missing, or was loaded without a specification.
        return False
