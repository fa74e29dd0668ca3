"""Numbers and currencies of old and new values in the change feed, read as in the typed columns beside their fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from meter_pipeline.sync.values.reading import Reading
from meter_pipeline.sync.values.recognition import Measured, is_free, measure, measure_alone

_NO_READINGS: Mapping[str, Reading] = MappingProxyType({})
# Escapes take six characters at most, and longer texts state no number.
_LONGEST = 1_000
_NONE = None, None
# Values of a field whose numbers are in memory at a time.
_MOST_KNOWN = 100_000


class Numbers(NamedTuple):
    """The numbers of a value before and after, and their currencies; `EUR/kg` for the price of a unit of measure."""

    old: float | None = None
    new: float | None = None
    old_currency: str | None = None
    new_currency: str | None = None

    @property
    def moved(self) -> bool:
        """Whether both values are numbers of the same kind."""
        is_alike = self.old_currency == self.new_currency or 0 in (self.old, self.new)
        return self.old is not None and self.new is not None and is_alike


NO_NUMBERS = Numbers()


class _Known(NamedTuple):
    """A number as the change feed spells it, and its currency without the unit of measure."""

    number: float
    spelled_currency: str | None
    currency: str | None


class _Field(dict[str, "_Known | None"]):
    """The numbers of a field's values, JSON texts: the same few values, such as prices, occur in many rows."""

    def __init__(self, reading: Reading | None) -> None:
        super().__init__()
        self._reading = reading

    def __missing__(self, value: str) -> _Known | None:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        measured = self._measure(value)
        known = None
        if measured is not None:
            known = _Known(float(measured.number), _spell_currency(measured), measured.currency)
        self[value] = known
        return known

    def _measure(self, value: str) -> Measured | None:
        if value[:1] != '"':
            return _measure_number(value)
        text = json.loads(value) if len(value) <= _LONGEST else ""
        return measure_alone(text) if self._reading is None else measure(self._reading, text)


class NumberReader:
    """Reads values as numbers: texts of a field with a reading by that, all others by themselves.

    Args:
        readings: How fields are read, by path.
    """

    def __init__(self, readings: Mapping[str, Reading] = _NO_READINGS) -> None:
        self._by_field: dict[str | None, _Field] = {field: _Field(reading) for field, reading in readings.items()}
        self._others = _Field(None)

    def read(self, field: str | None, old: str | None, new: str | None) -> Numbers:
        """The numbers of a field's value before and after.

        Args:
            field: Path of the field.
            old: The value before, as JSON text; None if there was none.
            new: The value after, likewise.
        """
        known = self._by_field.get(field, self._others)
        before = None if old is None else known[old]
        after = None if new is None else known[new]
        if before is not None and after is not None:
            return Numbers(before.number, after.number, before.spelled_currency, after.spelled_currency)
        if before is not None:
            number, currency = _read_free(new, before)
            return Numbers(before.number, number, before.spelled_currency, currency)
        if after is not None:
            number, currency = _read_free(old, after)
            return Numbers(number, after.number, currency, after.spelled_currency)
        return NO_NUMBERS


def _read_free(value: str | None, other: _Known) -> tuple[float | None, str | None]:
    """`free` costs nothing beside a price; beside a number alone it may be a seat."""
    return (0.0, other.currency) if other.currency and _is_free(value) else _NONE


def _spell_currency(price: Measured) -> str | None:
    """The currency with the unit of measure: prices of a kilogram and of a piece are not two states of one number."""
    return f"{price.currency or ''}/{price.unit}" if price.unit else price.currency


def _measure_number(value: str) -> Measured | None:
    """A JSON number; None for any other value that is no text."""
    if value[0] not in "-0123456789":
        return None
    number = float(value)
    return Measured(number) if math.isfinite(number) else None


def _is_free(value: str | None) -> bool:
    return value is not None and value[:1] == '"' and len(value) <= _LONGEST and is_free(json.loads(value))
