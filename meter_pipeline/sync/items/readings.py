"""How the texts of a strategy's fields are read: what they have shown so far, and the typed columns made from them.

Fields of items are read, and those of objects in them, at any depth, but not in arrays; and of these only texts: a
field with a number here and a text there has typed values for the texts. Fields are written as paths. The facts of a
field are those of all its texts in accepted jobs, in whatever order these were loaded, and readings and names follow
from facts and fields alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from meter_pipeline.config.field_paths import Path, parse_path, spell_path
from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store import columns, derived
from meter_pipeline.store.columns import Column, Field, Type
from meter_pipeline.store.derived import Derived, find_text_fields
from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.store.item_json import as_objects, parse_items
from meter_pipeline.sync.values import facts as field_facts
from meter_pipeline.sync.values import reading as field_reading
from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import FieldFacts, merge, observe
from meter_pipeline.sync.values.names import choose_names
from meter_pipeline.sync.values.reading import Reading
from meter_pipeline.sync.values.recognition import read

# Goes up when the rules by which texts are read change: rows are then made again from raw.
# 2: texts of fields in objects. 3: `$ 12.990` beside `$ 990` groups thousands. 4: so may `2.400` without a sign.
_RULES = 4
# Texts of a field that are remembered; more than this are seldom prices or dates.
_MOST_SEEN = 20_000
_KINDS = {type_: kind for kind, type_ in derived.TYPES.items()}


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Readings:
    """How the texts of a strategy's fields are read.

    Attributes:
        facts: What the texts have shown, by path of the field.
        chosen: How the fields with typed columns are read, by path.
        columns: Their typed columns, by path.
        reasons: Why fields without typed columns stay text although their texts look like values, by path.
    """

    facts: Mapping[str, FieldFacts] = field(default_factory=_nothing)
    chosen: Mapping[str, Reading] = field(default_factory=_nothing)
    columns: Mapping[str, Sequence[Derived]] = field(default_factory=_nothing)
    reasons: Mapping[str, str] = field(default_factory=_nothing)

    def rows_alike(self, other: Readings) -> bool:
        """Whether both make the same rows."""
        return self.chosen == other.chosen and self.columns == other.columns

    @property
    def moving(self) -> tuple[str, ...]:
        """Paths of the fields whose texts change although nothing else does, such as `2 days ago`."""
        return tuple(path for path, reading in self.chosen.items() if reading.moves)

    def numbers_alike(self, other: Readings) -> bool:
        """Whether both read the same numbers."""
        return _numeric(self.chosen) == _numeric(other.chosen)

    def with_facts(self, more: Mapping[str, FieldFacts]) -> Readings:
        """These readings with more facts; `settle` decides what follows from them."""
        facts = merge_facts(self.facts, more)
        return self if facts == self.facts else replace(self, facts=facts)

    def settle(self, fields: Sequence[Field], rules: ItemRules) -> Readings:
        """The readings that follow from the facts.

        Args:
            fields: The strategy's fields; a typed column never takes the name of a field's column.
            rules: Those of `meter.yaml`: a field whose type is text there has no typed columns.
        """
        texts = {spell_path(text.path): text for text in find_text_fields(fields)}
        facts = {path: own for path, own in self.facts.items() if path in texts}
        taken = {*columns.RESERVED, *columns.names(fields, columns.RESERVED)}
        chosen: dict[str, Reading] = {}
        reasons: dict[str, str] = {}
        made: dict[str, list[Derived]] = {}
        # Fields of items come first: their columns keep their names, whatever is found in objects.
        for path, text in sorted(texts.items(), key=lambda entry: len(entry[1].path) > 1):
            own = facts.get(path)
            if own is None or own.is_text or rules.type_of(text.path) == "text":
                continue
            reading = decide(own)
            if not reading.columns:
                if reading.reason:
                    reasons[path] = reading.reason
                continue
            names = choose_names(text.name, reading.columns, taken)
            taken.update(names.values())
            chosen[path] = reading
            made[path] = [Derived(part, names[part], _KINDS[type_]) for part, type_ in reading.columns.items()]
        return Readings(facts, chosen, made, reasons)

    def read(
        self, item: Field, values: Sequence[Any], column: pa.Array, places: pa.Array, times: pa.Array
    ) -> Iterator[pa.Array]:
        """The typed columns made from a field's texts, or from those in its objects, in the order of `columns_of`.

        Args:
            item: The field.
            values: Its values in distinct items.
            column: The same as a column.
            places: The place of each row's item among these.
            times: When the job of each row ended: relative times count from it.
        """
        for path, texts in self._find_texts((item.name,), item.type, values, column):
            reading = self.chosen[path]
            encoded = texts.dictionary_encode()
            numbers = encoded.indices.take(places)
            if reading.moves:
                made, numbers = _read_moving(reading, encoded.dictionary, numbers, times)
            else:
                made = read(reading, encoded.dictionary)
            yield from (made[own.part].take(numbers) for own in self.columns[path])

    def _find_texts(
        self, path: Path, kind: Type, values: Sequence[Any], column: pa.Array
    ) -> Iterator[tuple[str, pa.Array]]:
        """The fields with typed columns at or below a path, each with its texts in distinct items."""
        if kind.kind == "text" and (spelled := spell_path(path)) in self.chosen:
            if not {str, type(None)}.issuperset(map(type, values)):
                # Numbers beside texts are spelled as texts in the column.
                column = pa.array([value if type(value) is str else None for value in values], pa.string())
            yield spelled, column
        elif kind.fields and path in self._parents:
            for place, inner in enumerate(kind.fields):
                if inner.type.kind == "text" or inner.type.fields:
                    own = [None if value is None else value.get(inner.name) for value in values]
                    yield from self._find_texts((*path, inner.name), inner.type, own, column.field(place))

    @cached_property
    def _parents(self) -> frozenset[Path]:
        """Paths of the objects that have fields with typed columns in them, at any depth."""
        paths = map(parse_path, self.chosen)
        return frozenset(path[:length] for path in paths for length in range(1, len(path)))

    def dump(self) -> str:
        """The readings as the ledger keeps them; the inverse of `load`."""
        return self._dumped

    @cached_property
    def _dumped(self) -> str:
        forms: dict[str, dict[str, Any]] = {}
        for name, own in sorted(self.facts.items()):
            form: dict[str, Any] = {"facts": json.loads(own.dump())}
            if name in self.chosen:
                form["reading"] = json.loads(self.chosen[name].dump())
                form["columns"] = [[column.part, column.name, column.kind] for column in self.columns[name]]
            if name in self.reasons:
                form["reason"] = self.reasons[name]
            forms[name] = form
        return json.dumps({"rules": _RULES, "fields": forms}, separators=(",", ":"))


def _numeric(chosen: Mapping[str, Reading]) -> dict[str, Reading]:
    return {name: reading for name, reading in chosen.items() if reading.is_number}


def _read_moving(
    reading: Reading, texts: pa.Array, numbers: pa.Array, times: pa.Array
) -> tuple[dict[str, pa.Array], pa.Array]:
    """The values of each text at each time, and the place of each row among these."""
    moments = (times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times).dictionary_encode()
    # Null, where a row has no text, becomes the number after the last.
    texts = pa.concat_arrays([texts, pa.nulls(1, pa.string())])
    rows = numbers.fill_null(len(texts) - 1).to_numpy().astype(np.int64)
    pairs, places = np.unique(rows * len(moments.dictionary) + moments.indices.to_numpy(), return_inverse=True)
    own, when = np.divmod(pairs, max(len(moments.dictionary), 1))
    made = read(reading, texts.take(pa.array(own)), moments.dictionary.take(pa.array(when)).to_pylist())
    return made, pa.array(places.reshape(-1))


PLAIN = Readings()
"""No field has typed columns, as in a strategy without accepted jobs."""


def load(text: str | None) -> Readings | None:
    """The readings that `Readings.dump` wrote; None where they are of other rules, or the ledger never had any."""
    form = json.loads(text) if text else {}
    if form.get("rules") != _RULES:
        return None
    fields = form["fields"]
    facts = {name: field_facts.load(json.dumps(own["facts"])) for name, own in fields.items()}
    chosen = {name: field_reading.load(json.dumps(own["reading"])) for name, own in fields.items() if "reading" in own}
    return Readings(facts, chosen, derived.load(text), derived.load_reasons(text))


def columns_of(fields: Sequence[Field], readings: Readings) -> list[Column]:
    """The columns of a strategy: those of its fields, each with the typed columns made from its texts."""
    return derived.columns_of(fields, readings.columns)


class SeenTexts:
    """Texts whose facts are known already: the same prices come in every batch. Bounded, so that it forgets many."""

    def __init__(self) -> None:
        self._by_field: dict[str, set[Any]] = {}

    def take_new(self, name: str, values: set[Any]) -> set[Any]:
        """The values of a field that were not seen yet; from then on they are."""
        seen = self._by_field.setdefault(name, set())
        new = values - seen
        if len(seen) + len(new) > _MOST_SEEN:
            seen.clear()
        if len(new) <= _MOST_SEEN:
            seen |= new
        return new


def observe_objects(
    objects: Sequence[dict[str, Any]],
    fields: Iterable[Field],
    known: Mapping[str, FieldFacts],
    seen: SeenTexts,
) -> dict[str, FieldFacts]:
    """The facts of items' texts, by path of the field.

    Args:
        objects: The items.
        fields: Fields with types that hold these items.
        known: Facts that there are already; nothing more is found out about fields that are text for ever.
        seen: Texts whose facts are among those known; gets those of the items.
    """
    return observe_columns(FieldValues(objects), fields, known, seen)


def observe_columns(
    values: FieldValues, fields: Iterable[Field], known: Mapping[str, FieldFacts], seen: SeenTexts
) -> dict[str, FieldFacts]:
    """`observe_objects` for items that are taken apart already."""
    found: dict[str, FieldFacts] = {}
    _observe(values, fields, (), known, seen, found)
    return found


def _observe(
    values: FieldValues,
    fields: Iterable[Field],
    path: Path,
    known: Mapping[str, FieldFacts],
    seen: SeenTexts,
    found: dict[str, FieldFacts],
) -> None:
    for item in fields:
        name = item.name
        if item.type.kind == "text":
            spelled = spell_path((*path, name))
            if not (spelled in known and known[spelled].is_text):
                new = seen.take_new(spelled, set(values[name]))
                if new:
                    found[spelled] = observe(value for value in new if type(value) is str)
        elif item.type.fields:
            inner = FieldValues([value for value in values[name] if value is not None])
            _observe(inner, item.type.fields, (*path, name), known, seen, found)


def merge_facts(one: Mapping[str, FieldFacts], other: Mapping[str, FieldFacts]) -> dict[str, FieldFacts]:
    """The facts of both, by path of the field."""
    merged = dict(one)
    for name, own in other.items():
        merged[name] = merge(merged[name], own) if name in merged else own
    return merged


def survey(
    batches: Iterable[pa.RecordBatch], fields: Sequence[Field], enough: Mapping[str, FieldFacts] | None = None
) -> dict[str, FieldFacts]:
    """The facts of rows of `raw`, batch by batch.

    Args:
        batches: The rows.
        fields: Fields that hold every value.
        enough: Facts of these and further rows: once the same are found, the rest is not read.

    Raises:
        ItemError: An item cannot be parsed.
    """
    facts: dict[str, FieldFacts] = {}
    seen = SeenTexts()
    for batch in batches:
        texts = list(dict.fromkeys(batch["item"].cast(pa.binary()).to_pylist()))
        objects = as_objects(parse_items(texts))
        facts = merge_facts(facts, observe_objects(objects, fields, facts, seen))
        if facts == enough:
            break
    return facts
