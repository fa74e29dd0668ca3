"""Measures what the fields of an item's samples do from job to job: the evidence for and against each as a key.

Under a right key the items that two jobs have in common agree in most of their other fields, more than items paired by
chance would. Under a rank they do not, once the list moves. And under a price, items that are the same in all else
turn up with another one: the field changes of its own. Both are measured between consecutive jobs of a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.agreement import agree_above_chance, agree_in_order, copies_agree
from meter_pipeline.sync.items.chance import beyond_chance, bound
from meter_pipeline.sync.items.coding import (
    CodeBook,
    Coded,
    CodedJob,
    Codes,
    Mask,
    Numbers,
    code_jobs,
    find_doubles,
    join_fields,
    walk,
)
from meter_pipeline.sync.items.comparisons import Fields, Step, list_consecutive
from meter_pipeline.sync.items.measures import Measures
from meter_pipeline.sync.items.pairing import pair_codes, pair_marks
from meter_pipeline.sync.items.partners import Partners, thin, weigh_fields
from meter_pipeline.sync.items.places import numbers_places
from meter_pipeline.sync.items.replacements import FEW_REPLACED, count_others, measure_replaced
from meter_pipeline.sync.items.returns import find_returns
from meter_pipeline.sync.items.samples import BLOCK_ITEMS, TARGET_PATH, JobSample, mix

# A field whose values agree no more often than this above chance, however items are paired, is new in every job.
_STEADY = 0.2
# A field whose values repeat within a job, and as often as this from job to job, is a property of items that stay.
_LASTING = 0.9
# With fewer items that were recognised by their other fields, another candidate is asked.
_FEW_CHECKED = 20
_MOST_OTHERS, _MOST_RIVALS = 48, 4
# Repeats that independent fields would have had, and the share of these that still counts as none.
_SURPRISING, _SELDOM = 3.0, 0.25


class Evidence:
    """Measures candidates over jobs.

    Args:
        samples: Samples of jobs, in order of time within each target.
        ordered: Whether the order of the items is the page's own.
        book: Codes that are known from other samples of the search.
    """

    def __init__(self, samples: Sequence[JobSample], *, ordered: bool = True, book: CodeBook | None = None) -> None:
        self.samples = samples
        self._ordered = ordered
        coded = code_jobs(samples, book or CodeBook())
        self.paths, self._jobs, self._is_fit = coded.paths, coded.jobs, coded.is_fit
        self._places = {path: place for place, path in enumerate(self.paths)}
        self._steps = [Step(old, new, self._jobs) for old, new in list_consecutive(samples)]
        self._coded: dict[Fields, list[Coded]] = {}
        self._counted: dict[Fields, Measures] = {}
        width = len(self.paths)
        smaller = sum((step.smaller for step in self._steps), np.zeros(width))
        shared = sum((step.shared for step in self._steps), np.zeros(width))
        self._overlap = np.divide(shared, smaller, out=np.zeros(width), where=smaller > 0)
        self._placed: dict[Fields, bool] = {}
        #: The fields that tell whether two items are the same.
        self._others = self._choose_others()
        #: The fields whose changes are changes of items: those, and all that are alike in nearly all items.
        self._movable = self._others | ~sum((step.tells for step in self._steps), np.zeros(width, np.bool_))
        self._above: dict[Fields, tuple[Numbers, Numbers]] = {}
        self._weighed: dict[Fields, tuple[Numbers, Numbers]] = {}
        self._marks: dict[int, Codes] = {}
        # In how many pairs of items of the same job each field agrees, and the number of these pairs.
        self._alike = sum((_count_alike(job) for job in self._jobs), np.zeros(width))
        self._combinations = sum(len(job) * (len(job) - 1) // 2 for job in self._jobs)
        self._are_words, self._are_times = coded.are_words, coded.are_times

    @property
    def steps(self) -> int:
        """Number of pairs of consecutive jobs."""
        return len(self._steps)

    def _choose_others(self) -> Mask:
        chosen = np.zeros(len(self.paths), np.bool_)
        for step in self._steps:
            chosen |= step.tells
        # The place of an item is that of the list: what comes to it after an item left, has it, too.
        chosen[[place for place in np.flatnonzero(chosen) if self._is_place(int(place))]] = False
        telling = np.flatnonzero(chosen)
        if len(telling) > _MOST_OTHERS:
            # Beyond some dozens, more fields tell no more; but those that move must be among them.
            moving = telling[self._overlap[telling] < 1][: _MOST_OTHERS // 2]
            telling = np.array(list(dict.fromkeys([*moving.tolist(), *telling.tolist()]))[:_MOST_OTHERS])
            chosen[:] = False
            chosen[telling] = True
        return chosen

    def _columns(self, fields: Fields) -> list[Coded]:
        """The candidate's values in each sample."""
        found = self._coded.get(fields)
        if found is None:
            places = [self._places.get(path) for path in fields]
            known = [place for place in places if place is not None]
            if len(known) < len(places):
                found = [Coded.of(np.zeros(len(job), np.int64), 1) for job in self._jobs]
            elif len(known) == 1:
                found = [job.column(known[0]) for job in self._jobs]
            else:
                found = join_fields(self._jobs, known)
            self._coded[fields] = found
        return found

    def values(self, path: Path) -> list[Any]:
        """The values of a field in the job that has most different ones."""
        most = max(range(len(self._jobs)), key=lambda number: self._columns((path,))[number].distinct)
        return [value for item in self.samples[most].values if (value := walk(item, path)) not in (None, "")]

    def is_fit(self, fields: Fields) -> bool:
        """Whether a candidate's values could identify items: text or whole numbers, and no amounts of money."""
        return all(bool(self._is_fit[self._places[path]]) for path in fields if path in self._places)

    def is_time(self, path: Path) -> bool:
        """Whether a field's values are dates and times in texts."""
        return bool(self._are_times[self._places[path]])

    def overlap(self, path: Path) -> float:
        """Share of a field's values that the next job has as often: 0 for a field that is new in every job."""
        return float(self._overlap[self._places[path]])

    def count(self, fields: Fields) -> Measures:
        """What each job alone shows about a candidate: presence and uniqueness."""
        measures = self._counted.get(fields)
        if measures is None:
            measures = self._counted[fields] = Measures()
            place = self._places.get(fields[0]) if len(fields) == 1 else None
            coded = None if place is not None else self._columns(fields)
            for number, job in enumerate(self._jobs):
                if coded is None:
                    present, distinct = int(job.present[place]), int(job.distinct[place])
                else:
                    present, distinct = coded[number].present, coded[number].distinct
                measures.items += len(job)
                measures.present += present
                if distinct < present:
                    measures.repeated += self._repeats(fields, number, present, distinct)
                measures.most_items = max(measures.most_items, len(job))
                measures.most_values = max(measures.most_values, distinct)
        return measures

    def _repeats(self, fields: Fields, number: int, present: int, distinct: int) -> float:
        """Estimated number of values of a job that an earlier item has."""
        sample = self.samples[number]
        repeated = float(present - distinct)
        if len(sample.values) < sample.items:
            # Two copies in one block are always seen together, two in different blocks seldom.
            codes = self._columns(fields)[number].codes
            at = np.flatnonzero(codes)
            apart = len(np.unique(codes[at] + mix(at // BLOCK_ITEMS))) - distinct
            repeated += apart * (1 / sample.share - 1)
        return min(repeated, float(present))

    def belong_together(self, fields: Fields) -> bool:
        """Whether fields repeat together much less often than they would if each had its values independently."""
        together = self._columns(fields)
        alone = [self._columns((path,)) for path in fields]
        for number, job in enumerate(self._jobs):
            pairs = len(job) * (len(job) - 1) / 2
            expected = pairs * float(np.prod([columns[number].collisions for columns in alone]))
            if expected >= _SURPRISING and pairs * together[number].collisions <= _SELDOM * expected:
                return True
        return False

    def compare(self, candidates: Mapping[Fields, Measures]) -> None:
        """Adds what consecutive jobs show about candidates to their measures."""
        for fields, measures in candidates.items():
            measures.is_position = self._is_position(fields)
            columns, movable = self._columns(fields), self._without(self._movable, fields)
            for step in self._steps:
                old, new = columns[step.old], columns[step.new]
                pairs = step.pairs[fields] = pair_codes(old, new)
                measures.matched += len(pairs.old)
                measures.met += len(pairs.old) > 0
                measures.smaller += min(old.present, new.present) * self.samples[step.new].share
                measures.changed += int((~step.equal(fields)[:, movable & ~step.is_of_job]).any(axis=1).sum())
            self._above[fields] = agree_above_chance(self._steps, fields, len(self.paths))
        steady = self._steady_fields(candidates)
        for fields, measures in candidates.items():
            measures.agreement, measures.is_by_ranks = self._agreement(fields, steady)
            measures.are_copies = measures.repeated > 0 and self.are_copies(fields)
        trusted = [fields for fields, measures in candidates.items() if measures.is_trusted]
        rivals = sorted(trusted, key=lambda fields: (-(candidates[fields].agreement or 0), -candidates[fields].matched))
        for fields, measures in candidates.items():
            self._add_changes(fields, measures, rivals[:_MOST_RIVALS], steady)

    def name_same_items(self, fields: Fields, others: Fields) -> bool:
        """Whether two candidates that were compared have paired the same items in all jobs."""
        pairs = ((step.pairs[fields], step.pairs[others]) for step in self._steps)
        return all(np.array_equal(own.old, other.old) and np.array_equal(own.new, other.new) for own, other in pairs)

    def _others_than(self, fields: Fields, among: Mask | None = None) -> Mask:
        """The fields that tell whether two items are the same without some of them."""
        return self._without(self._others if among is None else self._others & among, fields)

    def _without(self, chosen: Mask, fields: Fields) -> Mask:
        chosen = chosen.copy()
        chosen[[self._places[path] for path in fields if path in self._places]] = False
        return chosen

    def _steady_fields(self, candidates: Mapping[Fields, Measures]) -> Mask:
        """Fields that agree above chance in the pairs of some candidate, or have the same values in every job."""
        repeating = np.array([self.count((path,)).uniqueness < _LASTING for path in self.paths], np.bool_)
        steady = self._others & repeating & (self._overlap >= _LASTING)
        for fields in candidates:
            above, weight = self._above[fields]
            steady |= self._others_than(fields) & (weight > 0) & (above >= _STEADY * weight)
        return steady

    def _agreement(self, fields: Fields, steady: Mask) -> tuple[float | None, bool]:
        """The agreement of the other fields, and whether it is that of the order of numbers alone."""
        others = self._others_than(fields, steady)
        above, weight = (float(numbers[others].sum()) for numbers in self._above[fields])
        if weight:
            return max(above / weight, 0.0), False
        # Every other field moves in every job: what is a number then still moves with the item.
        paths = [self.paths[place] for place in np.flatnonzero(self._others_than(fields))]
        ranks = [rank for path in paths for rank in agree_in_order(self._steps, self.samples, fields, path)]
        return (float(np.median(ranks)) if ranks else None), True

    def are_copies(self, fields: Fields) -> bool:
        """Whether items with the same value are whole items that repeat: alike in their other fields, above chance."""
        # What is new in every job differs between copies, too.
        others = self._others_than(fields) & (self._overlap >= _STEADY)
        return copies_agree(self._jobs, self._columns(fields), others)

    def _add_changes(self, fields: Fields, measures: Measures, rivals: Sequence[Fields], steady: Mask) -> None:
        """Counts items that are recognised without the candidate and have another value of it."""
        changes, recognised, measures.checked, most = self._changes_by_rest(fields, steady)
        partners = self._seek_partners(fields, steady)
        measures.unsettled = partners.unsettled
        measures.replaced = self._replaced(fields, steady)
        measures.reused = self._reused(fields, steady)
        found = [
            (changes, recognised),
            (beyond_chance(partners.found, partners.explained), measures.matched + partners.found),
        ]
        bounds = [most] if measures.checked >= _FEW_CHECKED else []
        for rival in rivals:
            if not set(rival) & set(fields):
                found.append(self._changes_by_rival(fields, rival, steady))
                measures.checked = max(measures.checked, int(found[-1][1]))
                bounds.append(bound(found[-1][0], found[-1][0], found[-1][1]))
        measures.unsure = bounds[0] if bounds else 1.0
        measures.changes, measures.recognised = max(found, key=lambda pair: (_rate(pair), pair[1]))

    def _changes_by_rival(self, fields: Fields, rival: Fields, steady: Mask) -> tuple[float, float]:
        """Changes of a candidate in the pairs of another one, where these agree in other fields."""
        changes = recognised = 0
        columns, rest = self._columns(fields), np.flatnonzero(self._others_than((*fields, *rival), steady))
        agree, differ = self._weigh(rival)
        for step in self._steps:
            pairs = step.pairs[rival]
            old, new = columns[step.old].codes[pairs.old], columns[step.new].codes[pairs.new]
            odds = np.where(step.equal(rival)[:, rest], agree[rest], differ[rest]).sum(axis=1)
            known = (old > 0) & (new > 0) & (odds >= 0)
            recognised += int(known.sum())
            changes += int((known & (old != new)).sum())
        return float(changes), float(recognised)

    def _changes_by_rest(self, fields: Fields, steady: Mask) -> tuple[float, float, int, float]:
        """Changes of a candidate in items that are otherwise the same, beyond those that chance explains."""
        others = self._others_than((*fields, TARGET_PATH), steady)
        rest = np.flatnonzero(others)
        found, again_found, explained, recognised, checked = 0, 0, 0.0, 0.0, 0
        if not len(rest):
            return 0.0, 0.0, 0, 1.0
        columns = self._columns(fields)
        marks = {number: self._mark(number)[:, rest].sum(axis=1) for step in self._steps for number in step.places}
        for step in self._steps:
            old, new = columns[step.old], columns[step.new]
            by_rest = pair_marks(marks[step.old], marks[step.new])
            before, after = old.codes[by_rest.pairs.old], new.codes[by_rest.pairs.new]
            known = (before > 0) & (after > 0)
            differs = int((known & (before != after)).sum())
            # Items that found no partner by the candidate, and whose other fields another one of these has.
            gone, come = _without_partner(old, new)
            expected = len(gone) * len(come) * float(np.prod(step.chance[rest]))
            stayed = step.pairs[fields].old
            if expected * 2 > min(len(gone), len(come)):
                # Too many to count as if each met another one: what certainly differs shows how many meet.
                expected = float(min(len(gone), len(come)))
                if len(stayed) * 2 >= len(gone):
                    chosen = thin(stayed, len(gone))
                    expected = min(by_rest.count_shared(chosen, come) * len(gone) / len(chosen), expected)
            again = by_rest.count_shared(gone, come)
            found, again_found, explained = found + differs, again_found + again, explained + expected
            recognised += max(int(known.sum()), len(step.pairs[fields].old) + again)
            checked += int(known.sum())
        raw = max(found, again_found)
        changes = beyond_chance(raw, explained)
        return changes, recognised, checked, bound(max(raw - 1.2 * explained, 0.0), raw, recognised)

    def _seek_partners(self, fields: Fields, steady: Mask) -> Partners:
        """What became of the items that found no partner by the candidate, as far as their other fields tell."""
        partners = Partners()
        others = self._others_than((*fields, TARGET_PATH), steady)
        rest, columns = np.flatnonzero(others), self._columns(fields)
        agree, differ = self._weigh(fields)
        weights = agree[rest], differ[rest]
        for step in self._steps:
            old, new = columns[step.old], columns[step.new]
            gone, come = _without_partner(old, new)
            partners.add(step.old_job.matrix[:, rest], step.new_job.matrix[:, rest], gone, come, weights)
        return partners

    def _weigh(self, fields: Fields) -> tuple[Numbers, Numbers]:
        """What each field says for two items being the same if it agrees, and if not, by the pairs of a candidate."""
        found = self._weighed.get(fields)
        if found is None:
            same = sum((step.equal(fields).sum(axis=0) for step in self._steps), np.zeros(len(self.paths)))
            pairs = sum(len(step.pairs[fields].old) for step in self._steps)
            agree, differ = weigh_fields(same, pairs, self._alike, self._combinations)
            # A time that says when an item changed moves with any change, and a price in two fields changes once.
            agree = np.where(self._are_doubles, 0.0, agree)
            differ = np.where(self._are_doubles | self._are_times, 0.0, differ)
            found = self._weighed[fields] = agree, differ
        return found

    def _is_place(self, place: int) -> bool:
        """Whether a field numbers the places of items, the same in every job, whatever stands there."""
        return (
            self._ordered
            and all(
                np.array_equal(step.old_job.matrix[:both, place], step.new_job.matrix[:both, place])
                for step in self._steps
                if (both := min(len(step.old_job), len(step.new_job)))
            )
            and self._is_position((self.paths[place],))
        )

    def _is_position(self, fields: Fields) -> bool:
        if not self._ordered or len(fields) > 1:
            return False
        found = self._placed.get(fields)
        if found is None:
            is_unique = self.count(fields).uniqueness >= _LASTING
            found = self._placed[fields] = is_unique and numbers_places(self.samples, fields[0])
        return found

    def _replaced(self, fields: Fields, steady: Mask) -> float:
        """Share of the pairs in which all else differs at once, where single changes do not explain that.

        It is asked of values none of which comes or goes: these can be places that items come to and leave.
        """
        rest = np.flatnonzero(self._others_than((*fields, TARGET_PATH), steady))
        if not len(rest) or not self._is_closed(fields):
            return 0.0
        pairs = np.concatenate([step.equal(fields)[:, rest] for step in self._steps])
        # What stands for the same places as the candidate tells as little of what stands there.
        repeat = np.array([self.count((self.paths[place],)).uniqueness < _LASTING for place in rest], np.bool_)
        return measure_replaced(pairs, self._are_words[rest], repeat)

    def _reused(self, fields: Fields, steady: Mask) -> int:
        """How often a value is that of another item later: in the next job, or when it comes back after others."""
        rest = np.flatnonzero(self._others_than((*fields, TARGET_PATH), steady))
        if len(rest) < FEW_REPLACED:
            return 0
        matrices = [job.matrix for job in self._jobs]
        found = find_returns(self.samples, self._columns(fields), matrices, rest)
        equal = np.concatenate([found, *(step.equal(fields)[:, rest] for step in self._steps)])
        agree, differ = self._weigh(fields)
        return count_others(equal, self._are_words[rest], (agree[rest], differ[rest]))

    @cached_property
    def _are_doubles(self) -> Mask:
        """Which of the fields that tell items apart are numbers that an earlier one of them spells, too."""
        numbers = np.flatnonzero(self._others & ~self._are_words)
        doubles = np.zeros(len(self.paths), np.bool_)
        doubles[numbers] = find_doubles(self._jobs, numbers)
        return doubles

    def _is_closed(self, fields: Fields) -> bool:
        """Whether no value of a candidate comes or goes."""
        columns = self._columns(fields)
        lone = (_without_partner(columns[step.old], columns[step.new]) for step in self._steps)
        return bool(self._steps) and not any(len(gone) or len(come) for gone, come in lone)

    def _mark(self, number: int) -> Codes:
        """A hash of each item's value in each field, absent ones included; a sum of them is a hash of several."""
        found = self._marks.get(number)
        if found is None:
            codes = self._jobs[number].matrix
            # An absent value is another one in each field.
            found = self._marks[number] = mix(np.where(codes > 0, codes, -1 - np.arange(codes.shape[1])))
        return found


def _without_partner(old: Coded, new: Coded) -> tuple[Codes, Codes]:
    """The items of two consecutive jobs whose value the other job does not have."""
    gone = np.flatnonzero((old.codes > 0) & (new.counts[old.codes] == 0))
    come = np.flatnonzero((new.codes > 0) & (old.counts[new.codes] == 0))
    return gone, come


def _count_alike(job: CodedJob) -> Numbers:
    lacking = len(job) - job.present
    return (job.by_field(job.counts * (job.counts - 1.0)) + lacking * (lacking - 1.0)) / 2


def _rate(pair: tuple[float, float]) -> float:
    return pair[0] / pair[1] if pair[1] else 0.0
