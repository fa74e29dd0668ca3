"""A stand-in for Databricks as a process: Spark behind the interface that Databricks' own connector speaks.

It speaks Thrift over HTTPS, gives uploads a URL of its own, and has an information schema. Tables are of Parquet files,
since Spark has no Delta: `DELETE` writes a table again. It prints its port when it is ready, and ends with its input.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

_TOKEN, _HTTP_PATH = os.environ["DATABRICKS_TOKEN"], os.environ["DATABRICKS_HTTP_PATH"]
_FOLDER = Path(os.environ["DATABRICKS_FOLDER"])
_STAGING = "/staging"
_STAGED = re.compile(r"(?:(PUT) '__input_stream__' INTO|(REMOVE)) '(/Volumes/[^']+)'(?: OVERWRITE)?")
_LIST = re.compile(r"LIST '(/Volumes/[^']+)'")
_DELETE = re.compile(r"DELETE FROM (\S+)( AS d)? WHERE (.+)", re.DOTALL)
_INFORMATION = re.compile(r"`spark_catalog`\.information_schema\.(\w+)")
_OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
# How values go to the client: the others as text.
_COLUMNS = {
    "boolean": (ttypes.TTypeId.BOOLEAN_TYPE, ttypes.TBoolColumn, "boolVal", False),
    "smallint": (ttypes.TTypeId.BIGINT_TYPE, ttypes.TI64Column, "i64Val", 0),
    "int": (ttypes.TTypeId.BIGINT_TYPE, ttypes.TI64Column, "i64Val", 0),
    "bigint": (ttypes.TTypeId.BIGINT_TYPE, ttypes.TI64Column, "i64Val", 0),
    "float": (ttypes.TTypeId.DOUBLE_TYPE, ttypes.TDoubleColumn, "doubleVal", 0.0),
    "double": (ttypes.TTypeId.DOUBLE_TYPE, ttypes.TDoubleColumn, "doubleVal", 0.0),
}
_TEXTS = {"date": ttypes.TTypeId.DATE_TYPE, "timestamp": ttypes.TTypeId.TIMESTAMP_TYPE}
_INFORMED = {
    "schemata": ("schema_name",),
    "tables": ("table_schema", "table_name", "comment"),
    "columns": ("table_schema", "table_name", "column_name", "ordinal_position", "full_data_type", "comment"),
}
_one_at_a_time = threading.RLock()


class Refused(Exception):
    """A statement that the server refuses."""


class Answer(NamedTuple):
    """What a statement answers: names and types of columns, rows, and whether the client has a file to move."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    is_staging: bool = False


