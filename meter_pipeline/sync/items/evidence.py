"""Measures what the fields of an item's samples do from job to job: the evidence for and against each as a key.

Under a right key the items that two jobs have in common agree in most of their other fields, more than items paired by
chance would. Under a rank they do not, once the list moves. And under a price, items that are the same in all else
turn up with another one: the field changes of its own. Both are measured between consecutive jobs of a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.pairing import (
    Pairs,
    absent,
    chance_of,
    count_shared,
    join_marks,
    pair_marks,
    pair_values,
    rank_numbers,
)
from meter_pipeline.sync.items.samples import Column, JobSample, Marks, join_columns

Fields = tuple[Path, ...]
"""The paths of a candidate."""

# A field whose values agree no more often than this above chance, however items are paired, is new in every job.
_STEADY = 0.2
# A field whose values repeat within a job, and as often as this from job to job, is a property of items that stay.
_LASTING = 0.9
# A field with the same value nearly everywhere tells nothing about a pairing.
_INFORMATIVE = 0.9
# A candidate is believed about another one only if its own pairs agree this well.
_TRUSTED = 0.4
_FEW_PAIRS = 4
_MOST_OTHERS, _MOST_RIVALS = 48, 4
# Repeats that independent fields would have had, and the share of these that still counts as none.
_SURPRISING, _SELDOM = 3.0, 0.25


@dataclass
class Measures:
    """What is known about a candidate; counts are sums over all jobs or all pairs of consecutive jobs.

    Attributes:
        items: Number of sampled items.
        present: Number of those with a value in each field.
        repeated: Number of those whose value an earlier item of the job has.
        most_items: Items of the largest sample.
        most_values: Different values in the job that has most.
        matched: Pairs of items with the same value in consecutive jobs.
        changed: Those of them of which another field changed.
        smaller: Items with a value in the smaller job of each pair, of which all could match if none came or left.
        agreement: Share of the other fields that agree in the pairs, 0 as often as by chance and 1 always; None where
            no other field tells anything.
        changes: Estimated number of items that kept all else and changed this value.
        recognised: Number of items among which these changes were found.
        checked: Number of items that were recognised without it, by other fields.
        is_by_ranks: Whether the agreement is that of the order of numbers, since no value stays the same.
        is_position: Whether the values number the items' places from the same start in every job.
    """

    items: int = 0
    present: int = 0
    repeated: float = 0.0
    most_items: int = 0
    most_values: int = 0
    matched: int = 0
    changed: int = 0
    smaller: float = 0.0
    agreement: float | None = None
    changes: float = 0.0
    recognised: float = 0.0
    checked: int = 0
    is_position: bool = False
    is_by_ranks: bool = False

    @property
    def presence(self) -> float:
        """Share of items with a value."""
        return self.present / self.items if self.items else 0.0

    @property
    def uniqueness(self) -> float:
        """Share of values that no earlier item of the job has."""
        return 1 - self.repeated / self.present if self.present else 0.0

    @property
    def is_trusted(self) -> bool:
        """Whether its pairs are good enough to tell of other candidates that they change."""
        is_good = self.agreement is not None and self.agreement >= _TRUSTED
        return is_good and not self.is_by_ranks and not self.is_position

    @property
    def loss(self) -> float:
        """Share of recognised items whose value changed."""
        return min(self.changes / self.recognised, 1.0) if self.recognised else 0.0


@dataclass
class _Step:
    """Two consecutive samples of a target."""

    old: JobSample
    new: JobSample
    pairs: dict[Fields, Pairs] = field(default_factory=dict)
    chance: dict[Path, float] = field(default_factory=dict)


class Evidence:
    """Measures candidates over jobs.

    Args:
        samples: Samples of jobs, in order of time within each target.
        ordered: Whether the order of the items is the page's own.
    """

    def __init__(self, samples: Sequence[JobSample], *, ordered: bool = True) -> None:
        self.samples = samples
        self._ordered = ordered
        self.paths: tuple[Path, ...] = tuple(dict.fromkeys(path for sample in samples for path in sample.columns))
        self._steps = _consecutive(samples)
        self._columns: dict[tuple[int, Fields], Column] = {}
        for step in self._steps:
            for path in self.paths:
                step.chance[path] = chance_of(self._column(step.old, (path,)), self._column(step.new, (path,)))
        self._overlaps: dict[Path, float] = {}
        telling = [path for path in self.paths if any(step.chance[path] < _INFORMATIVE for step in self._steps)]
        if len(telling) > _MOST_OTHERS:
            # Beyond some dozens, more fields tell no more; but those that move must be among them.
            moving = [path for path in telling if self.overlap(path) < 1][: _MOST_OTHERS // 2]
            telling = list(islice(dict.fromkeys((*moving, *telling)), _MOST_OTHERS))
        # The fields that tell whether two items are the same.
        self._others: tuple[Path, ...] = tuple(telling)
        self._above: dict[tuple[Fields, Path], tuple[float, float]] = {}
        self._marks: dict[tuple[int, frozenset[Path]], Marks] = {}

    @property
    def steps(self) -> int:
        """Number of pairs of consecutive jobs."""
        return len(self._steps)

    def _column(self, sample: JobSample, fields: Fields) -> Column:
        key = (id(sample), fields)
        column = self._columns.get(key)
        if column is None:
            column = join_columns([self._column(sample, (path,)) for path in fields]) if len(fields) > 1 else None
            column = column or sample.columns.get(fields[0]) or absent(len(sample.values))
            self._columns[key] = column
        return column

    def columns(self, fields: Fields) -> list[Column]:
        """The candidate's values in each sample."""
        return [self._column(sample, fields) for sample in self.samples]

    def overlap(self, path: Path) -> float:
        """Share of a field's values that the next job has as often: 0 for a field that is new in every job."""
        if path in self._overlaps:
            return self._overlaps[path]
        shared = total = 0
        for step in self._steps:
            old, new = self._column(step.old, (path,)), self._column(step.new, (path,))
            shared += count_shared(old.marks[old.present], new.marks[new.present])
            total += min(int(old.present.sum()), int(new.present.sum()))
        self._overlaps[path] = shared / total if total else 0.0
        return self._overlaps[path]

    def count(self, fields: Fields) -> Measures:
        """What each job alone shows about a candidate: presence and uniqueness."""
        measures = Measures()
        for sample in self.samples:
            column = self._column(sample, fields)
            present = int(column.present.sum())
            measures.items += len(column.present)
            measures.present += present
            measures.repeated += sample.repeats(column) * present
            measures.most_items = max(measures.most_items, len(column.present))
            measures.most_values = max(measures.most_values, column.distinct)
        return measures

    def belong_together(self, fields: Fields) -> bool:
        """Whether fields repeat together much less often than they would if each had its values independently."""
        for sample in self.samples:
            columns = [self._column(sample, (path,)) for path in fields]
            count = len(sample.values)
            expected = count * (count - 1) / 2 * float(np.prod([column.collisions for column in columns]))
            observed = count * (count - 1) / 2 * self._column(sample, fields).collisions
            if expected >= _SURPRISING and observed <= _SELDOM * expected:
                return True
        return False

    def compare(self, candidates: Mapping[Fields, Measures]) -> None:
        """Adds what consecutive jobs show about candidates to their measures."""
        for fields, measures in candidates.items():
            measures.is_position = self._ordered and len(fields) == 1 and self._numbers_places(fields)
            for step in self._steps:
                old, new = self._column(step.old, fields), self._column(step.new, fields)
                step.pairs[fields] = pair_values(old, new)
                measures.matched += len(step.pairs[fields].old)
                measures.smaller += min(int(old.present.sum()), int(new.present.sum())) * step.new.share
                measures.changed += self._changed(step, fields)
        steady = self._steady_fields(candidates)
        for fields, measures in candidates.items():
            measures.agreement, measures.is_by_ranks = self._agreement(fields, steady)
        trusted = [fields for fields, measures in candidates.items() if measures.is_trusted]
        rivals = sorted(trusted, key=lambda fields: (-(candidates[fields].agreement or 0), -candidates[fields].matched))
        for fields, measures in candidates.items():
            self._add_changes(fields, measures, rivals[:_MOST_RIVALS], steady)

    def _numbers_places(self, fields: Fields) -> bool:
        """Whether a field numbers the places of items: 1, 2, 3 from the top, with the same start in every job."""
        in_place = total = 0
        offsets: dict[tuple[str, int], set[float]] = {}
        for sample in self.samples:
            column = self._column(sample, fields)
            numbers = column.places
            if len(numbers) < 2 or np.isnan(numbers).mean() > 0.5:
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

    def _changed(self, step: _Step, fields: Fields) -> int:
        pairs = step.pairs[fields]
        changed = np.zeros(len(pairs.old), np.bool_)
        for path in self._others:
            # A field with one value for all items tells when the job ran, and nothing about items.
            if path not in fields and step.chance[path] < _INFORMATIVE:
                changed |= ~self._equal(step, pairs, path)
        return int(changed.sum())

    def _equal(self, step: _Step, pairs: Pairs, path: Path) -> npt.NDArray[np.bool_]:
        old, new = self._column(step.old, (path,)), self._column(step.new, (path,))
        return np.asarray(old.marks[pairs.old] == new.marks[pairs.new])

    def _steady_fields(self, candidates: Mapping[Fields, Measures]) -> set[Path]:
        """Fields that agree above chance in the pairs of some candidate, or have the same values in every job."""
        steady: set[Path] = set()
        for path in self._others:
            if self.count((path,)).uniqueness < _LASTING <= self.overlap(path):
                steady.add(path)
                continue
            for fields in candidates:
                if path in fields:
                    continue
                above, weight = self._above_chance(fields, path)
                if weight and above / weight >= _STEADY:
                    steady.add(path)
                    break
        return steady

    def _above_chance(self, fields: Fields, path: Path) -> tuple[float, float]:
        """How much more often a field agrees in a candidate's pairs than by chance, and how much it could."""
        known = self._above.get((fields, path))
        if known is not None:
            return known
        above = weight = 0.0
        for step in self._steps:
            pairs, chance = step.pairs[fields], step.chance[path]
            if len(pairs.old) and chance < _INFORMATIVE:
                above += float(self._equal(step, pairs, path).sum()) - chance * len(pairs.old)
                weight += (1 - chance) * len(pairs.old)
        self._above[fields, path] = above, weight
        return above, weight

    def _agreement(self, fields: Fields, steady: set[Path]) -> tuple[float | None, bool]:
        """The agreement of the other fields, and whether it is that of the order of numbers alone."""
        above = weight = 0.0
        for path in self._others:
            if path in steady and path not in fields:
                own, most = self._above_chance(fields, path)
                above, weight = above + own, weight + most
        if not weight:
            # Every other field moves in every job: what is a number then still moves with the item.
            ranks = [rank for path in self._others if path not in fields for rank in self._rank_agreement(fields, path)]
            return (float(np.median(ranks)) if ranks else None), True
        return max(above / weight, 0.0), False

    def _rank_agreement(self, fields: Fields, path: Path) -> list[float]:
        """How alike the order of a field's numbers is in the old and the new items of pairs, job by job."""
        found = []
        for step in self._steps:
            pairs = step.pairs[fields]
            old = self._column(step.old, (path,)).numbers[pairs.old]
            new = self._column(step.new, (path,)).numbers[pairs.new]
            both = ~(np.isnan(old) | np.isnan(new))
            old, new = old[both], new[both]
            if len(old) >= _FEW_PAIRS and len(np.unique(old)) > 2 and len(np.unique(new)) > 2:
                found.append(max(float(np.corrcoef(rank_numbers(old), rank_numbers(new))[0, 1]), 0.0))
        return found

    def _add_changes(self, fields: Fields, measures: Measures, rivals: Sequence[Fields], steady: set[Path]) -> None:
        """Counts items that are recognised without the candidate and have another value of it."""
        changes, recognised, measures.checked = self._changes_by_rest(fields, steady)
        found = [(changes, recognised)]
        for rival in rivals:
            if not set(rival) & set(fields):
                found.append(self._changes_by_rival(fields, rival, steady))
                measures.checked = max(measures.checked, int(found[-1][1]))
        measures.changes, measures.recognised = max(found, key=lambda pair: (_rate(pair), pair[1]))

    def _changes_by_rival(self, fields: Fields, rival: Fields, steady: set[Path]) -> tuple[float, float]:
        """Changes of a candidate in the pairs of another one, where these agree in other fields."""
        changes = recognised = 0
        rest = [path for path in self._others if path in steady and path not in fields and path not in rival]
        for step in self._steps:
            pairs = step.pairs[rival]
            old, new = self._column(step.old, fields), self._column(step.new, fields)
            known = old.present[pairs.old] & new.present[pairs.new]
            agree, weight = np.zeros(len(pairs.old)), 0.0
            for path in rest:
                agree += (1 - step.chance[path]) * self._equal(step, pairs, path)
                weight += 1 - step.chance[path]
            known &= agree >= 0.5 * weight
            recognised += int(known.sum())
            changes += int((known & (old.marks[pairs.old] != new.marks[pairs.new])).sum())
        return float(changes), float(recognised)

    def _changes_by_rest(self, fields: Fields, steady: set[Path]) -> tuple[float, float, int]:
        """Changes of a candidate in items that are otherwise the same, beyond those that chance explains."""
        rest = [path for path in self._others if path and path in steady and path not in fields]
        found, again_found, explained, recognised, checked = 0, 0, 0.0, 0.0, 0
        if not rest:
            return 0.0, 0.0, 0
        for step in self._steps:
            old, new = self._column(step.old, fields), self._column(step.new, fields)
            others = [self._rest_marks(sample, fields, steady) for sample in (step.old, step.new)]
            chance = float(np.prod([step.chance[path] for path in rest]))
            pairs = pair_marks(others[0], others[1])
            known = old.present[pairs.old] & new.present[pairs.new]
            differs = int((known & (old.marks[pairs.old] != new.marks[pairs.new])).sum())
            # Items that found no partner by the candidate, and whose other fields another one of these has.
            own = step.pairs[fields]
            gone = np.flatnonzero(old.present & ~np.isin(old.marks, new.marks))
            come = np.flatnonzero(new.present & ~np.isin(new.marks, old.marks))
            expected = min(len(gone), len(come), len(gone) * len(come) * chance)
            again = count_shared(others[0][gone], others[1][come])
            found, again_found, explained = found + differs, again_found + again, explained + expected
            recognised += max(int(known.sum()), len(own.old) + again)
            checked += int(known.sum())
        return max(max(found, again_found) - 1.2 * explained, 0.0), recognised, checked

    def _rest_marks(self, sample: JobSample, fields: Fields, steady: set[Path]) -> Marks:
        """A hash of each item's values in the steady fields other than the candidate's."""
        parts = [path for path in self._others if path and path in steady]
        key = (id(sample), frozenset(parts))
        if key not in self._marks:
            self._marks[key] = join_marks([self._column(sample, (path,)) for path in parts])
        own = [self._column(sample, (path,)) if path in fields else None for path in parts]
        return self._marks[key] - join_marks(own, len(sample.values))


def _rate(pair: tuple[float, float]) -> float:
    return pair[0] / pair[1] if pair[1] else 0.0


def _consecutive(samples: Sequence[JobSample]) -> list[_Step]:
    last: dict[str, JobSample] = {}
    steps = []
    for sample in samples:
        if sample.target_id in last:
            steps.append(_Step(last[sample.target_id], sample))
        last[sample.target_id] = sample
    return steps
