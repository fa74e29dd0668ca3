"""What the commands about strategies, schedules and jobs at Meter have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter_pipeline.commands.console import emit, say, tell
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_known_ledger, open_ledger

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient, Strategy

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


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


def confirm(yes: bool, what: str) -> None:
    """Asks whether `what` is to be deleted, and ends the command if not.

    Raises:
        typer.BadParameter: There is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is no terminal to ask whether to delete {what}: add --yes")
    if not typer.confirm(f"Delete {what} at Meter?", err=True):
        tell("nothing is deleted")
        raise typer.Exit(0)


def parse_object(text: str | None, option: str) -> dict[str, Any] | None:
    """The JSON object given as text, or as @FILE."""
    if text is None:
        return None
    try:
        given = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"{option}: {text[1:]} cannot be read: {reason}") from None
    try:
        value = json.loads(given, object_pairs_hook=lambda pairs: _unique(pairs, option))
    except ValueError as error:
        raise typer.BadParameter(f"{option} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]], option: str) -> dict[str, Any]:
    """A JSON object's members; JSON parsers keep the last value of a name that is there twice, and say nothing."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise typer.BadParameter(f"{option}: {name!r} is there twice: remove one")
        members[name] = value
    return members


def parse_interval(text: str | None) -> int | None:
    """`900`, `15m`, `6h` or `1d` in seconds."""
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    if not number.isdigit() or int(number) * units[unit] < 60:
        raise typer.BadParameter(f"--every {text!r}: give seconds, or 15m, 6h, 1d; the API takes 60 seconds and more")
    return int(number) * units[unit]


def say_deleted(kind: str, identifier: str, as_json: bool) -> None:
    """Says that a strategy or schedule is gone."""
    if as_json:
        emit({"deleted": identifier})
    else:
        say(f"{kind} {identifier} is deleted")
