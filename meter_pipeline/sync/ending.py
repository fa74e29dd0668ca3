"""Records in the ledger what ended a sync early, also if the sync never began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meter_pipeline.api import MeterAuthError, MeterConfigError, MeterError
from meter_pipeline.config.meter_yaml import ConfigError
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.store.errors import StoreError
from meter_pipeline.sync.selection import SelectionError

if TYPE_CHECKING:
    from meter_pipeline.config.settings import Settings

USAGE, CONFIGURATION, CONNECTION, STORE, INTERRUPT, FAULT = (
    "usage", "configuration", "connection", "store", "interrupt", "fault",
)  # fmt: skip
INTERRUPTED = 130


@dataclass(frozen=True)
class Ending:
    """The reason why a sync ended early.

    Attributes:
        cause: `usage`, `configuration`, `connection`, `store`, `interrupt`, or `fault` for a fault of this program.
        exit_code: The exit code of the command.
        problem: The reason in one line.
    """

    cause: str
    exit_code: int
    problem: str

    @classmethod
    def of(cls, error: BaseException) -> Ending:
        """Classifies an error that ended a sync."""
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        problem = " ".join(text.split()) or type(error).__name__
        if not isinstance(error, Exception):
            return cls(INTERRUPT, INTERRUPTED, "interrupted")
        if isinstance(error, SelectionError) or hasattr(error, "format_message"):
            return cls(USAGE, 2, problem)
        if isinstance(error, (SettingsError, ConfigError, MeterConfigError, MeterAuthError)):
            return cls(CONFIGURATION, 2, problem)
        if isinstance(error, MeterError):
            return cls(CONNECTION, 2, problem)
        if isinstance(error, (StoreError, OSError)):
            return cls(STORE, 2, problem)
        return cls(FAULT, 1, f"{type(error).__name__}: {problem}")

    def as_dict(self) -> dict[str, Any]:
        """The ending as entries of a sync's report."""
        return {"ended_by": self.cause, "exit_code": self.exit_code, "problem": self.problem}


class Attempt:
    """An attempt to start a sync."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """Marks the sync as begun; it writes its own record from here on."""
        self.has_begun = True


@contextmanager
def recorded(settings: Callable[[], Settings]) -> Iterator[Attempt]:
    """Records a sync that ends before it begins, because of a setting, a key, an option or a folder.

    Nothing is recorded where no ledger exists yet.

    Args:
        settings: Returns settings that name the ledger; called only if there is something to record.

    Yields:
        The attempt, whose `begin` the caller calls once the sync can start.
    """
    attempt = Attempt()
    try:
        yield attempt
    except BaseException as error:
        if not attempt.has_begun:
            with suppress(StoreError, SettingsError, OSError):
                _record(settings().ledger, Ending.of(error))
        raise


def _record(url: str, ending: Ending) -> None:
    from meter_pipeline.store.ledger.ledger import Ledger

    if "://" not in url and not Path(url).exists():
        return
    ledger = Ledger.open(url)
    try:
        ledger.end_sync(ledger.begin_sync(), ending.as_dict())
    finally:
        ledger.close()
