"""`keys`: shows the key of each strategy's items and the evidence for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, show
from meter_pipeline.commands.lookup import known_strategies
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger


def keys(
    strategy: Annotated[
        str | None, typer.Argument(help="Id, slug or name; all when left out.", autocompletion=complete.strategies)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the key of each strategy's items, and the evidence for it."""
    from meter_pipeline.sync.items.rules import load

    with open_ledger(Settings.from_env()) as ledger:
        rows = known_strategies(ledger, strategy)
        repeated = ledger.duplicates()
    found: list[dict[str, Any]] = []
    for row in rows:
        chosen = asdict(load(row.identity))
        hidden = ("attempts",)
        found.append(
            {
                "strategy": row.slug,
                **{name: value for name, value in chosen.items() if name not in hidden},
                "duplicates": repeated.get(row.strategy_id, 0),
            }
        )
    if as_json:
        emit({"strategies": found})
        return
    shown = []
    for one in found:
        evidence = one["evidence"] or {}
        shown.append(
            (
                one["strategy"],
                ", ".join(one["key"]) or "(the item's hash)",
                one["source"],
                evidence.get("stability"),
                evidence.get("jobs"),
                evidence.get("items"),
                one["duplicates"],
                ", ".join(one["ignore"]),
            )
        )
    show(("strategy", "key", "from", "stability", "jobs", "items", "repeated", "ignored"), shown)
