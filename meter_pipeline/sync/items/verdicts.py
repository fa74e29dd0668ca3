"""Judges a candidate for a key by its evidence: accepted, refused, or waiting for more jobs, and why."""

from __future__ import annotations

from collections.abc import Sequence

from meter_pipeline.sync.items.comparisons import Fields
from meter_pipeline.sync.items.evidence import Evidence
from meter_pipeline.sync.items.measures import Measures
from meter_pipeline.sync.items.samples import TARGET_PATH
from meter_pipeline.sync.items.shapes import CODES, LONG, SPREAD, WORDS, is_named_key

ACCEPTED, WAITING, REFUSED = "accepted", "waiting", "refused"
# Share of items that may lack a key or repeat another item's, and of recognised items whose key may change.
_TOLERATED = 0.05
MAX_LOSS, _MAX_LOSS_WORDS, _MAX_LOSS_NUMBERS = 0.03, 0.02, 0.01
_MIN_AGREEMENT = 0.4
# What it takes to accept a key: pairs of items in which it stayed, and how many of these changed in another field. Any
# of these is enough; numbers, which can be different by chance, need more.
_ENOUGH = ((6, 3), (12, 2), (20, 1))
# An id that looks like one and that no other item ever had, in a list where nothing but the items changes.
_ENOUGH_CODES = (*_ENOUGH, (40, 0))
_ENOUGH_NUMBERS = ((20, 6), (60, 1))
# What has stayed in this many pairs would have changed if it were something that changes in a tenth of them.
STAYED, _CHANGES_AROUND = 24, 6
# Fewer pairs than these do not show whether a text or a code changes in a tenth of them: it then waits for as many
# comparisons at least, since what is rewritten now and then often is not just then.
_FEW_PAIRS, _FEW_MET = 20, 4
_ENOUGH_REPEATED = ((40, 6),)
# A name or a title that may have been rewritten in this share of items, for all that was seen, needs more, too.
_ENOUGH_UNSETTLED = ((24, 3),)
_UNSETTLED, _MOST_UNSETTLED, MANY_PAIRS = 0.1, 0.6, 100
# Share of items whose number may change for all that was seen, and the same for numbers of many digits, which are
# seldom amounts or counts.
_UNSURE_LOSS, _UNSURE_LOSS_LONG = 0.035, 0.1
# Share of the items with a number that the rest must recognise to show whether it changes.
_CHECKED = 0.25
# Repeats of a number that tell whether whole items repeat.
_FEW_REPEATS = 2
# A page that has always had one item: it is about that item until all of it changes.
_ENOUGH_PAGE = ((1, 1),)
STAYS = "stays with an item while other fields change"
SELDOM_BACK = "items that came back had not changed, and most did not come back"
# Any of these is enough, too, in lists of few items, by the shape of the values: pairs of items of which another field
# changed, where several pairs without a change count as much as one with it.
_STRONG = {CODES: 1.5, WORDS: 3.0, LONG: 4.0}
_WITHOUT_CHANGE, _STRONG_AGREEMENT = 8, 0.6
MANY_ITEMS = 20
# A field that tells apart as many of the items as this leaves few to another one.
_NEARLY = 0.7
# Texts of which no more than this share is new in a job stand for what is there, whatever else moves.
_FEW_NEW = 0.1
# A value that comes back less often than this has come back by chance.
_SELDOM_MATCHED = 0.02


def is_present(measures: Measures) -> bool:
    """Whether nearly all items have a value."""
    return 1 - measures.presence <= _bound(measures, 2)


def is_unique(measures: Measures) -> bool:
    """Whether nearly all values are those of one item of a job."""
    # In a short list one repeat is more than an exception: so few items are different by chance.
    bound = _bound(measures, 1) if measures.most_items >= MANY_ITEMS else _TOLERATED
    return 1 - measures.uniqueness <= bound


def _is_nearly_unique(evidence: Evidence, fields: Fields, measures: Measures) -> bool:
    """Whether values of a short list repeat hardly more often than may be, and only where whole items do."""
    return 1 - measures.uniqueness <= _bound(measures, 1) and evidence.are_copies(fields)


def _bound(measures: Measures, deviations: int) -> float:
    """What share of items may be exceptions: 5 %, and some standard deviations more."""
    return _TOLERATED + deviations * (_TOLERATED * (1 - _TOLERATED) / max(measures.most_items, 1)) ** 0.5


