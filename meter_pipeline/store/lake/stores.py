"""Object stores: what a lake asks of one, and PyArrow's clients of stores other than S3."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import IO, Any, ClassVar, NamedTuple, Protocol

import pyarrow as pa
from pyarrow import fs

# Bytes that are read at a time.
PIECE_BYTES = 8 * 2**20


class ObjectState(NamedTuple):
    """Size (bytes) and time of writing (nanoseconds) of an object: they differ when it was written again."""

    size: int
    written: int


class ObjectStore(Protocol):
    """Objects by their keys. A missing object is a `FileNotFoundError`, all else that fails one of `errors`.

    Those of `timeouts` are raised when the store has not answered for as long as a request waits.
    """

    errors: ClassVar[tuple[type[Exception], ...]]
    timeouts: ClassVar[tuple[type[Exception], ...]]

    def list_below(self, prefix: str) -> Iterable[tuple[str, ObjectState]]:
        """The objects whose keys begin with a folder, which ends with a slash."""
        ...

    def size(self, key: str) -> int:
        """Bytes of an object."""
        ...

    def pieces(self, key: str) -> Iterator[bytes]:
        """The content of an object in pieces of some megabytes."""
        ...

    def open(self, key: str, size: int) -> Any:
        """An object of a known size, for readers that need parts of it, in a form that PyArrow accepts."""
        ...

    def put(self, key: str, file: IO[bytes], size: int) -> None:
        """Writes an object, over any old one, whole or not at all."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects, if they exist."""
        ...

    def copy(self, key: str, new: str) -> None:
        """Copies an object within the store."""
        ...


class ArrowStore:
    """An object store through one of PyArrow's file systems."""

    errors: ClassVar[tuple[type[Exception], ...]] = (OSError, pa.ArrowException)
    timeouts: ClassVar[tuple[type[Exception], ...]] = (TimeoutError,)

    def __init__(self, files: fs.FileSystem) -> None:
        self._fs = files

    def list_below(self, prefix: str) -> Iterable[tuple[str, ObjectState]]:
        selector = fs.FileSelector(prefix.rstrip("/"), allow_not_found=True, recursive=True)
        for info in self._fs.get_file_info(selector):
            if info.type == fs.FileType.File:
                yield info.path, ObjectState(info.size, info.mtime_ns or 0)

    def size(self, key: str) -> int:
        return int(self._fs.get_file_info(key).size)

    def pieces(self, key: str) -> Iterator[bytes]:
        with self._fs.open_input_file(key) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def open(self, key: str, size: int) -> Any:
        return self._fs.open_input_file(key)

    def put(self, key: str, file: IO[bytes], size: int) -> None:
        # The library completes an upload that is abandoned half-way: the content is sent in one call.
        with mmap.mmap(file.fileno(), size) if size else nullcontext(b"") as content:
            stream = self._fs.open_output_stream(key)
            stream.write(content)
            stream.close()

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            # Gone already, perhaps by another process that deletes the same files.
            with suppress(FileNotFoundError):
                self._fs.delete_file(key)

    def copy(self, key: str, new: str) -> None:
        self._fs.copy_file(key, new)
