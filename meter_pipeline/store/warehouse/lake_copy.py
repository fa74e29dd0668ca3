"""A publication's copy of a lake on an object store: objects that changed since the last publication are fetched.

Views that read the store itself would show half of a load, need an extension of DuckDB and hold the store's keys. An
object whose size and time of writing are unchanged is linked from the last publication's copy.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import ObjectState, RemoteFiles

_WORKERS = 16
_TRIES = 6
# Stores give the time of writing in whole seconds, so that two states of a young object may look alike: its copy is not
# linked again. Stores refuse clients whose clocks are off by 15 minutes, so an older object is surely older (seconds).
_YOUNG = 16 * 60


def copy(files: RemoteFiles, tables: Mapping[str, bool], target: Path, before: Path | None) -> int:
    """Copies tables to the folder `target`; returns how many files there are.

    Args:
        files: The lake.
        tables: Names of tables, and whether all files of one strategy have one schema, which a rewrite changes.
        target: The folder to copy to.
        before: The folder of an earlier publication's copy, if there is one.

    Raises:
        LakeError: The store cannot be read, or a strategy is being rewritten all the time.
    """
    count = 0
    with ThreadPoolExecutor(_WORKERS) as threads:
        for table, uniform in tables.items():
            left = [table]
            for attempt in range(_TRIES):
                if attempt:
                    time.sleep(2 ** (attempt - 2))
                seen = {name: state for folder in left for name, state in _parts(files, folder)}
                whole = threads.map(lambda item: _bring(files, item[0], item[1], target, before), seen.items())
                moved = {_strategy(name) for name, same in zip(seen, whole, strict=True) if not same}
                # Listed again, to find what was replaced while it was copied, and what was added or deleted.
                now = {name: state for folder in left for name, state in _parts(files, folder)}
                moved |= {_strategy(name) for name, state in {*seen.items()} ^ {*now.items()}}
                moved |= _mixed(target, seen.keys() - moved) if uniform else set()
                count += sum(_strategy(name) not in moved for name in seen)
                left = sorted(moved)
                for folder in left:
                    shutil.rmtree(target / folder, ignore_errors=True)
                if not left:
                    break
            else:
                slugs = ", ".join(folder.partition("strategy=")[2] for folder in left)
                raise LakeError(
                    f"{slugs}: a load is changing the files, or was cut off; publish again after the next sync"
                )
    return count


def _parts(files: RemoteFiles, folder: str) -> Iterator[tuple[str, ObjectState]]:
    for name, state in files.list_states(folder).items():
        if name.endswith(".parquet"):
            yield name, state


def _strategy(name: str) -> str:
    """The folder of a file's strategy, such as `results/strategy=books`."""
    return "/".join(name.split("/")[:2])


def _bring(files: RemoteFiles, name: str, state: ObjectState, target: Path, before: Path | None) -> bool:
    """Links or copies an object; returns whether it still existed with the listed size."""
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if before is not None and _same(before / name, state):
        os.link(before / name, path)
        return True
    try:
        files.fetch(name, path)
    except FileNotFoundError:
        return False
    young = state.written > (time.time() - _YOUNG) * 1e9
    os.utime(path, ns=(0, 0) if young else (state.written, state.written))
    return path.stat().st_size == state.size


def _same(path: Path, state: ObjectState) -> bool:
    try:
        copy_state = path.stat()
    except OSError:
        return False
    return bool(state.written) and (copy_state.st_size, copy_state.st_mtime_ns) == state


def _mixed(target: Path, names: set[str]) -> set[str]:
    """Folders of strategies whose files differ in schema: they were copied in the middle of a rewrite."""
    schemas: dict[str, list[object]] = {}
    for name in names:
        schema = pq.read_schema(target / name)
        known = schemas.setdefault(_strategy(name), [])
        if not any(schema.equals(other) for other in known):
            known.append(schema)
    return {strategy for strategy, known in schemas.items() if len(known) > 1}
