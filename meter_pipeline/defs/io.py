"""Tables of the lake as inputs of downstream assets, in the form that the annotation names.

Example:
    @dg.asset(ins={"books": dg.AssetIn(["results", "bookshop"])})
    def cheap_books(books: pandas.DataFrame) -> ...
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.connect import Store
from meter_pipeline.defs.failures import told_in_one_line
from meter_pipeline.defs.frames import converter
from meter_pipeline.defs.keys import ITEMS, JOBS, SCHEDULES, STRATEGIES, slug_of
from meter_pipeline.defs.naming import Keys
from meter_pipeline.defs.partitions import windows_of
from meter_pipeline.defs.resources import StoreResource

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.store.lake.windows import Window

    Windows = Sequence[Window] | None


class LakeIOManager(dg.ConfigurableIOManager):
    """Reads `results/<slug>` and `meter/*`; it writes nothing, as the sync has written already."""

    store: dg.ResourceDependency[StoreResource]
    key_prefix: list[str] = Field(default=[], description="What the keys of the project begin with.")

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuses: the lake holds what Meter scraped.

        Raises:
            dg.Failure: An asset of somebody else's uses this IO manager for its output.
        """
        if obj is not None:
            raise dg.Failure(
                f"{context.asset_key.to_user_string()}: the lake holds what Meter scraped and nothing else; "
                "give this asset an IO manager of its own",
                allow_retries=False,
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows, as what the input is annotated with: see `frames`.

        An asset that is partitioned by time gets the rows of jobs that were completed in its partitions' time. The
        input's metadata can name the columns (`{"columns": [...]}`), and ask for the rows of all times all the same
        (`{"whole_table": True}`). `meter/strategies` and `meter/schedules` always come whole.

        Raises:
            dg.Failure: There is no such table or column, or the annotation asks for something else.
        """
        convert = converter(context.dagster_type.typing_type, context.asset_key.to_user_string())
        wanted = context.definition_metadata or {}
        windows = None if wanted.get("whole_table") else windows_of(context.step_context)
        columns = wanted.get("columns")
        with told_in_one_line(context.log), self.store.open() as store:
            table = self._read(context.asset_key, store, columns, windows)
        return convert(table if columns is None else table.select(list(columns)))

    def _read(self, asset: dg.AssetKey, store: Store, columns: Sequence[str] | None, windows: "Windows") -> "pa.Table":
        key = Keys(tuple(self.key_prefix)).own(asset)
        slug = slug_of(key)
        if slug is not None:
            return _results(asset, slug, store, columns, windows)
        table = _catalog(key, store, windows)
        _refuse_unknown(asset, columns, table.column_names)
        return table


def _results(
    asset: dg.AssetKey, slug: str, store: Store, columns: Sequence[str] | None, windows: "Windows"
) -> "pa.Table":
    """Rows of a strategy; none, in all its columns, while there is no file of it."""
    from meter_pipeline.store.lake.lake import results_schema

    strategy = next((row for row in store.ledger.strategies() if row.slug == slug), None)
    if strategy is None:
        raise dg.Failure(
            f"{asset.to_user_string()}: no strategy {slug!r} is known: sync first, or see `meter-pipeline status`",
            allow_retries=False,
        )
    schema = results_schema(strategy.columns)
    _refuse_unknown(asset, columns, schema.names)
    if not store.lake.parts("results", slug):
        return schema.empty_table()
    return store.lake.read("results", slug, columns, windows=windows)


def _refuse_unknown(asset: dg.AssetKey, columns: Sequence[str] | None, known: Sequence[str]) -> None:
    unknown = [name for name in columns or () if name not in known]
    if unknown:
        raise dg.Failure(
            f"{asset.to_user_string()} has no column {', '.join(map(repr, unknown))}; it has {', '.join(known)}",
            allow_retries=False,
        )


def _catalog(key: dg.AssetKey, store: Store, windows: "Windows") -> "pa.Table":
    """A table of `meter/*` with the columns that it has in the warehouse."""
    from meter_pipeline.store.warehouse.ledger_tables import ledger_tables

    if key == ITEMS:
        return _items(store, windows)
    if key in (STRATEGIES, SCHEDULES):
        return ledger_tables(store.ledger)[key.path[-1]]
    if key == JOBS:
        jobs = ledger_tables(store.ledger)["jobs"]
        return jobs if windows is None else _jobs_within(jobs, windows)
    raise dg.Failure(f"{key.to_user_string()} is no table of the lake", allow_retries=False)


def _jobs_within(jobs: "pa.Table", windows: "Sequence[Window]") -> "pa.Table":
    """Jobs by their time; one that was never completed counts when it began, or else when it was made."""
    import pyarrow.compute as pc

    from meter_pipeline.store.lake.windows import are_within

    times = pc.coalesce(jobs["completed_at"], jobs["started_at"], jobs["created_at"])
    return jobs.filter(are_within(times, windows))


def _items(store: Store, windows: "Windows") -> "pa.Table":
    import pyarrow as pa

    from meter_pipeline.store.lake.lake import RAW

    tables = [RAW.append(pa.field("strategy", pa.string())).empty_table()]
    for strategy in store.ledger.strategies():
        rows = store.lake.read("raw", strategy.slug, windows=windows)
        tables.append(rows.append_column("strategy", pa.array([strategy.slug] * rows.num_rows, pa.string())))
    return pa.concat_tables(tables).select(["strategy", *RAW.names])
