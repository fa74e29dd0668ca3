"""Pages for strategies that a client creates: the sandbox invents a page for any description or schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meter_pipeline.sandbox.content import Content, FunctionPage, Page, Visit, dump, from_items
from meter_pipeline.sandbox.pages import SoundPage, noise, pick, wobble

_WORDS = ("amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "junco", "knoll", "larch")
_REFINED = ("rating", "sku", "category", "updated")


@dataclass(frozen=True)
class PlannedPage(SoundPage):
    """Rows for a strategy with a description: title, price and link, plus a field for each refinement."""

    name: str = ""
    rows: int = 12
    refinements: int = 0

    def content(self, visit: Visit) -> Content:
        """The rows; prices move about every day and a half."""
        return from_items([self._row(number, visit) for number in range(self.rows)])

    def refined(self) -> PlannedPage:
        """The page after one more refinement."""
        return replace(self, refinements=self.refinements + 1)

    def _row(self, number: int, visit: Visit) -> dict[str, Any]:
        key = f"{self.name}/{visit.url}/{number}"
        price = wobble(self.seed, key, 5 + 50 * noise(self.seed, key), visit.at, days=1.5)
        row = {"title": f"{pick(_WORDS, self.seed, key, 1)} {pick(_WORDS, self.seed, key, 2)} {number + 1}",
               "price": f"€{price:.2f}", "link": f"{visit.url}#{number + 1}"}  # fmt: skip
        for field in _REFINED[: self.refinements]:
            row[field] = pick(_WORDS, self.seed, key, field)
        return row


@dataclass(frozen=True)
class SchemaPage(SoundPage):
    """Rows typed by an output schema; if the schema is a single array, the rows are wrapped under its key."""

    schema: tuple[tuple[str, Any], ...] = ()
    rows: int = 12

    def content(self, visit: Visit) -> Content:
        """The rows, with numbers that move about every two days."""
        if len(self.schema) == 1 and isinstance(self.schema[0][1], list) and self.schema[0][1]:
            key, inner = self.schema[0][0], self.schema[0][1][0]
            rows = from_items([self._value(inner, f"{visit.url}/{n}", visit.at) for n in range(self.rows)])
            return Content(rows.items, b"{" + dump(key) + b":" + rows.text + b"}")
        fields = dict(self.schema)
        return from_items([self._value(fields, f"{visit.url}/{n}", visit.at) for n in range(self.rows)])

    def _value(self, kind: Any, key: str, at: float) -> Any:
        if isinstance(kind, dict):
            return {field: self._value(inner, f"{key}/{field}", at) for field, inner in kind.items()}
        if isinstance(kind, list):
            return [self._value(kind[0] if kind else "string", f"{key}/{turn}", at) for turn in range(2)]
        if kind in ("number", "float"):
            return wobble(self.seed, key, 5 + 50 * noise(self.seed, key), at, days=1.5)
        if kind in ("integer", "int"):
            return int(wobble(self.seed, key, 100 * noise(self.seed, key), at, days=2))
        if kind == "boolean":
            return noise(self.seed, key) < 0.7
        word = pick(_WORDS, self.seed, key)
        return [word, pick(_WORDS, self.seed, key, 2)] if kind == "array" else word


def page_for(
    seed: int,
    name: str,
    page: Page | Callable[[str, float], Sequence[Any]] | None,
    items: Sequence[Any] | None,
    schema: dict[str, Any] | None,
) -> Page:
    """The page of a strategy: of fixed items, given, a function of url and instant, or else invented."""
    if items is not None:
        fixed = list(items)
        return FunctionPage(lambda url, at: fixed)
    if callable(page):
        return FunctionPage(page)
    if page is not None:
        return page
    return SchemaPage(seed, tuple(schema.items())) if schema else PlannedPage(seed, name)
