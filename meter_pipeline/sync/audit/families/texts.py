"""Tests of how texts are written: marks of damage, scripts, units, patterns and lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from math import log

import numpy as np

from meter_pipeline.sync.audit.amounts import CURRENCY
from meter_pipeline.sync.audit.baseline import Band, Baseline, Floats, Mask, band, novelty
from meter_pipeline.sync.audit.families.moves import are_back_at_zero
from meter_pipeline.sync.audit.families.speaking import at_most, percent, ratio, short, spell_range, spoken
from meter_pipeline.sync.audit.findings import NEEDED, Finding
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.values import (
    DATE,
    FIRST_SCRIPT,
    FLAGS,
    MEASURE,
    MOST_DECIMALS,
    NEGATIVE,
    NUMBER,
    PADDED,
    SPELLED,
    TEXT,
    TIME,
    URL,
    ZERO,
    mark,
    pattern_of,
)
from meter_pipeline.sync.values.currencies import FAMILIES, SIGNS
from meter_pipeline.text.counts import count_of

_DAMAGE = tuple(range(PADDED))
# The share of amounts of money that are zero though none ever was.
_FREE = 0.15
# The share of numbers with more decimals than ever, their least number, and the decimals that none is rounded to.
_FINER, _FEWEST_FINER, _UNROUNDED = 0.1, 4, 12
_CURRENCY = re.compile(CURRENCY)
_NO_UNIT = mark("")
_QUERY = re.compile(r"[?#]")


def find_marks(baseline: Baseline) -> Iterator[Finding]:
    """Tags, entities, damaged characters, placeholders; zeros, minus signs and scripts where there were none."""
    count = np.maximum(baseline.filled_now, 1e-9)
    now = baseline.seen(lambda profile: profile.flags)
    occurring = np.flatnonzero(now.sum(axis=0))
    if not len(occurring):
        return
    past_flags = baseline.past(lambda profile: profile.flags)
    use = baseline.filled_past > 0
    for flag in occurring.tolist():
        test = "script" if flag >= FIRST_SCRIPT else "sign" if flag in (ZERO, NEGATIVE) else "text"
        seen = now[:, flag] / count
        usual = band(ratio(past_flags[:, :, flag], baseline.filled_past), baseline.mask(test) & use)
        excess = usual.above(seen)
        if not (excess > 0).any():
            continue
        number = now[:, flag]
        few = (count <= 3) & (seen >= 0.99) & (usual.jobs >= 5)
        if flag in _DAMAGE:
            held = (excess >= 0.3) & ((number >= 3) | few)
            flagged = (excess >= 0.05) & (number >= 2) | (excess >= 0.6)
        elif flag == PADDED:
            held, flagged = excess < -np.inf, (excess >= 0.5) & ((number >= 3) | few)
        elif flag in (ZERO, NEGATIVE):
            held = (excess >= 0.85) & (number >= 5) & (usual.high <= 0.1)
            if flag == ZERO and held.any():
                held &= ~are_back_at_zero(baseline)
            flagged = (excess >= 0.4) & (number >= 4) | few
            if flag == ZERO:
                flagged |= (excess >= _FREE) & (number >= 4) & (usual.jobs >= 5) & _is_money(baseline, excess >= _FREE)
        else:
            held = (excess >= 0.6) & (number >= 3) & (usual.high <= 0.2)
            held &= ~_is_same_currency(baseline, held)
            flagged = (excess >= 0.35) & (number >= 3)
        say = partial(_say_marks, baseline, FLAGS[flag], seen, usual)
        yield from spoken(baseline, test, held, flagged, seen, say, high=usual.high + usual.width)


def _say_marks(baseline: Baseline, name: str, seen: Floats, usual: Band, place: int) -> str:
    share, high = percent(seen[place]), at_most(usual.high[place])
    return f"{baseline.paths[place]} has {_named(name)} in {share} of its values, {high} before"


def _named(flag: str) -> str:
    if flag in ("zero", "negative"):
        return {"zero": "zeros", "negative": "negative numbers"}[flag]
    return f"{flag} letters" if flag[0].isupper() and "HTML" not in flag else flag


def find_new_units(baseline: Baseline) -> Iterator[Finding]:
    """Another currency or unit beside numbers that are written as text, and addresses on another host."""
    measures = baseline.seen(lambda profile: profile.with_units)
    past = baseline.past(lambda profile: profile.with_units)
    mask = baseline.mask("unit") & (past > 0)
    new = novelty(baseline, lambda profile: profile.units, mask, lambda profile: profile.with_units)
    jobs = mask.sum(axis=0)
    excess = np.where(jobs >= 3, new.seen - 1.5 * new.usual, 0)
    steady = (measures * 2 >= baseline.filled_now) & (new.usual <= 0.2)
    links = baseline.seen(lambda profile: profile.forms[:, URL]) > 0
    # Pages move to other hosts and stay as they are.
    held = steady & (excess >= 0.5) & ~links
    held &= ~_is_same_currency(baseline, held)
    flagged = (new.seen - 3 * new.usual >= 0.1) & (excess * measures >= 1.5) & (jobs >= 3)

    def say(place: int) -> str:
        names = baseline.now.unit_names
        unit = names.get(int(new.newest[place]), "")
        what = "host" if links[place] else "unit"
        written = f"the {what} {unit!r}" if unit else f"no {what}"
        known = sorted({name for profile in baseline.profiles for name in _units(profile, baseline.paths[place])})
        before = ", ".join(repr(name) if name else "none" for name in known[:4])
        return f"{baseline.paths[place]} has {written} in {percent(new.seen[place])} of its values; before: {before}"

    yield from spoken(baseline, "unit", held, flagged, new.seen, say, high=1.5 * new.usual + 0.1)


def _units(profile: JobProfile, path: str) -> list[str]:
    place = profile.place.get(path)
    if place is None:
        return []
    units = profile.units
    return [profile.unit_names[unit] for unit in units.marks[units.fields == place].tolist()]


def _is_money(baseline: Baseline, asked: Mask) -> Mask:
    """Whether values are amounts with a currency, which are not zero if they never were; of the fields asked."""
    result = np.zeros(len(asked), np.bool_)
    for place in np.flatnonzero(asked).tolist():
        result[place] = any(map(_currencies, _units(baseline.now, baseline.paths[place])))
    return result


def _is_same_currency(baseline: Baseline, asked: Mask) -> Mask:
    """Whether amounts have the currency they had before, spelled otherwise, as `GBP` for `£`; of the fields asked."""
    result = np.zeros(len(asked), np.bool_)
    for place in np.flatnonzero(asked).tolist():
        path = baseline.paths[place]
        now = baseline.now.place.get(path)
        # What addresses have for a unit is their host.
        if now is None or baseline.now.forms[now, URL]:
            continue
        units = set(_units(baseline.now, path))
        before = {unit for profile in baseline.profiles for unit in _units(profile, path)}
        known = frozenset[str]().union(*map(_currencies, before))
        # Where the currency is spelled as it was, the digits are what is written otherwise.
        result[place] = not units <= before and all(_currencies(unit) & known for unit in units)
    return result


@lru_cache(256)
def _currencies(unit: str) -> frozenset[str]:
    """The currencies that a unit can mean, as ISO 4217 codes; empty if it is none."""
    sign = _CURRENCY.search(unit)
    code = SIGNS.get(sign[0]) or SIGNS.get(sign[0].rstrip(".")) if sign else None
    return frozenset() if code is None else FAMILIES.get(code, frozenset()) | {code}


def _has_other_host(baseline: Baseline) -> Mask:
    """Whether addresses have another host than before: these moved, and are written as their new place wants it."""
    hosts = [_hosted(baseline, profile) for profile in (baseline.now, baseline.profiles[-1])]
    now = baseline.seen(lambda profile: profile.forms[:, URL])
    new = novelty(
        baseline, lambda profile: profile.units, baseline.mask("unit"), lambda profile: profile.with_units
    ).seen
    return (now * 2 > baseline.filled_now) & (hosts[0] >= 0.9) & (hosts[1] >= 0.9) & (new >= 0.5)


def _only_adds_queries(baseline: Baseline, asked: Mask) -> Mask:
    """Whether addresses are written as before but for a query, as one that counts clicks; of the fields asked.

    The samples show it: a query that begins beyond them is not seen, but for one that was seen in the job before.
    """
    result = np.zeros(len(asked), np.bool_)
    last = {finding.field for finding in baseline.accepted[-1].findings if finding.test == "pattern"}
    for place in np.flatnonzero(asked).tolist():
        path = baseline.paths[place]
        now = baseline.now.place.get(path)
        if now is None or not baseline.now.forms[now, URL]:
            continue
        if path in last:
            result[place] = True
            continue
        known: set[int] = set()
        for profile in baseline.profiles:
            before = profile.place.get(path)
            known.update(profile.patterns.marks[profile.patterns.fields == before].tolist())
        addresses = [_QUERY.split(text.strip('"'), 1) for text in baseline.now.samples[now]]
        result[place] = all(len(parts) > 1 and mark(pattern_of(parts[0])) in known for parts in addresses)
    return result


def _hosted(baseline: Baseline, profile: JobProfile) -> Floats:
    """By field, the share of its addresses with a host among the most frequent ones."""
    units = profile.units
    counts = np.bincount(units.fields, units.counts * (units.marks != _NO_UNIT), len(profile.paths))
    return baseline.spread(profile, ratio(counts.astype(np.float64), profile.with_units))


def find_new_patterns(baseline: Baseline) -> Iterator[Finding]:
    """Texts written in another way: dates in another order, addresses with another path, ids of another make."""
    mask = baseline.mask("pattern") & (baseline.filled_past > 0)
    new = novelty(baseline, lambda profile: profile.patterns, mask, lambda profile: profile.filled)
    forms = baseline.seen(lambda profile: profile.forms)
    texts = forms[:, TEXT] + forms[:, URL] + forms[:, DATE] + forms[:, TIME] + forms[:, SPELLED] + forms[:, MEASURE]
    jobs = mask.sum(axis=0)
    excess = np.where(jobs >= 3, new.seen - 1.5 * new.usual, 0)
    held = (excess >= 0.7) & (new.usual <= 0.1) & (texts >= 6)
    held &= ~_is_same_currency(baseline, held)
    if (addresses := held & (forms[:, URL] > 0)).any():
        held &= ~_has_other_host(baseline) & ~_only_adds_queries(baseline, addresses)
    finer = _finer(baseline, mask)
    is_finer = (finer >= _FINER) & (excess < 0.35)
    flagged = (excess >= 0.35) & (baseline.filled_now >= 5) | is_finer
    seen = np.where(is_finer, finer, new.seen)

    def say(place: int) -> str:
        if is_finer[place]:
            share = percent(finer[place])
            return f"{baseline.paths[place]} has more decimals than ever in {share} of its numbers other than zero"
        what = "texts" if texts[place] else "numbers"
        share = percent(new.seen[place])
        return f"{share} of the {what} in {baseline.paths[place]} are written in a way that no job had before"

    high = np.where(is_finer, 0, 1.5 * new.usual + 0.35)
    yield from spoken(baseline, "pattern", held, flagged, seen, say, high=high)


def _finer(baseline: Baseline, mask: Mask) -> Floats:
    """The share of each field's numbers, but zeros, with more decimals than any before: rounded ones multiplied.

    It is 0 where these are few, and for numbers that were never rounded.
    """
    most = np.where(mask, baseline.past(_most_decimals), 0).max(axis=0, initial=0)
    now = baseline.now
    limit = most if (places := baseline.places(now)) is None else most[places]
    patterns = now.patterns
    finer = (patterns.marks > limit[patterns.fields]) & (patterns.marks <= MOST_DECIMALS) & (limit[patterns.fields] > 0)
    number = np.bincount(patterns.fields[finer], patterns.counts[finer], len(now.paths)).astype(np.float64)
    others = now.forms[:, NUMBER] - now.flags[:, ZERO]
    share = np.where((number >= _FEWEST_FINER) & (limit < _UNROUNDED), ratio(number, others.astype(np.float64)), 0)
    return np.where(mask.sum(axis=0) >= NEEDED, baseline.spread(now, share), 0)


def _most_decimals(profile: JobProfile) -> Floats:
    """The most decimals of each field's numbers; 0 for a field without."""
    most, patterns = np.zeros(len(profile.paths)), profile.patterns
    are_decimals = patterns.marks <= MOST_DECIMALS
    np.maximum.at(most, patterns.fields[are_decimals], patterns.marks[are_decimals])
    return most


