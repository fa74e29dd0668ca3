"""Takes the pictures of the README from a walk through the Dagster UI: `make screenshots`.

A demo is loaded into a folder of its own, `meter-pipeline dev` serves it, and headless Chromium (the `chromium` on the
path, or what `CHROMIUM` names) looks at each page.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

PICTURES = Path(__file__).parent / "pictures"
_PROGRAM = [sys.executable, "-m", "meter_pipeline"]
_START_SECONDS, _TICK_SECONDS = 300, 180
# Virtual time: a page gets as long as it needs, on any machine.
_PAGE_SECONDS = 60
_LOCATION = "meter_pipeline"


def main() -> int:
    """Takes every picture; returns 1 when there is no browser."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium found: install it, or name it in CHROMIUM", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "METER_DATA_DIR": f"{folder}/data", "DAGSTER_DISABLE_TELEMETRY": "yes"}
        environment.pop("METER_API_KEY", None)
        subprocess.run([*_PROGRAM, "demo"], env=environment, check=True)
        port = _free_port()
        command = [*_PROGRAM, "dev", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            _walk(browser, f"http://127.0.0.1:{port}", Path(folder))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    return 0


def _walk(browser: str, url: str, folder: Path) -> None:
    run_id = _wait_for(lambda: _latest_run(url), _START_SECONDS)
    _switch_on(url, "schedule_changes")
    _wait_for(lambda: _ticks(url, "schedule_changes"), _TICK_SECONDS)
    pages = {
        "asset-graph": "/asset-groups",
        "item-changes": "/assets/meter/item_changes",
        "results": "/assets/results/new_books",
        "checks": "/assets/results/new_books?view=checks",
        "mart": "/assets/marts/fct_price_changes",
        "sensor": f"/locations/{_LOCATION}/sensors/schedule_changes",
        "run": f"/runs/{run_id}",
    }
    for name, page in pages.items():
        _shoot(browser, url + page, PICTURES / f"{name}.png", folder / "profile")


def _shoot(browser: str, url: str, picture: Path, profile: Path) -> None:
    subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            f"--user-data-dir={profile}",
            "--window-size=1600,1000",
            f"--virtual-time-budget={_PAGE_SECONDS * 1000}",
            f"--screenshot={picture}",
            url,
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    print(picture)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(ask: Any, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except OSError:
            answer = None
        if answer:
            return answer
        if time.monotonic() > end:
            raise SystemExit("the UI did not answer in time")
        time.sleep(1)


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60)
    return dict(answer.json()["data"])


def _selector(sensor: str) -> dict[str, str]:
    return {"repositoryLocationName": _LOCATION, "repositoryName": "__repository__", "sensorName": sensor}


def _latest_run(url: str) -> str | None:
    found = _ask(url, "{ runsOrError { ... on Runs { results { runId } } } }")["runsOrError"].get("results")
    return found[0]["runId"] if found else None


def _switch_on(url: str, sensor: str) -> None:
    query = "mutation Start($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
    _ask(url, query, s=_selector(sensor))


def _ticks(url: str, sensor: str) -> list[Any]:
    query = (
        "query Ticks($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor "
        "{ sensorState { ticks(limit: 5, statuses: [SKIPPED, SUCCESS]) { tickId } } } } }"
    )
    return list(_ask(url, query, s=_selector(sensor))["sensorOrError"].get("sensorState", {}).get("ticks", []))


if __name__ == "__main__":
    sys.exit(main())
