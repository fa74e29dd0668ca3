"""Publications: the states of the warehouse that are kept, the one that people read, and putting an older one back.

publications/<id>/warehouse.duckdb      built here, as a candidate, before anybody can see it
publications/<id>/lake/                 hard links to the lake's files as they were
publications/<id>/publication.json      what it was made from; a candidate has none
publications/<id>/rejected.json         why it was not published
publications/current.json               the publication that `warehouse.duckdb` is at the moment
publications/history.jsonl              every publication and every one that was put back, in order
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from meter_pipeline.store.errors import WarehouseError

FILE = "warehouse.duckdb"
KEEP = timedelta(hours=24)
# A candidate that is neither published nor rejected is being built, or its build was killed: no build takes longer.
_UNFINISHED = timedelta(hours=6)


@dataclass(frozen=True)
class Publication:
    """A published state of the warehouse: the ledger's revision, the run of dbt, and the numbers of what it holds.

    Attributes:
        publication_id: The name of its folder.
        published_at: ISO time, UTC.
        ledger_revision: The ledger's revision at that time.
        strategies: Number of strategies.
        jobs: Number of jobs.
        files: Number of Parquet files behind its views.
        seconds: How long it took to build.
        models: Number of models that dbt built; 0 without models.
        dbt_invocation_id: The run of dbt.
        models_version: A digest of the dbt project; incremental tables are carried only between equal digests.
        put_back_at: When it replaced a later publication again; None for a new one.
        unchanged: Whether nothing was published, because this publication is up to date.
    """

    publication_id: str
    published_at: str
    ledger_revision: str
    strategies: int
    jobs: int
    files: int
    seconds: float
    models: int = 0
    dbt_invocation_id: str | None = None
    models_version: str | None = None
    put_back_at: str | None = None
    unchanged: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Listed:
    """A publication or candidate in a list: `state` is current, kept or rejected, `reason` why it was rejected."""

    publication_id: str
    state: str
    published_at: str | None
    dbt_invocation_id: str | None = None
    reason: str | None = None


def folder_of(path: Path) -> Path:
    """The folder of the publications of the warehouse at `path`."""
    return path.absolute().parent / "publications"


def current(path: Path) -> Publication | None:
    """The publication that the file at `path` is, `None` when there is no such file."""
    return _read(folder_of(path) / "current.json") if path.exists() else None


def latest(path: Path) -> Publication | None:
    """The publication that was built last, also when an older one was put back since."""
    if not path.exists():
        return None
    built = (publication for publication in reversed(history(path)) if publication.put_back_at is None)
    return next(built, None)


def history(path: Path) -> list[Publication]:
    """Every publication, and every one that was put back, oldest first."""
    try:
        lines = (folder_of(path) / "history.jsonl").read_text().splitlines()
    except OSError:
        return []
    return [publication for line in lines if (publication := _parse(line)) is not None]


def listing(path: Path) -> list[Listed]:
    """The publications that can be put back, and those that were rejected, oldest first."""
    shown = current(path)
    return [_describe(folder, shown) for folder in _folders(path) if _is_decided(folder)]


def _describe(folder: Path, shown: Publication | None) -> Listed:
    done = _read(folder / "publication.json")
    if done is None:
        return Listed(folder.name, "rejected", None, reason=_reason(folder))
    state = "current" if shown is not None and shown.publication_id == done.publication_id else "kept"
    return Listed(done.publication_id, state, done.published_at, done.dbt_invocation_id)


# -- changing what people read -----------------------------------------------------------------------------------------


def begin(path: Path) -> Path:
    """A new empty folder for a candidate."""
    folder = folder_of(path) / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def point(path: Path, folder: Path, publication: Publication) -> None:
    """Replaces the file at `path` with a publication's, atomically."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        os.link(folder / FILE, temporary)
    except OSError:
        shutil.copyfile(folder / FILE, temporary)
    temporary.replace(path)
    _write(folder_of(path) / "current.json", publication)
    with (folder_of(path) / "history.jsonl").open("a") as file:
        file.write(json.dumps(publication.as_dict()) + "\n")


def settle(folder: Path, publication: Publication) -> None:
    """Records what a candidate was made from: from then on it is a publication."""
    _write(folder / "publication.json", publication)


def reject(folder: Path, reason: str) -> None:
    """Records why a candidate was not published; its file is kept for people to examine."""
    (folder / "rejected.json").write_text(json.dumps({"reason": reason}))


def put_back(path: Path, publication_id: str | None = None) -> Publication:
    """Puts an older publication back: the one before the current one if `publication_id` is None.

    Raises:
        WarehouseError: There is none, or none with that id.
    """
    shown = current(path)
    kept = [folder for folder in _folders(path) if (folder / "publication.json").exists()]
    if publication_id is not None:
        found = [folder for folder in kept if folder.name == publication_id]
    else:
        found = [folder for folder in kept if shown is None or folder.name < shown.publication_id][-1:]
    if not found:
        what = f"publication {publication_id}" if publication_id else "older publication"
        raise WarehouseError(f"there is no {what} to put back: see `meter-pipeline publications`")
    done = _read(found[0] / "publication.json")
    if done is None or not (found[0] / FILE).exists():
        raise WarehouseError(f"{found[0]} is damaged: put another one back")
    publication = replace(done, put_back_at=datetime.now(timezone.utc).isoformat(timespec="seconds"))
    point(path, found[0], publication)
    return publication


def expire(path: Path, keep: timedelta) -> None:
    """Deletes publications older than `keep` but for the two latest and the current one, and rejected candidates.

    A rejected candidate is kept until the next one is published, an undecided one for some hours.
    """
    shown = current(path)
    folders = _folders(path)
    published = [folder for folder in folders if (folder / "publication.json").exists()]
    spared = {folder.name for folder in published[-2:]} | ({shown.publication_id} if shown is not None else set())
    for folder in folders:
        if folder.name in spared:
            continue
        rejected = (folder / "rejected.json").exists()
        limit = keep if folder in published else _UNFINISHED
        if rejected or folder.stat().st_mtime < (datetime.now(timezone.utc) - limit).timestamp():
            shutil.rmtree(folder, ignore_errors=True)


# -- files -------------------------------------------------------------------------------------------------------------


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder_of(path).iterdir() if entry.is_dir())
    except OSError:
        return []


def _is_decided(folder: Path) -> bool:
    return (folder / "publication.json").exists() or (folder / "rejected.json").exists()


def _reason(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "rejected.json").read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, publication: Publication) -> None:
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}")
    temporary.write_text(json.dumps(publication.as_dict()))
    temporary.replace(path)


def _read(path: Path) -> Publication | None:
    try:
        return _parse(path.read_text())
    except OSError:
        return None


def _parse(text: str) -> Publication | None:
    """The publication in a JSON text, without members that a newer version added; `None` if the text is damaged."""
    known = {field.name for field in fields(Publication)}
    try:
        return Publication(**{name: value for name, value in json.loads(text).items() if name in known})
    except (ValueError, TypeError, AttributeError):
        return None
