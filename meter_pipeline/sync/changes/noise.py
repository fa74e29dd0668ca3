"""Finds noise in the change feed: fields that change in nearly every job for nearly every item, such as views.

Nothing is counted while jobs are loaded. The ledger's counts say which strategies have enough changes for one field to
be behind them; only their latest changes are read, and of a large job the first ones in the order of keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.ledger.busy import ComparedJob, find_busy_jobs, group_by_strategy
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.steps import MEMBER, Element, parse_steps

# A field is noise if it changed in this share of the comparisons, and for this share of the items in all of them.
_JOBS_SHARE, _ITEMS_SHARE = 0.9, 0.8
# Rows of changes per item below which no field can change that often; first jobs and added rows leave some room.
_BUSY_SHARE = 0.6
# Comparisons of a target, and items in all comparisons, that say enough.
_FEW_JOBS, _FEW_ITEMS = 5, 20
# Jobs of a target, targets of a strategy and rows of a job that are read at most.
_MOST_JOBS, _MOST_TARGETS, _MOST_ROWS = 20, 6, 2_000
_COLUMNS = ("job_id", "item_key", "kind", "field", "old_number", "new_number", "old_currency", "new_currency")
_NUMBERS, _CURRENCIES = _COLUMNS[4:6], _COLUMNS[6:]
_BY_ITEM = ["job", "path", "item", "is_measure"]
_COUNTED = ("job", "path", "item_count", "is_measure_max")
# Fields that a message names.
_NAMED, _NAME = 5, 60


@dataclass(frozen=True)
class NoisyField:
    """A field that changes in nearly every job for nearly every item.

    Attributes:
        path: Its path, as `ignore` in `meter.yaml` has it.
        jobs: Number of jobs in which it changed.
        share: Share of the items for which it changed, over all jobs.
    """

    path: str
    jobs: int
    share: float


@dataclass(frozen=True)
class Noise:
    """The noise of a strategy.

    Attributes:
        fields: The fields.
        jobs: Number of jobs that were compared with the one before.
        rule: The rule for `meter.yaml`; it holds the fields that are ignored already, too.
    """

    fields: tuple[NoisyField, ...]
    jobs: int
    rule: str

    @property
    def message(self) -> str:
        """What changes and what to do, in one line."""
        named = [f"{_shorten(field.path)} (in {field.jobs} of {self.jobs} jobs)" for field in self.fields[:_NAMED]]
        more = f" and {len(self.fields) - _NAMED} more" if len(self.fields) > _NAMED else ""
        return (
            f"fields that change in nearly every job for nearly every item: {', '.join(named)}{more}; where they are "
            f"noise, write `{self.rule}` into meter.yaml"
        )


@dataclass(frozen=True)
class FieldChanges:
    """How often fields changed between a job and the one before.

    Attributes:
        kept: Number of items in both jobs.
        changed: By path, number of items of which the field changed.
        measures: Paths of fields that hold amounts of money or fractions: their changes are news, however many.
    """

    kept: float
    changed: Mapping[str, float]
    measures: frozenset[str] = frozenset()


def find_noise(
    ledger: Ledger, lake: Lake, strategies: Iterable[StrategyRow], busy: Sequence[ComparedJob]
) -> dict[str, Noise]:
    """The noise of strategies, by slug; those without are absent.

    Args:
        ledger: The ledger.
        lake: The lake.
        strategies: The strategies.
        busy: The jobs that `find_candidates` found; without any, the lake need not be open.

    Raises:
        LakeError: Changes cannot be read.
    """
    jobs = group_by_strategy(busy)
    found: dict[str, Noise] = {}
    for strategy in strategies:
        sample = choose_jobs(jobs.get(strategy.strategy_id, ()))
        if sample:
            stored = lake.part_set(strategy.slug, ledger.parts_of(strategy.slug))
            noise = judge(list(_read_changes(stored, sample)), item_rules.load(strategy.identity).ignore)
            if noise is not None:
                found[strategy.slug] = noise
    return found


def find_candidates(ledger: Ledger, strategy_id: str | None = None) -> list[ComparedJob]:
    """Jobs of strategies that may have noise, by the counts of the ledger; `strategy_id`: only of this one."""
    return find_busy_jobs(ledger, latest=_MOST_JOBS, share=_BUSY_SHARE, strategy_id=strategy_id)


def choose_jobs(jobs: Sequence[ComparedJob]) -> list[ComparedJob]:
    """The jobs of some targets with enough comparisons; `jobs` are in order of target.

    Ids of targets are digests, so that the first ones are any of them.
    """
    targets = [list(group) for _, group in groupby(jobs, lambda job: job.target_id)]
    known = [target for target in targets if len(target) >= _FEW_JOBS]
    return [job for target in known[:_MOST_TARGETS] for job in target]


def judge(comparisons: Sequence[FieldChanges], ignored: Sequence[str] = ()) -> Noise | None:
    """The noise in comparisons of jobs; None if there is none. `ignored` are the paths that are ignored already."""
    compared = [one for one in comparisons if one.kept > 0]
    kept = sum(one.kept for one in compared)
    if len(compared) < _FEW_JOBS or kept < _FEW_ITEMS:
        return None
    measures = frozenset[str]().union(*(one.measures for one in compared))
    fields = []
    for path in sorted({path for one in compared for path in one.changed} - measures - set(ignored)):
        counts = [one.changed.get(path, 0) for one in compared]
        jobs, share = sum(map(bool, counts)), min(sum(counts) / kept, 1.0)
        if jobs >= _JOBS_SHARE * len(compared) and share >= _ITEMS_SHARE:
            fields.append(NoisyField(path, jobs, share))
    if not fields:
        return None
    return Noise(tuple(fields), len(compared), _spell_rule([*ignored, *(field.path for field in fields)]))


def _shorten(path: str) -> str:
    return path if len(path) <= _NAME else f"{path[: _NAME - 1]}…"


def _spell_rule(paths: Sequence[str]) -> str:
    import yaml

    listed = yaml.safe_dump(list(paths), default_flow_style=True, allow_unicode=True, width=float("inf"))
    return f"ignore: {listed.strip()}"


def _read_changes(stored: PartSet, jobs: Sequence[ComparedJob]) -> Iterator[FieldChanges]:
    """The changes of each job."""
    small = {job.job_id: job for job in jobs if job.changes <= _MOST_ROWS}
    rows = stored.job_rows("changes", _COLUMNS, {id_: job.time for id_, job in small.items()})
    yield from _count(rows, small)
    for job in jobs:
        if job.job_id not in small:
            yield from _count(_read_first(stored, job), {job.job_id: job})


def _read_first(stored: PartSet, job: ComparedJob) -> pa.Table:
    """The first changes of a large job; the rest of the file is not read."""
    batches, rows = [], 0
    for batch in stored.job_batches("changes", _COLUMNS, {job.job_id: job.time}):
        batches.append(batch.slice(0, _MOST_ROWS - rows))
        rows += batches[-1].num_rows
        if rows >= _MOST_ROWS:
            break
    return pa.Table.from_batches(batches) if batches else stored.job_rows("changes", _COLUMNS, {})


def _count(rows: pa.Table, jobs: Mapping[str, ComparedJob]) -> Iterator[FieldChanges]:
    """How often the fields changed in each of the jobs whose changes are the rows, or the first of them."""
    spelled = rows["field"].combine_chunks().dictionary_encode()
    paths = pa.array([_ignorable(field) for field in spelled.dictionary.to_pylist()], pa.string())
    numbers = [pc.fill_null(pc.not_equal(pc.floor(rows[name]), rows[name]), False) for name in _NUMBERS]
    currencies = [pc.is_valid(rows[name]) for name in _CURRENCIES]
    is_measure = pc.or_(pc.or_(*numbers), pc.or_(*currencies))
    table = pa.table(
        {
            "job": rows["job_id"],
            "item": rows["item_key"],
            "kind": rows["kind"],
            "path": paths.take(spelled.indices),
            "is_measure": is_measure,
        }
    )
    totals = _tally(table)
    added = _tally(table.filter(pc.equal(table["kind"], "added")))
    changed = table.filter(pc.and_(pc.equal(table["kind"], "changed"), pc.is_valid(table["path"])))
    # An array counts once for an item, however many of its elements changed.
    items = changed.group_by(["job", "path", "item"]).aggregate([("is_measure", "max")]).rename_columns(_BY_ITEM)
    counted = items.group_by(["job", "path"]).aggregate([("item", "count"), ("is_measure", "max")])
    by_job: dict[str, dict[str, float]] = {}
    measures: dict[str, set[str]] = {}
    for job_id, path, count, measured in zip(*(counted[name].to_pylist() for name in _COUNTED), strict=True):
        by_job.setdefault(job_id, {})[path] = count
        if measured:
            measures.setdefault(job_id, set()).add(path)
    for job_id, job in jobs.items():
        # Changes are in the order of keys: the first rows are about this share of the items.
        share = totals.get(job_id, 0) / job.changes if job.changes else 1.0
        kept = job.items * share - added.get(job_id, 0)
        yield FieldChanges(kept, by_job.get(job_id, {}), frozenset(measures.get(job_id, ())))


def _tally(rows: pa.Table) -> dict[str, int]:
    counted = rows.group_by("job").aggregate([([], "count_all")])
    return dict(zip(counted["job"].to_pylist(), counted["count_all"].to_pylist(), strict=True))


def _ignorable(field: str | None) -> str | None:
    """The path for `ignore` of a field of the feed, which goes through arrays; None for an element that came or went,
    and for an item that is no object.
    """
    if not field:
        return None
    steps = parse_steps(field)
    if isinstance(steps[-1], Element) and steps[-1] != MEMBER:
        return None
    return spell_path([step for step in steps if isinstance(step, str)])
