"""The step that builds the dbt models in a candidate file, tests them and publishes the file as `warehouse`.

A publication is whole or not at all, so one step builds all of it, and yields events only of the selected assets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.composition import MappedInputPlaceholder

from meter_pipeline.connect import export_tables, require_tables
from meter_pipeline.defs.assets.models import OWNERS, ModelSpecs
from meter_pipeline.defs.failures import fail_in_one_line
from meter_pipeline.defs.keys import STORE_RESOURCE, WAREHOUSE
from meter_pipeline.defs.metadata.origin import describe_origin
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.store.errors import StoreError

if TYPE_CHECKING:
    from meter_pipeline.defs.resources import StoreResource
    from meter_pipeline.store.warehouse.dbt import Project, Result
    from meter_pipeline.store.warehouse.publications import Publication

_STEP = "publish"


def build_publication_assets(
    project: Project | None,
    models: ModelSpecs,
    upstream: Sequence[dg.AssetKey],
    *,
    keys: Keys = Keys(),
    names: Names = Names(),
) -> dg.AssetsDefinition:
    """Builds the assets of the dbt models and of the published warehouse.

    A step is skipped when one of its inputs is skipped, unless the inputs are fanned in: then only when all of them
    are. With one input per upstream asset, the step would be skipped in nearly every sync, since strategies without new
    jobs are skipped. Hence a graph of one op that has all of them on one input.

    Args:
        project: The dbt project; `None` publishes without models.
        models: The project's assets and checks.
        upstream: The assets that a sync fills.
        keys: Translates between the project's asset keys and this package's.
        names: Names of the step and its resource in this code location.
    """
    # Dagster wants nodes of the same name in a job to be equal, so each account has other names.
    step, store_key = names.qualify(_STEP), names.qualify(STORE_RESOURCE)
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
        lambda context: keys.rename(_publish(context, getattr(context.resources, store_key), project, models, keys))
    )

    graph = dg.GraphDefinition(
        name=names.qualify("publication"),
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
    return _PublicationAssets(
        node_def=graph,
        keys_by_input_name=inputs,
        keys_by_output_name={name: spec.key for name, spec in outs.items()},
        specs=specs,
        check_specs_by_output_name=checks,
        can_subset=True,
    )


class _PublicationAssets(dg.AssetsDefinition):
    """The assets of a publication, any of which can be selected without the others.

    Dagster cannot take a part of a graph with fanned-in inputs: it loses the inputs, and refuses the job. This graph
    has a single op, and Dagster passes the selection to it. So the graph can stay whole.
    """

    @staticmethod
    def dagster_internal_init(*, execution_type: Any, **attributes: Any) -> _PublicationAssets:
        """Makes the copies of an instance, which would otherwise be of the base class.

        `execution_type` is always the default, and Dagster warns of it as a beta feature where it is given.
        """
        return _PublicationAssets(**attributes)

    def subset_for(
        self,
        selected_asset_keys: Set[dg.AssetKey],
        selected_asset_check_keys: Set[dg.AssetCheckKey] | None,
    ) -> _PublicationAssets:
        """Selects these assets, and these checks: None for all checks of the selected assets."""
        assets = self.keys & selected_asset_keys
        checks = {
            key
            for key in self.check_keys
            if (key.asset_key in assets if selected_asset_check_keys is None else key in selected_asset_check_keys)
        }
        chosen = {"selected_asset_keys": assets, "selected_asset_check_keys": checks, "is_subset": True}
        return self.dagster_internal_init(**{**self.get_attributes_dict(), **chosen})


def _warehouse_spec(models: ModelSpecs, upstream: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    inner = {dep.asset_key for spec in models.specs for dep in spec.deps}
    last = [spec.key for spec in models.specs if spec.key not in inner]
    return dg.AssetSpec(
        WAREHOUSE,
        deps=[*last, *(key for key in upstream if key not in inner)],
        description="One DuckDB file with all data: schemas `meter`, `results`, `staging`, `intermediate` and `marts`. "
        "It is replaced atomically once its tests have passed, so readers never wait and never see half a load.",
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
    """Publishes, and yields what was built; of a rejected candidate, only the test results."""
    selected, selected_checks = keys.list_selected(context), keys.list_selected_checks(context)
    path: Path = store_resource.warehouse
    settings = store_resource.settings()
    failure: StoreError | None = None
    with fail_in_one_line(context.log):
        from meter_pipeline.store.warehouse.build import RejectedError, publish

        require_tables(settings)
        with store_resource.open() as store:
            try:
                publication = publish(store.ledger, store.lake, path, models=project, cache=settings.lake_cache)
            except RejectedError:
                yield from _report_tests(project.results if project else (), models, selected_checks)
                raise
            exported = None
            try:
                exported = export_tables(settings, store)
            except StoreError as error:
                # The warehouse is published all the same: the run fails when that was said.
                failure = error
        context.log.info(f"{path}: {'unchanged, nothing to publish' if publication.unchanged else 'published'}")
        version = dg.DataVersion(publication.publication_id)
        rows = _count_rows(path, settings.lake)
        results = (
            {result.unique_id: result for result in project.results} if project and not publication.unchanged else {}
        )
        charts = _draw_charts(path, settings.lake) if project else {}
        origin = describe_origin(store_resource.settings().data_dir)
        lineage = _read_lineage(path, settings.lake, project, models, keys) if project else {}
        for unique_id, asset in models.keys.items():
            if asset in selected:
                facts = {
                    **origin,
                    **charts.get(asset, {}),
                    **lineage.get(asset, {}),
                    **_describe_model(asset, rows, results.get(unique_id)),
                }
                yield dg.MaterializeResult(asset, metadata=facts, data_version=version)
        if WAREHOUSE in selected:
            facts = {**origin, **charts.get(WAREHOUSE, {}), **_describe_warehouse(path, publication)}
            if exported is not None:
                facts |= {"open tables": exported.tables, "open tables changed": exported.changed}
            yield dg.MaterializeResult(WAREHOUSE, metadata=facts, data_version=version)
        yield from _report_tests(list(results.values()), models, selected_checks)
        if failure is not None:
            raise failure


def _report_tests(results: Sequence[Result], models: ModelSpecs, selected: Any) -> Iterator[dg.AssetCheckResult]:
    """Yields a check result for each selected test that was run."""
    specs = models.check_ids
    for result in results:
        spec = specs.get(result.unique_id)
        if result.kind != "test" or spec is None or spec.key not in selected or result.status == "skipped":
            continue
        yield dg.AssetCheckResult(
            passed=result.status == "pass",
            asset_key=spec.asset_key,
            check_name=spec.name,
            severity=dg.AssetCheckSeverity.ERROR if result.failed else dg.AssetCheckSeverity.WARN,
            description=None
            if result.status == "pass"
            else f"{result.message or result.status}: {result.sql or result.name}",
            metadata={"failures": result.failures or 0, "seconds": result.seconds},
        )


def _describe_model(key: dg.AssetKey, rows: Mapping[str, int], result: Result | None) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    name = ".".join(key.path[-2:])
    if name in rows:
        facts["dagster/row_count"] = rows[name]
    if result is not None:
        facts["seconds"] = result.seconds
    return facts


def _describe_warehouse(path: Path, publication: Publication) -> dict[str, Any]:
    return {
        "dagster/uri": path.as_uri(),
        "path": dg.MetadataValue.path(path),
        "bytes": path.stat().st_size,
        "strategies": publication.strategies,
        "jobs": publication.jobs,
        "files": publication.files,
        "models": publication.models,
        "dbt invocation": publication.dbt_invocation_id or "none",
        "seconds": publication.seconds,
    }


def _count_rows(path: Path, lake_url: str) -> dict[str, int]:
    """Counts the rows of the tables that dbt built; not of views, which could read the whole lake."""
    from meter_pipeline.store.warehouse.build import reading

    with reading(path, lake_url) as connection:
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE schema_name NOT IN ('meter', 'results')"
        ).fetchall()
        counts = (
            (f"{schema}.{name}", connection.execute(f'SELECT count(*) FROM "{schema}"."{name}"').fetchall()[0][0])  # noqa: S608
            for schema, name in tables
        )
        return dict(counts)


def _read_lineage(
    path: Path, lake_url: str, project: Project, models: ModelSpecs, keys: Keys
) -> dict[dg.AssetKey, dict[str, Any]]:
    """Returns the column lineage of each model."""
    from meter_pipeline.defs.metadata.lineage import trace_models
    from meter_pipeline.store.warehouse.build import reading
    from meter_pipeline.store.warehouse.lineage import column_lineage

    columns: dict[tuple[str, str], list[str]] = {}
    with reading(path, lake_url) as connection:
        rows = connection.execute(
            "SELECT lower(schema_name), lower(table_name), column_name FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY ALL"
        ).fetchall()
    for schema, table, column in rows:
        columns.setdefault((schema, table), []).append(column)
    return trace_models(column_lineage(project, columns), models.keys, models.sources, keys)


def _draw_charts(path: Path, lake_url: str) -> dict[dg.AssetKey, dict[str, Any]]:
    """Draws the charts, by the asset that each belongs to."""
    from meter_pipeline.defs.metadata.charts import draw_charts

    return draw_charts(path, lake_url)
