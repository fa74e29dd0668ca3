"""A REST catalog of Iceberg: the calls that a publisher needs, over a SQL catalog, behind a token."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import uvicorn
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest, StagedTable, Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "canary-token-5c2ab"
_STATUS = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}


class RestCatalog:
    """A running server.

    Attributes:
        url: Its URL.
        calls: Method and path of each request.
        failing: Answers that are left until one is lost, and whether its call is carried out before; None: none is.
    """

    def __init__(self, folder: Path) -> None:
        self._catalog = SqlCatalog(
            "served", uri=f"sqlite:///{folder}/served.sqlite", warehouse=f"file://{folder}/served"
        )
        self.calls: list[tuple[str, str]] = []
        self.failing: tuple[int, bool] | None = None
        table = "/v1/namespaces/{namespace}/tables/{table}"
        routes = [
            Route("/v1/config", self._answer(lambda request, body: {"defaults": {}, "overrides": {}})),
            Route("/v1/namespaces", self._answer(self._create_namespace), methods=["POST"]),
            Route("/v1/namespaces/{namespace}", self._answer(self._find_namespace), methods=["GET"]),
            Route("/v1/namespaces/{namespace}/tables", self._answer(self._list), methods=["GET"]),
            Route("/v1/namespaces/{namespace}/tables", self._answer(self._create), methods=["POST"]),
            Route(table, self._answer(lambda request, body: _show(self._load(request))), methods=["GET"]),
            Route(table, self._answer(self._commit), methods=["POST"]),
            Route(table, self._answer(self._drop), methods=["DELETE"]),
            Route("/v1/tables/rename", self._answer(self._rename), methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Stops the server."""
        self._server.should_exit = True
        self._thread.join()

    def _answer(self, work: Any) -> Any:
        async def answer(request: Request) -> Response:
            self.calls.append((request.method, request.url.path))
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return _refuse(401, "NotAuthorizedException", "no valid token")
            try:
                content = await request.body()
                is_lost, is_done = self._count_down()
                if is_lost and not is_done:
                    return _refuse(500, "ServerError", "as the test wants")
                found = work(request, json.loads(content) if content else {})
                if is_lost:
                    return _refuse(500, "ServerError", "as the test wants")
            except tuple(_STATUS) as error:
                return _refuse(_STATUS[type(error)], type(error).__name__, str(error))
            return Response(status_code=204) if found is None else JSONResponse(found)

        return answer

    def _count_down(self) -> tuple[bool, bool]:
        if self.failing is None:
            return False, False
        left, is_done = self.failing
        self.failing = (left - 1, is_done) if left else None
        return not left, is_done

    def _create_namespace(self, request: Request, body: Any) -> Any:
        self._catalog.create_namespace(tuple(body["namespace"]))
        return {"namespace": body["namespace"], "properties": {}}

    def _find_namespace(self, request: Request, body: Any) -> Any:
        name = request.path_params["namespace"]
        return {"namespace": [name], "properties": self._catalog.load_namespace_properties(name)}

    def _list(self, request: Request, body: Any) -> Any:
        names = self._catalog.list_tables(request.path_params["namespace"])
        return {"identifiers": [{"namespace": [*name[:-1]], "name": name[-1]} for name in names]}

    def _create(self, request: Request, body: Any) -> Any:
        assert body["stage-create"]
        name = (request.path_params["namespace"], body["name"])
        schema = Schema.model_validate(body["schema"])
        spec = PartitionSpec.model_validate(body["partition-spec"])
        staged = self._catalog._create_staged_table(name, schema, None, spec, properties=body["properties"])
        return _show(staged)

    def _commit(self, request: Request, body: Any) -> Any:
        name = (request.path_params["namespace"], request.path_params["table"])
        body["identifier"] = {"namespace": [name[0]], "name": name[1]}
        asked = CommitTableRequest.model_validate(body)
        is_new = any(requirement.type == "assert-create" for requirement in asked.requirements)
        table = StagedTable(name, None, "", None, self._catalog) if is_new else self._catalog.load_table(name)  # type: ignore[arg-type]
        done = self._catalog.commit_table(table, asked.requirements, asked.updates)
        return {"metadata-location": done.metadata_location, "metadata": json.loads(done.metadata.model_dump_json())}

    def _load(self, request: Request) -> Table:
        return self._catalog.load_table((request.path_params["namespace"], request.path_params["table"]))

    def _drop(self, request: Request, body: Any) -> None:
        self._catalog.drop_table((request.path_params["namespace"], request.path_params["table"]))

    def _rename(self, request: Request, body: Any) -> None:
        source, target = ((*body[name]["namespace"], body[name]["name"]) for name in ("source", "destination"))
        self._catalog.rename_table(source, target)


def _show(table: Table) -> dict[str, Any]:
    return {
        "metadata-location": table.metadata_location,
        "metadata": json.loads(table.metadata.model_dump_json()),
        "config": {},
    }


def _refuse(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)