def find_other_lengths(baseline: Baseline) -> Iterator[Finding]:
    """Texts that are much longer or shorter than before."""
    lengths = baseline.seen(lambda profile: profile.lengths, np.nan)
    past = baseline.past(lambda profile: profile.lengths, np.nan)
    texts = ratio(baseline.seen(lambda profile: profile.forms)[:, [TEXT, URL]].sum(axis=1), baseline.filled_now) > 0.5
    mask = baseline.mask("length")
    count = baseline.filled_now
    with np.errstate(invalid="ignore", divide="ignore"):
        now_log, past_log = np.log(lengths), np.log(past)
    low, middle, high = (band(past_log[:, :, column], mask) for column in range(3))
    known = texts & ~np.isnan(middle_now := now_log[:, 1]) & (count >= 5)
    # The median of few or of very unlike texts moves by chance.
    noise = 1.5 * np.nan_to_num(now_log[:, 2] - now_log[:, 0]) / np.sqrt(np.maximum(count, 1)) + 0.1
    moved = np.maximum(middle.above(middle_now), middle.below(middle_now)) - noise
    cut = np.maximum(high.below(now_log[:, 2]), high.above(now_log[:, 2])) - noise
    apart = (low.above(now_log[:, 0]) > 0) & (now_log[:, 0] > high.high) | (now_log[:, 2] < low.low)
    held = known & apart & (moved >= log(1.6)) & (count >= 6)
    held &= ~_only_adds_queries(baseline, held)
    flagged = known & ((moved >= log(1.6)) | (cut >= log(2)))
    # On the page of one product, only what no title does.
    flagged |= texts & (count < 5) & (middle.jobs >= 5) & (np.nan_to_num(moved, nan=-np.inf) >= log(4))
    seen = np.nan_to_num(lengths[:, 1])

    def say(place: int) -> str:
        shortest, longest = np.exp(middle.low[place]), np.exp(middle.high[place])
        tail = f", the longest tenth from {short(lengths[place, 2])}" if moved[place] < log(1.6) else ""
        return (
            f"{baseline.paths[place]} has texts of {count_of(round(seen[place]), 'character')} (median){tail}, "
            f"while it had {spell_range(short(shortest), short(longest))} before"
        )

    yield from spoken(baseline, "length", held, flagged, seen, say, low=np.exp(middle.low), high=np.exp(middle.high))