class Service:
    """What a client asks for, by the names of the interface."""

    def __init__(self, spark: SparkSession, origin: str) -> None:
        self._spark, self._origin = spark, origin

    def OpenSession(self, request: Any) -> Any:
        """Opens a session."""
        handle = ttypes.THandleIdentifier(guid=uuid.uuid4().bytes, secret=b"s" * 16)
        return ttypes.TOpenSessionResp(
            status=_OK,
            serverProtocolVersion=ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7,
            sessionHandle=ttypes.TSessionHandle(sessionId=handle),
        )

    def CloseSession(self, request: Any) -> Any:
        """Closes a session."""
        return ttypes.TCloseSessionResp(status=_OK)

    def CloseOperation(self, request: Any) -> Any:
        """Closes a statement."""
        return ttypes.TCloseOperationResp(status=_OK)

    def ExecuteStatement(self, request: Any) -> Any:
        """Executes a statement, and answers with all of its rows."""
        results = ttypes.TSparkDirectResults(closeOperation=ttypes.TCloseOperationResp(status=_OK))
        state, message = ttypes.TOperationState.FINISHED_STATE, None
        try:
            with _one_at_a_time:
                answer = self._execute(request.statement)
            metadata, rows = _encode(answer)
            results.resultSetMetadata = metadata
            results.resultSet = ttypes.TFetchResultsResp(status=_OK, hasMoreRows=False, results=rows)
        except (PySparkException, Refused) as error:
            state, message = ttypes.TOperationState.ERROR_STATE, str(error)
        results.operationStatus = ttypes.TGetOperationStatusResp(
            status=_OK, operationState=state, errorMessage=message, displayMessage=message
        )
        handle = ttypes.THandleIdentifier(guid=uuid.uuid4().bytes, secret=b"s" * 16)
        return ttypes.TExecuteStatementResp(
            status=_OK,
            operationHandle=ttypes.TOperationHandle(
                operationId=handle, operationType=ttypes.TOperationType.EXECUTE_STATEMENT, hasResultSet=True
            ),
            directResults=results,
        )

    def _execute(self, sql: str) -> Answer:
        with (_FOLDER / "statements").open("a") as log:
            log.write(" ".join(sql.split()) + "\n")
        if any(re.search(pattern, sql) for pattern in (_FOLDER / "refusals").read_text().splitlines()):
            raise Refused("[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser lacks a right. SQLSTATE: 42501")
        if (found := _STAGED.fullmatch(sql)) is not None:
            if not (_FOLDER / found[3].lstrip("/")).parent.is_dir():
                raise Refused(f"[VOLUME_DOES_NOT_EXIST] Volume of {found[3]} does not exist. SQLSTATE: 42704")
            url = f"{self._origin}{_STAGING}{quote(found[3])}"
            row = (found[1] or found[2], url, "{}", "__input_stream__")
            return Answer(("operation", "presignedUrl", "headers", "localFile"), ("string",) * 4, [row], True)
        if (found := _LIST.fullmatch(sql)) is not None:
            files = [(f"{found[1]}/{file.name}",) for file in (_FOLDER / found[1].lstrip("/")).iterdir()]
            return Answer(("path",), ("string",), files)
        if (found := _DELETE.fullmatch(sql)) is not None:
            self._delete(found[1], found[2] or "", found[3])
            return Answer((), (), [])
        for name in set(_INFORMATION.findall(sql)):
            schemata = re.findall(r"table_schema = '(\w+)'", sql)
            self._inform(name, schemata or [row.namespace for row in self._spark.sql("SHOW SCHEMAS").collect()])
        sql = _INFORMATION.sub(r"information_schema_\1", sql)
        table = self._spark.sql(sql.replace("`/Volumes/", f"`{_FOLDER}/Volumes/"))
        return _read(table) if sql.startswith("SELECT") else Answer((), (), [])

    def _delete(self, table: str, alias: str, where: str) -> None:
        # Spark renames within its only catalog, whose name it does not take there.
        table = table.removeprefix("`spark_catalog`.")
        new = table[:-1] + "_new`" if table.endswith("`") else f"{table}_new"
        # With its types and comments.
        self._spark.sql(f"CREATE TABLE {new} LIKE {table} USING parquet")
        self._spark.sql(f"INSERT INTO {new} SELECT * FROM {table}{alias} WHERE NOT coalesce({where}, FALSE)")
        self._spark.sql(f"DROP TABLE {table}")
        self._spark.sql(f"ALTER TABLE {new} RENAME TO {table}")

    def _inform(self, name: str, schemata: list[str]) -> None:
        """Makes a view of the information schema from Spark's catalog."""
        rows: list[dict[str, Any]] = []
        catalog = self._spark._jsparkSession.sessionState().catalog()
        for schema in schemata:
            listed = catalog.listTables(schema) if name != "schemata" and catalog.databaseExists(schema) else None
            rows += [] if listed else [{"schema_name": schema}]
            for place in range(listed.length() if listed else 0):
                # Those of no schema are views like this one.
                if (identifier := listed.apply(place)).database().isDefined():
                    rows += _describe(name, schema, identifier.table(), catalog.getTableMetadata(identifier))
        columns = _INFORMED[name]
        table = pa.table({column: pa.array([row.get(column) for row in rows], pa.string()) for column in columns})
        self._spark.createDataFrame(table).createOrReplaceTempView(f"information_schema_{name}")


def _describe(name: str, schema: str, table: str, found: Any) -> list[dict[str, Any]]:
    """What the information schema says of a table: one row, or one for each of its columns."""
    row = {"table_schema": schema, "table_name": table}
    if name == "tables":
        comment = found.comment()
        return [{**row, "comment": comment.get() if comment.isDefined() else None}]
    names = {"long": "bigint", "integer": "int", "short": "smallint"}
    return [
        {
            **row,
            "column_name": field["name"],
            "ordinal_position": f"{place:05}",
            "full_data_type": names.get(field["type"], field["type"]),
            "comment": field["metadata"].get("comment"),
        }
        for place, field in enumerate(json.loads(found.schema().json())["fields"])
    ]


