"""Measures what the fields of an item's samples do from job to job: the evidence for and against each as a key.

Under a right key the items that two jobs have in common agree in most of their other fields, more than items paired by
chance would. Under a rank they do not, once the list moves. And under a price, items that are the same in all else
turn up with another one: the field changes of its own. Both are measured between consecutive jobs of a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.agreement import agree_in_order, copies_agree
from meter_pipeline.sync.items.chance import beyond_chance
from meter_pipeline.sync.items.changes import Changes, find_changes_by_rest, find_changes_in_pairs
from meter_pipeline.sync.items.coding import CodeBook, Coded, Codes, Mask, Numbers, code_items, walk
from meter_pipeline.sync.items.comparisons import Comparison, Fields, Pairs, Steps
from meter_pipeline.sync.items.measures import TRUSTED, Measures
from meter_pipeline.sync.items.partners import seek_partners, weigh_fields
from meter_pipeline.sync.items.places import numbers_places
from meter_pipeline.sync.items.replacements import count_others, measure_replaced
from meter_pipeline.sync.items.returns import find_returns
from meter_pipeline.sync.items.samples import BLOCK_ITEMS, TARGET_PATH, JobSample, mix, number_of

# A field whose values agree no more often than this above chance, however items are paired, is new in every job.
_STEADY = 0.2
# A field whose values repeat within a job, and as often as this from job to job, is a property of items that stay.
_LASTING = 0.9
# Least rank correlation that counts as agreement where some values stay equal: pairs that are partly wrong keep a part
# of the order, too.
_IN_ORDER = 0.8
# Comparisons after which a page without words has shown what it is about.
_FEW_STEPS = 4
# With fewer items that were recognised by their other fields, another candidate is asked.
_FEW_CHECKED = 20
_MOST_OTHERS, _MOST_RIVALS = 48, 4
# A field with no more values than this is a flag.
_FLAG_VALUES = 2
# Repeats that independent fields would have had, and the share of these that still counts as none.
SURPRISING, _SELDOM = 3.0, 0.25


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
        self._items = items = code_items(samples, book or CodeBook())
        self.paths = items.paths
        self._places = {path: place for place, path in enumerate(self.paths)}
        self._steps = steps = Steps(samples, items)
        self._shares = np.array([sample.share for sample in samples], np.float64)[steps.news]
        self._coded: dict[Fields, Coded] = {}
        self._compared: dict[Fields, Comparison] = {}
        self._weighed: dict[Pairs, tuple[Numbers, Numbers]] = {}
        self._placed: dict[Fields, bool] = {}
        singles: list[Fields] = [(path,) for path in self.paths]
        self._counted = dict(zip(singles, self._count(singles, items.present, items.distinct), strict=True))
        #: Fields whose values repeat within a job.
        self._repeat = np.array([measures.uniqueness < _LASTING for measures in self._counted.values()], np.bool_)
        self._overlap = steps.shared.sum(axis=0) / np.maximum(steps.smaller.sum(axis=0), 1)
        #: The fields that tell whether two items are the same.
        self._others = self._choose_others()
        #: The fields whose changes in a step are changes of items: those, and all that are alike in nearly all items.
        self._moving = (self._others | ~steps.tells.any(axis=0)) & ~steps.is_of_job

    @property
    def steps(self) -> int:
        """Number of pairs of consecutive jobs."""
        return len(self._steps)

    def _choose_others(self) -> Mask:
        chosen = np.asarray(self._steps.tells.any(axis=0))
        # The place of an item is that of the list: what comes to it after an item left, has it, too.
        singles = np.flatnonzero(chosen & ~self._repeat).tolist()
        chosen[[place for place in singles if self._is_position((self.paths[place],))]] = False
        telling = np.flatnonzero(chosen)
        if len(telling) > _MOST_OTHERS:
            # Beyond some dozens, more fields tell no more; but those that move must be among them.
            moving = telling[self._overlap[telling] < 1][: _MOST_OTHERS // 2]
            telling = np.array(list(dict.fromkeys([*moving.tolist(), *telling.tolist()]))[:_MOST_OTHERS])
            chosen[:] = False
            chosen[telling] = True
        return chosen

    def _is_position(self, fields: Fields) -> bool:
        """Whether a candidate numbers the places of items, whatever stands there."""
        if not self._ordered or len(fields) > 1 or self.count(fields).uniqueness < _LASTING:
            return False
        found = self._placed.get(fields)
        if found is None:
            found = self._placed[fields] = numbers_places(self.samples, fields[0])
        return found

    def _numbers_rows(self, fields: Fields) -> bool:
        """Whether a candidate is the text of a row of the list, such as `card-3`."""
        return self._ordered and len(fields) == 1 and numbers_places(self.samples, fields[0], number_of)

    def _code(self, fields: Fields) -> Coded:
        """The candidate's values; none where a field does not occur."""
        found = self._coded.get(fields)
        if found is None:
            known = [self._places[path] for path in fields if path in self._places]
            found = self._coded[fields] = self._items.join(known if len(known) == len(fields) else [])
        return found

    def values(self, path: Path) -> list[Any]:
        """The values of a field in the job that has most different ones."""
        most = int(np.argmax(self._items.distinct[:, self._places[path]]))
        return [value for item in self.samples[most].values if (value := walk(item, path)) not in (None, "")]

    def is_fit(self, fields: Fields) -> bool:
        """Whether a candidate's values could identify items: text or whole numbers, and no amounts of money."""
        return all(bool(self._items.is_fit[self._places[path]]) for path in fields if path in self._places)

    def is_time(self, path: Path) -> bool:
        """Whether a field's values are dates and times in texts."""
        return bool(self._items.are_times[self._places[path]])

    def is_picture(self, path: Path) -> bool:
        """Whether a field's values are addresses of pictures."""
        return bool(self._items.are_pictures[self._places[path]])

    def overlap(self, path: Path) -> float:
        """Share of a field's values that the next job has as often: 0 for a field that is new in every job."""
        return float(self._overlap[self._places[path]])

    def count(self, fields: Fields) -> Measures:
        """What each job alone shows about a candidate: presence and uniqueness."""
        measures = self._counted.get(fields)
        if measures is None:
            coded = self._code(fields)
            [measures] = self._count([fields], coded.present[:, None], coded.distinct[:, None])
            self._counted[fields] = measures
        return measures

    def _count(self, candidates: Sequence[Fields], present: Codes, distinct: Codes) -> list[Measures]:
        """Presence and uniqueness of candidates by the number of values, and of different ones, in each sample."""
        repeated = (present - distinct).astype(np.float64)
        for number in [number for number, sample in enumerate(self.samples) if sample.share < 1]:
            for place in np.flatnonzero(repeated[number]).tolist():
                repeated[number, place] += self._count_unseen(candidates[place], number, int(distinct[number, place]))
        items, most = len(self._items.row_of), int(self._items.sizes.max(initial=0))
        sums = present.sum(axis=0), np.minimum(repeated, present).sum(axis=0), distinct.max(axis=0, initial=0)
        numbers = zip(*(row.tolist() for row in sums), strict=True)
        return [Measures(items, has, repeats, most, different) for has, repeats, different in numbers]

    def _count_unseen(self, fields: Fields, number: int, distinct: int) -> float:
        """Estimated number of values of a job that an earlier item has which is not in the sample."""
        # Two copies in one block are always seen together, two in different blocks seldom.
        coded = self._code(fields)
        codes = coded.codes[coded.jobs == number]
        at = np.flatnonzero(codes)
        apart = len(np.unique(codes[at] + mix(at // BLOCK_ITEMS))) - distinct
        return apart * (1 / self.samples[number].share - 1)

    def chance_of_equals(self, fields: Fields) -> tuple[float, int]:
        """How often two items would have the same values if each field had its own, and how many values there were."""
        chance = np.prod([self._code((path,)).collisions.mean() for path in fields])
        return float(chance), int(np.count_nonzero(np.unique(self._code(fields).codes)))

    def belong_together(self, fields: Fields) -> bool:
        """Whether fields repeat together much less often than they would if each had its values independently."""
        # In all jobs together: in one of many, few do so by chance.
        expected, found = self._expect_repeats(fields), self._count_repeats(fields)
        return self.would_repeat(fields) and bool(found.sum() <= _SELDOM * expected.sum())

    def are_distinct(self, fields: Fields) -> bool:
        """Whether no two items of a job have the same values, other than whole items that repeat."""
        return not self.count(fields).repeated or bool((self._count_repeats(fields) < 0.5).all())

    def would_repeat(self, fields: Fields) -> bool:
        """Whether fields would repeat together in some job if each had its values independently."""
        return bool((self._expect_repeats(fields) >= SURPRISING).any())

    def _expect_repeats(self, fields: Fields) -> Numbers:
        """By job, how often two items would have the same values if each field had its own independently."""
        pairs = self._items.sizes * (self._items.sizes - 1) / 2
        return np.asarray(pairs * np.prod([self._code((path,)).collisions for path in fields], axis=0))

    def _count_repeats(self, fields: Fields) -> Numbers:
        """By job, the number of pairs of items with the same values, other than whole items that repeat."""
        found = self._code(fields).equals
        return found - self._copies if self._without(self._copied, fields).any() else found

    @cached_property
    def _copies(self) -> Numbers:
        """By job, the number of pairs of items that are copies of each other: alike in all fields that copies share."""
        return self._items.join_all(np.flatnonzero(self._copied)).equals

    @cached_property
    def _copied(self) -> Mask:
        """The fields that tell, and that a copy of an item shares with it.

        A flag may mark the copy as promoted, and what is new in every job and in every item is made for each row.
        """
        is_flag = self._items.distinct.max(axis=0, initial=0) <= _FLAG_VALUES
        is_whole = (self._items.distinct == self._items.present).all(axis=0)
        return np.asarray(self._others & ~is_flag & ~(is_whole & (self._overlap < _STEADY)))

    def compare(self, candidates: Mapping[Fields, Measures], examined: Iterable[Fields] | None = None) -> None:
        """Adds what consecutive jobs show about candidates to their measures.

        Args:
            candidates: The candidates with their measures.
            examined: Those whose changes are looked for; the others only help to find them. None for all.
        """
        for fields, measures in candidates.items():
            compared = self._compared[fields] = self._steps.compare(self._code(fields))
            self._add_pairs(fields, measures, compared)
        steady = self._steady_fields(candidates)
        for fields, measures in candidates.items():
            measures.agreement, measures.is_by_ranks = self._agreement(fields, steady)
        trusted = [fields for fields, measures in candidates.items() if measures.is_trusted]
        most = max((candidates[fields].matched for fields in trusted), default=0)
        for fields, measures in candidates.items():
            is_alone = not measures.is_trusted and most * 2 < measures.matched
            # Texts that are new in every job are those of other items.
            is_alone = is_alone and not self._without(self._are_new_words, fields).any()
            measures.is_alone = is_alone and not self._numbers_rows(fields)
        rivals = sorted(trusted, key=lambda fields: (-(candidates[fields].agreement or 0), -candidates[fields].matched))
        for fields in candidates if examined is None else examined:
            measures = candidates[fields]
            measures.are_copies = measures.repeated > 0 and self.are_copies(fields)
            measures.are_distinct = self.are_distinct(fields)
            self._add_changes(fields, measures, rivals[:_MOST_RIVALS], steady)

    def name_same_items(self, fields: Fields, others: Fields) -> bool:
        """Whether two candidates that were compared have paired the same items in all jobs."""
        return self._compared[fields].pairs is self._compared[others].pairs

    def _add_pairs(self, fields: Fields, measures: Measures, compared: Comparison) -> None:
        """Counts the items that a candidate pairs, and those of them that changed in another field."""
        steps, present, pairs = self._steps, compared.coded.present, compared.pairs
        measures.matched, measures.met = len(pairs), int(np.count_nonzero(pairs.matched))
        measures.smaller = float((np.minimum(present[steps.olds], present[steps.news]) * self._shares).sum())
        measures.changed = int((pairs.differ & self._moving[pairs.old.steps]).any(axis=1).sum())
        measures.is_position = self._is_position(fields)

    def _without(self, chosen: Mask, fields: Fields) -> Mask:
        chosen = chosen.copy()
        chosen[[self._places[path] for path in fields if path in self._places]] = False
        return chosen

    def _steady_fields(self, candidates: Iterable[Fields]) -> Mask:
        """Fields that agree above chance in the pairs of some candidate, or have the same values in every job."""
        steady = self._repeat & (self._overlap >= _LASTING)
        for fields in candidates:
            above, weight = self._compared[fields].pairs.above_chance
            steady |= self._without((weight > 0) & (above >= _STEADY * weight), fields)
        return steady & self._others

    def _agreement(self, fields: Fields, steady: Mask) -> tuple[float | None, bool]:
        """The agreement of the other fields, and whether it is that of the order of numbers alone."""
        if fields == (TARGET_PATH,) and not self._has_words:
            # Numbers that stand on a page by themselves are about what the page is about, once they have moved often.
            return (1.0 if self.steps >= _FEW_STEPS else None), False
        others, pairs = self._without(steady, fields), self._compared[fields].pairs
        above, weight = (float(numbers[others].sum()) for numbers in pairs.above_chance)
        equal = max(above / weight, 0.0) if weight else None
        if equal is not None and equal >= TRUSTED:
            return equal, False
        # Other fields move in nearly every job: what is a number then still moves with the item.
        values = list(chain.from_iterable(sample.values for sample in self.samples))
        ranked = self._others if equal is None else self._others & ~self._items.are_words
        paths = [self.paths[place] for place in np.flatnonzero(self._without(ranked, fields))]
        ranks = [rank for path in paths for rank in agree_in_order(pairs, values, path)]
        in_order = float(np.median(ranks)) if ranks else None
        if equal is not None and (in_order is None or in_order < _IN_ORDER):
            return equal, False
        return in_order, True

    @cached_property
    def _are_new_words(self) -> Mask:
        """Which fields have texts that are different in all items, and in every job."""
        return np.asarray(self._items.are_words & ~self._repeat & (self._overlap < _STEADY))

    @cached_property
    def _has_words(self) -> bool:
        """Whether a field other than the target has texts with letters that are no amounts or times."""
        words = [path for path, are_words in zip(self.paths, self._items.are_words, strict=True) if are_words and path]
        return any(letter.isalpha() for path in words for text in self.values(path) for letter in str(text))

    def are_copies(self, fields: Fields) -> bool:
        """Whether items with the same value are whole items that repeat: alike in their other fields, above chance."""
        return copies_agree(self._items, self._code(fields), self._without(self._copied, fields))

    def _add_changes(self, fields: Fields, measures: Measures, rivals: Sequence[Fields], steady: Mask) -> None:
        """Counts items that are recognised without the candidate and have another value of it."""
        compared, pairs = self._compared[fields], self._compared[fields].pairs
        rest = np.flatnonzero(self._without(steady, (*fields, TARGET_PATH)))
        agree, differ = self._weigh(pairs)
        weights = agree[rest], differ[rest]
        by_rest = Changes()
        if len(rest):
            chance = self._steps.chance[:, rest].prod(axis=1)
            by_whole = self._steps.compare(self._items.join_all(rest))
            likeness = self._likeness(fields, compared.coded, by_whole.coded)
            by_rest = find_changes_by_rest(self._steps, compared, by_whole, chance, likeness)
        partners = seek_partners(self._steps, compared, self._items.matrix, rest, weights)
        changed = beyond_chance(partners.found, partners.explained)
        by_rivals = [self._changes_by_rival(fields, rival, steady) for rival in rivals if not set(rival) & set(fields)]
        found = [by_rest, Changes(changed, measures.matched + partners.found), *by_rivals]
        most = max(found, key=lambda changes: (changes.rate, changes.recognised))
        measures.changes, measures.recognised, measures.unsettled = most.changes, most.recognised, partners.unsettled
        measures.checked = max(changes.checked for changes in found)
        bounds = [changes.unsure for changes in (by_rest, *by_rivals)][by_rest.checked < _FEW_CHECKED :]
        measures.unsure = bounds[0] if bounds else 1.0
        equal = pairs.equal[:, rest]
        measures.came = len(compared.come)
        measures.replaced = self._replaced(compared, equal, rest)
        measures.reused, measures.swapped = self._reused(compared.coded, equal, rest, weights)

    def _likeness(self, fields: Fields, own: Coded, rest: Coded) -> float:
        """Share of the pairs of items of a job that agree in the rest and differ in a candidate; 0 for numbers alone.

        A number that changes equals that of another item as often as any two items agree in it.
        """
        at = [self._places[path] for path in fields if path in self._places]
        if not (self._items.are_words | self._items.are_times)[at].any():
            return 0.0
        sizes = self._items.sizes
        pairs = float((sizes * (sizes - 1)).sum())
        repeated = np.flatnonzero(rest.own > 1)
        alike = float((rest.own[repeated] - 1).sum())
        # Pairs that agree in the candidate as well.
        codes = (rest.jobs * rest.counts.shape[1] + rest.codes)[repeated] * own.counts.shape[1] + own.codes[repeated]
        copied = np.unique(codes, return_counts=True)[1]
        copies = float((copied * (copied - 1)).sum())
        # Smoothed: few pairs without a coincidence do not show that coincidences never happen.
        return (alike - copies + 2) / (pairs + 4)

    def _changes_by_rival(self, fields: Fields, rival: Fields, steady: Mask) -> Changes:
        """Changes of a candidate in the pairs of another one, where these agree in other fields."""
        pairs = self._compared[rival].pairs
        agree, differ = self._weigh(pairs)
        rest = np.flatnonzero(self._without(steady, (*fields, *rival)))
        odds = np.where(pairs.equal[:, rest], agree[rest], differ[rest]).sum(axis=1)
        compared = self._compared[fields]
        likeness = self._likeness(fields, compared.coded, self._code(rival))
        return find_changes_in_pairs(self._steps, compared, pairs, odds >= 0, likeness)

    def _weigh(self, pairs: Pairs) -> tuple[Numbers, Numbers]:
        """What each field says for two items being the same if it agrees, and if not, by the pairs of a candidate."""
        found = self._weighed.get(pairs)
        if found is None:
            agree, differ = weigh_fields(pairs.same.sum(axis=0), len(pairs), *self._alike)
            # A time that says when an item changed moves with any change, the address of a picture may be a hash of
            # what it shows, and a price in two fields changes once.
            agree = np.where(self._are_doubles, 0.0, agree)
            items = self._items
            differ = np.where(self._are_doubles | items.are_times | items.are_pictures, 0.0, differ)
            found = self._weighed[pairs] = agree, differ
        return found

    @cached_property
    def _alike(self) -> tuple[Numbers, int]:
        """In how many pairs of items of the same job each field agrees, and the number of these pairs."""
        sizes = self._items.sizes
        lacking = sizes[:, None] - self._items.present
        alike = (self._items.alike + lacking * (lacking - 1)).sum(axis=0) / 2
        return alike, int((sizes * (sizes - 1) // 2).sum())

    @cached_property
    def _are_doubles(self) -> Mask:
        """Which of the fields that tell items apart are numbers that an earlier one of them spells, too."""
        numbers = np.flatnonzero(self._others & ~self._items.are_words)
        doubles = np.zeros(len(self.paths), np.bool_)
        doubles[numbers] = self._items.find_doubles(numbers)
        return doubles

    def _replaced(self, compared: Comparison, equal: Mask, rest: Codes) -> float:
        """Share of the pairs in which all else differs at once, where single changes do not explain that.

        It is asked of values none of which comes or goes: these can be places that items come to and leave.
        """
        if not self.steps or len(compared.gone) or len(compared.come):
            return 0.0
        # Another picture does not show that another item is there. Nor does a field that stands for the same places.
        is_compared = ~self._items.are_pictures[rest]
        compared_fields = rest[is_compared]
        words, repeat = self._items.are_words[compared_fields], self._repeat[compared_fields]
        return measure_replaced(equal[:, is_compared], words, repeat)

    def _reused(self, coded: Coded, equal: Mask, rest: Codes, weights: tuple[Numbers, Numbers]) -> tuple[int, int]:
        """How often a value is that of another item later, and how often of one with which it shares nothing else.

        That is in the next job, or when the value comes back after others.
        """
        now, before = find_returns(self._steps, coded)
        if len(now):
            equal = np.concatenate([(self._items.matrix[before] == self._items.matrix[now])[:, rest], equal])
        reused = count_others(equal, self._items.are_words[rest], weights)
        return reused, min(reused, int((~equal).all(axis=1).sum()))
