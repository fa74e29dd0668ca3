"""All kinds of alterations by name."""

from __future__ import annotations

from meter_pipeline.sandbox.alterations import Alteration, Kind
from meter_pipeline.sandbox.breaks import BREAKS
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.events import EVENTS
from meter_pipeline.text.names import suggest

KINDS: dict[str, Kind] = {**BREAKS, **EVENTS}


def make_alteration(kind: str, field: str = "") -> Alteration:
    """Make an alteration.

    Raises:
        SandboxError: No kind has this name, or it needs a field and none is given, or the reverse.
    """
    if kind not in KINDS:
        raise SandboxError(f"no alteration is called {kind!r}: {suggest(kind, KINDS)}")
    if KINDS[kind].needs_field != bool(field):
        raise SandboxError(f"{kind} needs the name of a field" if not field else f"{kind} concerns no single field")
    return Alteration(kind, field)
