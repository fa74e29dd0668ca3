"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_stderr
from meter_pipeline.text.durations import parse_duration

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Delete without asking.")]
StrategyArgument = Annotated[str, typer.Argument(help="Strategy id, slug or name.", autocompletion=complete.strategies)]
StrategyFilter = Annotated[
    list[str] | None, typer.Option(help="Strategy id, slug or name.", autocompletion=complete.strategies)
]
ScheduleFilter = Annotated[list[str] | None, typer.Option(help="Schedule id.", autocompletion=complete.schedules)]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only jobs created after this time: an ISO time, or an age such as 24h or 7d."),
]
Parameters = Annotated[
    str | None,
    typer.Option(metavar="JSON", help="Parameters of an API strategy: a JSON object, or @FILE to read one."),
]
Pages = Annotated[list[str] | None, typer.Option(help="URL of a page to scrape; by default the strategy's own page.")]

# The API refuses shorter intervals.
_MIN_INTERVAL_SECONDS = 60


def confirm(yes: bool, subject: str, where: str = " at Meter") -> None:
    """Asks whether to delete `subject`, and ends the command if the answer is no.

    Args:
        yes: Whether the user has agreed already.
        subject: What is deleted.
        where: Where it is deleted, with a space in front.

    Raises:
        typer.BadParameter: There is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is no terminal to ask whether to delete {subject}: add --yes")
    if not typer.confirm(f"Delete {subject}{where}?", err=True):
        print_stderr("nothing was deleted")
        raise typer.Exit(0)


def parse_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Parses a JSON object given as text, or as @FILE.

    Raises:
        typer.BadParameter: The file cannot be read, or the text is not a JSON object with unique names.
    """
    if text is None:
        return None
    try:
        source = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"{option}: {text[1:]} cannot be read: {reason}") from None
    try:
        value = json.loads(source, object_pairs_hook=lambda pairs: _require_unique(pairs, option))
    except RecursionError:
        raise typer.BadParameter(f"{option} is nested too deep") from None
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} is not a JSON object: write it in braces")
    return value


def _require_unique(pairs: list[tuple[str, Any]], option: str) -> dict[str, Any]:
    """Builds a JSON object; JSON parsers silently keep the last of several values with the same name."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise typer.BadParameter(f"{option}: {name!r} is there twice: remove one")
        members[name] = value
    return members


def parse_interval(text: str | None) -> int | None:
    """Parses an interval such as `900`, `15m`, `6h` or `1d` into seconds.

    Raises:
        typer.BadParameter: It is not an interval, or shorter than a minute.
    """
    if text is None:
        return None
    try:
        seconds = int(parse_duration(text, unit="s").total_seconds())
    except ValueError:
        seconds = 0
    if seconds < _MIN_INTERVAL_SECONDS:
        raise typer.BadParameter(
            f"--every {text!r} is not an interval of at least {_MIN_INTERVAL_SECONDS} seconds: "
            "give seconds, or a number with a unit such as 15m, 6h or 1d"
        )
    return seconds
