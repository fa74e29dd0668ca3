"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_pipeline.commands.console import tell

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


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
