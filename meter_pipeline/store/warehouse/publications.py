"""Publications: the states of the warehouse that are kept, the one that people read, and putting an older one back.

publications/<id>/warehouse.duckdb      built here, as a candidate, before anybody can see it; read-only from then on
publications/<id>/publication.json      what it was made from, and its file's stamp; a candidate has none
publications/<id>/rejected.json         why it was not published
publications/history.jsonl              every publication and every one that was put back, in order
publications/lock                       held by whoever publishes here

`warehouse.duckdb` is a copy of one of these files, and has its size and time of writing: they tell which one. Nothing
else says so, hence nothing can say something else. The history follows: `record` adds what a killed program left out.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.layout import LAYOUT
from meter_pipeline.store.warehouse.published_file import (
    Stamp,
    log_of,
    read_stamp,
    replace_by_copy,
    seal,
    sweep_temporary,
)

FILE = "warehouse.duckdb"
KEEP = timedelta(hours=24)


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
    ledger_revision: int
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
class Kept:
    """A publication whose folder exists.

    Attributes:
        folder: Its folder.
        publication: What it was made from.
        stamp: The stamp of its file when it was finished.
        layout: The layout of its own tables: see `layout.LAYOUT`.
    """

    folder: Path
    publication: Publication
    stamp: Stamp
    layout: int

    @property
    def file(self) -> Path:
        """Its DuckDB file."""
        return self.folder / FILE

    @property
    def is_intact(self) -> bool:
        """Whether the file is as it was finished, and nothing beside it would be replayed into it."""
        return read_stamp(self.file) == self.stamp and not log_of(self.file).exists()


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


def kept(path: Path) -> list[Kept]:
    """The publications whose folders exist, oldest first; one that was finished and never shown may be among them."""
    return [found for folder in _folders(path) if (found := _read_kept(folder)) is not None]


def find_current(path: Path) -> Kept | None:
    """The publication that the file at `path` is; None if there is no file, or another program has changed it."""
    shown = read_stamp(path)
    if shown is None:
        return None
    return next((found for found in reversed(kept(path)) if found.stamp.is_copied_by(shown)), None)


def current(path: Path) -> Publication | None:
    """The publication that the file at `path` is: see `find_current`."""
    found = find_current(path)
    return None if found is None else found.publication


def latest(path: Path) -> Publication | None:
    """The publication that was built last, also when an older one was put back since."""
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
    shown = find_current(path)
    published = {publication.publication_id for publication in history(path)} | (
        {shown.folder.name} if shown else set()
    )
    found = []
    for folder in _folders(path):
        done = _read_kept(folder)
        if done is None and (folder / "rejected.json").exists():
            found.append(Listed(folder.name, "rejected", None, reason=_reason(folder)))
        elif done is not None and folder.name in published:
            state = "current" if shown is not None and shown.folder == folder else "kept"
            publication = done.publication
            found.append(Listed(folder.name, state, publication.published_at, publication.dbt_invocation_id))
    return found


# -- changing what people read -----------------------------------------------------------------------------------------


@contextmanager
def publishing(path: Path) -> Iterator[None]:
    """Keeps others from publishing here while the block runs; waits for them."""
    folder_of(path).mkdir(parents=True, exist_ok=True)
    with FileLock(folder_of(path) / "lock", thread_local=False).acquire(poll_interval=0.05):
        yield


def begin(path: Path) -> Path:
    """A new empty folder for a candidate."""
    folder = folder_of(path) / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def finish(folder: Path, publication: Publication) -> None:
    """Makes a candidate's file read-only and records what it was made from: it can be shown from then on."""
    record = {**publication.as_dict(), "file": seal(folder / FILE), "layout": LAYOUT}
    temporary = folder / ".publication"
    temporary.write_text(json.dumps(record))
    temporary.replace(folder / "publication.json")


def show(path: Path, folder: Path) -> None:
    """Replaces the file at `path` by a publication's, atomically: the moment of publishing."""
    replace_by_copy(path, folder / FILE)


