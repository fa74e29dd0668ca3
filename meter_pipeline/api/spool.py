"""Received bodies: small ones in memory, big ones in a temporary file that is scanned while it is written.

The number of bytes received decides, not a header. A spool has no name in the file system, so it vanishes with its last
owner, even if the process is killed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from meter_pipeline.api.bounds import Bound, Bounds, NoRoom
from meter_pipeline.api.scan import WINDOW, Part, Scanner, scan
from meter_pipeline.api.syntax import WHITESPACE, Malformed, elements, raw_members, value
from meter_pipeline.host.scratch import Scratch, ScratchError

# A bad answer is kept for diagnosis up to this size.
KEPT = 2**20
_BOM = b"\xef\xbb\xbf"
_CHOSEN = ("results",)
_BOUNDS = Bounds()


class Spool:
    """A temporary file with owners; it closes when its last owner releases it.

    Args:
        scratch: The folder of the file.
        bounds: Limits of what is read from it into memory.
        file: The file, if another process made it; None to make one.

    Raises:
        NoRoom: The file cannot be made.
    """

    def __init__(self, scratch: Scratch, bounds: Bounds, file: IO[bytes] | None = None) -> None:
        self.scratch, self.bounds = scratch, bounds
        with _roomy():
            self._file: IO[bytes] = scratch.open() if file is None else file
        self._lock = threading.Lock()
        self._owners = 1

    def fileno(self) -> int:
        """The file's descriptor, for another process to inherit."""
        return self._file.fileno()

    def append(self, data: bytes) -> None:
        """Adds bytes at the end.

        Raises:
            NoRoom: The disk has no room for them.
        """
        with _roomy():
            self.scratch.require_room(len(data))
            self._file.write(data)
            self._file.flush()

    def keep(self, data: bytes) -> tuple[int, int]:
        """Adds bytes at the end of a spool that is already being read; returns where they begin and end."""
        with self._lock:
            start = self._file.seek(0, 2)
            self.append(data)
        return start, start + len(data)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, exclusive."""
        with self._lock:
            self._file.seek(start)
            return self._file.read(end - start)

    def windows(self, start: int, end: int, size: int = WINDOW) -> Iterator[bytes]:
        """The same bytes, `size` at a time."""
        for offset in range(start, end, size):
            yield self.read(offset, min(offset + size, end))

    def add_owner(self) -> Spool:
        """Adds an owner; returns the spool."""
        with self._lock:
            self._owners += 1
        return self

    def release(self) -> None:
        """Removes an owner."""
        with self._lock:
            self._owners -= 1
            if self._owners == 0:
                self._file.close()


@contextmanager
def _roomy() -> Iterator[None]:
    """Turns an error of the disk into an error of the body."""
    try:
        yield
    except ScratchError as error:
        reason = str(error)
    except OSError as error:
        reason = f"it cannot be kept on disk: {error.strerror or error}"
    else:
        return
    raise NoRoom(f"the body is too large: {reason}", "free the disk, or set METER_SPOOL_DIR to a folder on another one")


class Node(Protocol):
    """A JSON value somewhere: in memory or in a spool."""

    @property
    def first(self) -> bytes:
        """Its first byte, which determines its type."""

    @property
    def size(self) -> int:
        """Bytes of its text."""

    def members(self) -> dict[str, Node]:
        """The members of an object; of equal keys the last one wins."""

    def elements(self) -> list[Node]:
        """The elements of an array, for arrays of few elements."""

    def each(self) -> Iterator[Node]:
        """The elements of an array, for arrays of many; each is read into memory when the iterator reaches it."""

    def text(self) -> bytes:
        """The whole text, without white space around it."""


class Text:
    """A JSON value in memory; one that was cut out of a bigger one is JSON only as far as its brackets match."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    @property
    def first(self) -> bytes:
        return self._text[:1]

    @property
    def size(self) -> int:
        return len(self._text)

    def members(self) -> dict[str, Node]:
        return {key: Text(bytes(raw)) for key, raw in raw_members(self._text).items()}

    def elements(self) -> list[Node]:
        return [Text(text) for text in elements(self._text)]

    def each(self) -> Iterator[Node]:
        return iter(self.elements())

    def text(self) -> bytes:
        return self._text


