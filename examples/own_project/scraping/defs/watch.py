"""Your own assets: `known_titles` reads the results of a strategy, `price_drops` a mart of the warehouse."""

from pathlib import Path

import dagster as dg
import pandas as pd


@dg.asset(ins={"books": dg.AssetIn(["results", "new_books"])}, group_name="scraping")
def known_titles(books: pd.DataFrame) -> dg.MaterializeResult:
    """Counts the titles that were ever seen."""
    return dg.MaterializeResult(metadata={"titles": books["title"].nunique()})


@dg.asset(deps=[dg.AssetKey(["marts", "fct_price_changes"]), dg.AssetKey(["warehouse"])], group_name="scraping")
def price_drops(meter_store: dg.ResourceParam[object]) -> dg.MaterializeResult:
    """Counts the prices that fell by a tenth or more, in the published warehouse."""
    import duckdb

    warehouse: Path = meter_store.warehouse  # type: ignore[attr-defined]
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select count(*) from marts.fct_price_changes where relative_change <= -0.1"
        ).fetchall()
    return dg.MaterializeResult(metadata={"drops": rows[0][0]})
