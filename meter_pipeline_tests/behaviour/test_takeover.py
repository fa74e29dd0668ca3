"""A lake of an older version is taken over in place: without the API, from whatever state a kill left it in."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.cleaning import sweep
from meter_pipeline.store.lake.files import LocalFiles
from meter_pipeline.store.lake.lake import SCHEMAS, Lake
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.ledger import database
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.loading.takeover import take_over
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting

# What version 3 reads from texts; versions 1 and 2 had no such columns.
READ_FROM_TEXTS = ("price_2_amount", "price_2_currency", "old_currency", "new_currency")


def write_ledger(station: Station, path: Path, version: str) -> None:
    """Writes the ledger of a station as an older version had it."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with create_engine(f"sqlite:///{path}").connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    with sqlite3.connect(path) as old:
        old.execute("ATTACH ? AS new", (str(station.folder / "ledger.sqlite"),))
        tables = [name for (name,) in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in set(tables) - {"alembic_version", "facts"}:
            old.execute(f"DELETE FROM main.{table}")
            kept = {row[1] for row in old.execute(f"PRAGMA main.table_info({table})")}
            kept &= {row[1] for row in old.execute(f"PRAGMA new.table_info({table})")}
            names = ", ".join(f'"{name}"' for name in sorted(kept))
            old.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")


def write_version_1(station: Station, folder: Path, dirty: tuple[str, ...] = ()) -> None:
    """Writes the ledger and the lake of a station as version 1 had them."""
    folder.mkdir()
    path = folder / "ledger.sqlite"
    write_ledger(station, path, "0004")
    with sqlite3.connect(path) as old:
        old.executemany("UPDATE strategies SET dirty = 1 WHERE slug = ?", [(slug,) for slug in dirty])
        old.execute("INSERT INTO facts VALUES ('revision', 'a-random-mark')")
    for table in SCHEMAS:
        for slug in station.slugs:
            if station.parts(slug, table):
                write_months(folder, table, slug, station.read(table, slug))
    (folder / "lake" / "lake.json").write_text(json.dumps({"version": 1}))


def write_months(folder: Path, table: str, slug: str, rows: pa.Table) -> None:
    """Writes rows as version 1 did: a folder for each month, and numbered files in it."""
    months = pc.strftime(rows[ORDER[table].time], format="%Y-%m")
    for month in pc.unique(months).to_pylist():
        place = folder / "lake" / table / f"strategy={slug}" / f"month={month}"
        place.mkdir(parents=True, exist_ok=True)
        rows = rows.drop_columns([name for name in READ_FROM_TEXTS if name in rows.column_names])
        pq.write_table(rows.filter(pc.equal(months, month)), place / "part-00000.parquet", compression="zstd")


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(worlds=()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def loaded(world: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station of this version with jobs of two months, some of them held, and an empty one."""
    now = world.world.now
    insert_drifting(world, 24)
    world.insert_job("Alpha", items=[{"id": 900}], completed_at=now - 40 * 86_400)
    world.insert_job("Alpha", items=[{"id": 901}], completed_at=now - 39 * 86_400, item_count=7)
    world.insert_job("Beta", items=[], completed_at=now - 38 * 86_400)
    world.add_strategy("Nothing yet", items=[])
    with Station(tmp_path_factory.mktemp("loaded"), world) as station:
        assert {problem.state for problem in station.sync().problems} == {"held"}
        assert {name for slug in ("alpha", "beta") for name in station.results(slug).column_names} >= {"price_2_amount"}
        yield station


def open_old(folder: Path, sandbox: Sandbox) -> Station:
    """A station on a ledger and lake of version 1, taken over."""
    station = Station(folder, sandbox)
    take_over(station.ledger, station.lake)
    return station


def changes(station: Station) -> list[str]:
    """All rows of the change feed."""
    rows = [row for slug in station.slugs for row in station.read("changes", slug).to_pylist()]
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


def assert_taken_over(station: Station, like: Station) -> None:
    """A lake holds what another one holds, and leaves nothing to do."""
    assert_whole(station)
    assert_equal(station, like)
    assert changes(station) == changes(like)
    assert json.loads((station.folder / "lake" / "lake.json").read_text()) == {"version": 3}
    assert station.sync().jobs == 0


def test_raw_files_of_a_clean_lake_are_listed_as_they_are(loaded: Station, world: Sandbox, tmp_path: Path) -> None:
    write_version_1(loaded, tmp_path / "old")
    inodes = {path.stat().st_ino for path in (tmp_path / "old" / "lake" / "raw").rglob("*.parquet")}
    with open_old(tmp_path / "old", world) as station:
        raw = {tmp_path / "old" / "lake" / part.name for slug in station.slugs for part in station.parts(slug, "raw")}
        assert {path.stat().st_ino for path in raw} == inodes
        assert_taken_over(station, loaded)
        listed = {(tmp_path / "old" / "lake" / part.name) for slug in station.slugs for part in station.parts(slug)}
        sweep(station.ledger, station.lake, older_than=timedelta(0))
        assert set((tmp_path / "old" / "lake").rglob("*.parquet")) == listed
        assert_whole(station)


def add_strays(folder: Path) -> None:
    """Rows of jobs that were never committed."""
    # Older versions had neither of the others.
    for table in SCHEMAS.keys() - {"rejected", "received"}:
        path = next((folder / "lake" / table / "strategy=alpha").rglob("*.parquet"))
        rows = pq.read_table(path, partitioning=None)
        job = rows.column_names.index(ORDER[table].job)
        strays = rows.set_column(job, rows.schema.field(job), pa.array(["stray"] * len(rows), pa.string()))
        pq.write_table(pa.concat_tables([rows, strays]), path.with_name("part-00001.parquet"))
        path.unlink()


def lose_results(folder: Path) -> None:
    """Typed rows that were about to be replaced."""
    shutil.rmtree(folder / "lake" / "results" / "strategy=alpha")


def lose_changes(folder: Path) -> None:
    """Changes that were about to be replaced."""
    shutil.rmtree(folder / "lake" / "changes" / "strategy=alpha")


def retype_results(folder: Path) -> None:
    """Typed rows in columns that the ledger does not know yet."""
    for path in (folder / "lake" / "results" / "strategy=alpha").rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.append_column("new", pa.array([1] * len(rows))), path)


def leave_half_a_file(folder: Path) -> None:
    """A file that was being written."""
    path = next((folder / "lake" / "raw" / "strategy=alpha").rglob("*.parquet"))
    path.with_name(f".{path.name}.0a1b2c3d").write_bytes(b"PAR1 half")


@pytest.mark.parametrize(
    ("damage", "is_marked"),
    [
        *((damage, True) for damage in (add_strays, lose_results, lose_changes, retype_results, leave_half_a_file)),
        # Version 1 replaced changes only of strategies that it had marked.
        (add_strays, False),
        *(thorough.slow(damage, False) for damage in (lose_results, retype_results, leave_half_a_file)),
    ],
)
def test_what_a_killed_load_left_is_put_right(
    loaded: Station, world: Sandbox, tmp_path: Path, damage: Callable[[Path], None], is_marked: bool
) -> None:
    write_version_1(loaded, tmp_path / "old", dirty=("alpha",) if is_marked else ())
    damage(tmp_path / "old")
    with open_old(tmp_path / "old", world) as station:
        assert_taken_over(station, loaded)


def test_jobs_whose_raw_rows_are_gone_are_loaded_again(loaded: Station, world: Sandbox, tmp_path: Path) -> None:
    write_version_1(loaded, tmp_path / "old", dirty=("alpha",))
    shutil.rmtree(tmp_path / "old" / "lake" / "raw" / "strategy=alpha")
    with open_old(tmp_path / "old", world) as station:
        assert_whole(station)
        assert station.sync().jobs == 14
        assert_taken_over(station, loaded)


def test_a_takeover_that_is_killed_at_any_step_is_finished_by_the_next_process(
    loaded: Station, world: Sandbox, tmp_path: Path
) -> None:
    write_version_1(loaded, tmp_path / "first", dirty=("beta",))
    steps = 0
    while True:
        folder = tmp_path / f"killed-{steps}"
        shutil.copytree(tmp_path / "first", folder)
        station = Station(folder, world)
        with pytest.MonkeyPatch.context() as patched:
            left = [steps]

            def dying(function: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
                def call(*arguments: Any, **options: Any) -> Any:
                    left[0] -= 1
                    if left[0] == -1:
                        raise KeyboardInterrupt
                    return function(*arguments, **options)

                return call

            for owner, name in ((LocalFiles, "adopt"), (LocalFiles, "writing"), (Ledger, "commit"), (Ledger, "note")):
                patched.setattr(owner, name, dying(getattr(owner, name)))
            try:
                take_over(station.ledger, station.lake)
                is_done = True
            except KeyboardInterrupt:
                is_done = False
        station.close()
        with open_old(folder, world) as again:
            assert_taken_over(again, loaded)
        if is_done:
            break
        steps += 1 if thorough.TIMES > 1 else 2
    assert steps > 8


def write_version_2(station: Station, folder: Path) -> None:
    """Writes the ledger and the lake of a station as version 2 had them: files are listed, and no text was read."""
    shutil.copytree(station.folder / "lake", folder / "lake")
    for path in (folder / "lake").rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.drop_columns([name for name in READ_FROM_TEXTS if name in rows.column_names]), path)
    (folder / "lake" / "lake.json").write_text(json.dumps({"version": 2}))
    write_ledger(station, folder / "ledger.sqlite", "0005")
    with sqlite3.connect(folder / "ledger.sqlite") as old:
        old.execute("DELETE FROM facts")
        old.execute("ATTACH ? AS new", (str(station.folder / "ledger.sqlite"),))
        old.execute("INSERT INTO facts SELECT * FROM new.facts")
        for name in old.execute("SELECT name FROM parts").fetchall():
            old.execute(
                "UPDATE parts SET bytes = ? WHERE name = ?", ((folder / "lake" / name[0]).stat().st_size, *name)
            )


def test_a_lake_of_version_2_gets_what_is_read_from_texts(loaded: Station, world: Sandbox, tmp_path: Path) -> None:
    write_version_2(loaded, tmp_path / "old")
    with sqlite3.connect(tmp_path / "old" / "ledger.sqlite") as ledger:
        raw = {name for (name,) in ledger.execute("SELECT name FROM parts WHERE table_name = 'raw'")}
        assert raw
    with open_old(tmp_path / "old", world) as station:
        assert {part.name for slug in station.slugs for part in station.parts(slug, "raw")} == raw
        assert_taken_over(station, loaded)


def test_a_lake_whose_ledger_is_new_keeps_its_files(loaded: Station, world: Sandbox, tmp_path: Path) -> None:
    write_version_1(loaded, tmp_path / "old")
    files = set((tmp_path / "old" / "lake").rglob("*.parquet"))
    for path in (tmp_path / "old").glob("ledger.sqlite*"):
        path.unlink()
    with open_old(tmp_path / "old", world) as station:
        station.sync()
        sweep(station.ledger, station.lake, older_than=timedelta(0))
        assert_whole(station)
        assert_equal(station, loaded)
    assert files <= set((tmp_path / "old" / "lake").rglob("*.parquet"))


def test_a_lake_of_version_1_is_taken_over_by_whoever_opens_it(
    loaded: Station, world: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version_1(loaded, tmp_path / "old")
    (tmp_path / "old" / "ledger.sqlite").rename(tmp_path / "old" / "meter.sqlite")
    settings = Settings(data_dir=tmp_path / "old")
    ledger = Path(settings.ledger)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "old" / "meter.sqlite").rename(ledger)
    assert Path(settings.lake) == tmp_path / "old" / "lake"
    with open_store(settings) as store:
        assert store.lake.version == 3
        assert store.stored_rows("alpha").read("raw").num_rows == loaded.read("raw", "alpha").num_rows
    assert Lake.open(str(tmp_path / "old" / "lake")).version == 3
