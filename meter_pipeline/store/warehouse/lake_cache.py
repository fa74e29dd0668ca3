"""Copies of parts of a lake on an object store, for the views of this machine's publications.

Parts never change, so each is copied once, under its own name; those that no publication of this place shows any more
are deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from meter_pipeline.store.errors import RejectedError
from meter_pipeline.store.lake.files import RemoteFiles

_WORKERS = 16


def folder_of(path: Path) -> Path:
    """The cache beside the warehouse at `path`."""
    return path.absolute().parent / "cache" / "lake"


def fetch_parts(files: RemoteFiles, folder: Path, parts: Iterable[tuple[str, int]]) -> int:
    """Copies the parts that are not there yet; returns how many.

    Args:
        files: The lake.
        folder: The cache.
        parts: Names and sizes (bytes).

    Raises:
        RejectedError: A part is missing in the store.
        LakeError: The store cannot be read.
    """
    missing = [(name, size) for name, size in parts if not _is_whole(folder / name, size)]
    with ThreadPoolExecutor(_WORKERS) as threads:
        tasks = [threads.submit(_fetch, files, folder, name, size) for name, size in missing]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return len(missing)


def evict(folder: Path, needed: Iterable[str]) -> int:
    """Deletes copies of parts that are not needed, and what killed programs left; returns how many."""
    kept = set(needed)
    copies = [file for file in folder.glob("*/*/*") if file.relative_to(folder).as_posix() not in kept]
    for file in copies:
        file.unlink(missing_ok=True)
    return len(copies)


def _fetch(files: RemoteFiles, folder: Path, name: str, size: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        files.fetch(name, temporary)
        if not _is_whole(temporary, size):
            raise FileNotFoundError(name)
        temporary.replace(path)
    except FileNotFoundError:
        slug = name.split("/")[1].removeprefix("strategy=")
        raise RejectedError(
            f"{files.uri(name)} is missing or was cut off: run `meter-pipeline sync --strategy {slug} --again`"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
