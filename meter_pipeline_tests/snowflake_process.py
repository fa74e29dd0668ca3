"""A stand-in for Snowflake as a process: fakesnow, which runs the statements in DuckDB, with what it is too lenient in.

It runs with fakesnow's own releases of DuckDB and sqlglot first on the path, and prints its port when it is ready.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import fakesnow.server
import pyarrow as pa
import uvicorn
from fakesnow import arrow, cursor, info_schema
from snowflake.connector.errors import ProgrammingError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_USER, _PASSWORD, _DATABASE = (os.environ[f"SNOWFLAKE_{name}"] for name in ("USER", "PASSWORD", "DATABASE"))
_FOLDER = Path(os.environ["SNOWFLAKE_FOLDER"])
_DDL = ("CREATE", "ALTER", "DROP", "COMMENT")
_one_at_a_time = threading.RLock()
_COLUMN_COMMENT = re.compile(r"COMMENT ON COLUMN .* IS '(.*)'", re.DOTALL)
_KEY = re.compile(r", PRIMARY KEY \([^)]*\)")
# Sessions that have begun a transaction.
_in_transaction: set[int] = set()
_execute = cursor.FakeSnowflakeCursor.execute


def _refuse(message: str, number: int, state: str) -> ProgrammingError:
    return ProgrammingError(msg=message, errno=number, sqlstate=state)


def execute(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    """Runs a statement; like Snowflake, commits the open transaction before one that defines something."""
    duck, verb = self._duck_conn, command.split(maxsplit=1)[0].upper()
    with _one_at_a_time:
        with (_FOLDER / "statements").open("a") as log:
            log.write(" ".join(command.split()) + "\n")
        if any(re.search(pattern, command) for pattern in (_FOLDER / "refusals").read_text().splitlines()):
            raise _refuse("SQL access control error:\nInsufficient privileges to operate on it.", 3001, "42501")
        if verb == "BEGIN":
            _in_transaction.add(id(duck))
        elif verb in ("COMMIT", "ROLLBACK"):
            _in_transaction.discard(id(duck))
        elif verb in _DDL and id(duck) in _in_transaction:
            _in_transaction.discard(id(duck))
            duck.commit()
        # Snowflake enforces no key. DuckDB does, and even counts rows that the transaction has deleted.
        command = _KEY.sub("", command)
        try:
            if _COLUMN_COMMENT.fullmatch(command) or (verb == "ALTER" and "ADD PRIMARY KEY" in command):
                duck.execute(command if verb == "COMMENT" else "SELECT 1")
                command = "SELECT 1"
            return _execute(self, command, *args, **kwargs)
        except ProgrammingError:
            raise
        except Exception as error:
            # The server would answer with a status that clients repeat the request for.
            raise _refuse(" ".join(str(error).split()), 100000, "XX000") from error


async def log_in(request: Request) -> JSONResponse:
    """Checks the password, and ends the transactions that killed clients have left, which Snowflake does in minutes."""
    body = await request.body()
    given = json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)["data"]
    if (given.get("LOGIN_NAME"), given.get("PASSWORD")) != (_USER, _PASSWORD):
        refusal = {"success": False, "code": "390100", "data": {}}
        return JSONResponse({**refusal, "message": "Incorrect username or password was specified."})
    with _one_at_a_time:
        for session in fakesnow.server.sessions.values():
            if id(session._duck_conn) in _in_transaction:
                _in_transaction.discard(id(session._duck_conn))
                session._duck_conn.rollback()
    return await fakesnow.server.login_request(request)


def insert_table_comment_sql(catalog: str, schema: str, table: str, comment: str) -> str:
    """The statement that keeps a comment, with its quotes."""
    return _insert_table_comment_sql(catalog, schema, table, comment.replace("'", "''"))


def timestamp_to_sf_struct(times: Any) -> pa.Array:
    """Times as clients get them; fakesnow gives them 1970 for a missing one."""
    times = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
    made = _timestamp_to_sf_struct(times)
    return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=times.is_null())


_timestamp_to_sf_struct = arrow.timestamp_to_sf_struct
_insert_table_comment_sql = info_schema.insert_table_comment_sql

if __name__ == "__main__":
    cursor.FakeSnowflakeCursor.execute = execute
    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct
    info_schema.insert_table_comment_sql = insert_table_comment_sql
    fakesnow.server.shared_fs.connect(_DATABASE)
    fakesnow.server.shared_fs.create_database_on_connect = False
    fakesnow.server.shared_fs.create_schema_on_connect = False
    fakesnow.server.app.router.routes[:] = [
        Route(route.path, log_in, methods=["POST"]) if route.path == "/session/v1/login-request" else route
        for route in fakesnow.server.app.router.routes
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(fakesnow.server.app, log_level="warning")).run(sockets=[listener])