def find_first_reason(evidence: Evidence, fields: Fields, measures: Measures) -> str | None:
    """Why single jobs rule a candidate out; None if they do not."""
    if not evidence.is_fit(fields):
        return "neither text nor whole numbers, or an amount"
    if not is_present(measures):
        return describe_gaps(measures)
    if not is_unique(measures) and not _is_nearly_unique(evidence, fields, measures):
        return describe_repeats(measures)
    if len(fields) == 1:
        return None
    # Few items show nothing about two fields that would not repeat in any case: only further jobs can.
    is_open = evidence.are_distinct(fields) and not evidence.would_repeat(fields)
    if is_open or _lean_on_one(evidence, fields) or evidence.belong_together(fields):
        return None
    return "different by chance: so few values of each would repeat no more often in any case"


def _lean_on_one(evidence: Evidence, fields: Fields) -> bool:
    """Whether one of two fields nearly identifies the items, so that they are different in any case with another one.

    That is what headings and their levels do: only further jobs can show that both stay.
    """
    return any(evidence.count((path,)).uniqueness >= _NEARLY for path in fields)


def describe_gaps(measures: Measures) -> str:
    """What a candidate lacks that some items do not have."""
    return f"{1 - measures.presence:.0%} of items lack it"


def describe_repeats(measures: Measures) -> str:
    """What a candidate lacks whose values repeat."""
    return f"{1 - measures.uniqueness:.0%} of items repeat another one's"


def judge(fields: Fields, measures: Measures, shape: int, *, may_be_chance: bool = False) -> tuple[str, str]:
    """The verdict on a candidate that single jobs do not rule out, and why."""
    against = find_reason_against(measures, shape, is_single=len(fields) == 1 or may_be_chance)
    if against is not None:
        return REFUSED, against
    if not may_be_chance and is_named_key(fields) and _is_flawless(measures):
        # Not decided by the name: nothing tells for or against, and the next jobs can still refute it.
        doubt = _doubt(fields, measures, shape)
        return (
            ACCEPTED,
            STAYS if doubt is None else f"nothing against it so far, and its name suggests it ({doubt[1]})",
        )
    return _doubt(fields, measures, shape) or (ACCEPTED, STAYS)


def find_reason_against(measures: Measures, shape: int, *, is_single: bool = True) -> str | None:
    """What consecutive jobs show against a candidate."""
    if measures.matched < _SELDOM_MATCHED * measures.smaller or not measures.matched:
        return "new in nearly every job" if measures.smaller >= _ENOUGH[0][0] else None
    if shape >= LONG and measures.uniqueness < 1 - _TOLERATED and not measures.are_copies:
        return describe_repeats(measures)
    if shape >= LONG and measures.repeated >= _FEW_REPEATS and not measures.are_copies:
        return "numbers that different items have, as if drawn by chance"
    # Where all else is new in every job, only the texts that come back tell items apart, and nothing refutes them.
    is_all = shape in (CODES, WORDS) and _is_all_that_stays(measures)
    if shape == WORDS and is_single and measures.repeated and not (measures.are_copies or is_all):
        return "names that different items have"
    if not is_single and measures.repeated and not measures.are_copies:
        return "together, too, values that different items have"
    most = _MAX_LOSS_NUMBERS if shape >= LONG else _MAX_LOSS_WORDS if shape == WORDS else MAX_LOSS
    if measures.loss > most:
        return f"changes in {measures.loss:.0%} of items that are otherwise the same"
    if measures.replaced > MAX_LOSS:
        return f"stays while all else is replaced in {measures.replaced:.0%} of items"
    is_name = shape == WORDS and is_single
    is_reused = measures.reused > MAX_LOSS * measures.matched and (is_name or measures.reused > 1)
    if is_name and measures.most_items < MANY_ITEMS:
        # Where few items come, those that take the name of another one are a large share, however long names stay.
        is_reused = is_reused or measures.swapped > _TOLERATED * measures.came
    if is_all:
        return None
    if is_reused:
        return f"came back {measures.reused} times with another item"
    if measures.agreement is not None and measures.agreement < _MIN_AGREEMENT:
        return f"items with the same value agree in {measures.agreement:.0%} of the rest only"
    return None


