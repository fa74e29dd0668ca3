"""Takes over a lake of version 1 in place, without the API, whatever state a kill has left it in.

In version 1 files were replaced under their names, and no ledger listed them. A strategy's files are listed as they
are if they hold the rows of its jobs and nothing else. Otherwise its raw rows are kept as far as the ledger counts
them, and the others are derived from them again. A strategy is taken over in one commit: after a kill the next process
goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store import columns
from meter_pipeline.store.cleaning import TAKEN_OVER
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.lake import CHANGES, RAW, SCHEMAS, Lake
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.results import alike, results_schema
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.state import make_context, read_state
from meter_pipeline.sync.loading.updates import JobUpdate

# The fact that lists strategies, by slug, that a killed load of version 1 may have left half written.
_HALF_WRITTEN = "half_written"


def take_over(ledger: Ledger, lake: Lake) -> None:
    """Lists the files of a lake of version 1 in the ledger's manifest, and marks the lake as one of this version.

    Raises:
        StoreError: The lake or the ledger cannot be used, or a file is damaged.
    """
    with ledger.claims.waiting("takeover"):
        half_written = set(json.loads(ledger.fact(_HALF_WRITTEN) or "[]"))
        strategies = ledger.strategies()
        listed = ledger.parts([strategy.strategy_id for strategy in strategies])
        for strategy in strategies:
            if not listed[strategy.strategy_id]:
                _take_over_strategy(ledger, lake, strategy, is_clean=strategy.slug not in half_written)
        ledger.note(TAKEN_OVER, json.dumps([strategy.slug for strategy in strategies]))
        lake.mark()


def _take_over_strategy(ledger: Ledger, lake: Lake, strategy: StrategyRow, *, is_clean: bool) -> None:
    files = _OldFiles(lake, strategy.slug, ledger.name)
    rows = list(ledger.jobs(strategy.strategy_id, ("accepted", "held")))
    counts = {table: files.count_rows(table) for table in SCHEMAS}
    if not (is_clean and _are_whole(strategy, rows, counts, files)):
        _derive_again(ledger, lake, strategy, rows, files, counts["raw"])
        return
    parts = [part for table in SCHEMAS for part in files.adopt(table)]
    change = PartsChange(parts, (), _find_months(parts), now())
    updates = [
        JobUpdate(row.job_id, "accepted", changes=counts["changes"].get(row.job_id, 0))
        for row in rows
        if row.state == "accepted"
    ]
    ledger.commit(Commit(strategy.strategy_id, strategy.version, [update.as_row() for update in updates], change))


def _are_whole(strategy: StrategyRow, rows: list[JobRow], counts: Mapping[str, Counter[str]], files: _OldFiles) -> bool:
    """Whether the files hold the rows of the strategy's jobs, and no others."""
    accepted = [row for row in rows if row.state == "accepted"]
    schema = results_schema(columns.load(strategy.fields))
    return (
        counts["raw"] == Counter({row.job_id: row.items for row in rows if row.items})
        and counts["results"] == Counter({row.job_id: row.items for row in accepted if row.items})
        and counts["changes"].keys() <= {row.job_id for row in accepted}
        and not item_rules.is_pending(strategy.identity)
        and all(alike(found, schema) for found in files.schemas("results"))
        and all(alike(found, CHANGES) for found in files.schemas("changes"))
    )


def _derive_again(
    ledger: Ledger,
    lake: Lake,
    strategy: StrategyRow,
    rows: list[JobRow],
    files: _OldFiles,
    stored: Mapping[str, int],
) -> None:
    """Keeps the raw rows that the ledger counts, and derives the others from them."""
    kept = [row for row in rows if stored.get(row.job_id, 0) == (row.items or 0)]
    ids = {row.job_id for row in kept}
    lost = [JobUpdate(row.job_id, "known", reason=None, loaded_at=None) for row in rows if row.job_id not in ids]
    context = make_context(lake, ledger, strategy, [], Config(), Limits())
    context.draft.write("raw", files.read_raw(ids), RAW)
    accepted = [row for row in kept if row.state == "accepted"]
    rebuild_rows(context, read_state(context, is_first=not accepted), accepted, lost)


def _find_months(parts: list[Part]) -> dict[str, frozenset[str]]:
    months: dict[str, set[str]] = {}
    for part in parts:
        months.setdefault(part.table, set()).update(part.months())
    return {table: frozenset(found) for table, found in months.items()}


class _OldFiles:
    """A strategy's files of version 1, `<table>/strategy=<slug>/month=<YYYY-MM>/part-<number>.parquet`."""

    def __init__(self, lake: Lake, slug: str, owner: str) -> None:
        self._files = lake.files
        self._slug = slug
        self._owner = owner

    def names(self, table: str) -> list[str]:
        """The names of a table's files, in order of time."""
        found = self._files.find(part_files.folder_of(table, self._slug))
        return [name for name in found if "/month=" in name and name.endswith(part_files.ENDING)]

    def count_rows(self, table: str) -> Counter[str]:
        """Rows by job id."""
        found: Counter[str] = Counter()
        for _, file in self._open(table):
            for batch in file.iter_batches(columns=[ORDER[table].job]):
                for count in pc.value_counts(batch.column(0)).to_pylist():
                    found[count["values"]] += count["counts"]
        return found

    def schemas(self, table: str) -> Iterator[pa.Schema]:
        """The schema of each file."""
        for _, file in self._open(table):
            yield file.schema_arrow

    def read_raw(self, jobs: set[str]) -> Iterator[pa.Table]:
        """Raw rows of some jobs."""
        for _, file in self._open("raw"):
            for batch in part_files.scan_jobs(file, "raw", jobs):
                yield pa.Table.from_batches([batch])

    def adopt(self, table: str) -> Iterator[Part]:
        """Gives the files with rows new names, without a copy where that is possible, and describes them."""
        for name, file in self._open(table):
            if not file.metadata.num_rows:
                continue
            time = file.read(columns=[ORDER[table].time]).column(0)
            span = pc.min_max(time)
            first, last = (str(iso(span[end].as_py())) for end in ("min", "max"))
            new = part_files.name_part(table, self._slug, self._owner)
            self._files.adopt(name, new)
            schema = part_files.digest_schema(file.schema_arrow)
            yield Part(new, table, file.metadata.num_rows, self._files.size(name), first, last, schema)

    def _open(self, table: str) -> Iterator[tuple[str, pq.ParquetFile]]:
        for name in self.names(table):
            part = Part(name, table, 0, self._files.size(name), "", "", "")
            with part_files.reading_part(self._files, part) as file:
                yield name, file
