"""A connection to a schema of Databricks: statements, what its catalog has, and rows as files of a volume."""

from __future__ import annotations

import logging
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies

import pyarrow as pa
import pyarrow.parquet as pq
import urllib3
from databricks import sql as driver

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.databricks_layout import DIALECT

# Whatever it logs it raises as well, and an error that is raised becomes one line.
logging.getLogger("databricks").setLevel(logging.CRITICAL)

#: What the query of an address may hold.
_OPTIONS = ("http_path", "volume", "ca_cert")
# A file that is uploaded is in memory.
_FILE_BYTES = 64 * 1024 * 1024
_CONNECT_SECONDS = 20
# For how long the driver repeats what has failed: a warehouse that is asleep needs minutes.
_RETRY_SECONDS = 600
_LONGEST_REASON = 300
_WAYS_OUT = {
    # Answers of HTTP, and words of error messages.
    "401": "check the token",
    "403": "check the token, and that it may use the SQL warehouse",
    "404": "check the http_path",
    "UNAUTHORIZED": "check the token",
    "INSUFFICIENT_PERMISSIONS": "grant this user the right",
    "PERMISSION_DENIED": "grant this user the right",
    "NO_SUCH_CATALOG": "check the name of the catalog, which needs Unity Catalog",
    "VOLUME": "check the volume, and grant this user READ VOLUME and WRITE VOLUME on it",
    "HTTP": "check the host, the http_path and the network",
}