def _doubt(fields: Fields, measures: Measures, shape: int) -> tuple[str, str] | None:
    """What is missing before a candidate can be accepted; None if nothing is."""
    if measures.is_position:
        return REFUSED, "numbers the places of a list that has not moved"
    is_number = shape >= LONG
    enough: Sequence[tuple[int, int]] = _ENOUGH_NUMBERS if is_number else _ENOUGH
    if fields == (TARGET_PATH,):
        enough = _ENOUGH_PAGE
    elif shape == CODES:
        enough = _ENOUGH_CODES
    if shape == WORDS and len(fields) == 1 and measures.unsettled > _UNSETTLED * measures.matched:
        enough = _ENOUGH_UNSETTLED
    if measures.repeated and measures.most_items < MANY_ITEMS and not measures.are_copies:
        # In a short list one repeat more or less decides whether a field is unique.
        enough = _ENOUGH_REPEATED
    is_text = shape in (CODES, WORDS) and len(fields) == 1 and fields != (TARGET_PATH,)
    if is_text and measures.matched < _FEW_PAIRS and measures.met < _FEW_MET:
        return WAITING, f"too little seen: what stayed {measures.matched} times may be rewritten in the next job"
    is_strong = shape in _STRONG and measure_strength(measures) >= _STRONG[shape]
    is_strong = is_strong and (measures.agreement or 0) >= _STRONG_AGREEMENT
    is_strong = is_strong and enough in (_ENOUGH, _ENOUGH_CODES, _ENOUGH_NUMBERS)
    is_enough = any(measures.matched >= matched and measures.changed >= changed for matched, changed in enough)
    # Fewer items than may change their number by chance show nothing about one.
    is_enough = is_enough and not (is_number and measures.changed <= _MAX_LOSS_NUMBERS * measures.matched)
    if not is_strong and not is_enough:
        return WAITING, f"too little seen: {measures.matched} items met again, {measures.changed} with changes"
    if not measures.changed and measures.matched < measures.smaller / 2:
        # Ids that are made again in each job look like those of items that never come back.
        return WAITING, SELDOM_BACK
    if shape == WORDS and len(fields) == 1 and measures.unsettled > _MOST_UNSETTLED * measures.matched:
        return WAITING, "nothing tells whether items left or were renamed"
    if is_number and is_strong and measures.loss == 0 and measures.agreement is not None:
        return None
    if is_number and _has_stayed(measures):
        return None
    if is_number and measures.checked < max(_ENOUGH_NUMBERS[0][0], _CHECKED * measures.matched):
        return REFUSED, "numbers that may be different by chance: the rest of an item does not identify it"
    if is_number and measures.unsure > (_UNSURE_LOSS if shape == SPREAD else _UNSURE_LOSS_LONG):
        return WAITING, f"too little seen: {measures.unsure:.0%} of these numbers may still change"
    if measures.agreement is None and not _is_all_that_stays(measures):
        return REFUSED, "nothing else of an item stays with it"
    return None


def _has_stayed(measures: Measures) -> bool:
    """Whether a number has stayed so often, with changes around it, that it is none that changes."""
    is_flawless = measures.loss == 0 and not measures.reused and not measures.is_by_ranks
    is_flawless = is_flawless and (measures.are_copies or not measures.repeated)
    # Where items come and go and the rest does not recognise them, each of them may have changed its number instead.
    is_flawless = is_flawless and measures.unsettled <= MAX_LOSS * measures.matched
    is_often = measures.matched >= STAYED and measures.changed >= _CHANGES_AROUND
    return is_flawless and is_often and (measures.agreement or 0) >= _MIN_AGREEMENT


def _is_all_that_stays(measures: Measures) -> bool:
    """Whether nearly all values have come back, in several jobs or in a long list, while all else moves."""
    is_often = measures.matched >= (STAYED if measures.met >= _FEW_MET else MANY_PAIRS)
    return measures.is_alone and is_often and measures.came <= _FEW_NEW * measures.matched


def measure_strength(measures: Measures) -> float:
    """How much the pairs show: one that stayed while another field changed counts as much as several that did not."""
    return measures.changed + (measures.matched + measures.met) / _WITHOUT_CHANGE


def _is_flawless(measures: Measures) -> bool:
    is_whole = measures.presence == 1 and measures.repeated == 0 and measures.loss == 0
    return is_whole and measures.matched >= max(2, measures.smaller / 2)
