"""Job bodies and change sets: records with their items as raw JSON text.

The items of a job hold anything that a page had: numbers of any size, keys in any order, duplicates. So they are passed
on as the bytes that were received, and nothing between the API and the lake can change them. An item that is not JSON
by itself (`NaN`, bytes that are not UTF-8) is passed on like the others, and whoever parses it finds out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

from meter_pipeline.api.records import Job, Unusable
from meter_pipeline.api.spool import Spool
from meter_pipeline.api.syntax import count_elements, elements
from meter_pipeline.host.sizes import MAX_RECORD

Shape = Literal["array", "wrapped", "object", "null", "scalar", "absent"]

# A batch also ends at this many bytes, so that items of megabytes do not fill the memory.
_BATCH_BYTES = 8 * 2**20
# What is kept of an item beyond the bound of a record (bytes).
_KEPT = 2**16


class LargeItem(bytes):
    """The beginning of an item that is larger than the bound of a record; the item itself is never in memory.

    Attributes:
        size: Bytes of the whole item.
        most: The bound, in bytes.
    """

    size: int
    most: int

    @classmethod
    def of(cls, beginning: bytes, size: int, most: int) -> LargeItem:
        """The item of `size` bytes that begins like this."""
        item = cls(beginning[:_KEPT])
        item.size, item.most = size, most
        return item


class Chunk(NamedTuple):
    """Items in a spool: where they begin and end, and whether it is one item beyond the bound of a record."""

    start: int
    end: int
    is_large: bool = False


class JobBody:
    """A job and its items. A context manager: a big body owns a temporary file.

    Attributes:
        job: The job's record.
        shape: What `results` was: an array, an array wrapped in an object with one key, another object, `null`, a
            scalar, or absent.
        size: Bytes received, decompressed.
    """

    def __init__(
        self,
        job: Job,
        shape: Shape,
        size: int,
        *,
        text: bytes = b"",
        spool: Spool | None = None,
        chunks: tuple[Chunk, ...] = (),
        most: int = MAX_RECORD,
    ) -> None:
        self.job = job
        self.shape = shape
        self.size = size
        self._text = text
        self._spool = spool.add_owner() if spool is not None else None
        self._chunks = chunks
        self._most = most

    def __repr__(self) -> str:
        return f"JobBody(job_id={self.job.job_id!r}, shape={self.shape!r}, size={self.size})"

    def __enter__(self) -> JobBody:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the temporary file, if any; `batches` cannot be called afterwards."""
        if self._spool is not None:
            self._spool.release()
            self._spool = None

    def __del__(self) -> None:
        self.close()

    @property
    def memory(self) -> int:
        """Bytes of items held in memory, not in a temporary file."""
        return len(self._text)

    def transfer(self, job: Job) -> JobBody:
        """Moves the items to a new body with the record `job`, and closes this one; the caller closes the new one."""
        other = JobBody(
            job, self.shape, self.size, text=self._text, spool=self._spool, chunks=self._chunks, most=self._most
        )
        self.close()
        return other

    def park(self, spool: Spool) -> None:
        """Moves items from memory to a temporary file that several bodies share."""
        if not self._text:
            return
        start, end = spool.keep(self._text)
        self._spool = spool.add_owner()
        # A chunk is what stands between the brackets.
        self._chunks = (Chunk(start, end) if self._is_single else Chunk(start + 1, end - 1),)
        self._text = b""

    def hand_over(self, spool: Spool) -> dict[str, Any]:
        """Moves the items to a temporary file that another process has open as well, and closes this body.

        Returns:
            JSON values from which that process makes the body by `taken_over`.

        Raises:
            NoRoom: The disk has no room for the items; the body is as it was.
        """
        if self._text:
            chunks = [Chunk(*spool.keep(self._text if self._is_single else self._text[1:-1]))]
        else:
            chunks = [self._copy(chunk, spool) for chunk in self._chunks]
        self.close()
        shape, size, most = self.shape, self.size, self._most
        return {"job": self.job.as_dict(), "shape": shape, "size": size, "chunks": chunks, "most": most}

    @classmethod
    def taken_over(cls, form: Mapping[str, Any], spool: Spool) -> JobBody:
        """The body that another process handed over in `spool`."""
        chunks = tuple(Chunk(*chunk) for chunk in form["chunks"])
        job, shape, size, most = Job.from_json(form["job"]), form["shape"], form["size"], form["most"]
        return cls(job, shape, size, spool=spool, chunks=chunks, most=most)

    def batches(self, items: int = 20_000) -> Iterator[list[bytes]]:
        """The items in order, as the text that was received, in batches.

        An item is JSON unless the page had something else there, such as `NaN`; one beyond the bound of a record is a
        `LargeItem`.

        Args:
            items: Most items in one batch; a batch also ends at 8 MB.

        Yields:
            Lists of items, never empty. An object or a scalar is one item; `null` and absent results have no items.
        """
        batch: list[bytes] = []
        size = 0
        for piece in self._pieces():
            for item in piece:
                batch.append(item)
                size += len(item)
                if len(batch) >= items or size >= _BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    def count(self) -> int:
        """The number of items."""
        if self._is_single:
            return 1
        in_memory = count_elements(self._text) if self._text else 0
        return in_memory + sum(
            1 if chunk.is_large else count_elements(b"[" + self._read(chunk) + b"]") for chunk in self._chunks
        )

    def items(self) -> list[bytes]:
        """All items at once, of a body that fits into memory."""
        pieces = list(self._pieces())
        return pieces[0] if len(pieces) == 1 else list(chain.from_iterable(pieces))

    @property
    def _is_single(self) -> bool:
        """Whether the text is one item, not an array of items."""
        return self.shape in ("object", "scalar")

    def _pieces(self) -> Iterator[list[bytes]]:
        if self._text:
            yield [self._text] if self._is_single else self._cut(self._text)
        for chunk in self._chunks:
            if chunk.is_large:
                beginning = self._read(chunk._replace(end=chunk.start + _KEPT))
                yield [LargeItem.of(beginning, chunk.end - chunk.start, self._most)]
            else:
                text = self._read(chunk)
                yield [text] if self._is_single else self._cut(b"[" + text + b"]")

    def _cut(self, text: bytes) -> list[bytes]:
        items = elements(text)
        if len(text) <= self._most:
            return items
        return [item if len(item) <= self._most else LargeItem.of(item, len(item), self._most) for item in items]

    def _copy(self, chunk: Chunk, spool: Spool) -> Chunk:
        """Copies a chunk to another spool; of a large item its beginning, which is all that is ever read of it."""
        if not chunk.is_large:
            return Chunk(*spool.keep(self._read(chunk)))
        start, _ = spool.keep(self._read(chunk._replace(end=chunk.start + _KEPT)))
        return Chunk(start, start + chunk.end - chunk.start, True)

    def _read(self, chunk: Chunk) -> bytes:
        if self._spool is None:
            raise ValueError(f"the body of job {self.job.job_id} is closed")
        return self._spool.read(chunk.start, chunk.end)


@dataclass(frozen=True)
class ChangeEntry:
    """A job whose content had changed; `body` is None if the entry carries no results."""

    job: Job
    body: JobBody | None = None


@dataclass(frozen=True)
class ChangeSet:
    """The unseen changes of a schedule. A context manager: big bodies own a temporary file.

    Attributes:
        count: The number of entries as the server states it, else the number received.
        marked_seen: Whether this read has marked the changes as seen; None if the server does not state it.
        unusable: Entries that cannot be used.
    """

    schedule_id: str
    entries: tuple[ChangeEntry, ...]
    count: int
    marked_seen: bool | None = None
    unusable: tuple[Unusable, ...] = ()

    def __enter__(self) -> ChangeSet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the entries' bodies."""
        for entry in self.entries:
            if entry.body is not None:
                entry.body.close()
