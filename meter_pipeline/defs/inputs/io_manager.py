"""The IO manager that gives tables of the lake to downstream assets, as the type the input is annotated with.

Example:
    @dg.asset(ins={"books": dg.AssetIn(["results", "bookshop"])})
    def cheap_books(books: pandas.DataFrame) -> ...
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.connect import Store
from meter_pipeline.defs.failures import fail_in_one_line
from meter_pipeline.defs.inputs.frames import find_converter
from meter_pipeline.defs.inputs.partitions import find_windows
from meter_pipeline.defs.keys import ITEMS, JOBS, OTHER_RESULTS, SCHEDULES, STRATEGIES, find_slug
from meter_pipeline.defs.naming import Keys
from meter_pipeline.defs.resources import StoreResource

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.store.lake.windows import Window

    Windows = Sequence[Window] | None


class LakeIOManager(dg.ConfigurableIOManager):
    """Loads `results/<slug>` and `meter/*` as inputs. It writes nothing: the sync has done that."""

    store: dg.ResourceDependency[StoreResource]
    key_prefix: list[str] = Field(default=[], description="The prefix of all asset keys of this account.")

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuses to store an output: the lake holds only what Meter scraped.

        Raises:
            dg.Failure: Another asset uses this IO manager for its output.
        """
        if obj is not None:
            raise dg.Failure(
                f"{context.asset_key.to_user_string()}: the lake holds only what Meter scraped; "
                "give this asset another IO manager",
                allow_retries=False,
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """Returns the rows as the type that the input is annotated with, see `frames`.

        An asset with time partitions gets the rows of the jobs that were completed in its partitions. The input's
        metadata can name the columns (`{"columns": [...]}`), or ask for the rows of all partitions
        (`{"whole_table": True}`). `meter/strategies` and `meter/schedules` are always loaded whole.

        Raises:
            dg.Failure: The table or a column does not exist, or the annotated type is not supported.
        """
        convert = find_converter(context.dagster_type.typing_type, context.asset_key.to_user_string())
        options = context.definition_metadata or {}
        windows = None if options.get("whole_table") else find_windows(context.step_context)
        columns = options.get("columns")
        with fail_in_one_line(context.log), self.store.open() as store:
            table = self._read(context.asset_key, store, columns, windows)
        return convert(table if columns is None else table.select(list(columns)))

    def _read(self, asset: dg.AssetKey, store: Store, columns: Sequence[str] | None, windows: "Windows") -> "pa.Table":
        key = Keys(tuple(self.key_prefix)).remove_prefix(asset)
        slug = find_slug(key)
        if slug is not None:
            return _read_results(asset, slug, store, columns, windows)
        table = _read_catalog(key, store, windows)
        _refuse_unknown(asset, columns, table.column_names)
        return table


def _read_results(
    asset: dg.AssetKey, slug: str, store: Store, columns: Sequence[str] | None, windows: "Windows"
) -> "pa.Table":
    """Reads a strategy's rows; an empty table with all its columns if nothing was loaded yet."""
    from meter_pipeline.store.lake.lake import results_schema

    strategy = next((row for row in store.ledger.strategies() if row.slug == slug), None)
    if strategy is None:
        raise dg.Failure(
            f"{asset.to_user_string()}: no strategy {slug!r} was seen yet: sync first, or see `meter-pipeline status`",
            allow_retries=False,
        )
    schema = results_schema(strategy.columns)
    _refuse_unknown(asset, columns, schema.names)
    return store.stored_rows(slug).read("results", columns, windows=windows, schema=schema)


def _refuse_unknown(asset: dg.AssetKey, columns: Sequence[str] | None, known: Sequence[str]) -> None:
    unknown = [name for name in columns or () if name not in known]
    if unknown:
        raise dg.Failure(
            f"{asset.to_user_string()} has no column {', '.join(map(repr, unknown))}; it has {', '.join(known)}",
            allow_retries=False,
        )


def _read_catalog(key: dg.AssetKey, store: Store, windows: "Windows") -> "pa.Table":
    """Reads a table of `meter/*`, with the columns that it has in the warehouse."""
    from meter_pipeline.store.warehouse.ledger_tables import read_ledger_table

    if key == ITEMS:
        return _read_items(store, windows)
    if key in (STRATEGIES, SCHEDULES):
        return read_ledger_table(store.ledger, key.path[-1])
    if key == JOBS:
        jobs = read_ledger_table(store.ledger, "jobs")
        return jobs if windows is None else _filter_jobs(jobs, windows)
    way_out = (
        "declare the strategies that you need in meter.yaml, and take their assets results/<slug>"
        if key == OTHER_RESULTS
        else "read it from the warehouse"
    )
    raise dg.Failure(f"{key.to_user_string()} is not a table of the lake: {way_out}", allow_retries=False)


def _filter_jobs(jobs: "pa.Table", windows: "Sequence[Window]") -> "pa.Table":
    """Returns the jobs completed in the windows; others go by when they were started, or else created."""
    import pyarrow.compute as pc

    from meter_pipeline.store.lake.windows import are_within

    times = pc.coalesce(jobs["completed_at"], jobs["started_at"], jobs["created_at"])
    return jobs.filter(are_within(times, windows))


def _read_items(store: Store, windows: "Windows") -> "pa.Table":
    import pyarrow as pa

    from meter_pipeline.store.lake.lake import RAW

    tables = [RAW.append(pa.field("strategy", pa.string())).empty_table()]
    for strategy in store.ledger.strategies():
        rows = store.stored_rows(strategy.slug).read("raw", windows=windows)
        tables.append(rows.append_column("strategy", pa.array([strategy.slug] * rows.num_rows, pa.string())))
    return pa.concat_tables(tables).select(["strategy", *RAW.names])
