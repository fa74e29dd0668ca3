"""Fields that move by themselves as time passes, in all items at once: ages, countdowns, days on the market.

Comes in: a `Baseline` and a comparison of two jobs. Goes out: which fields a test need not speak of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain

import msgspec
import numpy as np

from meter_pipeline.sync.audit.baseline import Baseline, Mask
from meter_pipeline.sync.audit.comparison import Comparison, numbers_in_both
from meter_pipeline.sync.audit.families.moves import is_whole
from meter_pipeline.sync.audit.findings import HELD, Finding
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.values.finding import RELATIVE, find

# Fewest numbers whose differences say something by being the same.
_SAME_DIFFERENCE = 5
_DIGITS = re.compile(r"\d+")
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


def leave_out_time(baseline: Baseline, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings without those that only say that time has passed, in texts that tell it.

    Such texts are ages in a language that is known (`3 days ago`), or nothing moved in the samples of two jobs but one
    number among words, by the same in all of them: `2 days on the market`. In numbered names that slid by a row nothing
    else moves either, so that names of other items stay held.
    """
    last = baseline.profiles[-1]
    minutes = (_time_of(baseline.now) - _time_of(last)) / 60
    for finding in findings:
        if finding.test in _OF_VALUES and finding.field in baseline.now.place and finding.field in last.place:
            pairs = list(_pair_samples(baseline.now, last, finding.field))
            if pairs and all(map(_is_age, chain.from_iterable(pairs))):
                continue
            moves = {_find_move(new, old) for new, old in pairs if new != old}
            # No clock that people read moves by more than the minutes between the jobs, or by one at midnight.
            if len(moves) == 1 and 0 < abs(moves.pop()) <= max(minutes, 1) and (finding.test, finding.outcome) != _SLID:
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


def _find_move(new: str, old: str) -> int:
    """By how much the only number that differs between two texts with words moved; 0 where anything else differs."""
    words = _DIGITS.sub("0", new)
    if words != _DIGITS.sub("0", old) or not any(map(str.isalpha, words)):
        return 0
    numbers = zip(_DIGITS.findall(new), _DIGITS.findall(old), strict=True)
    moves = [int(after) - int(before) for after, before in numbers if after != before]
    return moves[0] if len(moves) == 1 else 0