def record(path: Path) -> None:
    """Adds the publication that people read to the history, if it is not its last entry."""
    shown, known = find_current(path), history(path)
    if shown is None or (known and known[-1].publication_id == shown.folder.name):
        return
    publication = shown.publication
    if any(publication.publication_id == other.publication_id for other in known):
        publication = replace(publication, put_back_at=datetime.now(timezone.utc).isoformat(timespec="seconds"))
    with (folder_of(path) / "history.jsonl").open("a") as file:
        # The line before it may have been cut off.
        file.write("\n" + json.dumps(publication.as_dict()) + "\n")


def reject(folder: Path, reason: str) -> None:
    """Records why a candidate was not published; its file is kept for people to examine."""
    (folder / "rejected.json").write_text(json.dumps({"reason": reason}))


def discard(path: Path, folder: Path) -> None:
    """Deletes a candidate, unless people read it already."""
    shown = find_current(path)
    if shown is None or shown.folder != folder:
        shutil.rmtree(folder, ignore_errors=True)


def put_back(path: Path, publication_id: str | None = None) -> Publication:
    """Puts an older publication back: the one before the current one if `publication_id` is None.

    Raises:
        WarehouseError: There is none, or none with that id.
    """
    record(path)
    shown = find_current(path)
    listed = {entry.publication_id for entry in listing(path) if entry.state != "rejected"}
    found = [other for other in kept(path) if other.folder.name in listed]
    if publication_id is not None:
        found = [other for other in found if other.folder.name == publication_id]
    else:
        found = [other for other in found if shown is None or other.folder.name < shown.folder.name][-1:]
    if not found:
        what = f"publication {publication_id}" if publication_id else "older publication"
        raise WarehouseError(f"there is no {what} to put back: see `meter-pipeline publications`")
    if not found[0].is_intact:
        raise WarehouseError(f"{found[0].folder} is damaged, or was moved: put another one back, or publish")
    show(path, found[0].folder)
    record(path)
    return next(entry for entry in reversed(history(path)) if entry.publication_id == found[0].folder.name)


def sweep(path: Path) -> None:
    """Deletes what killed programs have left: candidates, and publications that were never shown.

    Nobody else may be publishing: see `publishing`.
    """
    shown, published = find_current(path), {publication.publication_id for publication in history(path)}
    for folder in _folders(path):
        is_shown = shown is not None and shown.folder == folder
        is_unfinished = not (folder / "publication.json").exists() and not (folder / "rejected.json").exists()
        is_unpublished = _read_kept(folder) is not None and folder.name not in published
        if not is_shown and (is_unfinished or is_unpublished):
            shutil.rmtree(folder, ignore_errors=True)
    sweep_temporary(path)


def expire(path: Path, keep: timedelta) -> None:
    """Deletes publications older than `keep` but for the two latest and the current one, and rejected candidates.

    Nobody else may be publishing: see `publishing`.
    """
    shown = find_current(path)
    folders = [folder for folder in _folders(path) if (folder / "publication.json").exists()]
    spared = {folder.name for folder in folders[-2:]} | ({shown.folder.name} if shown is not None else set())
    limit = (datetime.now(timezone.utc) - keep).timestamp()
    for folder in _folders(path):
        is_young = folder in folders and folder.stat().st_mtime >= limit
        if folder.name not in spared and not is_young:
            shutil.rmtree(folder, ignore_errors=True)


def existing(path: Path) -> set[str]:
    """Ids of the publications and candidates whose folders exist."""
    return {folder.name for folder in _folders(path)}


# -- files -------------------------------------------------------------------------------------------------------------


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder_of(path).iterdir() if entry.is_dir())
    except OSError:
        return []


def _reason(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "rejected.json").read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_kept(folder: Path) -> Kept | None:
    """The publication in a folder; None if it holds none, or one of an older version of this program."""
    try:
        text = (folder / "publication.json").read_text()
        publication, record = _parse(text), json.loads(text)
        if publication is None:
            return None
        return Kept(folder, publication, Stamp(*map(int, record["file"])), int(record["layout"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(text: str) -> Publication | None:
    """The publication in a JSON text, without members that a newer version added; `None` if the text is damaged."""
    known = {field.name for field in fields(Publication)}
    try:
        values = {name: value for name, value in json.loads(text).items() if name in known}
        # Revisions were texts once.
        revision = values["ledger_revision"]
        return Publication(**{**values, "ledger_revision": revision if isinstance(revision, int) else 0})
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
