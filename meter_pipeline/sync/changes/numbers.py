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


class NumberReader:
    """Reads values as numbers: texts of a field with a reading by that, all others by themselves.

    Args:
        readings: How fields are read, by path.
    """

    def __init__(self, readings: Mapping[str, Reading] = _NO_READINGS) -> None:
        self._readings = readings
        # By field and text: the same few values, such as prices, occur in many rows.
        self._known: dict[tuple[str | None, str], Measured | None] = {}

    def read(self, field: str | None, old: str | None, new: str | None) -> Numbers:
        """The numbers of a field's value before and after.

        Args:
            field: Path of the field.
            old: The value before, as JSON text; None if there was none.
            new: The value after, likewise.
        """
        before, after = self._measure(field, old), self._measure(field, new)
        if before is None and after is None:
            return NO_NUMBERS
        # `free` costs nothing beside a price; beside a number alone it may be a seat.
        if before is None and after is not None and after.currency and _is_free(old):
            before = Measured(0, after.currency)
        elif after is None and before is not None and before.currency and _is_free(new):
            after = Measured(0, before.currency)
        return Numbers(*_spell(before, after))

    def _measure(self, field: str | None, value: str | None) -> Measured | None:
        if value is None:
            return None
        if value[:1] != '"':
            return _measure_number(value)
        reading = self._readings.get(field) if field is not None else None
        known, place = self._known, (field if reading is not None else None, value)
        if place not in known:
            text = json.loads(value) if len(value) <= _LONGEST else ""
            known[place] = measure_alone(text) if reading is None else measure(reading, text)
        return known[place]


def _spell(
    before: Measured | None, after: Measured | None
) -> tuple[float | None, float | None, str | None, str | None]:
    old, old_currency = (float(before.number), _spell_currency(before)) if before else _NONE
    new, new_currency = (float(after.number), _spell_currency(after)) if after else _NONE
    return old, new, old_currency, new_currency


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
