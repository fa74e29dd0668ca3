"""Runs a sandbox beside a command, and keeps its data apart from Meter's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from meter_pipeline.config.origin import Origin, note, read, write
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.connect import open_ledger

if TYPE_CHECKING:
    from meter_pipeline.sandbox import Sandbox


# Port of the sandbox beside the Dagster UI: not the port of `meter-pipeline sandbox`, so that both can run.
SANDBOX_PORT = 8766


def refuse_foreign(settings: Settings) -> None:
    """Makes sure that a sandbox's data is not mixed with Meter's.

    Raises:
        SettingsError: The folder holds data that is not a sandbox's, or the ledger or the lake is shared.
    """
    if settings.ledger_url or settings.lake_url:
        raise SettingsError(
            "METER_LEDGER_URL or METER_LAKE_URL is set: the sandbox's data must not enter a shared store, so unset them"
        )
    if read(settings.data_dir) is None and Path(settings.ledger).exists():
        with open_ledger(settings) as ledger:
            foreign = bool(ledger.strategies())
        if foreign:
            raise SettingsError(
                f"{settings.data_dir} holds data that no sandbox made: set METER_DATA_DIR to another folder for the "
                "sandbox's data, or METER_API_KEY to continue with Meter's"
            )


@contextmanager
def continue_sandbox(folder: Path, *, first_days: float, port: int = 0) -> Iterator[Sandbox]:
    """Runs a sandbox that continues where the folder's data ends, with its clock stopped; saves the clock at the end.

    Args:
        folder: The data folder, which is marked as a sandbox's.
        first_days: Virtual days of history of a new world.
        port: Loopback port; 0 chooses a free one.
    """
    from meter_pipeline.sandbox import DEMO_WORLDS, Sandbox

    previous = read(folder) or Origin()
    with Sandbox(seed=previous.seed, worlds=DEMO_WORLDS, port=port) as sandbox:
        if previous.reached is None:
            sandbox.advance(days=first_days)
        else:
            sandbox.advance(max(previous.reached - sandbox.now, timedelta(0)))
        write(folder, Origin(previous.seed, sandbox.now))
        try:
            yield sandbox
        finally:
            note(folder, sandbox.now)
