"""`publications`: lists what was published and what was rejected."""

from __future__ import annotations

from meter_pipeline.commands.console import parse_time, print_json, print_line, print_table
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings


def publications(as_json: Json = False) -> None:
    """List the publications that can be put back, and the rejected ones with the reason."""
    from meter_pipeline.store.warehouse.publications import listing

    found = listing(Settings.from_env().warehouse)
    if as_json:
        print_json(found)
    elif not found:
        print_line("nothing was published yet: run `meter-pipeline publish`")
    else:
        columns = ("publication", "state", "published at", "dbt invocation", "reason")
        rows = [(p.publication_id, p.state, parse_time(p.published_at), p.dbt_invocation_id, p.reason) for p in found]
        print_table(columns, rows, prose=["reason"])
