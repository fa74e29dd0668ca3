"""A bare download: asks for every list page and every body of a world over one connection, and keeps nothing.

Run as ``python -m benchmarks.download URL``; nothing that speaks HTTP through urllib3 can load the world for less.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import urllib3

from benchmarks.server import API_KEY

PAGE = 100
PIECE = 1 << 20


def download(url: str) -> dict[str, int]:
    """Downloads a world.

    Returns:
        How many ``strategies``, ``schedules`` and ``jobs`` there were, and the ``bytes`` of the job bodies.
    """
    pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {API_KEY}"})
    strategies = sum(len(page) for page in _pages(pool, f"{url}/v1/strategies"))
    schedules = len(json.loads(pool.request("GET", f"{url}/v1/schedules").data))
    jobs = size = 0
    for page in _pages(pool, f"{url}/v1/jobs"):
        for row in page:
            body = pool.request("GET", f"{url}/v1/jobs/{row['id']}", preload_content=False)
            size += sum(len(piece) for piece in body.stream(PIECE))
            body.release_conn()
            jobs += 1
    return {"strategies": strategies, "schedules": schedules, "jobs": jobs, "bytes": size}


def _pages(pool: urllib3.PoolManager, url: str) -> Iterator[list[dict[str, object]]]:
    offset = 0
    while page := json.loads(pool.request("GET", f"{url}?limit={PAGE}&offset={offset}").data):
        yield page
        offset += len(page)


if __name__ == "__main__":
    print(json.dumps(download(sys.argv[1])))
