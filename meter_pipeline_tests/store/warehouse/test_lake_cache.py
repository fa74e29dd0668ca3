"""The copies of a lake on an object store: each part is copied once, whole, and goes with the last that shows it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.store.errors import LakeError, RejectedError
from meter_pipeline.store.lake.files import RemoteFiles
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import lake_cache
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk


@pytest.fixture
def desk(tmp_path: Path, store_place: str) -> Iterator[Desk]:
    """A lake on an object store with one strategy."""
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    made = Desk(ledger, Lake.open(store_place), tmp_path / "warehouse.duckdb")
    made.load("books", "j1", MARCH, "a")
    yield made
    ledger.close()


def cached(desk: Desk) -> set[str]:
    """Names of the files in the cache."""
    folder = lake_cache.folder_of(desk.path)
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def fetches(patch: pytest.MonkeyPatch) -> list[str]:
    """Notes the names of objects that are fetched from now on."""
    fetched: list[str] = []
    fetch: Callable[..., Any] = RemoteFiles.fetch

    def noting(self: RemoteFiles, name: str, path: Path) -> None:
        fetched.append(name)
        fetch(self, name, path)

    patch.setattr(RemoteFiles, "fetch", noting)
    return fetched


def test_each_part_is_copied_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = fetches(monkeypatch)
    desk.publish()
    first = {part.name for part in desk.ledger.parts_of("books")}
    assert sorted(fetched) == sorted(first)
    assert desk.ask("SELECT count(*) FROM meter.items") == [(1,)]
    fetched.clear()
    desk.load("lamps", "l1", MARCH, "x")
    desk.publish()
    assert sorted(fetched) == sorted(part.name for part in desk.ledger.parts_of("lamps"))
    fetched.clear()
    desk.publish(force=True)
    assert fetched == []
    assert cached(desk) >= first


def test_copies_go_when_no_kept_publication_lists_them(desk: Desk) -> None:
    desk.publish()
    old = cached(desk)
    desk.load("books", "j1", MARCH, "a", "b")
    desk.publish(keep_hours=0)
    assert cached(desk) > old
    desk.publish(force=True, keep_hours=0)
    assert cached(desk) == {part.name for part in desk.ledger.parts_of("books")}
    assert desk.ask("SELECT count(*) FROM results.books") == [(2,)]


def test_copies_that_were_deleted_are_made_again_although_nothing_is_new(desk: Desk) -> None:
    desk.publish()
    assert desk.publish().unchanged
    shutil.rmtree(lake_cache.folder_of(desk.path))
    assert not desk.publish().unchanged
    assert desk.ask("SELECT count(*) FROM meter.items") == [(1,)]


def test_a_copy_that_broke_off_is_made_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch: Callable[..., Any] = RemoteFiles.fetch

    def broken(self: RemoteFiles, name: str, path: Path) -> None:
        fetch(self, name, path)
        path.write_bytes(path.read_bytes()[:100])
        raise LakeError("the connection was reset")

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFiles, "fetch", broken)
        with pytest.raises(LakeError, match="reset"):
            desk.publish()
    assert cached(desk) == set()
    desk.publish()
    some = lake_cache.folder_of(desk.path) / min(cached(desk))
    some.write_bytes(b"cut")
    desk.publish(force=True)
    assert desk.ask("SELECT count(*) FROM meter.items") == [(1,)]
    assert some.stat().st_size > 3


def test_a_part_that_the_store_has_lost_is_named(desk: Desk) -> None:
    desk.publish()
    desk.load("lamps", "l1", MARCH, "x")
    lost = desk.ledger.parts_of("lamps")[0]
    desk.lake.files.delete([lost.name])
    with pytest.raises(RejectedError, match=f"{Path(lost.name).name} is missing.*sync --strategy lamps --again"):
        desk.publish()
    assert desk.ask("SELECT count(*) FROM meter.items") == [(1,)]
