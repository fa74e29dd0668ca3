"""Runs the sandbox beside a command on the data folder that it fills, and keeps its data apart from Meter's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from meter_pipeline.config.origin import Origin, note, read, write
from meter_pipeline.config.settings import Settings, SettingsError
from meter_pipeline.connect import open_ledger

if TYPE_CHECKING:
    from meter_pipeline.sandbox import Sandbox


# Where the sandbox beside the Dagster UI listens: next to that of `meter-pipeline sandbox`, so that both can run.
SANDBOX_PORT = 8766


def refuse_foreign(settings: Settings) -> None:
    """Makes sure that a sandbox's data does not land among Meter's.

    Raises:
        SettingsError: The folder has data that no sandbox made, or the ledger or the lake is a shared one.
    """
    if settings.ledger_url or settings.lake_url:
        raise SettingsError(
            "METER_LEDGER_URL or METER_LAKE_URL is set: the sandbox's data belongs into no shared store, unset them"
        )
    if read(settings.data_dir) is None and Path(settings.ledger).exists():
        with open_ledger(settings) as ledger:
            foreign = bool(ledger.strategies())
        if foreign:
            raise SettingsError(
                f"{settings.data_dir} holds data that no sandbox made: set METER_DATA_DIR to another folder for the "
                "sandbox's, or METER_API_KEY to go on with Meter's"
            )


@contextmanager
def continued(folder: Path, *, first_days: float, port: int = 0) -> Iterator[Sandbox]:
    """A sandbox whose world goes on where the folder's data ends, its clock standing still; the end is noted again.

    Args:
        folder: The data folder, marked as a sandbox's from now on.
        first_days: Virtual days that have passed in a world that is new.
        port: Loopback port; 0 takes a free one.
    """
    from meter_pipeline.sandbox import Sandbox

    before = read(folder) or Origin()
    with Sandbox(seed=before.seed, port=port) as sandbox:
        if before.reached is None:
            sandbox.advance(days=first_days)
        else:
            sandbox.advance(max(before.reached - sandbox.now, timedelta(0)))
        write(folder, Origin(before.seed, sandbox.now))
        try:
            yield sandbox
        finally:
            note(folder, sandbox.now)
