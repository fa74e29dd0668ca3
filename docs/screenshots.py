"""Takes the README's pictures from a walk through the Dagster UI: `make screenshots`.

A demo is loaded into a folder of its own, `meter-pipeline dev` serves it, and a headless Chromium (the one on the path,
or what `CHROMIUM` names) walks from page to page. With `--url` it walks through a UI that runs already.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
_PROGRAM = [sys.executable, "-m", "meter_pipeline"]
_SENSOR, _TICKS = "schedule_changes", 6
_START_SECONDS, _PAGE_SECONDS, _SETTLE_SECONDS = 900, 120, 5
_WIDTH = 1600
# No request leaves the machine.
_OFFLINE = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)
# The groups that are opened in the graph.
_GROUPS = ("changes", "marts")


@dataclass(frozen=True)
class Picture:
    """A page, the text that shows it is there, what to do on it before the picture, and how tall the window is."""

    path: str
    shows: str
    height: int = 900
    first: Callable[[Page], None] = lambda page: None


def _without_columns(page: Page) -> None:
    """Shuts the list of columns: what is below it is what the picture is about."""
    if page.get_by_placeholder("Filter columns").is_visible():
        page.get_by_text("Columns", exact=True).first.click()


def _large_chart(page: Page) -> None:
    page.get_by_text("[Show Markdown]").first.click()


def _held(page: Page) -> None:
    page.get_by_text("no_held_jobs").first.click()


def pictures(run_id: str) -> dict[str, Picture]:
    """The pages by the names of their pictures."""
    groups = quote(",".join(f"global@global:{name}" for name in _GROUPS))
    mart = "/assets/marts/fct_price_changes"
    return {
        "asset-graph": Picture(f"/asset-groups?expanded={groups}", "Materialize all", 950),
        "item-changes": Picture("/assets/meter/item_changes", "latest changes", 1100, _without_columns),
        "checks": Picture("/assets/results/flaky_shop?view=checks", "Execute all", 800, _held),
        "mart": Picture(mart, "[Show Markdown]", 900, _without_columns),
        "chart": Picture(mart, "[Show Markdown]", 900, _large_chart),
        "lineage": Picture(f"{mart}?view=lineage&lineageScope=upstream&lineageDepth=3", "int_", 1000),
        "run": Picture(f"/runs/{run_id}", "Succeeded"),
        "sensor": Picture(f"/locations/meter_pipeline/sensors/{_SENSOR}", "Evaluations"),
    }


def main() -> int:
    """Takes the pictures asked for; 1 when there is no browser."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("names", nargs="*", help="of pictures; all of them when none is named")
    parser.add_argument("--url", help="a UI that runs already")
    options = parser.parse_args()
    if unknown := set(options.names) - set(pictures("")):
        parser.error(f"no picture is called {', '.join(sorted(unknown))}; there are {', '.join(pictures(''))}")
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
        server = subprocess.Popen(
            [*_PROGRAM, "dev", "--port", str(port), "--sandbox-port", "0"], env=environment, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _walk(browser: str, url: str, names: list[str]) -> None:
    run_id = _wait_for(lambda: _latest_run(url))
    wanted = [name for name in pictures("") if not names or name in names]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=_OFFLINE, timeout=_PAGE_SECONDS * 1000)
        page = chromium.new_page(viewport={"width": _WIDTH, "height": 900})
        page.set_default_timeout(_PAGE_SECONDS * 1000)
        page.goto(url, wait_until="domcontentloaded")
        page.get_by_text("Hide navigation").click()
        for name in wanted:
            # The sensor goes on while pages are looked at: they would show a run that has not ended yet.
            if name == "sensor":
                _switch_on(url)
                _wait_for(lambda: len(_ticks(url)) >= _TICKS)
            _shoot(page, url, pictures(run_id)[name], PICTURES / f"{name}.png")
        chromium.close()


def _shoot(page: Page, url: str, picture: Picture, path: Path) -> None:
    page.set_viewport_size({"width": _WIDTH, "height": picture.height})
    page.goto(url + picture.path, wait_until="domcontentloaded")
    page.get_by_text(picture.shows).first.wait_for()
    time.sleep(1)
    picture.first(page)
    # Layouts and charts are drawn after their data is there, which nothing on the page tells.
    time.sleep(_SETTLE_SECONDS)
    page.mouse.move(_WIDTH / 2, 20)
    page.screenshot(path=path)
    _few_colours(path)
    print(path, flush=True)


def _few_colours(path: Path) -> None:
    """A page has few colours: with a palette of them the file is half as large."""
    from PIL import Image

    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


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
    query = "{ runsOrError(filter: {statuses: [SUCCESS]}) { ... on Runs { results { runId } } } }"
    found = _ask(url, query)["runsOrError"].get("results")
    return found[0]["runId"] if found else None


def _switch_on(url: str) -> None:
    query = "mutation Start($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
    _ask(url, query, s=_sensor())


def _ticks(url: str) -> list[Any]:
    query = (
        "query Ticks($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor "
        "{ sensorState { ticks(limit: 50, statuses: [SKIPPED, SUCCESS]) { tickId } } } } }"
    )
    return list(_ask(url, query, s=_sensor())["sensorOrError"].get("sensorState", {}).get("ticks", []))


if __name__ == "__main__":
    sys.exit(main())
