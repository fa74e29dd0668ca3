"""The file systems a lake can live on: a local folder, or an object store through PyArrow's file systems.

A file appears whole or not at all. On a local disk that is a temporary file, fsync and `os.replace`; object stores give
it by themselves.
"""

from __future__ import annotations

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from pyarrow import fs

from meter_pipeline.store.errors import LakeError


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
        """What PyArrow's readers take."""

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
        """Puts the folder `staged` in the place of `folder`."""

    @abstractmethod
    def drop(self, folder: str) -> None:
        """Removes a folder and what is in it, if it exists."""

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Removes what a writer that was killed left half written below `folder`."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """The name as other engines open it."""


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
            raise LakeError(f"cannot write {path}: {error.strerror}; free the disk or the folder's rights") from error
        finally:
            # Where the folder itself cannot be used, this fails too, and must not hide the reason.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def swap(self, staged: str, folder: str) -> None:
        target, old = self.root / folder, self.root / ".old" / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        old.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        (self.root / staged).rename(target)
        _sync_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)

    def drop(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def sweep(self, folder: str) -> None:
        for path, _, files in os.walk(self.root / folder):
            for name in files:
                if name.startswith("."):
                    Path(path, name).unlink(missing_ok=True)

    def uri(self, name: str) -> str:
        return str(self.root / name)


class RemoteFiles(Files):
    """An object store, as `s3://bucket/folder`, through PyArrow."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._fs, root = fs.FileSystem.from_uri(url)
        except Exception as error:
            raise LakeError(f"METER_LAKE_URL cannot be used: {error}") from None
        self.root = root.rstrip("/")

    def list(self, folder: str) -> list[str]:
        found = self._fs.get_file_info(fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=True))
        return sorted(info.path[len(self.root) + 1 :] for info in found if info.type == fs.FileType.File)

    def exists(self, name: str) -> bool:
        return bool(self._fs.get_file_info(f"{self.root}/{name}").type == fs.FileType.File)

    def source(self, name: str) -> Any:
        return self._fs.open_input_file(f"{self.root}/{name}")

    def size(self, name: str) -> int:
        return int(self._fs.get_file_info(f"{self.root}/{name}").size)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        path = f"{self.root}/{name}"
        if isinstance(self._fs, fs.LocalFileSystem):
            self._fs.create_dir(path.rpartition("/")[0])
        # The object appears when the upload ends; one that breaks off leaves the old object as it was.
        stream = self._fs.open_output_stream(path)
        try:
            yield cast("IO[bytes]", stream)
        except BaseException:
            if hasattr(stream, "abort"):
                stream.abort()
            raise
        stream.close()

    def delete(self, name: str) -> None:
        self._fs.delete_file(f"{self.root}/{name}")

    def swap(self, staged: str, folder: str) -> None:
        new = {name.removeprefix(f"{staged}/") for name in self.list(staged)}
        for name in sorted(new):
            self._fs.move(f"{self.root}/{staged}/{name}", f"{self.root}/{folder}/{name}")
        for name in self.list(folder):
            if name.removeprefix(f"{folder}/") not in new:
                self.delete(name)

    def drop(self, folder: str) -> None:
        for name in self.list(folder):
            self.delete(name)

    def sweep(self, folder: str) -> None:
        """Nothing: an upload that broke off leaves no object."""

    def uri(self, name: str) -> str:
        return f"{self.url}/{name}"


def open_files(url: str) -> Files:
    """`Files` for a path or a URL.

    Raises:
        LakeError: No file system answers to it.
    """
    if "://" not in url:
        return LocalFiles(Path(url))
    if url.startswith("file://"):
        return LocalFiles(Path(url.removeprefix("file://")))
    return RemoteFiles(url)


def _new(path: Path) -> IO[bytes]:
    """A new file; its folder is made when it is the first one there."""
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
