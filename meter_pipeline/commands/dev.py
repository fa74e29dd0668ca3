"""`dev`: runs the Dagster UI on the data folder; without a key for Meter, a sandbox runs beside it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands import local_sandbox
from meter_pipeline.commands.console import print_stderr
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.host import shipped
from meter_pipeline.host.addresses import open_listener
from meter_pipeline.host.extras import require_extra

_FIRST_DAYS = 3.0
_SAVE_CLOCK_SECONDS = 5.0
_STOP_SECONDS = 30.0
_SANDBOX_HOST = "127.0.0.1"

Environment = dict[str, str]


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address the Dagster UI listens on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds per second of the sandbox's clock.")] = 60.0,
    sandbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the sandbox; 0 chooses a free one.")
    ] = local_sandbox.SANDBOX_PORT,
) -> None:
    """Run the Dagster UI; without METER_API_KEY a sandbox runs beside it."""
    settings = Settings.from_env()
    raise typer.Exit(run_ui(settings, host=host, port=port, speed=speed, sandbox_port=sandbox_port))


def run_ui(
    settings: Settings, *, host: str, port: int, speed: float, sandbox_port: int = local_sandbox.SANDBOX_PORT
) -> int:
    """Runs `dagster dev` until it ends, or until SIGINT or SIGTERM; returns its exit code, 0 after a signal.

    Args:
        settings: With a key, Dagster loads from Meter; without one, from a sandbox.
        host: Address of the UI.
        port: Port of the UI.
        speed: Virtual seconds per second of the sandbox's clock.
        sandbox_port: Loopback port of the sandbox; 0 chooses a free one.

    Raises:
        AddressError: A port is in use, or the host is not an address of this machine.
        SettingsError: The folder holds data of another origin.
        MissingExtraError: Dagster is not installed.
    """
    require_extra("dagster", "the Dagster UI")
    # First of all: Dagster would wait for a web server that cannot start, while another instance answers on its port.
    open_listener(host, port).close()
    if not settings.api_key:
        open_listener(_SANDBOX_HOST, sandbox_port, port_option="--sandbox-port").close()
    api = _open_meter(settings) if settings.api_key else _open_sandbox(settings, speed, sandbox_port)
    with api as (environment, save_clock):
        is_own_home = environment["DAGSTER_HOME"] == str(dagster_home(settings.data_dir))
        program = [sys.executable, "-W", "ignore", "-m", "meter_pipeline.commands.dev" if is_own_home else "dagster"]
        command = [*program, "dev", "-w", str(shipped.WORKSPACE), "--host", host, "--port", str(port)]
        print_stderr(f"Dagster UI: http://{f'[{host}]' if ':' in host else host}:{port}    data: {settings.data_dir}")
        return _run(command, {**os.environ, **environment}, save_clock)


@contextmanager
def _open_meter(settings: Settings) -> Iterator[tuple[Environment, Callable[[], None]]]:
    """Prepares a UI on Meter's own API. A `DAGSTER_HOME` that is set is kept."""
    origin.refuse_mixing(settings)
    home = os.environ.get("DAGSTER_HOME") or str(dagster_home(settings.data_dir))
    if not Path(home).is_absolute() or not Path(home).is_dir():
        raise SettingsError(
            f"DAGSTER_HOME={home!r} is not the absolute path of a folder: create it, or unset DAGSTER_HOME"
        )
    yield {"DAGSTER_HOME": home}, lambda: None


@contextmanager
def _open_sandbox(settings: Settings, speed: float, port: int) -> Iterator[tuple[Environment, Callable[[], None]]]:
    """Runs a sandbox in this process. Its clock is saved every few seconds, in case the process is killed."""
    local_sandbox.refuse_foreign(settings)
    with local_sandbox.continue_sandbox(settings.data_dir, first_days=_FIRST_DAYS, port=port) as sandbox:
        sandbox.world.clock.speed = speed
        for line in _banner(f"METER_API_KEY is not set: this is the SANDBOX at {sandbox.url}, not Meter.", sandbox.now):
            print_stderr(line)
        environment = {
            "METER_API_KEY": sandbox.api_key,
            "METER_BASE_URL": sandbox.url,
            "METER_API_PREFIX": "auto",
            "METER_DATA_DIR": str(settings.data_dir),
            "DAGSTER_HOME": str(dagster_home(settings.data_dir)),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        yield environment, lambda: origin.note(settings.data_dir, sandbox.now)


def _banner(first: str, now: object) -> list[str]:
    lines = [first, f"Its clock says {now:%Y-%m-%d %H:%M} and keeps running; everything you see here is made up.",
             "For your own data: set METER_API_KEY, and METER_DATA_DIR to another folder."]  # fmt: skip
    rule = "=" * max(map(len, lines))
    return [rule, *lines, rule]


def dagster_home(folder: Path) -> Path:
    """Creates the folder of a data folder's Dagster instance, with the package's `dagster.yaml`."""
    home = folder / ".dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped.DAGSTER_SETTINGS, home / "dagster.yaml")
    return home


def _run_dagster() -> None:
    """Runs the `dagster` command without its warning about an unused `dagster.yaml`: `DAGSTER_HOME` has a copy."""
    from dagster._cli import main

    logging.getLogger("dagster").addFilter(lambda record: "but your DAGSTER_HOME" not in record.getMessage())
    main()


def _run(command: list[str], environment: Mapping[str, str], save_clock: Callable[[], None]) -> int:
    """Runs the command as a process group, so that all its processes end with it."""
    stopped = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        while child.poll() is None and not stopped.wait(_SAVE_CLOCK_SECONDS if child.poll() is None else 0):
            save_clock()
    finally:
        _end(child)
        for number, action in previous.items():
            signal.signal(number, action)
    return 0 if stopped.is_set() else child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupts the command as Ctrl-C does, then kills what is left of its group after a while."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    _run_dagster()
