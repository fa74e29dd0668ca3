"""How the texts of a field are read: what all of them together have decided."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import pyarrow as pa

from meter_pipeline.store.derived import TYPES
from meter_pipeline.sync.values import finding

TEXT = "text"
"""Kind of a field without typed columns."""
MIXED = "mixed"
"""Of decimal marks: not all styles agree."""
AMOUNT = TYPES["decimal"]
"""Type of amounts."""
_MOMENT, _LOCAL = TYPES["moment"], TYPES["time"]


@dataclass(frozen=True)
class Reading:
    """How a field is read. Equal readings give equal columns, so rows are rebuilt when it changes.

    It holds nothing that makes no difference to the texts seen so far, and so seldom changes once a field is known.

    Attributes:
        kind: `money`, `number`, `percent`, `rating`, `count`, `date`, `local` (a time without a zone), `zoned`,
            `relative`; `text` where the field has no typed columns.
        reason: Why the field stays text although its texts look like values; empty where there is nothing to say.
        marks: Styles whose numbers agree on a decimal mark, each with `point` or `comma`. Here and in the next two only
            styles with numbers that need to know.
        contrary: Styles whose numbers contradict each other.
        overall: The decimal mark on which all styles agree, `mixed` where they do not, empty where none shows it.
        long: Styles in which a lone mark with three digits begins decimals.
        strong: Styles of signs that are also words, which stand beside prices here.
        currencies: Shared signs, each with the currency that it means here.
        only: The only currency of the field, where it has prices without one; empty where there are several.
        unit: Whether there are prices of a unit of measure.
        day_first: Separators of numeric dates whose first number is the day.
        months: Names of months that depend on the language, each with its month.
    """

    kind: str
    reason: str = ""
    marks: tuple[tuple[str, str], ...] = ()
    contrary: tuple[str, ...] = ()
    overall: str = ""
    long: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()
    currencies: tuple[tuple[str, str], ...] = ()
    only: str = ""
    unit: bool = False
    day_first: tuple[str, ...] = ()
    months: tuple[tuple[str, int], ...] = ()

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Types of the field's typed columns by suffix; `choose_names` makes names of the suffixes."""
        if self.kind == finding.MONEY:
            own = {"amount": AMOUNT, "currency": pa.string()}
            return own | {"unit": pa.string()} if self.unit else own
        return dict(_COLUMNS[self.kind])

    @cached_property
    def mark_of(self) -> dict[str, str]:
        """`marks` by style."""
        return dict(self.marks)

    @cached_property
    def meaning(self) -> dict[str, str]:
        """`currencies` by shared sign."""
        return dict(self.currencies)

    @cached_property
    def known(self) -> dict[str, Any]:
        """What texts were read as, for who reads them again: see `meter_pipeline.sync.values.recognition.measure`."""
        return {}

    @property
    def is_number(self) -> bool:
        """Whether the texts are numbers of some kind."""
        return self.kind in _NUMBERS

    @property
    def moves(self) -> bool:
        """Whether equal texts mean other values at another time, so that a new text is no change of the value."""
        return self.kind == finding.RELATIVE

    def dump(self) -> str:
        """The reading as JSON text, the inverse of `load`."""
        given = {name: value for name, value in asdict(self).items() if value != _DEFAULTS[name]}
        return json.dumps(given, separators=(",", ":"), ensure_ascii=False)


_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    TEXT: {},
    finding.NUMBER: {"number": pa.float64()},
    finding.PERCENT: {"percent": pa.float64()},
    finding.RATING: {"rating": pa.float64()},
    finding.COUNT: {"count": pa.int64()},
    finding.DATE: {"date": pa.date32()},
    finding.LOCAL: {"at": _LOCAL},
    finding.ZONED: {"at": _MOMENT},
    finding.RELATIVE: {"at": _MOMENT},
}
_NUMBERS = frozenset({finding.MONEY, finding.NUMBER, finding.PERCENT, finding.RATING, finding.COUNT})
_DEFAULTS = {rule.name: rule.default for rule in fields(Reading)}


def load(text: str | None) -> Reading:
    """The reading that `Reading.dump` wrote; that of text where there is none."""
    if text is None:
        return Reading(TEXT)
    form = json.loads(text)
    pairs = {name: tuple(map(tuple, form[name])) for name in ("marks", "currencies", "months") if name in form}
    lists = {name: tuple(form[name]) for name in ("contrary", "long", "strong", "day_first") if name in form}
    return Reading(**{**form, **pairs, **lists})