def _read(table: DataFrame) -> Answer:
    types = [type_ for _, type_ in table.dtypes]
    # Names may be there twice.
    named = table.toDF(*(f"c{place}" for place in range(len(types))))
    texts = [f"c{place}" if type_ in _COLUMNS else f"CAST(c{place} AS STRING)" for place, type_ in enumerate(types)]
    return Answer(tuple(table.columns), tuple(types), [tuple(row) for row in named.selectExpr(*texts).collect()])


def _encode(answer: Answer) -> tuple[Any, Any]:
    """The rows of an answer as the client reads them."""
    rows = answer.rows
    descriptions, columns = [], []
    for place, (name, type_) in enumerate(zip(answer.names, answer.types, strict=True)):
        type_id, column, value, nothing = _COLUMNS.get(
            type_, (_TEXTS.get(type_, ttypes.TTypeId.STRING_TYPE), ttypes.TStringColumn, "stringVal", "")
        )
        qualifiers = None
        if (decimal := re.fullmatch(r"decimal\((\d+),(\d+)\)", type_)) is not None:
            type_id = ttypes.TTypeId.DECIMAL_TYPE
            qualifiers = ttypes.TTypeQualifiers(
                {
                    "precision": ttypes.TTypeQualifierValue(i32Value=int(decimal[1])),
                    "scale": ttypes.TTypeQualifierValue(i32Value=int(decimal[2])),
                }
            )
        entry = ttypes.TPrimitiveTypeEntry(type=type_id, typeQualifiers=qualifiers)
        described = ttypes.TTypeDesc([ttypes.TTypeEntry(primitiveEntry=entry)])
        descriptions.append(ttypes.TColumnDesc(columnName=name, typeDesc=described, position=place + 1))
        cells = [row[place] for row in rows]
        nulls = bytearray((len(cells) + 7) // 8)
        for number, cell in enumerate(cells):
            nulls[number // 8] |= (cell is None) << (number % 8)
        values = [nothing if cell is None else cell for cell in cells]
        columns.append(ttypes.TColumn(**{value: column(values=values, nulls=bytes(nulls))}))
    metadata = ttypes.TGetResultSetMetadataResp(
        status=_OK,
        schema=ttypes.TTableSchema(columns=descriptions),
        resultFormat=ttypes.TSparkRowSetType.COLUMN_BASED_SET,
        lz4Compressed=False,
        isStagingOperation=answer.is_staging,
    )
    return metadata, ttypes.TRowSet(startRowOffset=0, rows=[], columns=columns)


class Handler(BaseHTTPRequestHandler):
    """Requests of clients, and what they upload."""

    protocol_version = "HTTP/1.1"
    processor: TCLIService.Processor

    def do_POST(self) -> None:
        """A call of the interface."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {_TOKEN}":
            self._answer(403, b"", {"x-databricks-reason-phrase": "Invalid access token."})
        elif self.path != _HTTP_PATH:
            self._answer(404, b"", {"x-databricks-reason-phrase": "No such SQL warehouse."})
        else:
            answer = TMemoryBuffer()
            self.processor.process(TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(answer))
            self._answer(200, answer.getvalue(), {"Content-Type": "application/x-thrift"})

    def do_PUT(self) -> None:
        """Keeps a file in the volume."""
        self._file.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200)

    def do_DELETE(self) -> None:
        """Removes a file from the volume."""
        self._file.unlink(missing_ok=True)
        self._answer(200)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    @property
    def _file(self) -> Path:
        return _FOLDER / unquote(self.path).removeprefix(f"{_STAGING}/")

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _open_spark() -> SparkSession:
    return (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.adaptive.enabled", "false")
        # Its tables are small: what it would compile takes longer than the query.
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .config("spark.sql.legacy.createHiveTableByDefault", "false")
        .config("spark.sql.warehouse.dir", str(_FOLDER / "tables"))
        .getOrCreate()
    )


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_FOLDER / "ca.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    session = _open_spark()
    Handler.processor = TCLIService.Processor(Service(session, f"https://127.0.0.1:{port}"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    session.stop()
