"""An asset downstream of both accounts."""

import dagster as dg
import pandas as pd


@dg.asset(
    ins={"main": dg.AssetIn(["results", "new_books"]), "shop": dg.AssetIn(["shop", "results", "new_books"])},
    group_name="comparison",
)
def shared_titles(main: pd.DataFrame, shop: pd.DataFrame) -> dg.MaterializeResult:
    """Counts the titles that both accounts have seen."""
    titles = set(main["title"].dropna()) & set(shop["title"].dropna())
    return dg.MaterializeResult(metadata={"titles": len(titles), "main": len(main), "shop": len(shop)})
