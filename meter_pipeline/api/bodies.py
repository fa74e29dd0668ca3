"""Job bodies and change sets: records with their items as raw JSON text.

The items of a job hold anything that a page had: numbers of any size, keys in any order, duplicates. So they are passed
on as the bytes that were received, and nothing between the API and the lake can change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from meter_pipeline.api.records import Job, Unusable
from meter_pipeline.api.spool import Spool
from meter_pipeline.api.syntax import count_elements, elements

Shape = Literal["array", "wrapped", "object", "null", "scalar", "absent"]

# A batch also ends at this many bytes, so that items of megabytes do not fill the memory.
_BATCH_BYTES = 8 * 2**20


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
        chunks: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.job = job
        self.shape = shape
        self.size = size
        self._text = text
        self._spool = spool.add_owner() if spool is not None else None
        self._chunks = chunks

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
        other = JobBody(job, self.shape, self.size, text=self._text, spool=self._spool, chunks=self._chunks)
        self.close()
        return other

    def park(self, spool: Spool) -> None:
        """Moves items from memory to a temporary file that several bodies share."""
        if not self._text:
            return
        start, end = spool.keep(self._text)
        single = self.shape in ("object", "scalar")
        self._spool = spool.add_owner()
        # A chunk is what stands between the brackets.
        self._chunks = ((start, end) if single else (start + 1, end - 1),)
        self._text = b""

    def hand_over(self, spool: Spool) -> dict[str, Any]:
        """Moves the items to a temporary file that another process has open as well, and closes this body.

        Returns:
            JSON values from which that process makes the body by `taken_over`.

        Raises:
            NoRoom: The disk has no room for the items; the body is as it was.
        """
        single = self.shape in ("object", "scalar")
        if self._text:
            pieces: Iterable[bytes] = (self._text if single else self._text[1:-1],)
        else:
            pieces = (self._read(chunk) for chunk in self._chunks)
        chunks = [spool.keep(piece) for piece in pieces]
        self.close()
        return {"job": self.job.as_dict(), "shape": self.shape, "size": self.size, "chunks": chunks}

    @classmethod
    def taken_over(cls, form: Mapping[str, Any], spool: Spool) -> JobBody:
        """The body that another process handed over in `spool`."""
        chunks = tuple((start, end) for start, end in form["chunks"])
        return cls(Job.from_json(form["job"]), form["shape"], form["size"], spool=spool, chunks=chunks)

    def batches(self, items: int = 20_000) -> Iterator[list[bytes]]:
        """The items in order, as the JSON text that was received, in batches.

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
        if self.shape in ("object", "scalar"):
            return 1
        in_memory = count_elements(self._text) if self._text else 0
        return in_memory + sum(count_elements(b"[" + self._read(chunk) + b"]") for chunk in self._chunks)

    def items(self) -> list[bytes]:
        """All items at once, of a body that fits into memory."""
        pieces = list(self._pieces())
        return pieces[0] if len(pieces) == 1 else list(chain.from_iterable(pieces))

    def _pieces(self) -> Iterator[list[bytes]]:
        single = self.shape in ("object", "scalar")
        if self._text:
            yield [self._text] if single else elements(self._text)
        for chunk in self._chunks:
            text = self._read(chunk)
            yield [text] if single else elements(b"[" + text + b"]")

    def _read(self, chunk: tuple[int, int]) -> bytes:
        if self._spool is None:
            raise ValueError(f"the body of job {self.job.job_id} is closed")
        return self._spool.read(*chunk)


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
