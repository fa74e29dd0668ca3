"""Tables of the lake as inputs of downstream assets, as `pandas.DataFrame` or `pyarrow.Table` by type annotation.

Example:
    @dg.asset(ins={"books": dg.AssetIn(["results", "bookshop"])})
    def cheap_books(books: pandas.DataFrame) -> ...
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.connect import Store
from meter_pipeline.defs.failures import told_in_one_line
from meter_pipeline.defs.keys import ITEMS, JOBS, SCHEDULES, STRATEGIES, slug_of
from meter_pipeline.defs.naming import Keys
from meter_pipeline.defs.resources import StoreResource

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame | pa.Table":
        """The whole table; columns can be chosen by the input's metadata `{"columns": [...]}`.

        Raises:
            dg.Failure: There is no such table yet, or the annotation asks for something else.
        """
        table = self._read(context)
        wanted = context.dagster_type.typing_type
        name = f"{getattr(wanted, '__module__', '')}.{getattr(wanted, '__qualname__', '')}"
        if name.startswith("pandas.") and name.endswith(".DataFrame"):
            return table.to_pandas()
        if (name.startswith("pyarrow.") and name.endswith(".Table")) or wanted is Any:
            return table
        raise dg.Failure(
            f"{context.asset_key.to_user_string()} comes as pandas.DataFrame or pyarrow.Table, not {name}: "
            "annotate the input with one of the two",
            allow_retries=False,
        )

    def _read(self, context: dg.InputContext) -> "pa.Table":
        columns = (context.definition_metadata or {}).get("columns")
        with told_in_one_line(context.log), self.store.open() as store:
            key = Keys(tuple(self.key_prefix)).own(context.asset_key)
            slug = slug_of(key)
            if slug is not None:
                return store.lake.read("results", slug, columns=columns)
            table = _catalog(key, store)
        return table if columns is None else table.select(list(columns))


def _catalog(key: dg.AssetKey, store: Store) -> "pa.Table":
    """A table of `meter/*` with the columns that it has in the warehouse."""
    from meter_pipeline.store.schemas import ledger_tables

    if key == ITEMS:
        return _items(store)
    if key in (STRATEGIES, SCHEDULES, JOBS):
        return ledger_tables(store.ledger)[key.path[-1]]
    raise dg.Failure(f"{key.to_user_string()} is no table of the lake", allow_retries=False)


def _items(store: Store) -> "pa.Table":
    import pyarrow as pa

    from meter_pipeline.store.lake import RAW

    tables = [RAW.append(pa.field("strategy", pa.string())).empty_table()]
    for strategy in store.ledger.strategies():
        rows = store.lake.read("raw", strategy.slug)
        tables.append(rows.append_column("strategy", pa.array([strategy.slug] * rows.num_rows, pa.string())))
    return pa.concat_tables(tables).select(["strategy", *RAW.names])
