"""Numbers that move by themselves, in all items at once: ages, countdowns, days on the market, counts of a day.

Comes in: a `Baseline`, and a comparison of two jobs or what tests have found. Goes out: of which fields tests need not
speak, or not as surely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain

import msgspec
import numpy as np

from meter_pipeline.sync.audit.baseline import Baseline, Mask
from meter_pipeline.sync.audit.comparison import Comparison, numbers_in_both
from meter_pipeline.sync.audit.families.moves import is_whole
from meter_pipeline.sync.audit.findings import FLAGGED, HELD, Finding
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.values.finding import RELATIVE, find

# Fewest numbers whose differences say something by being the same.
_SAME_DIFFERENCE = 5
_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+)*")
_DAY = 86400
# Tests of values that are not those of the job before.
_OF_VALUES = frozenset({"changed", "values", "other item"})
_SLID = ("other item", HELD)


def count_on(baseline: Baseline, last: JobProfile, comparison: Comparison) -> Mask:
    """Fields whose whole numbers all moved by the same difference: that is no factor.

    Weeks since something grow, and days until something fall by as many as there are between the jobs, or by one more
    or less.
    """
    numeric, new, old = numbers_in_both(baseline.now, last, *comparison.places)
    differences = np.where(new != old, new - old, np.nan)
    found = np.zeros(len(baseline.now.paths), np.bool_)
    days = (_time_of(baseline.now) - _time_of(last)) / _DAY
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
    same (`2 days on the market`). Other numbers move in all items at once where a page counts once a day, as views. In
    numbered names that slid by a row nothing else moves either, so that names of other items stay held.
    """
    last = baseline.profiles[-1]
    minutes = (_time_of(baseline.now) - _time_of(last)) / 60
    for finding in findings:
        if finding.test in _OF_VALUES and finding.field in baseline.now.place and finding.field in last.place:
            pairs = list(_pair_samples(baseline.now, last, finding.field))
            if pairs and all(map(_is_age, chain.from_iterable(pairs))):
                continue
            moves = [_find_moves(new, old) for new, old in pairs if new != old]
            if moves and all(moves) and (finding.test, finding.outcome) != _SLID:
                # No clock that people read moves by more than the minutes between the jobs, or by one at midnight.
                if len({*moves}) == 1 and len(moves[0]) == 1 and abs(moves[0][0]) <= max(minutes, 1):
                    continue
                yield replace(finding, outcome=FLAGGED)
                continue
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


def _time_of(profile: JobProfile) -> float:
    return datetime.fromisoformat(profile.time.replace("Z", "+00:00")).timestamp()


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


def _find_moves(new: str, old: str) -> tuple[int, ...]:
    """By how much numbers moved from one text to another of the same words; nothing where anything else differs."""
    words = _read_words(new)
    numbers, before = _NUMBER.findall(new), _NUMBER.findall(old)
    if not words or words != _read_words(old) or len(numbers) != len(before):
        return ()
    return tuple(_as_whole(now) - _as_whole(then) for now, then in zip(numbers, before, strict=True) if now != then)


def _read_words(text: str) -> list[str]:
    """The beginnings of the words of a text: `1 bid` and `2 bids` have the same."""
    return [word[:3] for word in _NUMBER.sub(" ", text).split() if any(map(str.isalpha, word))]


def _as_whole(number: str) -> int:
    return int("".join(filter(str.isdecimal, number)))
