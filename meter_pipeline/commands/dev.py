"""The Dagster UI on the data folder; with no key for Meter, a sandbox runs beside it and goes on with its world."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands import local_sandbox
from meter_pipeline.commands.console import tell
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings, SettingsError
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host import shipped
from meter_pipeline.host.extras import require_extra

_FIRST_DAYS = 3.0
_NOTE_EVERY_SECONDS = 5.0
_STOP_SECONDS = 30.0
_SANDBOX_HOST = "127.0.0.1"

Environment = dict[str, str]


class DevError(MeterPipelineError):
    """The UI cannot be served; the message is one line with the way out."""


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address the Dagster UI listens on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds a second, of the sandbox.")] = 60.0,
    sandbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the sandbox; 0 takes a free one.")
    ] = local_sandbox.SANDBOX_PORT,
) -> None:
    """Open the Dagster UI; with no METER_API_KEY a sandbox runs beside it."""
    settings = Settings.from_env()
    raise typer.Exit(serve(settings, host=host, port=port, speed=speed, sandbox_port=sandbox_port))


def serve(
    settings: Settings, *, host: str, port: int, speed: float, sandbox_port: int = local_sandbox.SANDBOX_PORT
) -> int:
    """Runs `dagster dev` until it ends, or until SIGINT or SIGTERM; returns its exit code, 0 after a signal.

    Args:
        settings: With a key, Meter is what Dagster talks to; without one, a sandbox is.
        host: Address of the UI.
        port: Port of the UI.
        speed: Virtual seconds a second, of the sandbox.
        sandbox_port: Loopback port of the sandbox; 0 takes a free one.

    Raises:
        DevError: A port is in use, or an address is none of this machine's.
        SettingsError: The folder's data came from somewhere else than what is to run now.
        MissingExtraError: Dagster is not installed.
    """
    require_extra("dagster", "the Dagster UI")
    # Before anything starts: Dagster waits for a web server that could not start, and what answers is another instance.
    _refuse_taken(host, port, "--port")
    if not settings.api_key:
        _refuse_taken(_SANDBOX_HOST, sandbox_port, "--sandbox-port")
    api = _meter(settings) if settings.api_key else _sandbox(settings, speed, sandbox_port)
    with api as (environment, note):
        own = environment["DAGSTER_HOME"] == str(dagster_home(settings.data_dir))
        program = [sys.executable, "-W", "ignore", "-m", "meter_pipeline.commands.dev" if own else "dagster"]
        command = [*program, "dev", "-w", str(shipped.WORKSPACE), "--host", host, "--port", str(port)]
        tell(f"Dagster UI: http://{f'[{host}]' if ':' in host else host}:{port}    data: {settings.data_dir}")
        return _run(command, {**os.environ, **environment}, note)


def _refuse_taken(host: str, port: int, option: str) -> None:
    """Makes sure that an address can be listened on.

    Raises:
        DevError: It cannot; the message names the option that helps.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        port_is_wrong = error.errno in (errno.EADDRINUSE, errno.EACCES)
        way_out = f"choose another {option}" if port_is_wrong else "choose another --host"
        # Its own text repeats the address; that of a name that is not found is in no table of the system's.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise DevError(f"cannot listen on {host}:{port}: {reason}; {way_out}") from None


@contextmanager
def _meter(settings: Settings) -> Iterator[tuple[Environment, Callable[[], None]]]:
    """Meter's own API. A `DAGSTER_HOME` that is set stays what it is."""
    origin.refuse_mixing(settings)
    home = os.environ.get("DAGSTER_HOME") or str(dagster_home(settings.data_dir))
    if not Path(home).is_absolute() or not Path(home).is_dir():
        raise SettingsError(
            f"DAGSTER_HOME={home!r} is not the absolute path of a folder: make it, or unset DAGSTER_HOME"
        )
    yield {"DAGSTER_HOME": home}, lambda: None


@contextmanager
def _sandbox(settings: Settings, speed: float, port: int) -> Iterator[tuple[Environment, Callable[[], None]]]:
    """A sandbox in this process. How far its clock has come is noted now and then, should the process be killed."""
    local_sandbox.refuse_foreign(settings)
    with local_sandbox.continued(settings.data_dir, first_days=_FIRST_DAYS, port=port) as sandbox:
        sandbox.world.clock.speed = speed
        for line in _banner(f"METER_API_KEY is not set: this is the SANDBOX at {sandbox.url}, not Meter.", sandbox.now):
            tell(line)
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
    lines = [first, f"Its clock says {now:%Y-%m-%d %H:%M} and runs on; everything you see here is made up.",
             "For your own data: set METER_API_KEY, and METER_DATA_DIR to another folder."]  # fmt: skip
    rule = "=" * max(map(len, lines))
    return [rule, *lines, rule]


def dagster_home(folder: Path) -> Path:
    """The Dagster instance that belongs to a data folder, with the `dagster.yaml` that comes with the package."""
    home = folder / ".dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped.DAGSTER_SETTINGS, home / "dagster.yaml")
    return home


def _dagster() -> None:
    """The `dagster` command, without its warning of a `dagster.yaml` that is not used: `DAGSTER_HOME` has a copy."""
    from dagster._cli import main

    logging.getLogger("dagster").addFilter(lambda record: "but your DAGSTER_HOME" not in record.getMessage())
    main()


def _run(command: list[str], environment: Mapping[str, str], note: Callable[[], None]) -> int:
    """Runs the command as a group of its own, so that all of it is gone when this ends."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        while child.poll() is None and not told.wait(_NOTE_EVERY_SECONDS if child.poll() is None else 0):
            note()
    finally:
        _end(child)
        for number, action in before.items():
            signal.signal(number, action)
    return 0 if told.is_set() else child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """Asks the group to end, as Ctrl-C does, and ends what is left of it after a while."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    _dagster()