class Connection:
    """A connection to a schema.

    Attributes:
        schema: The schema with its catalog, as SQL.

    Raises:
        WarehouseError: Databricks cannot be reached, or refuses.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        url = urlsplit(address.url)
        options = dict(parse_qsl(url.query))
        if wrong := sorted(options.keys() - set(_OPTIONS)):
            raise WarehouseError(
                f"{address.shown}: the address has an unknown option {wrong[0]!r}: give {', '.join(_OPTIONS)}"
            )
        catalog, _, name = url.path.strip("/").partition("/")
        self._catalog, self._name = catalog, name.lower()
        self.schema = f"{DIALECT.quote(catalog)}.{DIALECT.quote(self._name)}"
        # A volume of this schema, or of another one.
        parts = options["volume"].split(".")
        self._volume = "/".join(["/Volumes", *[catalog, self._name][: 3 - len(parts)], *parts])
        self._prefix = f"meter-{catalog}-{self._name}-delivery-"
        host, port = url.hostname or "", url.port or 443
        with self.explained():
            if not getproxies():
                # The driver would go on for minutes.
                socket.create_connection((host, port), _CONNECT_SECONDS).close()
            self._connection = driver.connect(
                server_hostname=host,
                http_path=options["http_path"],
                access_token=unquote(url.password or ""),
                user_agent_entry="meter-pipeline",
                enable_telemetry=False,
                use_cloud_fetch=False,
                _port=port,
                _tls_trusted_ca_file=options.get("ca_cert"),
                _retry_stop_after_attempts_duration=_RETRY_SECONDS,
            )

    def run(self, sql: str, file: Any = None) -> list[tuple[Any, ...]]:
        """Executes a statement, and returns the rows of one that reads; `file` is what a `PUT` uploads."""
        with self.explained(), self._connection.cursor() as cursor:
            cursor.execute(sql, input_stream=file)
            return [tuple(row) for row in cursor.fetchall()] if sql.startswith(("SELECT", "LIST")) else []

    def close(self) -> None:
        """Ends the session."""
        with suppress(driver.Error, urllib3.exceptions.HTTPError, OSError):
            self._connection.close()

    # -- the catalog

    def make_schema(self) -> None:
        """Makes the schema, unless it is there."""
        schemata = f"{DIALECT.quote(self._catalog)}.information_schema.schemata"
        # `IF NOT EXISTS` needs the right to create schemas even where it creates none.
        if not self.run(f"SELECT 1 FROM {schemata} WHERE schema_name = {DIALECT.literal(self._name)}"):  # noqa: S608
            self.run(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")

    def list_comments(self) -> dict[str, str]:
        """Tables and views by name, with their comments."""
        rows = self.run(f"SELECT table_name, comment FROM {self._describe('tables')}")  # noqa: S608
        return {name: comment or "" for name, comment in rows}

    def list_columns(self) -> dict[str, dict[str, str]]:
        """Tables and views by name, with the types of their columns."""
        found: dict[str, dict[str, str]] = {}
        for table, column, type_ in self.run(
            f"SELECT table_name, column_name, full_data_type FROM {self._describe('columns')} "  # noqa: S608
            "ORDER BY table_name, ordinal_position"
        ):
            found.setdefault(table, {})[column] = type_.upper().replace(" ", "")
        return found

    def _describe(self, view: str) -> str:
        schema = DIALECT.literal(self._name)
        return f"{DIALECT.quote(self._catalog)}.information_schema.{view} WHERE table_schema = {schema}"

    # -- rows

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        values: Sequence[str],
        types: Sequence[str],
        batches: Iterable[pa.RecordBatch],
        keep: Callable[[], None],
    ) -> None:
        """Adds rows to a table.

        Args:
            table: Its name as SQL.
            columns: The columns to fill.
            values: Expressions for the first of them, which batches do not have.
            types: Types of the others, in the order of the batches' columns.
            batches: The rows.
            keep: Called before each file is uploaded.
        """
        listed = ", ".join(map(DIALECT.quote, columns))
        cast = ", ".join([*values, *(f"CAST(c{place} AS {type_})" for place, type_ in enumerate(types))])
        with tempfile.TemporaryDirectory(prefix="meter-delivery-") as folder:
            for file in _write(Path(folder), batches):
                keep()
                path = f"{self._volume}/{self._prefix}{uuid.uuid4().hex}.parquet"
                try:
                    with file.open("rb") as stream:
                        self.run(f"PUT '__input_stream__' INTO {DIALECT.literal(path)} OVERWRITE", stream)
                    self.run(f"INSERT INTO {table} ({listed}) SELECT {cast} FROM parquet.{DIALECT.quote(path)}")  # noqa: S608
                finally:
                    # What has failed may be the connection; then a later delivery removes it.
                    with suppress(WarehouseError):
                        self.run(f"REMOVE {DIALECT.literal(path)}")

    def remove_files(self) -> None:
        """Removes the files that a delivery into this schema has left in the volume."""
        for path, *_ in self.run(f"LIST {DIALECT.literal(self._volume)}"):
            if (name := str(path).rpartition("/")[2]).startswith(self._prefix):
                self.run(f"REMOVE {DIALECT.literal(f'{self._volume}/{name}')}")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the driver's errors into one line, without what the address hides."""
        try:
            yield
        except (driver.Error, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise WarehouseError(_explain(error, self._address.shown, self._address.scrub)) from None


def _write(folder: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[Path]:
    """Writes rows as Parquet files of a size that fits into memory; each is there until the next one is asked for."""
    file, writer = folder / "rows.parquet", None
    for batch in batches:
        renamed = batch.rename_columns([f"c{place}" for place in range(batch.num_columns)])
        writer = writer or pq.ParquetWriter(file, renamed.schema, compression="zstd")
        writer.write_batch(renamed)
        if file.stat().st_size > _FILE_BYTES:
            writer.close()
            writer = None
            yield file
    if writer is not None:
        writer.close()
        yield file


def _explain(error: Exception, shown: str, scrub: Callable[[str], str]) -> str:
    text = " ".join(str(error).split()).replace(": :", ":") or type(error).__name__
    status = str((getattr(error, "context", None) or {}).get("http-code") or "")
    is_network = isinstance(error, (driver.exc.RequestError, OSError, urllib3.exceptions.HTTPError))
    key = (
        status
        if status in _WAYS_OUT
        else next((word for word in _WAYS_OUT if not word.isdecimal() and word in text), None)
    )
    way_out = _WAYS_OUT[key or "HTTP"] if key or is_network else "deliver again"
    line = text.partition(" SQLSTATE: ")[0].rstrip(".")
    line = line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
    return scrub(f"{shown}: {line}; {way_out}")
