"""Items as JSON text: parsed without a loss, and their values spelt as text again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.text.nesting import MAX_LEVELS, TOO_DEEP, is_too_deep

_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_decode = msgspec.json.Decoder().decode


class ItemError(MeterPipelineError):
    """An item cannot be parsed; the message gives the reason in one line."""


def parse_items(items: Sequence[bytes]) -> list[Any]:
    """Raw JSON texts as Python values; integers of any size stay exact.

    Raises:
        ItemError: An item is not valid JSON, or is nested deeper than `MAX_LEVELS`.
    """
    try:
        parsed: list[Any] = _decode(b"[" + b",".join(items) + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        parsed = [_parse(item) for item in items]
    if any(is_too_deep(parsed[place], items[place]) for place, item in enumerate(items) if len(item) > MAX_LEVELS):
        raise ItemError(f"an item is {TOO_DEEP}")
    return parsed


def _parse(item: bytes) -> Any:
    try:
        return _decode(item)
    except RecursionError:
        raise ItemError(f"an item is {TOO_DEEP}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        # Slower, but accepts what the fast parser refuses: half surrogates, and numbers beyond a double, kept as text.
        return json.loads(item.decode(), parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise ItemError(f"an item is {TOO_DEEP}") from None
    except UnicodeDecodeError as error:
        raise ItemError(f"an item is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise ItemError(f"an item is not valid JSON: {error}") from None


def _float(text: str) -> float | str:
    value = float(text)
    return value if abs(value) != float("inf") else text


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")


def as_objects(values: Sequence[Any]) -> list[dict[str, Any]]:
    """Items as objects: a scalar or an array becomes the field `value`, null an object without fields."""
    return [value if type(value) is dict else {} if value is None else {"value": value} for value in values]


def spell(value: Any) -> str:
    """A scalar as text: text unchanged, numbers and booleans as in JSON, half surrogates as escapes."""
    if isinstance(value, str):
        return value if _encodable(value) else value.encode("utf-8", "backslashreplace").decode()
    return spell_json(value)


def spell_json(value: Any) -> str:
    """A value as JSON text."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":"))


def spell_json_all(values: Sequence[Any]) -> Sequence[str | None]:
    """Values as JSON texts, all at once; None stays None."""
    if None in values:
        present = iter(spell_json_all([value for value in values if value is not None]))
        return [None if value is None else next(present) for value in values]
    try:
        return _encode_lines(values).decode().split("\n")[:-1]
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return list(map(spell_json, values))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
