"""`model`: writes a staging model of one strategy's results, to be edited: SQL, documentation and tests."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands.console import print_line
from meter_pipeline.commands.options import StrategyArgument
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.connect import open_ledger
from meter_pipeline.host import shipped
from meter_pipeline.store.errors import StoreError
from meter_pipeline.text.asset_names import spell_slug

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow

_META = (
    ("_meter_job_id", "job_id", "Id of the job at Meter."),
    ("_meter_target_url", "url", "Page that was scraped."),
    ("_meter_parameters", "parameters", "Parameters of the scrape (JSON text), if any."),
    ("_meter_item_index", "item_index", "Position of the item in its job, from 0."),
    ("_meter_item_key", "item_key", "Key of the item within its target."),
    ("_meter_completed_at", "observed_at", "When the item was seen."),
)
# Folders and files that dbt writes into a project.
_BUILT = ("target", "logs", "dbt_packages", ".user.yml")
_SQL = """\
with source as (

    select * from {{ "{{ meter_results('" ~ slug ~ "') }}" }}

),

renamed as (

    select
{%- for source, name in renamed %}
        {{ source ~ " as " ~ name if source != name else name }}{{ "," if not loop.last }}
{%- endfor %}
    from source

)

select * from renamed
"""
_YML = """\
version: 2

sources:
  - name: results
    description: Typed items of accepted jobs, one table a strategy.
    database: "{{ "{{ 'published' if target.name == 'dev' else target.database }}" }}"
    schema: results
    tables:
      - name: {{ slug | tojson }}
        description: {{ about | tojson }}
        config: {meta: {dagster: {asset_key: [results, {{ asset | tojson }}]}}}
        columns:
{%- for column in columns %}
          - name: {{ column.name | tojson }}
            description: {{ column.about | tojson }}
            data_type: {{ column.type | tojson }}
{%- endfor %}

models:
  - name: {{ model }}
    description: {{ about | tojson }}
    data_tests:
      - unique_combination:
          arguments: {columns: [job_id, item_index]}
      - unique_combination:
          arguments: {columns: [job_id, item_key]}
    columns:
{%- for name, text in meta %}
      - name: {{ name }}
        description: {{ text | tojson }}
{%- if name in ("job_id", "item_key", "observed_at") %}
        data_tests: [not_null]
{%- endif %}
{%- endfor %}
{%- for column in columns %}
      - name: {{ column.alias | tojson }}
        description: {{ column.about | tojson }}
        data_type: {{ column.type | tojson }}
{%- endfor %}
"""


class ScaffoldError(StoreError):
    """The model cannot be written; the message is one line."""


def model(
    strategy: StrategyArgument,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a staging model of one strategy's results into the dbt project, with documentation and tests."""
    settings = Settings.from_env()
    if settings.dbt_project is None:
        raise SettingsError("METER_DBT_PROJECT is none: set it to the folder of the dbt project for the model")
    project, is_default = choose_project(settings.dbt_project)
    with open_ledger(settings) as ledger:
        written = write_model(ledger.strategies(), strategy, project, force=force)
    for path in written:
        print_line(f"wrote {path}")
    if not is_default:
        print_line(
            f"{project} is a copy of the shipped models: put METER_DBT_PROJECT={project} into .env to publish with it"
        )


def write_model(strategies: Sequence[StrategyRow], name: str, project: Path, *, force: bool = False) -> list[Path]:
    """Writes `models/staging/results/stg_results__<slug>.sql` and its yml; returns both paths.

    Args:
        strategies: The strategies in the ledger.
        name: Id, slug or name of one of them.
        project: Folder of the dbt project. If it has none yet, the shipped project is copied there first.
        force: Overwrite existing files.

    Raises:
        ScaffoldError: The strategy is unknown or has no fields yet, or the files exist.
    """
    strategy = _find_strategy(strategies, name)
    folder = project / "models" / "staging" / "results"
    model = f"stg_results__{spell_slug(strategy.slug)}"
    texts = {folder / f"{model}.sql": _SQL, folder / f"_{model}.yml": _YML}
    existing = [path for path in texts if path.exists()]
    if existing and not force:
        raise ScaffoldError(f"{existing[0]} is there already: add --force to overwrite it")
    if not (project / "dbt_project.yml").is_file():
        _copy_shipped(project)
    folder.mkdir(parents=True, exist_ok=True)
    values = _describe(strategy, model)
    for path, text in texts.items():
        path.write_text(_render(text, values))
    return list(texts)


