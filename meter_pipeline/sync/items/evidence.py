"""Measures what the fields of an item's samples do from job to job: the evidence for and against each as a key.

Under a right key the items that two jobs have in common agree in most of their other fields, more than items paired by
chance would. Under a rank they do not, once the list moves. And under a price, items that are the same in all else
turn up with another one: the field changes of its own. Both are measured between consecutive jobs of a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import exp
from typing import Any

import numpy as np

from meter_pipeline.config.field_paths import Path
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
from meter_pipeline.sync.items.comparisons import INFORMATIVE, Fields, Step, list_consecutive
from meter_pipeline.sync.items.measures import Measures
from meter_pipeline.sync.items.pairing import pair_codes, pair_marks, rank_numbers
from meter_pipeline.sync.items.partners import Partners, thin, weigh_fields
from meter_pipeline.sync.items.returns import find_returns
from meter_pipeline.sync.items.samples import BLOCK_ITEMS, TARGET_PATH, JobSample, mix, number_of, place_of

# A field whose values agree no more often than this above chance, however items are paired, is new in every job.
_STEADY = 0.2
# A field whose values repeat within a job, and as often as this from job to job, is a property of items that stay.
_LASTING = 0.9
_FEW_PAIRS = 4
# Copies of an item agree above chance in this share of its other fields.
_ALIKE = 0.5
# With fewer items that were recognised by their other fields, another candidate is asked.
_FEW_CHECKED = 20
_MOST_OTHERS, _MOST_RIVALS = 48, 4
# Fields of an item that tell by differing all at once that another item is in its place, and what counts as chance.
_FEW_REPLACED, _CHANCE = 2, 0.05
# The odds against two items being the same from which they count as different ones, by their texts and by all fields:
# the same item would seem another one in less than 2 % of cases.
_OTHER_WORDS, _OTHER = 1.0, 4.0
# Pages that a list is long at most: numbers that begin further on are no places.
_MOST_PAGES = 100
# Times that the changes of all fields are drawn anew to count how many pairs have several of them by chance.
_DRAWS = 8
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
            self._above[fields] = self._above_chance(fields)
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

    def _numbers_places(self, fields: Fields) -> bool:
        """Whether a field numbers the places of items: 1, 2, 3 from the top, with the same start in every job."""
        in_place = total = 0
        offsets: dict[tuple[str, int], set[float]] = {}
        for sample in self.samples:
            numbers = np.array([place_of(walk(item, fields[0])) for item in sample.values], np.float64)
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

    def _above_chance(self, fields: Fields) -> tuple[Numbers, Numbers]:
        """For each field, how much more often pairs of a candidate agree than by chance, and how much they could."""
        above, weight = np.zeros(len(self.paths)), np.zeros(len(self.paths))
        for step in self._steps:
            count = len(step.pairs[fields].old)
            if count:
                above += np.where(step.tells, step.equal(fields).sum(axis=0) - step.chance * count, 0.0)
                weight += np.where(step.tells, (1 - step.chance) * count, 0.0)
        return above, weight

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
        ranks = [rank for path in paths for rank in self._rank_agreement(fields, path)]
        return (float(np.median(ranks)) if ranks else None), True

    def are_copies(self, fields: Fields) -> bool:
        """Whether items with the same value are whole items that repeat: alike in their other fields, above chance."""
        # What is new in every job differs between copies, too.
        others = self._others_than(fields) & (self._overlap >= _STEADY)
        above = weight = 0.0
        for job, column in zip(self._jobs, self._columns(fields), strict=True):
            last = column.places[column.codes]
            repeated = np.flatnonzero((column.codes > 0) & (last != np.arange(len(last))))
            if not len(repeated):
                continue
            chance = job.by_field(job.counts * (job.counts - 1.0)) / max(len(job) * (len(job) - 1), 1)
            equal = job.matrix[repeated] == job.matrix[last[repeated]]
            telling = others & (chance < INFORMATIVE)
            above += float((equal[:, telling] - chance[telling]).sum())
            weight += float((1 - chance[telling]).sum()) * len(repeated)
        return weight > 0 and above >= _ALIKE * weight

    def _rank_agreement(self, fields: Fields, path: Path) -> list[float]:
        """How alike the order of a field's numbers is in the old and the new items of pairs, job by job."""
        found = []
        for step in self._steps:
            pairs = step.pairs[fields]
            if len(pairs.old) < _FEW_PAIRS:
                continue
            olds, news = self.samples[step.old].values, self.samples[step.new].values
            old = np.array([number_of(walk(olds[place], path)) for place in pairs.old.tolist()], np.float64)
            new = np.array([number_of(walk(news[place], path)) for place in pairs.new.tolist()], np.float64)
            both = ~(np.isnan(old) | np.isnan(new))
            old, new = old[both], new[both]
            if len(old) >= _FEW_PAIRS and len(np.unique(old)) > 2 and len(np.unique(new)) > 2:
                found.append(max(float(np.corrcoef(rank_numbers(old), rank_numbers(new))[0, 1]), 0.0))
        return found

    def _add_changes(self, fields: Fields, measures: Measures, rivals: Sequence[Fields], steady: Mask) -> None:
        """Counts items that are recognised without the candidate and have another value of it."""
        changes, recognised, measures.checked, bound = self._changes_by_rest(fields, steady)
        partners = self._seek_partners(fields, steady)
        measures.unsettled = partners.unsettled
        measures.replaced = self._replaced(fields, steady)
        measures.reused = self._reused(fields, steady)
        found = [
            (changes, recognised),
            (_beyond_chance(partners.found, partners.explained), measures.matched + partners.found),
        ]
        bounds = [bound] if measures.checked >= _FEW_CHECKED else []
        for rival in rivals:
            if not set(rival) & set(fields):
                found.append(self._changes_by_rival(fields, rival, steady))
                measures.checked = max(measures.checked, int(found[-1][1]))
                bounds.append(_bound(found[-1][0], found[-1][0], found[-1][1]))
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
        changes = _beyond_chance(raw, explained)
        return changes, recognised, checked, _bound(max(raw - 1.2 * explained, 0.0), raw, recognised)

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
            found = self._placed[fields] = is_unique and self._numbers_places(fields)
        return found

    def _replaced(self, fields: Fields, steady: Mask) -> float:
        """Share of the pairs in which all else differs at once, where single changes do not explain that.

        It is asked of values none of which comes or goes: these can be places that items come to and leave.
        """
        rest = np.flatnonzero(self._others_than((*fields, TARGET_PATH), steady))
        if not len(rest) or not self._is_closed(fields):
            return 0.0
        pairs = np.concatenate([step.equal(fields)[:, rest] for step in self._steps])
        differing = (~pairs).sum(axis=0)
        # What stands for the same places as the candidate tells as little of what stands there.
        alone = [self.count((self.paths[place],)).uniqueness < _LASTING for place in rest]
        telling = (differing > 0) | np.array(alone, np.bool_)
        if np.count_nonzero(telling) < _FEW_REPLACED or not self._are_words[rest[telling]].any():
            return 0.0
        explained = float(np.prod((differing[telling] + 0.5) / (len(pairs) + 1))) * len(pairs)
        found = int((~pairs[:, telling]).all(axis=1).sum())
        return found / len(pairs) if found and _tail(found, explained) < _CHANCE else 0.0

    def _reused(self, fields: Fields, steady: Mask) -> int:
        """How often a value is that of another item later: in the next job, or when it comes back after others."""
        rest = np.flatnonzero(self._others_than((*fields, TARGET_PATH), steady))
        if len(rest) < _FEW_REPLACED:
            return 0
        words = self._are_words[rest]
        agree, differ = (weights[rest] for weights in self._weigh(fields))
        matrices = [job.matrix for job in self._jobs]
        found = find_returns(self.samples, self._columns(fields), matrices, rest)
        equal = np.concatenate([found, *(step.equal(fields)[:, rest] for step in self._steps)])

        def find_others(equal: Mask) -> Mask:
            # A number that moves tells for an item by what it keeps; against it only together with much else.
            by_words = np.where(equal, agree, np.where(words, differ, 0.0)).sum(axis=1)
            by_all = np.where(equal, agree, differ).sum(axis=1)
            is_other = (by_words <= -_OTHER_WORDS) | (by_all <= -_OTHER)
            return np.asarray(is_other & ((~equal).sum(axis=1) >= _FEW_REPLACED))

        replaced = find_others(equal)
        count, same = int(replaced.sum()), equal[~replaced]
        if not count or not len(same):
            return count
        # Among items that stayed the same each field changes as often, but in other pairs than it did: what several
        # changes at once are by chance.
        rows, shifts = np.arange(len(same))[:, None], np.arange(len(rest))
        drawn = (find_others(same[(rows + draw * shifts) % len(same), shifts]) for draw in range(1, _DRAWS + 1))
        chance = sum(int(others.sum()) for others in drawn) / _DRAWS / len(same)
        return max(count - round(chance * len(equal)), 0)

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


def _beyond_chance(found: float, explained: float) -> float:
    """Few coincidences vary most: what one standard deviation more of them explains, is no change."""
    return max(found - 1.2 * explained - explained**0.5, 0.0)


def _bound(changes: float, raw: float, recognised: float) -> float:
    """What share of items may have changed: two standard deviations more than what chance does not explain."""
    return min((changes + 2 * (raw + 1) ** 0.5) / recognised, 1.0) if recognised else 1.0


def _tail(found: int, expected: float) -> float:
    """How probable it is that as many as found, or more, are seen where some are expected."""
    term = below = exp(-expected)
    for number in range(1, found):
        term *= expected / number
        below += term
    return 1 - below


def _count_alike(job: CodedJob) -> Numbers:
    lacking = len(job) - job.present
    return (job.by_field(job.counts * (job.counts - 1.0)) + lacking * (lacking - 1.0)) / 2


def _rate(pair: tuple[float, float]) -> float:
    return pair[0] / pair[1] if pair[1] else 0.0
