"""The profile of a job: everything that verdicts on it and on later jobs of its target need, in a few kilobytes.

Parquet compresses them: the profiles of a target differ little from job to job.

A profile describes a sample of the job's items: all of them up to `profiler.MOST_ROWS`, else those with the smallest
ids, so that profiles of two jobs describe the same items. Its sketch keeps some of these items one by one, as marks and
numbers. `dump` and `load` turn a profile into bytes and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.values import EMPTY, FLAGS, FORMS, MEASURE, PADDED, URL

Counts = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

VERSION = 3
#: What the quantiles of numbers and of lengths are.
NUMBER_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LENGTH_QUANTILES = (0.1, 0.5, 0.9)
# Tuples of texts whose bytes are remembered, each of some dozen characters.
_MOST_PACKED = 2_048


class Shares(NamedTuple):
    """How often the most frequent values, patterns or units of each field occur: three arrays of one length.

    Attributes:
        fields: Places of fields.
        marks: Marks of what occurs.
        counts: In how many rows.
    """

    fields: npt.NDArray[np.uint16]
    marks: npt.NDArray[np.uint32]
    counts: Counts


class Sketch(NamedTuple):
    """Some items one by one, in the order of their ids.

    Attributes:
        ids: The items' ids.
        places: Where in the job each item is, from 0 for the first to 1.
        marks: A mark of 16 bits for each item's value of each field; 0 where there is none.
        numeric: Places of the fields with numbers.
        numbers: The items' numbers in these fields; NaN where there is none.
        is_complete: Whether it holds every item of the job.
    """

    ids: npt.NDArray[np.uint32]
    places: Floats
    marks: npt.NDArray[np.uint16]
    numeric: npt.NDArray[np.uint16]
    numbers: Floats
    is_complete: bool


@dataclass(eq=False)
class JobProfile:
    """What is known of a job's items. It is not changed, but a frozen one would take twice as long to make.

    Attributes:
        time: When the job was scraped, ISO 8601.
        items: Number of its items.
        rows: Number of items that the counts below are about.
        repeats: Share of items whose id an earlier item has.
        sparse: Share of items with less than half the values that the items of this job usually have.
        identity: Paths of the fields that tell items apart; empty if none do.
        paths: Paths of the fields, as `meter.yaml` spells them.
        forms: In how many rows a field has each of `values.FORMS`; one line a field.
        flags: In how many rows a field has each of `values.FLAGS`.
        distinct: Number of distinct values of each field.
        numbers: Quantiles of each field's numbers; NaN for a field without.
        lengths: Quantiles of the lengths of each field's texts, in characters.
        values: The most frequent values.
        patterns: The most frequent patterns of texts.
        units: The most frequent units of numbers written as text, and hosts of addresses.
        unit_names: The units, by mark.
        sketch: Some items one by one.
        samples: For each field its values in two items, and in the item with the fewest values; as JSON, cut.
    """

    time: str
    items: int
    rows: int
    repeats: float
    sparse: float
    identity: tuple[str, ...]
    paths: tuple[str, ...]
    forms: Counts
    flags: Counts
    distinct: Counts
    numbers: Floats
    lengths: Floats
    values: Shares
    patterns: Shares
    units: Shares
    unit_names: dict[int, str]
    sketch: Sketch
    samples: tuple[tuple[str, ...], ...]
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def place(self) -> dict[str, int]:
        """Places of fields by path."""
        return {path: number for number, path in enumerate(self.paths)}

    @cached_property
    def filled(self) -> Counts:
        """In how many rows each field has a value."""
        return self.forms[:, EMPTY + 1 :].sum(axis=1)

    @cached_property
    def with_units(self) -> Counts:
        """In how many rows each field has what may have a unit: a number written as text, or an address on a host."""
        return self.forms[:, MEASURE] + self.forms[:, URL]

    @cached_property
    def top(self) -> Counts:
        """In how many rows each field has its most frequent value."""
        top = np.zeros(len(self.paths), np.float32)
        np.maximum.at(top, self.values.fields, self.values.counts)
        return top

    @cached_property
    def damage(self) -> float:
        """How many values have a flag of damage."""
        return float(self.flags[:, :PADDED].sum())

    def dump(self) -> bytes:
        """The profile as bytes, for `load`."""
        form = {
            "version": VERSION,
            "time": self.time,
            "counts": [self.items, self.rows, self.repeats, self.sparse],
            "identity": _pack_texts(self.identity),
            "paths": _pack_texts(self.paths),
            "forms": self.forms.tobytes(),
            "flags": self.flags.tobytes(),
            "distinct": self.distinct.tobytes(),
            "numbers": self.numbers.tobytes(),
            "lengths": self.lengths.tobytes(),
            "shares": [[own.tobytes() for own in shares] for shares in (self.values, self.patterns, self.units)],
            "units": [[mark, *_pack_texts((name,))] for mark, name in self.unit_names.items()],
            "sketch": [
                self.sketch.ids.tobytes(),
                self.sketch.places.astype(np.float16).tobytes(),
                self.sketch.marks.tobytes("F"),
                self.sketch.numeric.tobytes(),
                self.sketch.numbers.tobytes("F"),
                self.sketch.is_complete,
            ],
            "samples": [_pack_texts(samples) for samples in self.samples],
        }
        return _encode(form)


def load(data: bytes) -> JobProfile:
    """The inverse of `JobProfile.dump`.

    Raises:
        ValueError: The bytes are no profile, or one of another version.
    """
    try:
        form = _decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a profile of a job: {error}") from None
    if form.get("version") != VERSION:
        raise ValueError(f"a profile of version {form.get('version')}; this release reads version {VERSION}")
    count = len(form["paths"])
    items, rows, repeats, sparse = form["counts"]
    values, patterns, units = map(_unpack_shares, form["shares"])
    ids, places, marks, numeric, numbers, is_complete = form["sketch"]
    kept = len(ids) // 4
    sketch = Sketch(
        np.frombuffer(ids, np.uint32),
        np.frombuffer(places, np.float16).astype(np.float32),
        np.frombuffer(marks, np.uint16).reshape(count, kept).T,
        np.frombuffer(numeric, np.uint16),
        np.frombuffer(numbers, np.float32).reshape(len(numeric) // 2, kept).T,
        is_complete,
    )
    return JobProfile(
        time=form["time"],
        items=items,
        rows=rows,
        repeats=repeats,
        sparse=sparse,
        identity=_unpack_texts(form["identity"]),
        paths=_unpack_texts(form["paths"]),
        forms=np.frombuffer(form["forms"], np.float32).reshape(count, len(FORMS)),
        flags=np.frombuffer(form["flags"], np.float32).reshape(count, len(FLAGS)),
        distinct=np.frombuffer(form["distinct"], np.float32),
        numbers=np.frombuffer(form["numbers"], np.float32).reshape(count, len(NUMBER_QUANTILES)),
        lengths=np.frombuffer(form["lengths"], np.float32).reshape(count, len(LENGTH_QUANTILES)),
        values=values,
        patterns=patterns,
        units=units,
        unit_names={mark: _unpack_texts([name])[0] for mark, name in form["units"]},
        sketch=sketch,
        samples=tuple(map(_unpack_texts, form["samples"])),
    )


class _Head(msgspec.Struct):
    version: int


def is_current(data: bytes) -> bool:
    """Whether `load` reads these bytes."""
    try:
        return _decode_head(data).version == VERSION
    except msgspec.MsgspecError:
        return False


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


# Most samples are those of the job before.
@lru_cache(_MOST_PACKED)
def _pack_texts(texts: tuple[str, ...]) -> list[bytes]:
    """Texts as bytes: JSON may have half surrogates, which are no UTF-8."""
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def _unpack_texts(form: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(text.decode("utf-8", "surrogatepass") for text in form)


def _unpack_shares(form: list[bytes]) -> Shares:
    fields, marks, counts = form
    return Shares(np.frombuffer(fields, np.uint16), np.frombuffer(marks, np.uint32), np.frombuffer(counts, np.float32))
