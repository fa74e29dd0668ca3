"""Numbers that move by themselves, in all items at once: ages, countdowns, days on the market, counts of a day.

Comes in: a `Baseline`, and a comparison of two jobs or what tests have found. Goes out: of which fields tests need not
speak, or not as surely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import msgspec
import numpy as np

from meter_pipeline.store.times import moment
from meter_pipeline.sync.audit.baseline import Baseline, Mask
from meter_pipeline.sync.audit.comparison import Comparison, numbers_in_both
from meter_pipeline.sync.audit.families.moves import is_whole
from meter_pipeline.sync.audit.findings import FLAGGED, HELD, Finding
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.values.finding import RELATIVE, find
from meter_pipeline.sync.values.months import MONTHS, WEEKDAYS

# Fewest numbers whose differences say something by being the same.
_SAME_DIFFERENCE = 5
# Thousands may be grouped.
_NUMBER = re.compile(r"\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?!\d)|\d+")
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
# Tests of values that are not those of the job before.
_OF_VALUES = frozenset({"changed", "values", "other item"})
_SLID = ("other item", HELD)
_DATES = "dates"
_CALENDAR = WEEKDAYS | MONTHS.keys()
# By how much the numbers of a date move from one day to the next, also at the end of a month and of a year.
_NEXT_DAY = frozenset({1, -11, -27, -28, -29, -30})


def count_on(baseline: Baseline, last: JobProfile, comparison: Comparison) -> Mask:
    """Fields whose whole numbers all moved by the same difference: that is no factor.

    Weeks since something grow, and days until something fall by as many as there are between the jobs, or by one more
    or less.
    """
    numeric, new, old = numbers_in_both(baseline.now, last, *comparison.places)
    differences = np.where(new != old, new - old, np.nan)
    found = np.zeros(len(baseline.now.paths), np.bool_)
    days = (moment(baseline.now.time) - moment(last.time)) / _DAY
    for column, place in enumerate(numeric.tolist()):
        own = differences[:, column]
        own = own[~np.isnan(own)]
        if len(own) >= _SAME_DIFFERENCE:
            middle = np.sort(own)[len(own) // 2]
            found[place] = (middle > 0 or abs(middle + days) <= 1) and (own == middle).mean() >= 0.9
    return is_whole(baseline) & (baseline.spread(baseline.now, found) > 0)


def weigh_numbers(baseline: Baseline, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings of tests on values, less sure where samples show that only numbers among words moved.

    That time has passed is no finding: ages in a language that is known move (`3 days ago`), or all numbers move by the
    same (`2 days on the market`, `Get it by Tuesday, 3 March`). Other numbers move in all items at once where a page
    counts once a day, as views. In numbered names that slid by a row nothing else moves either, so that names of other
    items stay held; and dates that a page shows day after day do not move on, unless no job was scraped a day before.
    """
    last = baseline.profiles[-1]
    minutes = (moment(baseline.now.time) - moment(last.time)) / _MINUTE
    is_first_day = moment(last.time) - moment(baseline.profiles[0].time) < _DAY
    for finding in findings:
        is_date = finding.test == _DATES
        is_of_values = finding.test in _OF_VALUES or (is_date and is_first_day)
        if is_of_values and finding.field in baseline.now.place and finding.field in last.place:
            pairs = list(_pair_samples(baseline.now, last, finding.field))
            if pairs and all(map(_is_age, chain.from_iterable(pairs))):
                continue
            moves = [_find_moves(new, old, has_words=not is_date) for new, old in pairs if new != old]
            if moves and None not in moves:
                numbers = {number for own in moves for number in own or ()}
                is_slid = (finding.test, finding.outcome) == _SLID
                # No clock that people read moves by more than the minutes between the jobs, or by one at midnight.
                is_time = len(numbers) <= 1 and all(abs(number) <= max(minutes, 1) for number in numbers)
                if (is_time or numbers <= _NEXT_DAY) and (is_first_day or not is_slid):
                    continue
                if not is_slid and not is_date:
                    finding = replace(finding, outcome=FLAGGED)
        yield finding


def _pair_samples(now: JobProfile, last: JobProfile, field: str) -> Iterator[tuple[str, str]]:
    """The texts of a field in the items that both jobs show, now and before."""
    shown = dict(zip(_name_samples(last), last.samples[last.place[field]], strict=True))
    for name, sample in zip(_name_samples(now), now.samples[now.place[field]], strict=True):
        if name in shown:
            yield _read(sample), _read(shown[name])


def _name_samples(profile: JobProfile) -> list[tuple[str, ...]]:
    """What tells the items apart that a profile shows: the fields that do so, or else their places."""
    places = [profile.place[path] for path in profile.identity if path in profile.place]
    shown = [profile.samples[place] for place in places]
    return list(zip(*shown, strict=True)) if shown else [(str(number),) for number in range(len(profile.samples[0]))]


def _read(sample: str) -> str:
    """The text of a sample; of another value its JSON."""
    try:
        value = msgspec.json.decode(sample)
    except msgspec.DecodeError:
        # Cut in the middle.
        return sample
    return value if isinstance(value, str) else sample


def _is_age(text: str) -> bool:
    return find(text).kind == RELATIVE


def _find_moves(new: str, old: str, *, has_words: bool) -> tuple[int, ...] | None:
    """By how much numbers moved from one text to another; None where anything else differs but days and months.

    Args:
        new: The text now.
        old: The text before.
        has_words: Whether they have to have words: a number alone may be a name.
    """
    numbers, before = _NUMBER.findall(new), _NUMBER.findall(old)
    (words, days), (words_before, days_before) = _read_words(new), _read_words(old)
    if words != words_before or len(numbers) != len(before) or (numbers == before and days == days_before):
        return None
    if has_words and not words and not days:
        return None
    return tuple(_as_whole(now) - _as_whole(then) for now, then in zip(numbers, before, strict=True) if now != then)


def _read_words(text: str) -> tuple[list[str], list[str]]:
    """The beginnings of the words of a text, which `1 bid` and `2 bids` share, and the days and months in it."""
    words = [word.strip(".,()") for word in _NUMBER.sub(" ", text).split()]
    days = [word for word in words if word.lower() in _CALENDAR]
    return [word[:3] for word in words if any(map(str.isalpha, word)) and word.lower() not in _CALENDAR], days


def _as_whole(number: str) -> int:
    return int("".join(filter(str.isdecimal, number)))
