"""The step that publishes: the raw side and the models in a file of their own, and what passed becomes `warehouse`.

A publication is whole or not at all, so all of it is one step, whatever was selected of it: what was selected is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.composition import MappedInputPlaceholder

from meter_pipeline.defs.failures import told_in_one_line
from meter_pipeline.defs.keys import STORE_RESOURCE, WAREHOUSE
from meter_pipeline.defs.models import OWNERS, ModelSpecs
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.provenance import note

if TYPE_CHECKING:
    from meter_pipeline.defs.resources import StoreResource
    from meter_pipeline.store.warehouse.dbt import Project, Result
    from meter_pipeline.store.warehouse.publications import Publication

_STEP = "publish"


def publication_assets(
    project: Project | None,
    models: ModelSpecs,
    upstream: Sequence[dg.AssetKey],
    *,
    keys: Keys = Keys(),
    names: Names = Names(),
) -> dg.AssetsDefinition:
    """The models of the dbt project and the published warehouse.

    A step is skipped when one of its inputs is skipped, unless inputs are fanned in: then only when all of them are. An
    asset has an input for each upstream asset and would miss nearly every sync, since strategies without news are
    skipped; hence the graph of one op with all of them on one input.

    Args:
        project: What is built over the raw side; nothing when `None`.
        models: Its assets and checks.
        upstream: The assets that a sync fills.
        keys: What the project calls the assets when the step runs.
        names: The instance's names of the step and its resource.
    """
    # Nodes of one job with the same name would have to be the same.
    step, store_key = names.shown(_STEP), names.shown(STORE_RESOURCE)
    specs = [*models.specs, _warehouse_spec(models, upstream)]
    own = {spec.key for spec in specs}
    outs = {spec.key.to_python_identifier(): spec for spec in specs}
    checks = {spec.get_python_identifier(): spec for spec in models.checks}
    deps = {dep.asset_key for spec in specs for dep in spec.deps} - own
    inputs = {f"news_{place}": dep for place, dep in enumerate(sorted(deps | set(upstream)))}
    outputs = [*outs, *checks]

    make_op = dg.op(
        name=step,
        ins={"news": dg.In(dg.Nothing)},
        out={name: dg.Out(dg.Nothing, is_required=False) for name in outputs},
        required_resource_keys={store_key},
    )
    # A lambda has no annotations: Dagster would take those of a function for the types of the outputs.
    publish = make_op(
        lambda context: keys.told(_publish(context, getattr(context.resources, store_key), project, models, keys))
    )

    graph = dg.GraphDefinition(
        name=names.shown("publication"),
        node_defs=[publish],
        input_mappings=[
            dg.InputMapping(
                graph_input_name=name, mapped_node_name=step, mapped_node_input_name="news", fan_in_index=place
            )
            for place, name in enumerate(inputs)
        ],
        dependencies={step: {"news": dg.MultiDependencyDefinition([MappedInputPlaceholder] * len(inputs))}},
        output_mappings=[
            dg.OutputMapping(graph_output_name=name, mapped_node_name=step, mapped_node_output_name=name)
            for name in outputs
        ],
    )
    return dg.AssetsDefinition(
        node_def=graph,
        keys_by_input_name=inputs,
        keys_by_output_name={name: spec.key for name, spec in outs.items()},
        specs=specs,
        check_specs_by_output_name=checks,
        can_subset=True,
    )


def _warehouse_spec(models: ModelSpecs, upstream: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    used = {dep.asset_key for spec in models.specs for dep in spec.deps}
    last = [spec.key for spec in models.specs if spec.key not in used]
    return dg.AssetSpec(
        WAREHOUSE,
        deps=[*last, *(one for one in upstream if one not in used)],
        description="One DuckDB file with everything in it: schemas `meter`, `results`, `staging`, `intermediate` and "
        "`marts`. It is replaced atomically, after its tests have passed: no reader waits or sees half a load.",
        group_name="warehouse",
        kinds={"duckdb"},
        owners=OWNERS,
        skippable=True,
    )


def _publish(
    context: dg.OpExecutionContext,
    store_resource: StoreResource,
    project: Project | None,
    models: ModelSpecs,
    keys: Keys,
) -> Iterator[Any]:
    """Publishes, and tells what was built; of a rejected candidate only which tests failed."""
    selected, selected_checks = keys.selected(context), keys.selected_checks(context)
    path: Path = store_resource.warehouse
    with told_in_one_line(context.log):
        from meter_pipeline.store.warehouse.build import RejectedError, publish

        with store_resource.open() as store:
            try:
                done = publish(store.ledger, store.lake, path, models=project)
            except RejectedError:
                yield from _checks(project.results if project else (), models, selected_checks)
                raise
        context.log.info(f"{path}: {'nothing new to publish' if done.unchanged else 'published'}")
        version = dg.DataVersion(done.publication_id)
        rows = _rows(path)
        results = {one.unique_id: one for one in project.results} if project and not done.unchanged else {}
        charts = _charts(path) if project else {}
        whose = note(store_resource.settings().data_dir)
        traced = _lineage(path, project, models, keys) if project else {}
        for unique_id, asset in models.keys.items():
            if asset in selected:
                facts = {
                    **whose,
                    **charts.get(asset, {}),
                    **traced.get(asset, {}),
                    **_model_facts(asset, rows, results.get(unique_id)),
                }
                yield dg.MaterializeResult(asset, metadata=facts, data_version=version)
        if WAREHOUSE in selected:
            facts = {**whose, **charts.get(WAREHOUSE, {}), **_warehouse_facts(path, done)}
            yield dg.MaterializeResult(WAREHOUSE, metadata=facts, data_version=version)
        yield from _checks(list(results.values()), models, selected_checks)


def _checks(results: Sequence[Result], models: ModelSpecs, selected: Any) -> Iterator[dg.AssetCheckResult]:
    """The outcome of every test that was run, and of no other."""
    specs = models.check_ids
    for one in results:
        spec = specs.get(one.unique_id)
        if one.kind != "test" or spec is None or spec.key not in selected or one.status == "skipped":
            continue
        yield dg.AssetCheckResult(
            passed=one.status == "pass",
            asset_key=spec.asset_key,
            check_name=spec.name,
            severity=dg.AssetCheckSeverity.ERROR if one.failed else dg.AssetCheckSeverity.WARN,
            description=None if one.status == "pass" else f"{one.message or one.status}: {one.sql or one.name}",
            metadata={"failures": one.failures or 0, "seconds": one.seconds},
        )


def _model_facts(key: dg.AssetKey, rows: Mapping[str, int], result: Result | None) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    name = ".".join(key.path[-2:])
    if name in rows:
        facts["dagster/row_count"] = rows[name]
    if result is not None:
        facts["seconds"] = result.seconds
    return facts


def _warehouse_facts(path: Path, done: Publication) -> dict[str, Any]:
    return {
        "dagster/uri": path.as_uri(),
        "path": dg.MetadataValue.path(path),
        "bytes": path.stat().st_size,
        "strategies": done.strategies,
        "jobs": done.jobs,
        "files": done.files,
        "models": done.models,
        "dbt invocation": done.dbt_invocation_id or "none",
        "seconds": done.seconds,
    }


def _rows(path: Path) -> dict[str, int]:
    """Rows of the tables that dbt built; a view is not counted, since that may mean to read all of the lake."""
    from meter_pipeline.store.warehouse.build import reading

    with reading(path) as connection:
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE schema_name NOT IN ('meter', 'results')"
        ).fetchall()
        counts = (
            (f"{schema}.{name}", connection.execute(f'SELECT count(*) FROM "{schema}"."{name}"').fetchall()[0][0])  # noqa: S608
            for schema, name in tables
        )
        return dict(counts)


def _lineage(path: Path, project: Project, models: ModelSpecs, keys: Keys) -> dict[dg.AssetKey, dict[str, Any]]:
    """Which columns each model's columns are made of."""
    from meter_pipeline.defs.lineage import of_models
    from meter_pipeline.store.warehouse.build import reading
    from meter_pipeline.store.warehouse.lineage import column_lineage

    columns: dict[tuple[str, str], list[str]] = {}
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT lower(schema_name), lower(table_name), column_name FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY ALL"
        ).fetchall()
    for schema, table, column in rows:
        columns.setdefault((schema, table), []).append(column)
    return of_models(column_lineage(project, columns), models, keys)


def _charts(path: Path) -> dict[dg.AssetKey, dict[str, Any]]:
    """The charts that belong to an asset; none of a warehouse without marts."""
    from meter_pipeline.defs import charts

    return charts.of_warehouse(path)
