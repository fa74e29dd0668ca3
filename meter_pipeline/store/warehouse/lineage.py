"""Column lineage: the source columns of each column of a model, found in the SQL that dbt compiled.

It depends on SQL and columns alone, so it is found once for each version of both and kept beside the parsed project.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot import MappingSchema

    from meter_pipeline.store.warehouse.dbt import Project

# By a model's unique id and a column's name: the source columns, each as the unique id of its relation and its name.
Lineage = Mapping[str, Mapping[str, list[tuple[str, str]]]]
Columns = Mapping[tuple[str, str], list[str]]

_DIALECT = "duckdb"
_log = logging.getLogger(__name__)


def column_lineage(project: Project, columns: Columns) -> Lineage:
    """The lineage of every model of the project.

    Args:
        project: A parsed project, built by this process unless its lineage is kept from before.
        columns: Columns of the warehouse's tables and views, by schema and name.

    Returns:
        The lineage; a model that was not built here, or whose SQL sqlglot cannot follow, is absent.
    """
    nodes = {**project.manifest["sources"], **project.manifest["nodes"]}
    relations = {_relation(node): unique_id for unique_id, node in nodes.items() if node.get("relation_name")}
    known = {name: columns.get(name) or list(nodes[unique_id]["columns"]) for name, unique_id in relations.items()}
    digest = hashlib.sha256(json.dumps(sorted(known.items())).encode()).hexdigest()[:20]
    kept = project.parsed() / f"lineage-{digest}.json"
    try:
        found: Lineage = json.loads(kept.read_text())
    except (OSError, ValueError):
        compiled = {
            result.unique_id: Path(result.sql) for result in project.results if result.kind == "model" and result.sql
        }
        found = _trace(compiled, relations, known)
        if len(found) == sum(node["resource_type"] == "model" for node in nodes.values()):
            _keep(kept, found)
    return found


def _keep(path: Path, found: Lineage) -> None:
    draft = path.with_suffix(f".{id(found)}")
    try:
        draft.write_text(json.dumps(found))
        draft.replace(path)
    except OSError as error:
        _log.debug("%s: %s", path, error.strerror)


def _relation(node: Mapping[str, Any]) -> tuple[str, str]:
    return node["schema"].lower(), (node.get("alias") or node["identifier"]).lower()


def _trace(compiled: Mapping[str, Path], relations: Mapping[tuple[str, str], str], known: Columns) -> Lineage:
    from sqlglot import MappingSchema, exp

    schema = MappingSchema(dialect=_DIALECT)
    for (folder, name), columns in known.items():
        schema.add_table(exp.table_(name, db=folder, quoted=True), dict.fromkeys(columns, "VARCHAR"), dialect=_DIALECT)
    found = {}
    for unique_id, path in compiled.items():
        try:
            found[unique_id] = _columns(path.read_text(), schema, relations)
        except Exception as error:
            # Neither a user's SQL nor a defect of the parser keeps a publication from being reported.
            _log.info("%s: its columns cannot be traced: %s", unique_id, " ".join(str(error).split())[:200])
    return found


def _columns(
    sql: str, schema: MappingSchema, relations: Mapping[tuple[str, str], str]
) -> dict[str, list[tuple[str, str]]]:
    from sqlglot import exp, parse_one
    from sqlglot.lineage import lineage
    from sqlglot.optimizer import optimize

    tree = optimize(parse_one(sql, dialect=_DIALECT), schema=schema, dialect=_DIALECT)
    # As text again: not every version of `lineage` accepts a tree from the optimizer.
    text = tree.sql(dialect=_DIALECT)
    found: dict[str, list[tuple[str, str]]] = {}
    for column in tree.named_selects:
        leaves = set()
        for node in lineage(column, text, schema=schema, dialect=_DIALECT).walk():
            table = None if node.downstream else node.expression.find(exp.Table)
            if table is not None and (unique_id := relations.get((table.db.lower(), table.name.lower()))):
                leaves.add((unique_id, exp.to_column(node.name).name))
        found[column] = sorted(leaves)
    return found
