"""Reads variables of the environment and of the `.env` file, and sets some for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from meter_pipeline.errors import MeterPipelineError


class SettingsError(MeterPipelineError):
    """A setting is missing or unusable; the message is one line with the way out."""


def read_variables(env: Mapping[str, str] | None, dotenv: Path | None) -> dict[str, str]:
    """All variables that are not empty; the environment wins over `dotenv`.

    Raises:
        SettingsError: `dotenv` cannot be read.
    """
    values: dict[str, str] = {}
    if dotenv is not None and dotenv.is_file():
        values.update({name: value for name, value in _dotenv(dotenv).items() if value})
    values.update({name: value for name, value in (os.environ if env is None else env).items() if value})
    return values


def read_variable(name: str, dotenv: Path | None = Path(".env")) -> str | None:
    """A variable of the environment, else of `dotenv`; None if it is unset or empty.

    Raises:
        SettingsError: `dotenv` cannot be read.
    """
    return os.environ.get(name) or (_dotenv(dotenv).get(name) if dotenv and dotenv.is_file() else None) or None


def require_variable(name: str) -> str:
    """A variable of the environment or of `.env`.

    Raises:
        SettingsError: The variable is not set.
    """
    value = read_variable(name)
    if value is None:
        raise SettingsError(f"{name} is not set: put it into the environment or .env")
    return value


@contextmanager
def environment(given: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process's environment while the block runs, and restores them afterwards."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _dotenv(path: Path) -> dict[str, str | None]:
    """The names and values of a `.env` file; a line that the parser would skip is an error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path} cannot be read: {reason}") from None
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise SettingsError(f"{path}:{line.original.line}: not a valid setting: write NAME=value, quotes closed")
    return dotenv_values(stream=StringIO(text))
