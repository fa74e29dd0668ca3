"""Finds values that come back after other jobs did not have them, to see whether the items come back with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meter_pipeline.sync.items.coding import Coded, Codes, Mask
from meter_pipeline.sync.items.partners import thin
from meter_pipeline.sync.items.samples import JobSample

# Of more values than these that came back in a job, some are compared.
_MOST_COMPARED = 32


def find_returns(
    samples: Sequence[JobSample], columns: Sequence[Coded], matrices: Sequence[Codes], fields: Codes
) -> Mask:
    """For each value that came back, and each of some fields, whether the item has the same value as before.

    Args:
        samples: Samples in order of time.
        columns: The values in each sample.
        matrices: The codes of all fields in each sample.
        fields: The columns of these that are compared.
    """
    seen: dict[str, tuple[int, Codes, Codes]] = {}
    found: list[Mask] = []
    for number, (sample, column) in enumerate(zip(samples, columns, strict=True)):
        size = len(column.counts)
        last, jobs, rows = seen.get(sample.target_id, (-1, np.full(size, -1), np.zeros(size, np.int64)))
        places = np.flatnonzero(column.is_once[column.codes])
        codes = column.codes[places]
        came_back = thin(np.flatnonzero((jobs[codes] >= 0) & (jobs[codes] != last)), _MOST_COMPARED)
        for at in came_back.tolist():
            before = matrices[jobs[codes[at]]][rows[codes[at]], fields]
            found.append(before == matrices[number][places[at], fields])
        jobs[codes], rows[codes] = number, places
        seen[sample.target_id] = number, jobs, rows
    return np.array(found, np.bool_).reshape(-1, len(fields))
