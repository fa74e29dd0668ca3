"""What the commands about strategies, schedules and jobs at Meter have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from meter_pipeline.commands.console import emit, say
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_known_ledger, open_ledger

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient, Strategy
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow


@contextmanager
def open_meter(creates: bool = False) -> Iterator[MeterClient]:
    """The client; one that creates has the ledger for its intents, so that a lost answer makes nothing twice."""
    settings = Settings.from_env()
    if not creates:
        with open_client(settings) as client:
            yield client
        return
    settings.require_key()
    with open_ledger(settings) as ledger, open_client(settings, ledger) as client:
        yield client


def find_strategy(client: MeterClient, name: str) -> Strategy:
    """The strategy with this id or slug or, if only one has it, this name.

    Raises:
        typer.BadParameter: There is none, or several have the name.
    """
    with open_known_ledger(Settings.from_env()) as ledger:
        # A slug is ours: Meter knows none.
        ids = {row.strategy_id for row in ledger.strategies() if row.slug == name} if ledger is not None else set()
    found = []
    for strategy in client.strategies():
        if strategy.strategy_id == name or strategy.strategy_id in ids:
            return strategy
        if strategy.name == name:
            found.append(strategy)
    if len(found) != 1:
        reason = "no strategy has" if not found else f"{len(found)} strategies have"
        raise typer.BadParameter(f"{reason} the id, slug or name {name!r}: see `meter-pipeline strategies list`")
    return found[0]


def say_deleted(kind: str, identifier: str, as_json: bool) -> None:
    """Says that a strategy or schedule is gone."""
    if as_json:
        emit({"deleted": identifier})
    else:
        say(f"{kind} {identifier} is deleted")


def known_strategies(ledger: Ledger, wanted: str | None) -> list[StrategyRow]:
    """The strategy of the ledger that a user's word means, as a list; all of them for `None`.

    Raises:
        SelectionError: There is none, or there are several.
    """
    from meter_pipeline.store.ledger.rows import called
    from meter_pipeline.sync import SelectionError

    rows = ledger.strategies()
    if wanted is None:
        return rows
    found = called(rows, wanted)
    if len(found) != 1:
        several = f"several strategies are called {wanted!r}: name one of {', '.join(row.slug for row in found)}"
        raise SelectionError(several if found else f"no strategy {wanted!r}: see `meter-pipeline keys`")
    return found
