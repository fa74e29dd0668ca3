"""Help texts and option parsing, where this project differs from Typer.

Help is plain text that is never cut, and names values by what they are where Typer prints Python's types. An option
that is not repeatable but given twice is an error; Typer silently keeps the last value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Longer lines are hard to read, however wide the terminal is.
HELP_WIDTH = 100


class Command(TyperCommand):
    """A command with this project's help and parsing."""

    def collect_usage_pieces(self, context: Any) -> list[str]:
        """Returns the parts of the usage line after the command's name."""
        return ["[OPTIONS]", *(_usage_piece(parameter) for parameter in self.params if _is_argument(parameter))]

    def format_options(self, context: Any, formatter: Any) -> None:
        """Writes the arguments and the options."""
        _write_parameters(self, context, formatter)

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Parses the command line, and refuses text that is not UTF-8 and a second value for a single-valued option."""
        if not context.resilient_parsing:
            _require_utf8(arguments)
            try:
                _, _, given = self.make_parser(context).parse_args(args=list(arguments))
            except Exception as error:
                # The parser does not know for which command it parses.
                if getattr(error, "ctx", context) is None:
                    error.ctx = context  # type: ignore[attr-defined]
                raise
            for parameter, times in Counter(filter(_is_single, given)).items():
                if times > 1:
                    names = " / ".join([*parameter.opts, *parameter.secondary_opts])
                    raise typer.BadParameter(f"{names} is given {times} times, and takes one value: give it once")
        parsed: list[str] = super().parse_args(context, arguments)
        return parsed


class Group(TyperGroup):
    """A group of commands.

    Attributes:
        contents: Names of commands by heading, in the order in which people need them. Other commands come last.
    """

    contents: Mapping[str, Sequence[str]] = {}

    def list_commands(self, context: Any) -> list[str]:
        """Returns the names of all commands, in the order of `contents`."""
        ordered = [name for section in self.contents.values() for name in section if name in self.commands]
        return [*ordered, *(name for name in self.commands if name not in ordered)]

    def collect_usage_pieces(self, context: Any) -> list[str]:
        """Returns the parts of the usage line after the group's name."""
        return ["[OPTIONS]", "COMMAND"]

    def format_options(self, context: Any, formatter: Any) -> None:
        """Writes the options and the commands."""
        _write_parameters(self, context, formatter)
        self.format_commands(context, formatter)

    def format_commands(self, context: Any, formatter: Any) -> None:
        """Writes the commands under their headings, each with its whole first paragraph."""
        names = self.list_commands(context)
        listed = {name for section in self.contents.values() for name in section}
        sections = {**self.contents, "Commands": [name for name in names if name not in listed]}
        widest = max(map(len, names), default=0)
        for heading, section in sections.items():
            rows = [
                (name.ljust(widest), _summary(self.commands[name]))
                for name in section
                if name in self.commands and not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class Commands(typer.Typer):
    """A Typer application of `Command` and `Group`; accepts the arguments of `typer.Typer`."""

    def __init__(self, **settings: Any) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}
        defaults = {"cls": Group, "context_settings": context, "rich_markup_mode": None, "add_completion": False}
        super().__init__(**{**defaults, "pretty_exceptions_enable": False, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Decorates a function that implements a command."""
        return super().command(name, **{"cls": Command, **settings})


def describe_usage(error: Any, program: str) -> str:
    """Describes a mistake in usage, with the way out.

    The messages of this package name it themselves, as those about a value do. Typer's others name the command's help.

    Args:
        error: Typer's error.
        program: The program's name.
    """
    text = str(error.format_message())
    # Typer's error for an argument or option that is missing is one about its value, too.
    if isinstance(error, typer.BadParameter) and not hasattr(error, "param_type"):
        return text.removeprefix("Invalid value: ")
    context = getattr(error, "ctx", None)
    return f"{text.rstrip('.')}: see `{context.command_path if context is not None else program} --help`"


def _require_utf8(arguments: Sequence[str]) -> None:
    """Refuses text that no request, query or file of this package could hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="backslashreplace").decode()
            raise typer.BadParameter(f"{shown} is not UTF-8: give UTF-8 text") from None


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _is_single(parameter: Any) -> bool:
    """Whether a second value would replace the first. A repeated flag means the same, so it is no error."""
    if _is_argument(parameter) or parameter.multiple or getattr(parameter, "count", False):
        return False
    return bool(not parameter.is_flag or parameter.secondary_opts)


def _placeholder(parameter: Any) -> str:
    """Returns the placeholder for the value of an option or argument."""
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def _usage_piece(argument: Any) -> str:
    several = "..." if argument.nargs != 1 else ""
    return f"{_placeholder(argument)}{several}" if argument.required else f"[{_placeholder(argument)}{several}]"


def _summary(command: Any) -> str:
    """Returns the first paragraph of a command's help, in one line."""
    return " ".join((command.short_help or command.help or "").split("\n\n")[0].split())


def _write_parameters(command: Any, context: Any, formatter: Any) -> None:
    shown = [parameter for parameter in command.get_params(context) if not getattr(parameter, "hidden", False)]
    for heading, arguments in (("Arguments", True), ("Options", False)):
        rows = [_row(parameter) for parameter in shown if _is_argument(parameter) is arguments]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def _row(parameter: Any) -> tuple[str, str]:
    """Returns an option or argument as it is typed, and its description."""
    if _is_argument(parameter):
        typed = _placeholder(parameter)
    else:
        # Sorted, short names first: Typer keeps the names of `--help` in a set.
        names = [sorted(group, key=len) for group in (parameter.opts, parameter.secondary_opts) if group]
        typed = " / ".join(map(", ".join, names))
        if not (parameter.is_flag or parameter.count):
            typed += f" {_placeholder(parameter)}"
    notes = [
        "repeatable" if not _is_argument(parameter) and parameter.multiple else "",
        "required" if not _is_argument(parameter) and parameter.required else "",
        _default(parameter),
    ]
    remarks = ", ".join(filter(None, notes))
    return typed, f"{parameter.help or ''}{f' [{remarks}]' if remarks else ''}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", (), []) or isinstance(value, bool) or callable(value) or not parameter.show_default:
        return ""
    return f"default: {value:g}" if isinstance(value, float) else f"default: {value}"
