"""The two dialects of the API as data.

The first documentation describes `/v1/...`. Today's service and its official SDK use `/api/...`, with other routes for
compare and history. Each dialect lists its form first; the other form is tried if the server does not know it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """A route of an endpoint.

    Attributes:
        method: HTTP method.
        path: Path after the prefix, with `{names}` to fill in.
        in_body: Names that go into a JSON body instead of the path.
    """

    method: str
    path: str
    in_body: tuple[str, ...] = ()


_COMPARE_POST = Form("POST", "/jobs/compare", in_body=("job_id", "other_job_id"))
_COMPARE_GET = Form("GET", "/jobs/{job_id}/compare/{other_job_id}")
_HISTORY = Form("GET", "/strategies/{strategy_id}/history")
_HISTORY_OF_JOBS = Form("GET", "/jobs/strategies/{strategy_id}/history")


@dataclass(frozen=True)
class Dialect:
    """A prefix, and the forms to try in turn where the dialects differ."""

    name: str
    prefix: str
    compare: tuple[Form, ...]
    history: tuple[Form, ...]


V1 = Dialect("v1", "/v1", (_COMPARE_POST, _COMPARE_GET), (_HISTORY, _HISTORY_OF_JOBS))
API = Dialect("api", "/api", (_COMPARE_GET, _COMPARE_POST), (_HISTORY_OF_JOBS, _HISTORY))
BY_PREFIX = {dialect.prefix: dialect for dialect in (V1, API)}
