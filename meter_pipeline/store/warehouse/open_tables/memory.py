"""What an export remembers of the one before, so that tables that need nothing are not opened.

It is a file beside the warehouse. When it is missing, or somebody else has exported since, every table is compared.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_FILE = "open_tables.json"


class Seen(NamedTuple):
    """A table after an export: a digest of its parts, and when its oldest old snapshot was replaced, ISO 8601."""

    digest: str
    replaced_at: str | None


def read_memory(warehouse: Path, place: str, pin_id: str | None) -> dict[str, Seen]:
    """The tables of a place as they were after the export that has set a pin; nothing if another one was the last."""
    try:
        record = json.loads((warehouse.parent / _FILE).read_text())
        if (record["place"], record["pin"]) != (place, pin_id):
            return {}
        return {name: Seen(*seen) for name, seen in record["tables"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_memory(warehouse: Path, place: str, pin_id: str | None, tables: dict[str, Seen]) -> None:
    """Notes the tables; where that fails, the next export compares all of them."""
    temporary = warehouse.parent / f".{_FILE}"
    with suppress(OSError):
        temporary.write_text(json.dumps({"place": place, "pin": pin_id, "tables": tables}))
        temporary.replace(warehouse.parent / _FILE)
