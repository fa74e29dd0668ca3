"""The file systems a lake can live on: a local folder, or an object store through PyArrow's file systems.

A file appears whole or not at all. On a local disk a temporary file, fsync and `os.replace` see to that; object stores
do it themselves.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import shutil
import sys
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

# Objects up to this size are read whole: parts end at half of it, only the part of a large job is larger.
_READ_WHOLE_BYTES = 32 * 2**20
# Constants of Linux's renameat2: paths relative to the working folder, and the flag that exchanges two files.
_HERE, _EXCHANGE = -100, 2


class Files(ABC):
    """Whole files by names relative to a root, with `/` between folders."""

    url: str

    @abstractmethod
    def list(self, folder: str) -> list[str]:
        """Names of the files anywhere below `folder`, sorted; none when it does not exist."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def source(self, name: str) -> Any:
        """The file in a form that PyArrow's readers accept: a path or an open file."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file."""

    @abstractmethod
    def writing(self, name: str) -> Any:
        """A context manager with a binary file; the file takes its name, over any old one, when the block ends well."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Removes a file."""

    @abstractmethod
    def swap(self, staged: str, folder: str) -> None:
        """Replaces `folder` with the folder `staged`."""

    @abstractmethod
    def drop(self, folder: str) -> None:
        """Removes a folder and what is in it, if it exists."""

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Deletes unfinished files of killed writers below `folder`."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """The address by which other engines open the file."""


class LocalFiles(Files):
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def list(self, folder: str) -> list[str]:
        names = []
        for path, _, files in os.walk(self.root / folder):
            base = Path(path).relative_to(self.root).as_posix()
            names += [f"{base}/{name}" for name in files if not name.startswith(".")]
        return sorted(names)

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def source(self, name: str) -> Any:
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

    def swap(self, staged: str, folder: str) -> None:
        new, target = self.root / staged, self.root / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not _exchange(new, target):
            old = self.root / ".old" / folder
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
            new.rename(target)
            new = old
        elif not target.exists():
            new.rename(target)
        _sync_folder(target.parent)
        shutil.rmtree(new, ignore_errors=True)

    def drop(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def sweep(self, folder: str) -> None:
        for path, _, files in os.walk(self.root / folder):
            for name in files:
                if name.startswith("."):
                    Path(path, name).unlink(missing_ok=True)

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

    def list(self, folder: str) -> list[str]:
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

    def source(self, name: str) -> Any:
        with self._explained():
            file = self._fs.open_input_file(f"{self.root}/{name}")
            # One request instead of one for each column, and one state of the object, should it be replaced meanwhile.
            return file if file.size() > _READ_WHOLE_BYTES else pa.BufferReader(file.read_buffer())

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
        with self._explained():
            self._fs.delete_file(f"{self.root}/{name}")

    def swap(self, staged: str, folder: str) -> None:
        new = {name.removeprefix(f"{staged}/") for name in self.list(staged)}
        with self._explained():
            for name in sorted(new):
                self._fs.move(f"{self.root}/{staged}/{name}", f"{self.root}/{folder}/{name}")
        for name in self.list(folder):
            if name.removeprefix(f"{folder}/") not in new:
                self.delete(name)

    def drop(self, folder: str) -> None:
        for name in self.list(folder):
            self.delete(name)

    def sweep(self, folder: str) -> None:
        """Does nothing: an interrupted upload leaves no object."""

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


def _exchange(first: Path, second: Path) -> bool:
    """Exchanges two folders in one step, so that no reader finds one missing; `False` where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return rename is not None and rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
