"""Tells numbers of the places of a list, which stay where they are while items move, from numbers of its items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import walk
from meter_pipeline.sync.items.samples import JobSample, place_of

# Pages that a list is long at most: numbers that begin further on are no places.
_MOST_PAGES = 100


def numbers_places(samples: Sequence[JobSample], path: Path) -> bool:
    """Whether a field numbers the places of items: 1, 2, 3 from the top, with the same start in every job."""
    in_place = total = 0
    offsets: dict[tuple[str, int], set[float]] = {}
    for sample in samples:
        numbers = np.array([place_of(walk(item, path)) for item in sample.values], np.float64)
        if len(numbers) < 2 or np.isnan(numbers).mean() > 0.5:
            return False
        if np.nanmin(numbers) > _MOST_PAGES * len(numbers):
            return False
        for direction in (1, -1):
            offset = numbers - direction * np.arange(len(numbers))
            offsets.setdefault((sample.target_id, direction), set()).add(float(np.nanmedian(offset)))
        differences = np.diff(numbers)
        in_place += int(max((differences == 1).sum(), (differences == -1).sum()))
        total += len(differences)
    targets = {target for target, _ in offsets}
    fixed = any(all(len(offsets[target, direction]) == 1 for target in targets) for direction in (1, -1))
    return fixed and in_place >= 0.9 * total