class Stretch:
    """A JSON value in a spool, too big for memory.

    Attributes:
        part: What the scan of its parent noted about it, `None` for the whole body.
    """

    __slots__ = ("_known", "end", "part", "spool", "start")

    def __init__(self, spool: Spool, start: int, end: int, part: Part | None = None, known: list[Part] | None = None):
        self.spool = spool
        self.start = start
        self.end = end
        self.part = part
        self._known = known

    @property
    def first(self) -> bytes:
        return self.spool.read(self.start, self.start + 1)

    @property
    def size(self) -> int:
        return self.end - self.start

    def members(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        held = 0
        for part, node in self._parts():
            if isinstance(node, Text):
                held += node.size
                # Each member is at most a window, and so is a list that is not a field of the record.
                self.spool.bounds.record.check(held - WINDOW)
            found[str(part.key)] = node
        return found

    def elements(self) -> list[Node]:
        return [node for _, node in self._parts()]

    def each(self) -> Iterator[Node]:
        return (node for _, node in self._parts())

    def text(self) -> bytes:
        self.spool.bounds.record.check(self.size)
        return self.spool.read(self.start, self.end)

    def _parts(self) -> Iterator[tuple[Part, Node]]:
        parts = self._known
        if parts is None:
            windows = self.spool.windows(self.start, self.end)
            _, parts = scan(windows, _CHOSEN, self.start, self.spool.bounds.record)
        for part in parts:
            start, end = self._trimmed(part)
            if start < end:
                yield part, stored(self.spool, start, end, part)
            elif part.key is not None or len(parts) > 1:
                raise Malformed("not JSON: a comma or colon with no value after it")

    def _trimmed(self, part: Part) -> tuple[int, int]:
        start, end = part.start, part.end
        for window in self.spool.windows(start, end, 4096):
            lead = len(window) - len(window.lstrip(WHITESPACE))
            start += lead
            if lead < len(window):
                break
        while end > start:
            window = self.spool.read(max(start, end - 4096), end)
            trail = len(window) - len(window.rstrip(WHITESPACE))
            end -= trail
            if trail < len(window):
                break
        return start, end


def stored(spool: Spool, start: int, end: int, part: Part | None) -> Node:
    """The node of a stretch of a spool: read into memory unless it is big."""
    return Stretch(spool, start, end, part) if end - start > WINDOW else Text(spool.read(start, end))


class Content:
    """A received body.

    Attributes:
        size: Bytes received, decompressed.
        bounds: Bounds of what it may hold.
    """

    def __init__(
        self,
        data: bytes,
        spool: Spool | None,
        size: int,
        begin: int = 0,
        parts: list[Part] | None = None,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self._data = data
        self.bounds = bounds
        self.spool = spool
        self.size = size
        self._begin = begin
        self._parts = parts

    @property
    def head(self) -> bytes:
        """The first bytes, for diagnosis."""
        return self._data[:KEPT]

    def node(self) -> Node:
        """The body as a JSON value.

        Raises:
            Malformed: It is empty.
        """
        if self.spool is not None:
            return Stretch(self.spool, self._begin, self.size, known=self._parts)
        text = self._data.strip(WHITESPACE)
        if not text:
            raise Malformed("an empty body", cut=True)
        return Text(text)

    def release(self) -> None:
        """Releases the spool."""
        if self.spool is not None:
            self.spool.release()
            self.spool = None


class Receiver:
    """Collects a body piece by piece, and moves it to a spool when it passes `limit` bytes.

    Args:
        limit: Most bytes that are held in memory.
        bounds: Bounds of what it may hold.
        bound: Bound of it as a whole, that of a body when None.
        scratch: Where spools are.

    Attributes:
        size: Bytes received so far.
    """

    def __init__(
        self, limit: int, bounds: Bounds = _BOUNDS, bound: Bound | None = None, scratch: Scratch | None = None
    ) -> None:
        self._limit = limit
        self._bounds, self._bound = bounds, bound or bounds.body
        self._scratch = scratch or Scratch()
        self._pieces: list[bytes] = []
        self._pending = 0
        self._spool: Spool | None = None
        self._scanner = Scanner(_CHOSEN, bound=bounds.record)
        self.size = 0
        self._head = b""

    def add(self, piece: bytes) -> None:
        """Adds the next bytes.

        Raises:
            Malformed: A body too big for memory is not JSON.
            TooLarge: It is beyond a bound.
        """
        if self.size == 0 and piece.startswith(_BOM):
            piece = piece[len(_BOM) :]
        self._pieces.append(piece)
        self._pending += len(piece)
        self.size += len(piece)
        self._bound.check(self.size)
        if self._spool is None and self.size > self._limit:
            self._head = b"".join(self._pieces)[:KEPT]
            self._spool = Spool(self._scratch, self._bounds)
        if self._spool is not None and self._pending >= WINDOW:
            self._flush(self._spool)

    def content(self) -> Content:
        """Returns the body, once all of it was added."""
        if self._spool is None:
            return Content(b"".join(self._pieces), None, self.size, bounds=self._bounds)
        self._flush(self._spool)
        parts = self._scanner.finish()
        return Content(self._head, self._spool.add_owner(), self.size, self._scanner.begin, parts, self._bounds)

    def head(self) -> bytes:
        """The first bytes received, for diagnosis of a bad body."""
        return self._head or b"".join(self._pieces)[:KEPT]

    def drop(self) -> None:
        """Releases the temporary file, if any."""
        if self._spool is not None:
            self._spool.release()
            self._spool = None

    def _flush(self, spool: Spool) -> None:
        text = b"".join(self._pieces)
        self._pieces.clear()
        self._pending = 0
        spool.append(text)
        for start in range(0, len(text), WINDOW):
            self._scanner.feed(text[start : start + WINDOW])


def record(members: dict[str, Node], bound: Bound) -> dict[str, object]:
    """The Python values of an object's members.

    Raises:
        TooLarge: Together they are larger than the bound.
    """
    bound.check(sum(node.size for node in members.values()))
    return {key: value(node.text()) for key, node in members.items()}
