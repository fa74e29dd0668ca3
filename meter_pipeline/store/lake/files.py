"""The file systems a lake can live on: a local folder, or an object store through PyArrow's file systems.

A file appears whole or not at all, and is never changed. On a local disk a temporary file, fsync and `os.replace` see
to the first; object stores do it themselves.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from meter_pipeline.host.causes import find_cause
from meter_pipeline.host.folders import refusal
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.store.errors import LakeError

# Objects up to this size (bytes) are read whole.
_READ_WHOLE_BYTES = 32 * 2**20


class Files(ABC):
    """Whole files by names relative to a root, with `/` between folders."""

    url: str

    @abstractmethod
    def find(self, folder: str) -> list[str]:
        """Names of the files anywhere below `folder`, sorted; none when it does not exist."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def source(self, name: str, size: int | None = None) -> Any:
        """The file in a form that PyArrow's readers accept, a path or an open file; its size spares asking for it."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file."""

    @abstractmethod
    def writing(self, name: str) -> Any:
        """A context manager with a binary file; the file takes its name, over any old one, when the block ends well."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Removes a file, if it exists."""

    @abstractmethod
    def find_old(self, folder: str, before: float) -> list[str]:
        """Names of the files anywhere below `folder` that were last written before a time (seconds since 1970)."""

    @abstractmethod
    def adopt(self, name: str, new: str) -> None:
        """Gives a file a second name, without a copy where the file system can."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """The address by which other engines open the file."""


class LocalFiles(Files):
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def find(self, folder: str) -> list[str]:
        names = []
        for path, _, files in os.walk(self.root / folder):
            base = Path(path).relative_to(self.root).as_posix()
            names += [f"{base}/{name}" for name in files if not name.startswith(".")]
        return sorted(names)

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def source(self, name: str, size: int | None = None) -> Any:
        return str(self.root / name)

    def size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with _new(temporary) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise LakeError(f"cannot write {path}: {find_cause(error) or error.strerror or error}") from error
        finally:
            # Where the folder itself cannot be used, this fails too, and must not hide the reason.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def find_old(self, folder: str, before: float) -> list[str]:
        found = []
        for path, _, files in os.walk(self.root / folder):
            for name in files:
                file = Path(path, name)
                # Another sweep may have been quicker.
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime < before:
                        found.append(file.relative_to(self.root).as_posix())
        return sorted(found)

    def adopt(self, name: str, new: str) -> None:
        try:
            (self.root / new).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.root / name, self.root / new)
        except FileExistsError:
            return
        except OSError:
            # A file system without hard links.
            with self.writing(new) as copy, (self.root / name).open("rb") as file:
                shutil.copyfileobj(file, copy)

    def uri(self, name: str) -> str:
        return str(self.root / name)


class ObjectState(NamedTuple):
    """Size (bytes) and time of writing (nanoseconds) of an object: they differ when it was written again."""

    size: int
    written: int


class RemoteFiles(Files):
    """An object store, as `s3://bucket/folder`, through PyArrow.

    The URL may hold a password and options of the connection; messages show it without both.
    """

    def __init__(self, url: str, scratch: Scratch | None = None) -> None:
        self._scratch = scratch or Scratch()
        scheme, _, rest = url.partition("://")
        # Keys of S3 have slashes in them, which not everybody writes as %2F.
        before, _, place = rest.partition("?")[0].rpartition("@")
        self._secrets = _secrets(url, before)
        self.url = f"{scheme}://{place}".rstrip("/")
        try:
            self._fs, root = fs.FileSystem.from_uri(url)
        except Exception as error:
            raise LakeError(f"METER_LAKE_URL cannot be used: {self._reason(error)}") from None
        self.root = root.rstrip("/")
        if not self.root:
            raise LakeError("METER_LAKE_URL names no bucket: give s3://bucket/folder")

    def find(self, folder: str) -> list[str]:
        return sorted(self.list_states(folder))

    def list_states(self, folder: str) -> dict[str, ObjectState]:
        """The objects anywhere below `folder`, by name, as they are now."""
        where = f"{self.root}/{folder}"
        with self._explained():
            found = self._fs.get_file_info(fs.FileSelector(where, allow_not_found=True, recursive=True))
        files = [info for info in found if info.type == fs.FileType.File]
        return {info.path[len(self.root) + 1 :]: ObjectState(info.size, info.mtime_ns or 0) for info in files}

    def exists(self, name: str) -> bool:
        with self._explained():
            return bool(self._fs.get_file_info(f"{self.root}/{name}").type == fs.FileType.File)

    def source(self, name: str, size: int | None = None) -> Any:
        with self._explained():
            file = self._fs.open_input_file(f"{self.root}/{name}")
            # One request instead of one for each column.
            whole = (file.size() if size is None else size) <= _READ_WHOLE_BYTES
            return pa.BufferReader(file.read_buffer()) if whole else file

    def size(self, name: str) -> int:
        with self._explained():
            return int(self._fs.get_file_info(f"{self.root}/{name}").size)

    def fetch(self, name: str, path: Path) -> None:
        """Copies an object to a file of this machine.

        Raises:
            FileNotFoundError: The object does not exist any more.
        """
        with self._explained(), path.open("wb") as file:
            stream = self._fs.open_input_stream(f"{self.root}/{name}")
            while piece := stream.read(_READ_WHOLE_BYTES):
                file.write(piece)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        # The library completes an upload that is abandoned half-way, and the object would be the part sent so far:
        # the file is written here first, and sent in one call.
        try:
            with self._scratch.open() as file:
                yield file
                file.flush()
                size = file.tell()
                with self._explained(), mmap.mmap(file.fileno(), size) if size else nullcontext(b"") as content:
                    stream = self._fs.open_output_stream(f"{self.root}/{name}")
                    stream.write(content)
                    stream.close()
        except (OSError, ScratchError) as error:
            cause = find_cause(error) or getattr(error, "strerror", None) or error
            raise LakeError(f"cannot write {self.uri(name)} by way of {self._scratch.folder}: {cause}") from error

    def delete(self, name: str) -> None:
        # Gone already, perhaps by another process that deletes the same files.
        with suppress(FileNotFoundError), self._explained():
            self._fs.delete_file(f"{self.root}/{name}")

    def find_old(self, folder: str, before: float) -> list[str]:
        return sorted(name for name, state in self.list_states(folder).items() if state.written < before * 1e9)

    def adopt(self, name: str, new: str) -> None:
        with self._explained():
            self._fs.copy_file(f"{self.root}/{name}", f"{self.root}/{new}")

    def uri(self, name: str) -> str:
        return f"{self.url}/{name}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the store's errors into one line, so that none of them is mistaken for a damaged file."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise LakeError(
                f"lake {self.url}: {self._reason(error)}; check METER_LAKE_URL, its credentials and the network"
            ) from None

    def _reason(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        # The rest repeats the reason, or numbers the request.
        return re.split(r"; Details: | \(Request ID: ", text)[0]


def _secrets(url: str, before: str) -> list[str]:
    """Parts of a URL that must not be shown, in every spelling, longest first; `before` is the part before the @."""
    values = re.findall(r"[?&][^=&]*(?:token|secret|key|sig|password)[^=&]*=([^&]+)", url, re.IGNORECASE)
    found = {url, before, before.partition(":")[2], *values}
    return sorted({spelling for text in found for spelling in (text, unquote(text)) if spelling}, key=len, reverse=True)


def open_files(url: str, scratch: Scratch | None = None) -> Files:
    """`Files` for a path or a URL; files of an object store are written to `scratch` first.

    Raises:
        LakeError: No file system is known for it, or it cannot be used.
    """
    if url.startswith("file://"):
        return _local(_path_of(url))
    if "://" in url:
        return RemoteFiles(url, scratch)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        raise LakeError("METER_LAKE_URL is neither a path nor a URL: give a folder, or s3://bucket/folder")
    return _local(Path(url))


def _local(folder: Path) -> LocalFiles:
    reason = refusal(folder.absolute())
    if reason is not None:
        raise LakeError(f"METER_LAKE_URL: {str(folder)!r} cannot be used: {reason}; name another folder")
    return LocalFiles(folder)


def _path_of(url: str) -> Path:
    """The path of a `file://` URL; a character that would begin a query or fragment is an error."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise LakeError("METER_LAKE_URL is no URL: write [ as %5B and ] as %5D, or give the path alone") from None
    if parts.netloc not in ("", "localhost"):
        raise LakeError(
            f"METER_LAKE_URL names a folder of the machine {parts.netloc!r}: write file:///, with three slashes"
        )
    if "#" in url or "?" in url:
        raise LakeError("METER_LAKE_URL: write # as %23 in a file:// URL, or give the path alone")
    return Path(unquote(parts.path))


def _new(path: Path) -> IO[bytes]:
    """Opens a new file; creates its folder if there is none."""
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
