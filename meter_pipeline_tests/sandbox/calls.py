"""A plain HTTP session on a sandbox, for tests that look at the wire."""

from __future__ import annotations

from typing import Any

import requests

from meter_pipeline.sandbox import Sandbox


class Calls:
    """Calls a sandbox's API with its key; every method returns the raw response."""

    def __init__(self, sandbox: Sandbox, prefix: str = "/api") -> None:
        self.sandbox, self.prefix = sandbox, prefix
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.api_key}"

    def get(self, path: str, /, **query: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + self.prefix + path, params=query)

    def post(self, path: str, body: Any = None) -> requests.Response:
        return self.session.post(self.sandbox.url + self.prefix + path, json=body)

    def patch(self, path: str, body: Any) -> requests.Response:
        return self.session.patch(self.sandbox.url + self.prefix + path, json=body)

    def delete(self, path: str) -> requests.Response:
        return self.session.delete(self.sandbox.url + self.prefix + path)
