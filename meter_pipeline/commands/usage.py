"""How commands explain themselves and read their options: what this project does otherwise than Typer.

Help is plain text that is never cut, with names of values where Typer writes Python's types. An option that takes one
value and is given two is refused, where Typer keeps the last one and says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Longer lines are hard to read, however wide the terminal is.
_MOST_COLUMNS = 100


class Command(TyperCommand):
    """A command."""

    def collect_usage_pieces(self, context: Any) -> list[str]:
        """What stands behind the command's name in the usage line."""
        return ["[OPTIONS]", *(_place(parameter) for parameter in self.params if _is_argument(parameter))]

    def format_options(self, context: Any, formatter: Any) -> None:
        """Writes the arguments and options."""
        _write_parameters(self, context, formatter)

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Parses the command line; an option that takes one value is given once."""
        if not context.resilient_parsing:
            _, _, given = self.make_parser(context).parse_args(args=list(arguments))
            for parameter, times in Counter(filter(_takes_one, given)).items():
                if times > 1:
                    context.fail(f"{' / '.join([*parameter.opts, *parameter.secondary_opts])} is given {times} times, "
                                 "and takes one value: give it once")  # fmt: skip
        parsed: list[str] = super().parse_args(context, arguments)
        return parsed


class Group(TyperGroup):
    """A group of commands.

    Attributes:
        contents: Names of commands under headings, in the order in which people need them. Others come last.
    """

    contents: Mapping[str, Sequence[str]] = {}

    def list_commands(self, context: Any) -> list[str]:
        """Names of all commands, in the order of the contents."""
        ordered = [name for names in self.contents.values() for name in names if name in self.commands]
        return [*ordered, *(name for name in self.commands if name not in ordered)]

    def collect_usage_pieces(self, context: Any) -> list[str]:
        """What stands behind the group's name in the usage line."""
        return ["[OPTIONS]", "COMMAND"]

    def format_options(self, context: Any, formatter: Any) -> None:
        """Writes the options and the commands."""
        _write_parameters(self, context, formatter)
        self.format_commands(context, formatter)

    def format_commands(self, context: Any, formatter: Any) -> None:
        """Writes the commands with their whole first paragraphs, under their headings."""
        names = self.list_commands(context)
        listed = {name for under in self.contents.values() for name in under}
        sections = {**self.contents, "Commands": [name for name in names if name not in listed]}
        widest = max(map(len, names), default=0)
        for heading, under in sections.items():
            rows = [
                (name.ljust(widest), _summary(self.commands[name]))
                for name in under
                if name in self.commands and not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class Commands(typer.Typer):
    """A Typer application of these commands and groups; takes what `typer.Typer` takes."""

    def __init__(self, **settings: Any) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": _MOST_COLUMNS}
        defaults = {"cls": Group, "context_settings": context, "rich_markup_mode": None, "add_completion": False}
        super().__init__(**{**defaults, "pretty_exceptions_enable": False, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Decorates a function that is to be a command."""
        return super().command(name, **{"cls": Command, **settings})


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _takes_one(parameter: Any) -> bool:
    """Whether a second value would take the first one's place; a flag that is there twice says the same twice."""
    if _is_argument(parameter) or parameter.multiple or getattr(parameter, "count", False):
        return False
    return bool(not parameter.is_flag or parameter.secondary_opts)


def _value(parameter: Any) -> str:
    """What stands for the value of an option or argument."""
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def _place(argument: Any) -> str:
    several = "..." if argument.nargs != 1 else ""
    return f"{_value(argument)}{several}" if argument.required else f"[{_value(argument)}{several}]"


def _summary(command: Any) -> str:
    """The first paragraph of a command's help, in one line."""
    return " ".join((command.short_help or command.help or "").split("\n\n")[0].split())


def _write_parameters(command: Any, context: Any, formatter: Any) -> None:
    shown = [parameter for parameter in command.get_params(context) if not getattr(parameter, "hidden", False)]
    for heading, arguments in (("Arguments", True), ("Options", False)):
        rows = [_row(parameter) for parameter in shown if _is_argument(parameter) is arguments]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def _row(parameter: Any) -> tuple[str, str]:
    """An option or argument as it is written, and what is to be known of it."""
    if _is_argument(parameter):
        spelled = _value(parameter)
    else:
        # Short ones first: Typer keeps those of `--help` in a set.
        names = [sorted(spellings, key=len) for spellings in (parameter.opts, parameter.secondary_opts) if spellings]
        spelled = " / ".join(map(", ".join, names))
        if not (parameter.is_flag or parameter.count):
            spelled += f" {_value(parameter)}"
    notes = [
        "repeatable" if not _is_argument(parameter) and parameter.multiple else "",
        "required" if not _is_argument(parameter) and parameter.required else "",
        _default(parameter),
    ]
    told = ", ".join(filter(None, notes))
    return spelled, f"{parameter.help or ''}{f' [{told}]' if told else ''}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", (), []) or isinstance(value, bool) or callable(value) or not parameter.show_default:
        return ""
    return f"default: {value:g}" if isinstance(value, float) else f"default: {value}"
