"""Ranks the candidates for the key of a strategy by their evidence and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import log
from typing import Any

from meter_pipeline.config.field_paths import Path, parse_path, spell_path
from meter_pipeline.sync.items.coding import CodeBook
from meter_pipeline.sync.items.comparisons import Fields
from meter_pipeline.sync.items.evidence import SURPRISING, Evidence
from meter_pipeline.sync.items.measures import Measures
from meter_pipeline.sync.items.samples import TARGET_PATH, JobSample
from meter_pipeline.sync.items.shapes import (
    CODES,
    KEY_WORDS,
    LONG,
    PAGE,
    SPREAD,
    WORDS,
    find_field_shape,
    find_shape,
    is_named_key,
    name_rank,
)
from meter_pipeline.sync.items.verdicts import (
    ACCEPTED,
    MANY_ITEMS,
    MANY_PAIRS,
    MAX_LOSS,
    REFUSED,
    STAYED,
    STAYS,
    WAITING,
    describe_gaps,
    describe_repeats,
    find_first_reason,
    find_reason_against,
    is_present,
    is_unique,
    judge,
    measure_strength,
)

FIELDS, TARGET = "fields", "target"

# What a text needs that does not wait for a number, and two fields of a short list that may be different by chance.
_STRONG_ALONE, _STRONG_TOGETHER, _STEPS_TOGETHER, _AGREEMENT_TOGETHER = 10, 6, 3, 0.4
# A number of many digits that stays is rather an id than a text that stays is, which may still be edited.
_ORDER = (CODES, PAGE, LONG, WORDS, SPREAD)
_PAIRED_FIELDS = 12
# A field that repeats more often than this may be worse than two together.
_CLEAN = 0.98
_RIVALS = 8
_MAX_CANDIDATES = _MOST_COMPARED = 24
# With fewer single-item pages than this, different values of a field may be chance.
_FEW_TARGETS = 8


@dataclass(frozen=True)
class Candidate:
    """A field, or two together, that could identify a strategy's items, with the evidence.

    Attributes:
        fields: Paths as in `meter.yaml`; empty for the target itself.
        kind: `fields`, or `target` where each page has one item and the page stands for it.
        presence: Share of items that have the fields.
        uniqueness: Share of values that no earlier item of the job has.
        stability: Share of recognised items that kept the value in the next job.
        agreement: Share of the other fields that agree between items of consecutive jobs with the same value: 0 as
            often as by chance, 1 always; None where nothing else tells.
        matched: Pairs of items that were compared.
        changed: How many of them changed in another field.
        verdict: `accepted`, `waiting` for more jobs, or `refused`.
        reason: Why, for people.
        is_makeshift: Whether a better one takes its place as soon as there is one: a time or a picture, or two
            fields that may be different by chance.
        is_text: Whether it is a text of words, such as a name or a title, which may be rewritten.
    """

    fields: tuple[str, ...]
    kind: str
    presence: float
    uniqueness: float
    stability: float
    agreement: float | None
    matched: int
    changed: int
    verdict: str
    reason: str
    is_makeshift: bool = False
    is_text: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """The fields as paths."""
        return tuple(map(parse_path, self.fields))

    def describe(self) -> str:
        """The numbers in a line: `in 100% of items, unique 98%, stable 100%, others agree 96%`."""
        agreement = "" if self.agreement is None else f", others agree {self.agreement:.0%}"
        return f"in {self.presence:.0%} of items, unique {self.uniqueness:.0%}, stable {self.stability:.0%}{agreement}"

    def spell(self) -> str:
        """The candidate in a line: its fields, its numbers, the verdict and why."""
        name = "the page" if self.kind == TARGET else " + ".join(self.fields)
        return f"{name}: {self.describe()}; {self.verdict}: {self.reason}"


@dataclass(frozen=True)
class Search:
    """The outcome of a search for a key.

    Attributes:
        key: The accepted candidate; None while there is none.
        candidates: All that were examined, best first.
        jobs: Number of jobs that were examined.
        items: Number of their items that were examined.
        steps: Number of comparisons of consecutive jobs.
    """

    key: Candidate | None
    candidates: tuple[Candidate, ...]
    jobs: int
    items: int
    steps: int

    def evidence(self, key: Candidate) -> dict[str, Any]:
        """The numbers of a key as the ledger keeps them."""
        return {
            "uniqueness": key.uniqueness,
            "coverage": key.presence,
            "stability": key.stability,
            "agreement": key.agreement,
            "jobs": self.jobs,
            "items": self.items,
        }


@dataclass
class _Rated:
    fields: Fields
    measures: Measures
    verdict: str
    reason: str
    shape: int = 0
    spread: int = 0
    is_attribute: bool = False


def rank(
    samples: Sequence[JobSample],
    book: CodeBook | None = None,
    *,
    with_targets: bool = False,
    kept: Fields = (),
) -> Search:
    """Examines all candidates over samples that are in order of time.

    Args:
        samples: The samples.
        book: Codes that are known from other samples of the search.
        with_targets: Whether each item is that of another target, named by the column `TARGET_PATH`.
        kept: The key so far; two fields are examined again also where a single one is enough in these samples.
    """
    evidence = Evidence(samples, ordered=not with_targets, book=book)
    rated = _rate_all(evidence, [(path,) for path in evidence.paths])
    if not any(_is_enough_alone(found) for found in rated):
        # A field that is part of a pair must not identify items by itself, and come back with the same values.
        parts = [
            found.fields[0]
            for found in rated
            if _may_need_another(found) and is_present(found.measures) and found.measures.most_values > 1
            and evidence.is_fit(found.fields)
        ]  # fmt: skip
        parts = sorted(parts, key=lambda path: (-evidence.count((path,)).most_values * evidence.overlap(path), path))
        chosen = [path for path in evidence.paths if path in parts[:_PAIRED_FIELDS]]
        rated = _judge_again(rated, _rate_all(evidence, list(combinations(chosen, 2))))
    elif len(kept) > 1:
        rated += _rate_all(evidence, [kept])
    rated = [_wait_for_better(found, rated, evidence) for found in rated]
    order = {path: number for number, path in enumerate(evidence.paths)}
    targets = max((len(sample.values) for sample in samples), default=0) if with_targets else None
    rated.sort(key=lambda found: _preference(found, order, targets))
    return _search_of(rated, samples, evidence)


def guess(samples: Sequence[JobSample], book: CodeBook | None = None) -> Search:
    """The key that one large list suggests by itself, so that its rows need not be made again after the second.

    Of the fields that tell all its items apart the best one is accepted; the second list confirms or refutes it.
    """
    evidence = Evidence(samples, book=book)
    order = {path: number for number, path in enumerate(evidence.paths)}
    rated: list[_Rated] = []
    for path in evidence.paths:
        measures = evidence.count((path,))
        reason = find_first_reason(evidence, (path,), measures)
        shape = find_shape(evidence, (path,))
        if reason is None and (measures.repeated or measures.presence < 1 or shape == SPREAD):
            reason = "too little seen: no two jobs can be compared yet"
        verdict = (WAITING, reason) if reason else (ACCEPTED, "different in every item of a large job")
        rated.append(_Rated((path,), measures, *verdict, shape))
    rated.sort(key=lambda found: _preference(found, order, None))
    return _search_of(rated, samples, evidence)


def examine(
    samples: Sequence[JobSample], fields: Fields, book: CodeBook | None = None, *, with_targets: bool = False
) -> Candidate | None:
    """How a key does that is in use: `refused` if it no longer holds; None if no two jobs can be compared.

    Args:
        samples: The samples, in order of time.
        fields: The key's paths.
        book: Codes that are known from other samples.
        with_targets: Whether each item is that of another target, named by the column `TARGET_PATH`.
    """
    evidence = Evidence(samples, ordered=not with_targets, book=book)
    if not evidence.steps:
        return None
    singles = [(path,) for path in evidence.paths if _is_tried_alone(evidence, (path,))]
    # Other fields that tell items apart recognise those whose key has changed.
    compared = {fields: evidence.count(fields)} | {path: evidence.count(path) for path in singles[:_RIVALS]}
    evidence.compare(compared, [fields])
    measures = compared[fields]
    if not is_present(measures):
        reason: str | None = describe_gaps(measures)
    elif not is_unique(measures):
        reason = describe_repeats(measures)
    else:
        reason = find_reason_against(measures, CODES)
    verdict = (REFUSED, reason) if reason else (ACCEPTED, STAYS)
    return _candidate(_Rated(fields, measures, *verdict))


def _judge_again(singles: list[_Rated], pairs: Sequence[_Rated]) -> list[_Rated]:
    """Single fields and pairs, after it turned out that pairs recognise items where single fields alone seemed to."""
    trusted = [found for found in pairs if found.measures.is_trusted]
    for number, single in enumerate(singles):
        measures = single.measures
        others = [found.measures.matched for found in trusted if not set(found.fields) & set(single.fields)]
        if measures.is_alone and max(others, default=0) * 2 >= measures.matched:
            measures.is_alone = False
            verdict, reason = judge(single.fields, measures, single.shape)
            singles[number] = replace(single, verdict=verdict, reason=reason)
    return [*singles, *pairs]


def _is_tried_alone(evidence: Evidence, fields: Fields) -> bool:
    return find_first_reason(evidence, fields, evidence.count(fields)) is None


def _is_enough_alone(found: _Rated) -> bool:
    """Whether no two fields are looked for: one does, and shows neither changes nor repeats that two may not have."""
    measures = found.measures
    is_clean = not measures.changes and (measures.are_distinct or measures.uniqueness >= _CLEAN)
    is_clean = is_clean and not (measures.is_alone or found.is_attribute)
    return found.verdict != REFUSED and found.shape < LONG and is_clean


def _may_need_another(found: _Rated) -> bool:
    """Whether a field may identify items together with another one: it stays, and several items have the same value."""
    measures = found.measures
    is_shared = found.verdict == REFUSED and measures.matched > 0 and not measures.are_distinct
    return (is_shared and measures.loss <= MAX_LOSS and not measures.is_position) or not is_unique(measures)


def _search_of(rated: Sequence[_Rated], samples: Sequence[JobSample], evidence: Evidence) -> Search:
    candidates = [_candidate(found) for found in rated[:_MAX_CANDIDATES]]
    best = candidates[0] if candidates and candidates[0].verdict == ACCEPTED else None
    items = sum(len(sample.values) for sample in samples)
    return Search(best, tuple(candidates), len(samples), items, evidence.steps)


def _rate_all(evidence: Evidence, candidates: Iterable[Fields]) -> list[_Rated]:
    rated: list[_Rated] = []
    compared: dict[Fields, Measures] = {}
    for fields in candidates:
        measures = evidence.count(fields)
        reason = find_first_reason(evidence, fields, measures)
        if reason is None:
            compared[fields] = measures
        else:
            rated.append(_Rated(fields, measures, REFUSED, reason))
    if len(compared) > _MOST_COMPARED:
        # So many different fields are rarely keys; the better names and the first fields come first.
        order = sorted(compared, key=lambda fields: sum(name_rank(path[-1]) if path else 0 for path in fields))
        for fields in order[_MOST_COMPARED:]:
            rated.append(_Rated(fields, compared.pop(fields), REFUSED, "not examined: enough others are unique too"))
    evidence.compare(compared)
    for fields, measures in compared.items():
        shape = find_shape(evidence, fields)
        if len(fields) > 1 and not evidence.belong_together(fields):
            rated.append(_rate_by_chance(evidence, fields, measures, len(compared)))
        else:
            is_attribute = all(evidence.is_picture(path) or evidence.is_time(path) for path in fields)
            rated.append(_Rated(fields, measures, *judge(fields, measures, shape), shape, is_attribute=is_attribute))
    return rated


def _rate_by_chance(evidence: Evidence, fields: Fields, measures: Measures, tried: int) -> _Rated:
    """Fields of a short list that so few values of each could be different by chance: their jobs must show the more."""
    # Each field must be fit to be a part of a key, as these do not show that they belong together.
    shape = max(find_field_shape(evidence, path) for path in fields)
    verdict, reason = judge(fields, measures, shape, may_be_chance=True)
    # They need the pairs of a number, which may be different by chance, too.
    is_enough = measures.matched >= STAYED and evidence.steps >= _STEPS_TOGETHER
    is_enough = is_enough and measure_strength(measures) >= _STRONG_TOGETHER
    is_enough = is_enough and (measures.agreement or 0) >= _AGREEMENT_TOGETHER
    is_enough = is_enough and _is_beyond_chance(evidence, fields, measures, tried)
    if verdict == ACCEPTED and measures.reused:
        verdict, reason = REFUSED, f"came back {measures.reused} times with another item"
    elif verdict == ACCEPTED and not is_enough:
        verdict, reason = WAITING, "too little seen: so few values of each could be different by chance"
    spread = sum(evidence.count((path,)).most_values for path in fields)
    return _Rated(fields, measures, verdict, reason, shape, spread)


def _is_beyond_chance(evidence: Evidence, fields: Fields, measures: Measures, tried: int) -> bool:
    """Whether independent fields would have shown equal values by now, or would hardly ever show them.

    The more candidates are tried, the more often one of them shows none by chance.
    """
    chance, values = evidence.chance_of_equals(fields)
    if chance * values * (values - 1) / 2 >= SURPRISING + log(tried):
        return True
    # Each item that comes may have the values of one of those before; where few come, that is seldom.
    return chance * values * measures.came <= MAX_LOSS * measures.matched


def _wait_for_better(found: _Rated, rated: Sequence[_Rated], evidence: Evidence) -> _Rated:
    """A field waits while another one has done better so far, and only needs more jobs to be accepted.

    A name or title waits for one that has done as well, too, unless both name the same items in all jobs: then either
    is right so far, and what has enough evidence need not wait.
    """
    measures = found.measures
    may_be_chance = found.spread > 0
    if found.verdict != ACCEPTED or (len(found.fields) > 1 and not may_be_chance):
        return found
    for other in rated:
        loss, own = other.measures.loss, measures.loss
        is_better = loss < own or (loss == own and measures.matched < MANY_PAIRS)
        if found.shape != WORDS and not may_be_chance:
            is_better = loss <= own and other.measures.matched > measures.matched and measures.matched < MANY_PAIRS
        # In a short list any number is different by chance: what has stayed often enough does not wait for it.
        is_rival = other.shape != SPREAD or other.measures.most_items >= MANY_ITEMS or is_named_key(other.fields)
        is_rival = is_rival or may_be_chance or measure_strength(measures) < _STRONG_ALONE
        is_rival = is_rival and other.verdict == WAITING and other.measures.uniqueness >= measures.uniqueness
        # What recognises less than half of the items has not done as well.
        is_rival = is_rival and other.measures.matched * 2 >= measures.matched
        if is_rival and is_better and not (loss == own and evidence.name_same_items(found.fields, other.fields)):
            names = " + ".join(map(spell_path, other.fields))
            return replace(
                found, verdict=WAITING, reason=f"{names} has done as well or better, and waits for more jobs"
            )
    return found


def _preference(found: _Rated, order: Mapping[Path, int], targets: int | None) -> tuple[Any, ...]:
    """Sort key, best first: the verdict, the evidence, then the name, the shape of the values, and the order."""
    measures = found.measures
    place = (ACCEPTED, WAITING, REFUSED).index(found.verdict)
    # Whole items that repeat, repeat in all fields: a field that repeats more often than another one is the worse key.
    evidence = (round(measures.loss, 2), 0.0 if measures.are_distinct else round(1 - measures.uniqueness, 2))
    # A value that changes leaves more items unrecognised than one that stays: these seem to have left.
    lost = round(measures.unsettled / max(measures.matched, 1), 1)
    # Nor do items of a short list, which change seldom, often become others all at once.
    reused = measures.reused if measures.most_items < MANY_ITEMS else 0
    named = sum(name_rank(path[-1]) if path else KEY_WORDS.index("name") for path in found.fields) / len(found.fields)
    # A page stands for its item where few pages make it uncertain that a field does, and before names and numbers.
    is_page = found.fields == (TARGET_PATH,)
    is_few = targets is not None and targets < _FEW_TARGETS
    at = [order.get(path, 0) for path in found.fields]
    return (
        place,
        # An item gets another picture or time, and several have the same one: a text or a number that is accepted says
        # more of what it is, and so do two fields, unless several items have the same two as well.
        found.is_attribute or (len(found.fields) > 1 and not measures.are_distinct),
        *evidence,
        lost,
        reused,
        # A field of which a few items lack a value says more than two that may be different by chance.
        found.spread > 0,
        -round(measures.presence, 1),
        not (is_page and is_few),
        min(named, KEY_WORDS.index("name")),
        _ORDER.index(found.shape),
        named,
        at,
    )


def _candidate(found: _Rated) -> Candidate:
    measures = found.measures
    is_target = found.fields == (TARGET_PATH,)
    return Candidate(
        () if is_target else tuple(map(spell_path, found.fields)),
        TARGET if is_target else FIELDS,
        round(measures.presence, 4),
        round(measures.uniqueness, 4),
        round(1 - measures.loss, 4) if measures.matched else 0.0,
        None if measures.agreement is None else round(measures.agreement, 4),
        measures.matched,
        measures.changed,
        found.verdict,
        found.reason,
        found.is_attribute or found.spread > 0,
        found.shape == WORDS and len(found.fields) == 1,
    )
