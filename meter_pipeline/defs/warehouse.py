"""The `warehouse` asset: the published DuckDB file, built anew whenever anything upstream has news."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.composition import MappedInputPlaceholder

from meter_pipeline.defs.assets import OWNERS
from meter_pipeline.defs.failures import told_in_one_line
from meter_pipeline.defs.keys import WAREHOUSE
from meter_pipeline.defs.resources import StoreResource


@dg.op(name="publish", ins={"news": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def publish_warehouse(context: dg.OpExecutionContext, meter_store: StoreResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Builds the warehouse from ledger and lake and puts it in place at once; open readers keep theirs."""
    with told_in_one_line():
        from meter_pipeline.store.warehouse import publish

        path = meter_store.warehouse
        with meter_store.open() as store:
            done = publish(store.ledger, store.lake, path)
    context.log.info(f"{path}: {'nothing new to publish' if done.unchanged else 'published'}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(done.publication_id),
        metadata={
            "dagster/uri": path.as_uri(),
            "path": dg.MetadataValue.path(path),
            "bytes": path.stat().st_size,
            "strategies": done.strategies,
            "jobs": done.jobs,
            "files": done.files,
            "seconds": done.seconds,
        },
    )


def warehouse_asset(upstream: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The published warehouse.

    A step is skipped when one of its inputs is skipped, unless inputs are fanned in: then only when all of them are. An
    `@asset` has an input for each upstream asset and would miss nearly every sync, since strategies without news are
    skipped; hence the graph of one op with all of them on one input.
    """
    names = {f"news_{place}": key for place, key in enumerate(upstream)}
    graph = dg.GraphDefinition(
        name="warehouse",
        node_defs=[publish_warehouse],
        input_mappings=[
            dg.InputMapping(
                graph_input_name=name, mapped_node_name="publish", mapped_node_input_name="news", fan_in_index=place
            )
            for place, name in enumerate(names)
        ],
        dependencies={"publish": {"news": dg.MultiDependencyDefinition([MappedInputPlaceholder] * len(names))}},
        output_mappings=[
            dg.OutputMapping(graph_output_name="result", mapped_node_name="publish", mapped_node_output_name="result")
        ],
    )
    asset = dg.AssetsDefinition.from_graph(
        graph, keys_by_input_name=names, keys_by_output_name={"result": WAREHOUSE}, group_name="warehouse"
    )
    return asset.map_asset_specs(_described)


def _described(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(
        description="One DuckDB file with everything in it: schemas `meter` and `results`. It is replaced atomically: "
        "no reader waits or sees half a load.",
        kinds={"duckdb"},
        owners=OWNERS,
    )
