"""A staging model for one strategy: SQL and documentation, from what is known of its fields, ready to be edited."""

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

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import say
from meter_pipeline.config.settings import Settings, SettingsError
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
# What dbt leaves in a project's folder.
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
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files if they are there.")] = False,
) -> None:
    """Write a staging model of one strategy's results into the dbt project, with its documentation and tests."""
    settings = Settings.from_env()
    if settings.dbt_project is None:
        raise SettingsError("METER_DBT_PROJECT=none: name the folder of a dbt project to write a model into")
    project, is_default = choose_project(settings.dbt_project)
    with open_ledger(settings) as ledger:
        written = write_model(ledger.strategies(), strategy, project, force=force)
    for path in written:
        say(f"wrote {path}")
    if not is_default:
        say(f"{project} is a copy of the shipped models: put METER_DBT_PROJECT={project} into .env to publish with it")


def write_model(strategies: Sequence[StrategyRow], name: str, project: Path, *, force: bool = False) -> list[Path]:
    """Writes `models/staging/results/stg_results__<slug>.sql` and its yml; returns both paths.

    Args:
        strategies: Those that the ledger knows.
        name: Id, slug or name of one of them.
        project: The dbt project. Where nothing is yet, a copy of the shipped project is made first.
        force: Overwrite what is there.

    Raises:
        ScaffoldError: There is no such strategy, it has no fields yet, or the files are there.
    """
    strategy = _chosen(strategies, name)
    folder = project / "models" / "staging" / "results"
    model = f"stg_results__{spell_slug(strategy.slug)}"
    texts = {folder / f"{model}.sql": _SQL, folder / f"_{model}.yml": _YML}
    there = [path for path in texts if path.exists()]
    if there and not force:
        raise ScaffoldError(f"{there[0]} is there already: add --force to overwrite it")
    if not (project / "dbt_project.yml").is_file():
        _copy_shipped(project)
    folder.mkdir(parents=True, exist_ok=True)
    facts = _facts(strategy, model)
    for path, text in texts.items():
        path.write_text(_render(text, facts))
    return list(texts)


def choose_project(project: Path) -> tuple[Path, bool]:
    """The dbt project to write a model into, and whether it is `project` itself, the one that is configured.

    An installation's own files are no place for a user's models: a copy in the working folder is.

    Raises:
        ScaffoldError: The folder of the copy is there already.
    """
    if not (shipped.IS_INSTALLED and project == shipped.DBT_PROJECT):
        return project, True
    copy = Path(shipped.DBT_PROJECT.name).absolute()
    if copy.exists():
        raise ScaffoldError(f"{copy} is there already: set METER_DBT_PROJECT={copy} to write the model there")
    return copy, False


def _copy_shipped(project: Path) -> None:
    """Makes a copy of the shipped project, whole or not at all."""
    draft = project.with_name(f".{project.name}.{os.getpid()}")
    try:
        shutil.copytree(shipped.DBT_PROJECT, draft, ignore=shutil.ignore_patterns(*_BUILT))
        draft.replace(project)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _chosen(strategies: Sequence[StrategyRow], name: str) -> StrategyRow:
    from meter_pipeline.store.ledger.rows import called

    found = called(strategies, name)
    if not found:
        raise ScaffoldError(f"no strategy {name!r}: see `meter-pipeline strategies list`, and sync it first")
    if len(found) > 1:
        raise ScaffoldError(f"several strategies are called {name!r}: name one of {', '.join(r.slug for r in found)}")
    if not found[0].columns:
        raise ScaffoldError(f"{found[0].slug} has no fields yet: sync it first")
    return found[0]


def _facts(strategy: StrategyRow, model: str) -> dict[str, object]:
    taken = {name for _, name, _ in _META}
    columns = []
    for column in strategy.columns:
        alias = f"{column.name}_scraped" if column.name in taken else column.name
        about = f"Field {json.dumps(column.field, ensure_ascii=False)} ({column.kind})."
        columns.append({"name": column.name, "alias": alias, "about": _literal(about), "type": _sql_type(column.type)})
    return {
        "slug": strategy.slug,
        "asset": spell_slug(strategy.slug),
        "model": model,
        "about": _literal(f"{strategy.name or strategy.slug}: {strategy.description or 'typed items'}"),
        "meta": [(name, text) for _, name, text in _META],
        "columns": columns,
        "renamed": [(source, name) for source, name, _ in _META]
        + [(_identifier(column["name"]), _identifier(column["alias"])) for column in columns],
    }


def _literal(text: str) -> str:
    """Text that dbt renders as it stands: scraped names may hold what Jinja takes for its own."""
    return " ".join(text.replace("{", "(").replace("}", ")").split())


def _identifier(name: str) -> str:
    """A column's name in SQL, in quotes where it needs them."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _reserved()
    return name if plain else f'"{name}"'


@cache
def _reserved() -> frozenset[str]:
    import duckdb

    with duckdb.connect() as connection:
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        return frozenset(word for (word,) in connection.execute(words).fetchall())


def _sql_type(kind: object) -> str:
    """DuckDB's name of an Arrow type."""
    import duckdb
    import pyarrow as pa

    empty = pa.table({"value": pa.array([], kind)})
    with duckdb.connect() as connection:
        return str(connection.from_arrow(empty).types[0])


def _render(text: str, facts: dict[str, object]) -> str:
    # Comes with dbt. What is rendered is SQL and YAML, where HTML's escapes have no place.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text).render(**facts)
