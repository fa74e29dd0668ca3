"""Takes the README's pictures from a walk through the Dagster UI: `make screenshots`.

A demo is loaded into a folder of its own, `meter-pipeline dev` serves it, and a headless Chromium (the one on the path,
or what `CHROMIUM` names) looks at each page. With `--url` it looks at a UI that runs already.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
_PROGRAM = [sys.executable, "-m", "meter_pipeline"]
_SENSOR = "schedule_changes"
_START_SECONDS, _PAGE_SECONDS, _SETTLE_SECONDS = 900, 300, 20
# No request leaves the machine.
_OFFLINE = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


class Picture(NamedTuple):
    """A page, and the text that shows it is there."""

    path: str
    shows: str


def pictures(run_id: str) -> dict[str, Picture]:
    """The pages by the names of their pictures."""
    return {
        "asset-graph": Picture("/asset-groups", "Materialize all"),
        "item-changes": Picture("/assets/meter/item_changes", "Metadata"),
        "results": Picture("/assets/results/new_books", "Metadata"),
        "checks": Picture("/assets/results/new_books?view=checks", "Execute all"),
        "mart": Picture("/assets/marts/fct_price_changes", "Metadata"),
        "sensor": Picture(f"/locations/meter_pipeline/sensors/{_SENSOR}", "Tick history"),
        "run": Picture(f"/runs/{run_id}", "Succeeded"),
    }


def main() -> int:
    """Takes the pictures asked for; 1 when there is no browser."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("names", nargs="*", help="of pictures; all of them when none is named")
    parser.add_argument("--url", help="a UI that runs already")
    options = parser.parse_args()
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium found: install it, or name it in CHROMIUM", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    if options.url:
        _walk(browser, options.url, options.names)
    else:
        with _demo() as url:
            _walk(browser, url, options.names)
    return 0


@contextmanager
def _demo() -> Iterator[str]:
    """The UI of a demo, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "METER_DATA_DIR": f"{folder}/data", "DAGSTER_DISABLE_TELEMETRY": "yes"}
        environment.pop("METER_API_KEY", None)
        subprocess.run([*_PROGRAM, "demo"], env=environment, check=True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        server = subprocess.Popen([*_PROGRAM, "dev", "--port", str(port)], env=environment, start_new_session=True)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _walk(browser: str, url: str, names: list[str]) -> None:
    run_id = _wait_for(lambda: _latest_run(url))
    wanted = {name: picture for name, picture in pictures(run_id).items() if not names or name in names}
    if "sensor" in wanted:
        _switch_on(url)
        _wait_for(lambda: _ticks(url))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=_OFFLINE, timeout=_PAGE_SECONDS * 1000)
        page = chromium.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(_PAGE_SECONDS * 1000)
        for name, picture in wanted.items():
            _shoot(page, url, picture, PICTURES / f"{name}.png")
        chromium.close()


def _shoot(page: Page, url: str, picture: Picture, path: Path) -> None:
    page.goto(url + picture.path, wait_until="domcontentloaded")
    page.get_by_text(picture.shows).first.wait_for()
    # Layouts and charts are drawn after their data is there, which nothing on the page tells.
    time.sleep(_SETTLE_SECONDS)
    page.screenshot(path=path)
    print(path, flush=True)


def _wait_for(ask: Callable[[], Any]) -> Any:
    end = time.monotonic() + _START_SECONDS
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


def _sensor() -> dict[str, str]:
    return {"repositoryLocationName": "meter_pipeline", "repositoryName": "__repository__", "sensorName": _SENSOR}


def _latest_run(url: str) -> str | None:
    found = _ask(url, "{ runsOrError { ... on Runs { results { runId } } } }")["runsOrError"].get("results")
    return found[0]["runId"] if found else None


def _switch_on(url: str) -> None:
    query = "mutation Start($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
    _ask(url, query, s=_sensor())


def _ticks(url: str) -> list[Any]:
    query = (
        "query Ticks($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor "
        "{ sensorState { ticks(limit: 5, statuses: [SKIPPED, SUCCESS]) { tickId } } } } }"
    )
    return list(_ask(url, query, s=_sensor())["sensorOrError"].get("sensorState", {}).get("ticks", []))


if __name__ == "__main__":
    sys.exit(main())
