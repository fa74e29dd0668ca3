"""A lake in a folder of this machine: a temporary file, fsync and a rename see to it that files appear whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from meter_pipeline.host.causes import find_cause
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.interface import Files


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

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

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
        except BaseException as error:
            # Where the folder itself cannot be used, this fails too, and must not hide the reason.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise LakeError(f"cannot write {path}: {find_cause(error) or error.strerror or error}") from error
            raise

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
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

    def forget(self) -> None:
        pass


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