def choose_project(project: Path) -> tuple[Path, bool]:
    """Returns the dbt project to write a model into, and whether it is `project`, the configured one.

    In an installed package the shipped project belongs to the installation; a copy in the working folder is used.

    Raises:
        ScaffoldError: The folder for the copy exists.
    """
    if not (shipped.IS_INSTALLED and project == shipped.DBT_PROJECT):
        return project, True
    copy = Path(shipped.DBT_PROJECT.name).absolute()
    if copy.exists():
        raise ScaffoldError(f"{copy} is there already: set METER_DBT_PROJECT={copy} to write the model there")
    return copy, False


def _copy_shipped(project: Path) -> None:
    """Copies the shipped project; if that fails, nothing is left behind."""
    draft = project.with_name(f".{project.name}.{os.getpid()}")
    try:
        shutil.copytree(shipped.DBT_PROJECT, draft, ignore=shutil.ignore_patterns(*_BUILT))
        draft.replace(project)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _find_strategy(strategies: Sequence[StrategyRow], name: str) -> StrategyRow:
    from meter_pipeline.store.ledger.rows import called, find_meant

    found = called(strategies, name)
    if not found:
        way_out = find_meant(strategies, name, "see `meter-pipeline strategies list`, and sync it first")
        raise ScaffoldError(f"no strategy {name!r}: {way_out}")
    if len(found) > 1:
        raise ScaffoldError(
            f"several strategies are called {name!r}: give one of {', '.join(row.slug for row in found)}"
        )
    if not found[0].columns:
        raise ScaffoldError(f"{found[0].slug} has no fields yet: sync it first")
    return found[0]


def _describe(strategy: StrategyRow, model: str) -> dict[str, object]:
    from meter_pipeline.store.derived import describe_part

    reserved_names = {name for _, name, _ in _META}
    columns = []
    for column in strategy.columns:
        alias = f"{column.name}_scraped" if column.name in reserved_names else column.name
        about = f"Field {json.dumps(column.field, ensure_ascii=False)} ({column.kind})."
        if column.part:
            about = (
                f"{describe_part(column).capitalize()}, read from field {json.dumps(column.field, ensure_ascii=False)}."
            )
        columns.append(
            {"name": column.name, "alias": alias, "about": _escape_jinja(about), "type": _sql_type(column.type)}
        )
    return {
        "slug": strategy.slug,
        "asset": spell_slug(strategy.slug),
        "model": model,
        "about": _escape_jinja(f"{strategy.name or strategy.slug}: {strategy.description or 'typed items'}"),
        "meta": [(name, text) for _, name, text in _META],
        "columns": columns,
        "renamed": [(source, name) for source, name, _ in _META]
        + [(_identifier(column["name"]), _identifier(column["alias"])) for column in columns],
    }


def _escape_jinja(text: str) -> str:
    """Replaces braces, which dbt would render as Jinja: the text comes from a page."""
    return " ".join(text.replace("{", "(").replace("}", ")").split())


def _identifier(name: str) -> str:
    """Quotes a column's name for SQL if necessary."""
    is_plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _read_reserved_words()
    return name if is_plain else f'"{name}"'


@cache
def _read_reserved_words() -> frozenset[str]:
    import duckdb

    with duckdb.connect() as connection:
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        return frozenset(word for (word,) in connection.execute(words).fetchall())


def _sql_type(kind: object) -> str:
    """Returns DuckDB's name of an Arrow type."""
    import duckdb
    import pyarrow as pa

    empty = pa.table({"value": pa.array([], kind)})
    with duckdb.connect() as connection:
        return str(connection.from_arrow(empty).types[0])


def _render(text: str, values: dict[str, object]) -> str:
    # The templates are SQL and YAML: no HTML escapes.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text).render(**values)
