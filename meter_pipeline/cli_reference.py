"""Writes `docs/cli.md`, the reference of all commands, from their `--help`.

`python -m meter_pipeline.cli_reference docs/cli.md` writes the file; a test checks that it is current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meter_pipeline.commands.usage import HELP_WIDTH

_INTRODUCTION = """\
# Commands

This page is the `--help` of every command. It is generated: change the help text in `meter_pipeline/commands/` and run
`python -m meter_pipeline.cli_reference docs/cli.md`.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | some jobs could not be loaded, a check failed, or a job that was waited for failed; the output names it |
| 2 | an error ended the command; one line on stderr names the thing, the reason and the way out |
| 130 | interrupted with Ctrl-C; the next sync continues |

With `--json` a command prints one JSON document on stdout and nothing else; after an error it is `{"error": "..."}`.
"""


def build_reference() -> str:
    """Returns the reference as Markdown: the help of every command, at most 100 columns wide."""
    import typer

    from meter_pipeline.cli import PROGRAM, app

    sections = [_INTRODUCTION]
    for path, text in _read_help(typer.main.get_command(app), (PROGRAM,)):
        sections.append(f"{'#' * (len(path) + 1)} `{' '.join(path)}`\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(sections)


def _read_help(command: Any, path: tuple[str, ...], parent: Any = None) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the path and the help of a command, then of the commands in it."""
    # The width is given, not read: neither the terminal nor COLUMNS may change the file.
    context = command.make_context(
        path[-1], [], parent=parent, resilient_parsing=True, terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH
    )
    yield path, context.get_help()
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _read_help(command.get_command(context, name), (*path, name), context)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(build_reference(), encoding="utf-8")
