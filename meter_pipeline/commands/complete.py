"""What a shell offers for the Tab key: names from a local ledger, without a call to the API."""

from __future__ import annotations

from pathlib import Path

from meter_pipeline.config.settings import Settings
from meter_pipeline.store.ledger.states import STATES

# No terminal shows more.
_MOST = 200


def strategies(incomplete: str) -> list[str]:
    """Slugs of strategies; ids to somebody who began one."""
    return _offer("slugs", incomplete) or (_offer("strategies", incomplete) if incomplete else [])


def schedules(incomplete: str) -> list[str]:
    """Ids of schedules that are not deleted."""
    return _offer("schedules", incomplete)


def held_jobs(incomplete: str) -> list[str]:
    """Ids of held jobs."""
    return _offer("held jobs", incomplete)


def states(incomplete: str) -> list[str]:
    """States of jobs."""
    return [state for state in STATES if state.startswith(incomplete)]


def _offer(kind: str, incomplete: str) -> list[str]:
    """Names that begin as was written; none of a ledger on a server: that is too far away for a key press."""
    from meter_pipeline.store.ledger.names import read_names

    try:
        settings = Settings.from_env()
        names = [] if settings.ledger_url else read_names(Path(settings.ledger), kind)
    except Exception:
        # Whatever is wrong, a shell would take the message for names.
        return []
    return [name for name in names if name.startswith(incomplete)][:_MOST]
