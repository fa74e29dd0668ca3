"""What jobs rejected, as far as it matters to the feed: under which keys items were there that could not be loaded.

The key of a rejected item is read where its text allows it: of an item with `NaN`, of one that is nested too deep, of
one with bytes that are not UTF-8 elsewhere. An item without a readable key may be any item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.items.identity import Identity

_COLUMNS = ("job_id", "item")
# What `Occurrences` appends to the key of a copy.
COPY = "#[0-9]+"
_COPY = re.compile(f"{COPY}\\Z")
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Rejected:
    """What jobs rejected.

    Attributes:
        keys: Keys of rejected items without occurrence numbers, by job id.
        unknown: Ids of the jobs that rejected an item whose key cannot be read.
    """

    keys: Mapping[str, frozenset[str]]
    unknown: frozenset[str]

    def may_have(self, jobs: Iterable[Seen], key: str) -> bool:
        """Whether one of some jobs may have rejected the item of a key."""
        plain = _COPY.sub("", key)
        return any(job.job_id in self.unknown or plain in self.keys.get(job.job_id, ()) for job in jobs if job.rejected)


def read_rejected(stored: PartSet, identity: Identity, jobs: Iterable[Seen]) -> Rejected:
    """Reads from the lake what jobs rejected, keyed by an identity."""
    keys: dict[str, set[str]] = {}
    unknown = set()
    for job_id, found in rejected_keys(stored, identity, jobs):
        unknown |= {job_id} if None in found else set()
        keys.setdefault(job_id, set()).update(key for key in found if key is not None)
    return Rejected({job_id: frozenset(found) for job_id, found in keys.items()}, frozenset(unknown))


def rejected_keys(stored: PartSet, identity: Identity, jobs: Iterable[Seen]) -> Iterator[tuple[str, set[str | None]]]:
    """The keys of rejected items, piece by piece: a job's id and different keys, None for keys that cannot be read."""
    times = {job.job_id: job.time for job in jobs if job.rejected}
    if not times:
        return
    for batch in stored.job_batches("rejected", _COLUMNS, times):
        found: dict[str, set[str | None]] = {}
        for job_id, item in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            found.setdefault(job_id, set()).add(find_key(item, identity))
        yield from found.items()


def find_key(item: bytes, identity: Identity) -> str | None:
    """The key of an item that cannot be loaded, without an occurrence number; None if it cannot be read."""
    try:
        text = item.decode(errors="replace")
        value = json.loads(text, parse_constant=lambda _: None) if identity.key else None
        # Items that have no key are known by their hash, which such an item does not have.
        (key,) = identity.keys([value], [""])
    except (ValueError, RecursionError):
        return None
    return None if not key or _UNREADABLE in key else key
