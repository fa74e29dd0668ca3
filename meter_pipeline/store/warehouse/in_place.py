"""Publications whose views read a lake on S3 in place, by DuckDB's extension httpfs, instead of copies of its parts.

The published file has the addresses of the parts and no keys. Each connection gets the keys in a temporary secret,
which DuckDB keeps in memory alone and does not show. The extension is loaded from this machine and never downloaded:
the user has installed it, or a package of PyPI has brought it. DuckDB checks its signature in both cases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import duckdb

from meter_pipeline.store.errors import RejectedError, WarehouseError
from meter_pipeline.store.lake.files import RemoteFiles, open_files
from meter_pipeline.store.lake.interface import Files
from meter_pipeline.store.warehouse.snapshot import Snapshot
from meter_pipeline.store.warehouse.sql import literal

_SETTING = "METER_LAKE_CACHE=none"
_SCHEME = "s3://"
# DuckDB takes an address with one of them for a pattern, or for one with options.
_MISREAD = re.compile(r"[*?\[]")


def root_of(files: RemoteFiles) -> str:
    """The address that the names of parts are below, as DuckDB spells it.

    Raises:
        WarehouseError: The lake is not on S3, or DuckDB would misread its address.
    """
    if not files.url.startswith(_SCHEME):
        raise WarehouseError(f"{_SETTING} needs a lake on S3, which {files.url} is not: unset METER_LAKE_CACHE")
    if _MISREAD.search(files.root):
        raise WarehouseError(
            f"{_SETTING}: DuckDB takes a *, ? or [ in {files.url} for a pattern: unset METER_LAKE_CACHE"
        )
    return files.uri("").rstrip("/")


def require(files: RemoteFiles) -> str:
    """Makes sure that a lake can be read in place, before anything is built; returns `root_of` it.

    Raises:
        WarehouseError: The lake is not on S3, or the extension is not installed.
        LakeError: There are no keys for the lake.
    """
    root = root_of(files)
    with duckdb.connect() as connection:
        connect_lake(connection, files)
    return root


def audit_objects(files: RemoteFiles, snapshot: Snapshot) -> None:
    """Checks that all parts are in the store, each with the size that the manifest has; lists each table once.

    Raises:
        RejectedError: An object is missing, or has another size.
        LakeError: The store cannot be read.
    """
    names, sizes = (snapshot.parts[column].to_pylist() for column in ("name", "bytes"))
    tables = sorted({name.partition("/")[0] for name in names})
    found = {name: state.size for table in tables for name, state in files.list_states(table).items()}
    broken = next((name for name, size in zip(names, sizes, strict=True) if found.get(name) != size), None)
    if broken is not None:
        slug = broken.split("/")[1].removeprefix("strategy=")
        raise RejectedError(
            f"{files.uri(broken)} is missing or was cut off: run `meter-pipeline sync --strategy {slug} --again`"
        )


def connect_lake(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    """Lets a connection, and all others of this process to the same database, read the parts of a lake on S3.

    Raises:
        WarehouseError: The extension is not installed, or the lake is not on S3.
        LakeError: There are no keys for the lake.
    """
    if not isinstance(files, RemoteFiles) or (access := files.s3_access()) is None:
        raise WarehouseError("the warehouse reads a lake on S3, and METER_LAKE_URL names another lake: publish again")
    _load_extension(connection)
    # Parts never change: what is known of one stays true.
    connection.execute("SET enable_http_metadata_cache = true")
    if access.authorities is not None:
        connection.execute("SET ca_cert_file = ?", [access.authorities])
    options = {
        "KEY_ID": access.key,
        "SECRET": access.secret,
        "SESSION_TOKEN": access.token,
        "REGION": access.region,
        "ENDPOINT": access.endpoint,
        "URL_STYLE": "path" if access.endpoint else None,
        "USE_SSL": access.is_encrypted,
        "SCOPE": files.uri(""),
    }
    given = {name: value for name, value in options.items() if value is not None}
    listed = ", ".join(f"{name} ?" for name in given)
    connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET meter_lake (TYPE s3, {listed})", list(given.values()))


def connect_if_read_in_place(connection: duckdb.DuckDBPyConnection, lake_url: str | None) -> None:
    """Lets a connection to a published file read the lake, if its views read one in place.

    Args:
        connection: The connection.
        lake_url: The lake's URL, with its keys and options; without one, keys are looked for where AWS clients do.

    Raises:
        WarehouseError: The extension is not installed, or the lake is another one.
        LakeError: There are no keys for the lake.
    """
    folder = find_root(connection)
    if folder is None:
        return
    files = open_files(lake_url or folder)
    if not isinstance(files, RemoteFiles) or files.uri("") != f"{folder}/":
        raise WarehouseError(f"the warehouse reads the lake {folder}, and METER_LAKE_URL names another: publish again")
    connect_lake(connection, files)


def find_root(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The address of the lake that a published file reads in place; None if it reads files of this machine."""
    try:
        found = connection.execute("SELECT file FROM meter.lake_files LIMIT 1").fetchone()
    except duckdb.CatalogException:
        return None
    if found is None or not found[0].startswith(_SCHEME):
        return None
    # A part is named table/strategy/file.
    return str(found[0]).rsplit("/", 3)[0]


@contextmanager
def connected(file: Path, files: RemoteFiles) -> Iterator[None]:
    """Lets every connection of this process to a database read the lake while the block runs, those of dbt too.

    Connections of one process to one file share a database, with its extensions and its temporary secrets.
    """
    with duckdb.connect(str(file)) as connection:
        connect_lake(connection, files)
        yield


def _load_extension(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET autoinstall_known_extensions = false")
    packaged = _find_packaged()
    try:
        connection.execute("LOAD httpfs" if packaged is None else f"LOAD {literal(str(packaged))}")
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise WarehouseError(
            f"reading the lake on S3 in place needs the extension httpfs of DuckDB {duckdb.__version__} ({reason}): "
            "install it once by `python -c \"import duckdb; duckdb.execute('INSTALL httpfs')\"`, "
            "or unset METER_LAKE_CACHE and publish with --force"
        ) from None


def _find_packaged() -> Path | None:
    """The extension of the package `duckdb-extension-httpfs`, if that is of DuckDB's own version."""
    found = find_spec("duckdb_extension_httpfs")
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found is not None else []
    files = [folder / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension" for folder in folders]
    return next((file for file in files if file.is_file()), None)
