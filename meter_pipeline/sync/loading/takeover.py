"""Takes over a lake of an older version in place, without the API, whatever state a kill has left it in.

In version 1 files were replaced under their names, and no ledger listed them. A strategy's raw files are listed as they
are if they hold the rows of its jobs and nothing else, and otherwise written again as far as the ledger counts their
rows. Results and changes of versions 1 and 2 have no values that were read from texts: they are derived from raw again.
A strategy is always as it was or as it will be: after a kill the next process goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.cleaning import TAKEN_OVER
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.items import readings
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.state import make_context, open_context, read_state
from meter_pipeline.sync.loading.updates import JobUpdate

# The fact that lists strategies, by slug, that a killed load of version 1 may have left half written.
_HALF_WRITTEN = "half_written"
_ORDER = ORDER["raw"]


def take_over(ledger: Ledger, lake: Lake) -> None:
    """Makes a lake one of this version: all files listed in the ledger's manifest, all rows as this version makes them.

    Raises:
        StoreError: The lake or the ledger cannot be used, or a file is damaged.
    """
    with ledger.claims.waiting("takeover"):
        half_written = set(json.loads(ledger.fact(_HALF_WRITTEN) or "[]"))
        strategies = ledger.strategies()
        if lake.version == 1:
            listed = ledger.parts([strategy.strategy_id for strategy in strategies])
            for strategy in strategies:
                if not listed[strategy.strategy_id]:
                    _take_over_raw(ledger, lake, strategy, is_clean=strategy.slug not in half_written)
            ledger.note(TAKEN_OVER, json.dumps([strategy.slug for strategy in strategies]))
        for strategy in strategies:
            context = open_context(lake, ledger, strategy.strategy_id)
            if readings.load(context.strategy.readings) is None:
                rebuild_rows(context, read_state(context))
        lake.mark()


def _take_over_raw(ledger: Ledger, lake: Lake, strategy: StrategyRow, *, is_clean: bool) -> None:
    """Lists a strategy's raw files, or keeps the raw rows that the ledger counts and derives the others from them."""
    files = _OldRawFiles(lake, strategy.slug, ledger.name)
    rows = list(ledger.jobs(strategy.strategy_id, ("accepted", "held")))
    stored = files.count_rows()
    if is_clean and stored == Counter({row.job_id: row.items for row in rows if row.items}):
        parts = list(files.adopt())
        months = frozenset(month for part in parts for month in part.months())
        change = PartsChange(parts, (), {"raw": months} if parts else {}, now())
        ledger.commit(Commit(strategy.strategy_id, strategy.version, (), change))
        return
    kept = [row for row in rows if stored.get(row.job_id, 0) == (row.items or 0)]
    ids = {row.job_id for row in kept}
    lost = [JobUpdate(row.job_id, "known", reason=None, loaded_at=None) for row in rows if row.job_id not in ids]
    context = make_context(lake, ledger, strategy, [], Config(), Limits(), swept_at=ledger.swept_at)
    context.draft.write("raw", files.read(ids), RAW)
    accepted = [row for row in kept if row.state == "accepted"]
    rebuild_rows(context, read_state(context, is_first=not accepted), accepted, lost)


class _OldRawFiles:
    """A strategy's raw files of version 1, `raw/strategy=<slug>/month=<YYYY-MM>/part-<number>.parquet`."""

    def __init__(self, lake: Lake, slug: str, owner: str) -> None:
        self._files = lake.files
        self._slug = slug
        self._owner = owner

    def count_rows(self) -> Counter[str]:
        """Rows by job id."""
        found: Counter[str] = Counter()
        for _, file in self._open():
            for batch in file.iter_batches(columns=[_ORDER.job]):
                for count in pc.value_counts(batch.column(0)).to_pylist():
                    found[count["values"]] += count["counts"]
        return found

    def read(self, jobs: set[str]) -> Iterator[pa.Table]:
        """Rows of some jobs."""
        for _, file in self._open():
            for batch in part_files.scan_jobs(file, "raw", jobs):
                yield pa.Table.from_batches([batch])

    def adopt(self) -> Iterator[Part]:
        """Gives the files with rows new names, without a copy where that is possible, and describes them."""
        for name, file in self._open():
            if not file.metadata.num_rows:
                continue
            span = pc.min_max(file.read(columns=[_ORDER.time]).column(0))
            first, last = (str(iso(span[end].as_py())) for end in ("min", "max"))
            new = part_files.name_part("raw", self._slug, self._owner)
            self._files.adopt(name, new)
            schema = part_files.digest_schema(file.schema_arrow)
            yield Part(new, "raw", file.metadata.num_rows, self._files.size(name), first, last, schema)

    def _open(self) -> Iterator[tuple[str, pq.ParquetFile]]:
        for name in self._files.find(part_files.folder_of("raw", self._slug)):
            if "/month=" in name and name.endswith(part_files.ENDING):
                part = Part(name, "raw", 0, self._files.size(name), "", "", "")
                with part_files.reading_part(self._files, part) as file:
                    yield name, file
