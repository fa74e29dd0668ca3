"""Completes names for a shell's Tab key, from the local ledger and without a call to the API."""

from __future__ import annotations

from pathlib import Path

from meter_pipeline.config.settings import Settings
from meter_pipeline.store.ledger.states import STATES

# A longer list helps nobody.
_MAX_NAMES = 200


def strategies(incomplete: str) -> list[str]:
    """Completes slugs of strategies, or ids once the text begins like one."""
    return _complete("slugs", incomplete) or (_complete("strategies", incomplete) if incomplete else [])


def schedules(incomplete: str) -> list[str]:
    """Completes ids of schedules that are not deleted."""
    return _complete("schedules", incomplete)


def held_jobs(incomplete: str) -> list[str]:
    """Completes ids of held jobs."""
    return _complete("held jobs", incomplete)


def accepted_jobs(incomplete: str) -> list[str]:
    """Completes ids of accepted jobs, the newest first."""
    return _complete("accepted jobs", incomplete)


def loaded_jobs(incomplete: str) -> list[str]:
    """Completes ids of held and accepted jobs, held ones first."""
    return _complete("loaded jobs", incomplete)


def states(incomplete: str) -> list[str]:
    """Completes states of jobs."""
    return [state for state in STATES if state.startswith(incomplete)]


def _complete(kind: str, incomplete: str) -> list[str]:
    """Names that begin with `incomplete`; none from a ledger on a server, which is too slow for a key press."""
    from meter_pipeline.store.ledger.names import read_names

    try:
        settings = Settings.from_env()
        names = [] if settings.ledger_url else read_names(Path(settings.ledger), kind)
    except Exception:
        # Whatever is wrong, the shell would offer the message as names.
        return []
    return [name for name in names if name.startswith(incomplete)][:_MAX_NAMES]
