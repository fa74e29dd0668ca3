"""Opens the client for commands about Meter, and finds the strategy that an argument names, there or in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_known_ledger, open_ledger
from meter_pipeline.text.names import find_close

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient, Strategy
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow


@contextmanager
def open_meter(creates: bool = False) -> Iterator[MeterClient]:
    """Opens the client.

    Args:
        creates: Whether the command creates something at Meter. The ledger then keeps its intents, so that a retry
            after a lost answer creates nothing twice.
    """
    settings = Settings.from_env()
    if not creates:
        with open_client(settings) as client:
            yield client
        return
    settings.require_key()
    with open_ledger(settings) as ledger, open_client(settings, ledger) as client:
        yield client


def find_strategy(client: MeterClient, name: str) -> Strategy:
    """Finds the strategy at Meter with this id, slug or, if only one has it, name.

    Raises:
        typer.BadParameter: No strategy has it, or several have the name.
    """
    with open_known_ledger(Settings.from_env()) as ledger:
        rows = ledger.strategies() if ledger is not None else []
    # Slugs are made here; Meter does not know them.
    ids = {row.strategy_id for row in rows if row.slug == name}
    found, names = [], []
    for strategy in client.strategies():
        if strategy.strategy_id == name or strategy.strategy_id in ids:
            return strategy
        if strategy.name == name:
            found.append(strategy)
        if strategy.name:
            names.append(strategy.name)
    if gone := [row for row in rows if not found and name in (row.strategy_id, row.slug, row.name)]:
        raise typer.BadParameter(
            f"Meter has the strategy {name!r} no more: what was loaded of it stays in results.{gone[0].slug}"
        )
    if len(found) > 1:
        known = ", ".join(row.slug for row in rows if row.name == name)
        way_out = f"give one of the slugs {known}" if known else "give an id, see `meter-pipeline strategies list`"
        raise typer.BadParameter(f"several strategies are called {name!r}: {way_out}")
    if not found:
        close = find_close(name, names)
        way_out = f"did you mean {close!r}?" if close else "see `meter-pipeline strategies list`"
        raise typer.BadParameter(f"no strategy has the id, slug or name {name!r}: {way_out}")
    return found[0]


def find_known_strategies(ledger: Ledger, name: str | None) -> list[StrategyRow]:
    """Finds the ledger's strategy with this id, slug or name, as a list of one; all strategies for None.

    Raises:
        SelectionError: No strategy or more than one has it.
    """
    from meter_pipeline.store.ledger.rows import called, find_meant
    from meter_pipeline.sync import SelectionError

    rows = ledger.strategies()
    if name is None:
        return rows
    found = called(rows, name)
    if len(found) > 1:
        slugs = ", ".join(row.slug for row in found)
        raise SelectionError(f"several strategies are called {name!r}: give one of the slugs {slugs}")
    if not found:
        raise SelectionError(f"no strategy {name!r}: {find_meant(rows, name, 'see `meter-pipeline keys`')}")
    return found


def print_deleted(kind: str, identifier: str, as_json: bool) -> None:
    """Prints that a strategy or schedule was deleted."""
    if as_json:
        print_json({"deleted": identifier})
    else:
        print_line(f"{kind} {identifier} is deleted")
