"""`keys`: shows the key of each strategy's items and the evidence for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_table
from meter_pipeline.commands.lookup import find_known_strategies
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger

# Fields of the stored item rules that are bookkeeping of the search for a key.
_INTERNAL = ("search",)


def keys(
    strategy: Annotated[
        str | None,
        typer.Argument(
            help="Strategy id, slug or name; by default all strategies.", autocompletion=complete.strategies
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the fields that identify each strategy's items, and the evidence for this key."""
    from meter_pipeline.sync.items.rules import load

    with open_ledger(Settings.from_env()) as ledger:
        rows = find_known_strategies(ledger, strategy)
        duplicates = ledger.duplicates()
    found: list[dict[str, Any]] = []
    for row in rows:
        rules = {name: value for name, value in asdict(load(row.identity)).items() if name not in _INTERNAL}
        found.append({"strategy": row.slug, **rules, "duplicates": duplicates.get(row.strategy_id, 0)})
    if as_json:
        print_json({"strategies": found})
        return
    table = []
    for rules in found:
        evidence = rules["evidence"] or {}
        table.append(
            (
                rules["strategy"],
                ", ".join(rules["key"]) or "(the item's hash)",
                rules["source"],
                evidence.get("stability"),
                evidence.get("jobs"),
                evidence.get("items"),
                rules["duplicates"],
                ", ".join(rules["ignore"]),
            )
        )
    print_table(("strategy", "key", "from", "stability", "jobs", "items", "repeated", "ignored"), table)
