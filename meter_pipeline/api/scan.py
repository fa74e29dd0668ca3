"""Finds where the parts of a big JSON text begin and end, in one pass over windows of any size.

A body of hundreds of megabytes is never parsed as a whole: the scanner sees it a window at a time (about 1 MB, numpy
over the structural bytes: some 300 MB/s), notes where the outermost object's members lie, and for chosen members a few
commas between which whole items stand. Each such stretch is then small enough for a real parser, which validates it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import numpy as np

from meter_pipeline.api.bounds import Bound, TooLarge
from meter_pipeline.api.syntax import WHITESPACE, Malformed, value

WINDOW = 2**20
# Depth of the commas between items, for results that are `[..]`, `{"k": [..]}` and `[{"k": [..]}]`.
DEPTHS = (2, 3, 4)

_QUOTE, _OPEN, _CLOSE, _COMMA, _COLON = 1, 2, 3, 4, 5
_CLASSES = bytearray(256)
for _byte, _class in zip(b'"{[}],:', (_QUOTE, _OPEN, _OPEN, _CLOSE, _CLOSE, _COMMA, _COLON), strict=True):
    _CLASSES[_byte] = _class
_CLASS_TABLE = bytes(_CLASSES)
_STEPS = np.array([0, 0, 1, -1, 0, 0], dtype=np.int8)
_CLOSER = {b"{": b"}", b"[": b"]"}
# More rows than any page has, and few enough to be noted in memory.
_MOST_PARTS = 500_000
# Shared by parts that are not chosen, of which there may be many.
_NO_COMMAS: dict[int, int] = dict.fromkeys(DEPTHS, 0)
_NO_CUTS: dict[int, list[int]] = {depth: [] for depth in DEPTHS}


@dataclass(slots=True)
class Part:
    """A member of the scanned object, or an element of the scanned array.

    Attributes:
        key: The member's key, `None` for an element.
        start: Where its value begins (white space included).
        end: Where it ends, exclusive.
        commas: By depth, how many commas it holds; only for chosen keys.
        cuts: By depth, the last comma of each window; only for chosen keys.
    """

    key: str | None
    start: int
    end: int = -1
    commas: dict[int, int] = field(default_factory=lambda: _NO_COMMAS)
    cuts: dict[int, list[int]] = field(default_factory=lambda: _NO_CUTS)


class Scanner:
    """Scans a JSON object or array window by window; `finish()` returns its parts.

    Args:
        chosen: Keys whose values are to be cut.
        base: Offset of the first byte fed.
        bound: Bound of a key, None for none.

    Attributes:
        root: The outermost opening bracket; empty until it is scanned.
        begin: Its offset.
    """

    def __init__(self, chosen: Container[str] = (), base: int = 0, bound: Bound | None = None) -> None:
        self.root = b""
        self.begin = base
        self._parts: list[Part] = []
        self._chosen = chosen
        self._bound = bound
        self._base = base
        self._carry = b""
        self._quoted = False
        self._depth = 0
        self._closed = False
        self._part: Part | None = None  # the part whose value is being read
        self._key: bytearray | None = None  # the text before a colon, in an object

    def feed(self, window: bytes) -> None:
        """Scans the next bytes of the text, any number of them.

        Raises:
            Malformed: The text cannot be JSON, as far as the structure goes.
        """
        data = self._carry + window if self._carry else window
        self._carry = b""
        masked = data
        if b"\\" in data:
            # An odd backslash at the end escapes the first byte of the next window: both are scanned together.
            if (len(data) - len(data.rstrip(b"\\"))) & 1:
                data, self._carry = data[:-1], data[-1:]
            masked = data.replace(b"\\\\", b"__") if b"\\\\" in data else data
            masked = masked.replace(b'\\"', b"__")
        if not self.root:
            head = data.lstrip(WHITESPACE)
            if head and head[:1] not in _CLOSER:
                raise Malformed("neither a JSON object nor an array")
            self.root = head[:1]
            self.begin = self._base + len(data) - len(head)
        if self._closed:
            self._no_more(data)
        elif self.root and data:
            self._structure(data, masked)
        self._base += len(data)

    def finish(self) -> list[Part]:
        """The parts, in order, once everything was fed.

        Raises:
            Malformed: The text ended too early.
        """
        if self._carry or not self._closed:
            raise Malformed("not JSON: it ends in the middle", cut=True)
        return self._parts

    def _structure(self, data: bytes, masked: bytes) -> None:
        classes = np.frombuffer(masked.translate(_CLASS_TABLE), np.uint8)
        inside = np.logical_xor.accumulate(classes == _QUOTE)  # true from an opening quote up to the closing one
        if self._quoted:
            inside = ~inside
        self._quoted = bool(inside[-1])
        at = np.flatnonzero((classes > _QUOTE) & ~inside)
        kinds = classes[at]
        depths = np.cumsum(_STEPS[kinds], dtype=np.int64) + self._depth
        commas = kinds == _COMMA
        levels = {depth: at[commas & (depths == depth)] for depth in DEPTHS} if self._chosen else {}
        top = ((depths == 1) & (kinds >= _COMMA)) | (depths <= 0)
        position = 0
        if not self._depth and at.size:  # the root's own bracket is the first structural byte
            position = int(at[0]) + 1
            self._begin(self._base + position)
        for index in np.flatnonzero(top).tolist():
            here = int(at[index])
            self._account(levels, position, here)
            self._event(data, int(kinds[index]), int(depths[index]), position, here)
            position = here + 1
            if self._closed:
                self._no_more(data[position:])
                return
        self._account(levels, position, len(data))
        if self._key is not None:
            self._key += data[position:]
            if self._bound is not None:
                self._bound.check(len(self._key))
        if depths.size:
            self._depth = int(depths[-1])

    def _begin(self, start: int) -> None:
        if self.root == b"{":
            self._key = bytearray()
        else:
            self._part = Part(None, start)

    def _event(self, data: bytes, kind: int, depth: int, position: int, here: int) -> None:
        """Handles a colon or comma between parts, or the end of the text."""
        if self._key is not None:
            self._key += data[position:here]
            if kind == _COLON:
                self._part = Part(_key_of(bytes(self._key)), self._base + here + 1)
                if self._part.key in self._chosen:
                    self._part.commas, self._part.cuts = dict(_NO_COMMAS), {depth: [] for depth in DEPTHS}
                self._key = None
                return
            if kind == _COMMA or self._parts or bytes(self._key).strip(WHITESPACE):
                raise Malformed("not JSON: a member without a value")
        elif kind == _COLON:
            raise Malformed("not JSON: a colon where none belongs")
        if self._part is not None:
            self._part.end = self._base + here
            self._parts.append(self._part)
            if len(self._parts) > _MOST_PARTS:
                raise TooLarge(f"a list of more than {_MOST_PARTS:,} rows in one answer", "ask for smaller pages")
            self._part = None
        if depth <= 0:
            self._closed = True
            if data[here : here + 1] != _CLOSER[self.root]:
                raise Malformed("not JSON: brackets do not match")
        else:
            self._begin(self._base + here + 1)

    def _account(self, levels: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]], start: int, end: int) -> None:
        if self._part is None or self._part.key is None or self._part.key not in self._chosen:
            return
        for depth, positions in levels.items():
            low, high = np.searchsorted(positions, (start, end)).tolist()
            if high > low:
                self._part.commas[depth] += high - low
                self._part.cuts[depth].append(self._base + int(positions[high - 1]))

    @staticmethod
    def _no_more(data: bytes) -> None:
        if data.strip(WHITESPACE):
            raise Malformed("not JSON: text after its end")


def scan(
    windows: Iterable[bytes], chosen: Container[str] = (), base: int = 0, bound: Bound | None = None
) -> tuple[bytes, list[Part]]:
    """The root bracket and the parts of a text that comes in windows."""
    scanner = Scanner(chosen, base, bound)
    for window in windows:
        scanner.feed(window)
    parts = scanner.finish()
    return scanner.root, parts


def _key_of(text: bytes) -> str:
    key = value(text)
    if not isinstance(key, str):
        raise Malformed("not JSON: a key that is not a string")
    return key
