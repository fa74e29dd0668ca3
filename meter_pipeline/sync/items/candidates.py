"""Ranks the candidates for a strategy's key by their evidence, and says of each why it is the key or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

from meter_pipeline.config.field_paths import Path, parse_path, spell_path
from meter_pipeline.store.columns import snake
from meter_pipeline.sync.items.coding import CodeBook
from meter_pipeline.sync.items.evidence import Evidence, Fields
from meter_pipeline.sync.items.measures import Measures
from meter_pipeline.sync.items.samples import TARGET_PATH, JobSample

FIELDS, TARGET = "fields", "target"
ACCEPTED, WAITING, REFUSED = "accepted", "waiting", "refused"

# Share of items that may lack a key or repeat another item's, and of recognised items whose key may change.
_TOLERATED = 0.05
_MAX_LOSS, _MAX_LOSS_WORDS, _MAX_LOSS_NUMBERS = 0.03, 0.02, 0.01
_MIN_AGREEMENT = 0.4
# What it takes to accept a key: pairs of items in which it stayed, and how many of these changed in another field. Any
# of these is enough; numbers, which can be different by chance, need more.
_ENOUGH = ((6, 3), (12, 2), (20, 1))
# An id that looks like one and that no other item ever had, in a list where nothing but the items changes.
_ENOUGH_CODES = (*_ENOUGH, (40, 0))
_ENOUGH_NUMBERS = ((20, 6), (60, 1))
# A number that has stayed in this many pairs would have changed if it were one that changes in a tenth of them.
_STAYED_NUMBERS, _CHANGES_AROUND = 24, 6
_ENOUGH_REPEATED = ((40, 6),)
# A name or a title that may have been rewritten in this share of items, for all that was seen, needs more, too.
_ENOUGH_UNSETTLED = ((24, 3),)
_UNSETTLED, _MOST_UNSETTLED, _MANY_PAIRS = 0.1, 0.6, 100
# Share of items whose number may change for all that was seen, and the same for numbers of many digits, which are
# seldom amounts or counts.
_UNSURE_LOSS, _UNSURE_LOSS_LONG, _LONG_NUMBER = 0.035, 0.1, 10**7
# Epochs in seconds and milliseconds: long, and as likely to change as any time.
_TIMES = ((10**9, 2 * 10**9), (10**12, 2 * 10**12))
# Numbers that were given one after another: at least this many, the lowest at least this, and all within this share of
# it. Amounts and counts differ more, and years are left out.
_LEAST_SERIES, _LEAST_OF_SERIES, _SERIES_WIDTH, _YEARS = 3, 100, 0.05, (1800, 2200)
# Two or three short numbers: times of day, dates, versions, results. These are no more of a code than a number is.
_READING = re.compile(r"\W{0,2}[vV]?\d{1,4}(?:[:.,/x×-]\d{1,4}){1,2}\W{0,2}")
# Repeats that numbers drawn at random would have, and the share of these that still counts as few.
_SURPRISING, _SELDOM = 8, 0.25
# Repeats of a number that tell whether whole items repeat.
_FEW_REPEATS = 2
# A page that has always had one item: it is about that item until all of it changes.
_ENOUGH_PAGE = ((1, 1),)
_STAYS = "stays with an item while other fields change"
SELDOM_BACK = "items that came back had not changed, and most did not come back"
# Shapes of values, best first: codes and addresses, the page that stands for its item, other text, numbers of many
# digits, and numbers that chance may have made different.
_CODES, _PAGE, _WORDS, _LONG, _SPREAD = range(5)
# Any of these is enough, too, in lists of few items, by the shape of the values: pairs of items of which another field
# changed, where several pairs without a change count as much as one with it.
_STRONG = {_CODES: 1.5, _WORDS: 3.0, _LONG: 4.0}
_WITHOUT_CHANGE, _STRONG_AGREEMENT = 8, 0.6
# What a text needs that does not wait for a number, and two fields of a short list that may be different by chance.
_STRONG_ALONE, _STRONG_TOGETHER, _STEPS_TOGETHER, _AGREEMENT_TOGETHER = 10, 6, 3, 0.4
# A number of many digits that stays is rather an id than a text that stays is, which may still be edited.
_ORDER = (_CODES, _PAGE, _LONG, _WORDS, _SPREAD)
_MANY_ITEMS = 20
# In a longer list two fields show whether they belong together.
_SHORT = 12
# A value that comes back less often than this has come back by chance.
_SELDOM_MATCHED = 0.02
_PAIRED_FIELDS = 12
_RIVALS = 8
_MAX_CANDIDATES = _MOST_COMPARED = 24
# With fewer single-item pages than this, different values of a field may be chance.
_FEW_TARGETS = 8
# Words at the end of a name that suggest a key, to choose between fields with equal evidence.
_KEY_WORDS = (
    "id", "uuid", "guid", "sku", "isbn", "isbn13", "ean", "gtin", "upc", "asin", "mpn", "doi", "key", "code", "slug",
    "handle", "url", "link", "permalink", "href", "uri", "number", "no", "symbol", "name", "title", "heading",
)  # fmt: skip
# Words of fields that identify a part of an item, or the scrape, and not the item.
_PART_WORDS = frozenset(
    {"image", "img", "thumbnail", "photo", "picture", "icon", "session", "request", "scrape", "seller"}
)


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


def rank(samples: Sequence[JobSample], book: CodeBook | None = None, *, with_targets: bool = False) -> Search:
    """Examines all candidates over samples that are in order of time.

    Args:
        samples: The samples.
        book: Codes that are known from other samples of the search.
        with_targets: Whether each item is that of another target, named by the column `TARGET_PATH`.
    """
    evidence = Evidence(samples, ordered=not with_targets, book=book)
    rated = _rate_all(evidence, [(path,) for path in evidence.paths])
    if not any(found.verdict != REFUSED and found.shape < _LONG for found in rated):
        # A field that is part of a pair must not identify items by itself, and come back with the same values.
        parts = [
            found.fields[0]
            for found in rated
            if not _is_unique(found.measures) and _is_present(found.measures) and found.measures.most_values > 1
            and evidence.is_fit(found.fields)
        ]  # fmt: skip
        parts = sorted(parts, key=lambda path: (-evidence.count((path,)).most_values * evidence.overlap(path), path))
        chosen = [path for path in evidence.paths if path in parts[:_PAIRED_FIELDS]]
        rated += _rate_all(evidence, list(combinations(chosen, 2)))
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
        reason = _first_reason(evidence, (path,), measures)
        shape = _shape(evidence, (path,))
        if reason is None and (measures.repeated or measures.presence < 1 or shape == _SPREAD):
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
    evidence.compare(compared)
    measures = compared[fields]
    if not _is_present(measures):
        reason: str | None = _lacking(measures)
    elif not _is_unique(measures):
        reason = _repeating(measures)
    else:
        reason = _reason_against(measures, _CODES)
    verdict = (REFUSED, reason) if reason else (ACCEPTED, _STAYS)
    return _candidate(_Rated(fields, measures, *verdict))


def _is_tried_alone(evidence: Evidence, fields: Fields) -> bool:
    return _first_reason(evidence, fields, evidence.count(fields)) is None


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
        reason = _first_reason(evidence, fields, measures)
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
        shape = _shape(evidence, fields)
        if len(fields) > 1 and not evidence.belong_together(fields):
            rated.append(_rate_by_chance(evidence, fields, measures))
        else:
            rated.append(_Rated(fields, measures, *_judge(fields, measures, shape), shape))
    return rated


def _rate_by_chance(evidence: Evidence, fields: Fields, measures: Measures) -> _Rated:
    """Fields of a short list that so few values of each could be different by chance: their jobs must show the more."""
    # Each field must be fit to be a part of a key, as these do not show that they belong together.
    shape = max(_shape_of(evidence, path) for path in fields)
    verdict, reason = _judge(fields, measures, shape, may_be_chance=True)
    is_enough = _strength(measures) >= _STRONG_TOGETHER and evidence.steps >= _STEPS_TOGETHER
    is_enough = is_enough and (measures.agreement or 0) >= _AGREEMENT_TOGETHER
    if verdict == ACCEPTED and measures.reused:
        verdict, reason = REFUSED, f"came back {measures.reused} times with another item"
    elif verdict == ACCEPTED and not is_enough:
        verdict, reason = WAITING, "too little seen: so few values of each could be different by chance"
    spread = sum(evidence.count((path,)).most_values for path in fields)
    return _Rated(fields, measures, verdict, reason, shape, spread)


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
        is_better = loss < own or (loss == own and measures.matched < _MANY_PAIRS)
        if found.shape != _WORDS and not may_be_chance:
            is_better = loss <= own and other.measures.matched > measures.matched and measures.matched < _MANY_PAIRS
        # In a short list any number is different by chance: what has stayed often enough does not wait for it.
        is_rival = other.shape != _SPREAD or other.measures.most_items >= _MANY_ITEMS or _is_named_key(other.fields)
        is_rival = is_rival or may_be_chance or _strength(measures) < _STRONG_ALONE
        is_rival = is_rival and other.verdict == WAITING and other.measures.uniqueness >= measures.uniqueness
        if is_rival and is_better and not (loss == own and evidence.name_same_items(found.fields, other.fields)):
            names = " + ".join(map(spell_path, other.fields))
            return replace(
                found, verdict=WAITING, reason=f"{names} has done as well or better, and waits for more jobs"
            )
    return found


def _is_present(measures: Measures) -> bool:
    return 1 - measures.presence <= _bound(measures, 2)


def _is_unique(measures: Measures) -> bool:
    # In a short list one repeat is more than an exception: so few items are different by chance.
    bound = _bound(measures, 1) if measures.most_items >= _MANY_ITEMS else _TOLERATED
    return 1 - measures.uniqueness <= bound


def _bound(measures: Measures, deviations: int) -> float:
    """What share of items may be exceptions: 5 %, and some standard deviations more."""
    return _TOLERATED + deviations * (_TOLERATED * (1 - _TOLERATED) / max(measures.most_items, 1)) ** 0.5


def _first_reason(evidence: Evidence, fields: Fields, measures: Measures) -> str | None:
    """Why single jobs rule a candidate out; None if they do not."""
    if not evidence.is_fit(fields):
        return "neither text nor whole numbers, or an amount"
    if not _is_present(measures):
        return _lacking(measures)
    if not _is_unique(measures):
        return _repeating(measures)
    is_short = measures.most_items <= _SHORT and not measures.repeated and measures.presence == 1
    if len(fields) > 1 and not is_short and not evidence.belong_together(fields):
        return "different by chance: so few values of each would repeat no more often in any case"
    return None


def _lacking(measures: Measures) -> str:
    return f"{1 - measures.presence:.0%} of items lack it"


def _repeating(measures: Measures) -> str:
    return f"{1 - measures.uniqueness:.0%} of items repeat another one's"


def _judge(fields: Fields, measures: Measures, shape: int, *, may_be_chance: bool = False) -> tuple[str, str]:
    """The verdict on a candidate that single jobs do not rule out, and why."""
    against = _reason_against(measures, shape, is_single=len(fields) == 1 or may_be_chance)
    if against is not None:
        return REFUSED, against
    if not may_be_chance and _is_named_key(fields) and _is_flawless(measures):
        # Not decided by the name: nothing tells for or against, and the next jobs can still refute it.
        doubt = _doubt(fields, measures, shape)
        return (
            ACCEPTED,
            _STAYS if doubt is None else f"nothing against it so far, and its name suggests it ({doubt[1]})",
        )
    return _doubt(fields, measures, shape) or (ACCEPTED, _STAYS)


def _reason_against(measures: Measures, shape: int, *, is_single: bool = True) -> str | None:
    """What consecutive jobs show against a candidate."""
    if measures.matched < _SELDOM_MATCHED * measures.smaller or not measures.matched:
        return "new in nearly every job" if measures.smaller >= _ENOUGH[0][0] else None
    if shape >= _LONG and measures.uniqueness < 1 - _TOLERATED and not measures.are_copies:
        return _repeating(measures)
    if shape >= _LONG and measures.repeated >= _FEW_REPEATS and not measures.are_copies:
        return "numbers that different items have, as if drawn by chance"
    if shape == _WORDS and is_single and measures.repeated and not measures.are_copies:
        return "names that different items have"
    if not is_single and measures.repeated and not measures.are_copies:
        return "together, too, values that different items have"
    most = _MAX_LOSS_NUMBERS if shape >= _LONG else _MAX_LOSS_WORDS if shape == _WORDS else _MAX_LOSS
    if measures.loss > most:
        return f"changes in {measures.loss:.0%} of items that are otherwise the same"
    if measures.replaced > _MAX_LOSS:
        return f"stays while all else is replaced in {measures.replaced:.0%} of items"
    is_name = shape == _WORDS and is_single
    if measures.reused > _MAX_LOSS * measures.matched and (is_name or measures.reused > 1):
        return f"came back {measures.reused} times with another item"
    if measures.agreement is not None and measures.agreement < _MIN_AGREEMENT:
        return f"items with the same value agree in {measures.agreement:.0%} of the rest only"
    return None


def _doubt(fields: Fields, measures: Measures, shape: int) -> tuple[str, str] | None:
    """What is missing before a candidate can be accepted; None if nothing is."""
    if measures.is_position:
        return REFUSED, "numbers the places of a list that has not moved"
    is_number = shape >= _LONG
    enough: Sequence[tuple[int, int]] = _ENOUGH_NUMBERS if is_number else _ENOUGH
    if fields == (TARGET_PATH,):
        enough = _ENOUGH_PAGE
    elif shape == _CODES:
        enough = _ENOUGH_CODES
    if shape == _WORDS and len(fields) == 1 and measures.unsettled > _UNSETTLED * measures.matched:
        enough = _ENOUGH_UNSETTLED
    if measures.repeated and measures.most_items < _MANY_ITEMS:
        # In a short list one repeat more or less decides whether a field is unique.
        enough = _ENOUGH_REPEATED
    is_strong = shape in _STRONG and _strength(measures) >= _STRONG[shape]
    is_strong = is_strong and (measures.agreement or 0) >= _STRONG_AGREEMENT
    is_strong = is_strong and enough in (_ENOUGH, _ENOUGH_CODES, _ENOUGH_NUMBERS)
    if not is_strong and not any(
        measures.matched >= matched and measures.changed >= changed for matched, changed in enough
    ):
        return WAITING, f"too little seen: {measures.matched} items met again, {measures.changed} with changes"
    if not measures.changed and measures.matched < measures.smaller / 2:
        # Ids that are made again in each job look like those of items that never come back.
        return WAITING, SELDOM_BACK
    if shape == _WORDS and len(fields) == 1 and measures.unsettled > _MOST_UNSETTLED * measures.matched:
        return WAITING, "nothing tells whether items left or were renamed"
    if is_number and is_strong and measures.loss == 0 and measures.agreement is not None:
        return None
    if is_number and _has_stayed(measures):
        return None
    if is_number and measures.checked < max(_ENOUGH_NUMBERS[0][0], measures.matched / 2):
        return REFUSED, "numbers that may be different by chance: the rest of an item does not identify it"
    if is_number and measures.unsure > (_UNSURE_LOSS if shape == _SPREAD else _UNSURE_LOSS_LONG):
        return WAITING, f"too little seen: {measures.unsure:.0%} of these numbers may still change"
    if measures.agreement is None:
        return REFUSED, "nothing else of an item stays with it"
    return None


def _has_stayed(measures: Measures) -> bool:
    """Whether a number has stayed so often, with changes around it, that it is none that changes."""
    is_flawless = measures.loss == 0 and not measures.repeated and not measures.reused and not measures.is_by_ranks
    # Where items come and go and the rest does not recognise them, each of them may have changed its number instead.
    is_flawless = is_flawless and measures.unsettled <= _MAX_LOSS * measures.matched
    is_often = measures.matched >= _STAYED_NUMBERS and measures.changed >= _CHANGES_AROUND
    return is_flawless and is_often and (measures.agreement or 0) >= _MIN_AGREEMENT


def _strength(measures: Measures) -> float:
    """How much the pairs show: one that stayed while another field changed counts as much as several that did not."""
    return measures.changed + (measures.matched + measures.met) / _WITHOUT_CHANGE


def _is_named_key(fields: Fields) -> bool:
    return all(path and name_rank(path[-1]) < _KEY_WORDS.index("name") for path in fields)


def _is_flawless(measures: Measures) -> bool:
    is_whole = measures.presence == 1 and measures.repeated == 0 and measures.loss == 0
    return is_whole and measures.matched >= max(2, measures.smaller / 2)


def _shape(evidence: Evidence, fields: Fields) -> int:
    """How much values resemble codes and addresses; of several fields the best counts, since they belong together."""
    return min(_shape_of(evidence, path) for path in fields)


def _shape_of(evidence: Evidence, path: Path) -> int:
    if path == TARGET_PATH:
        return _PAGE
    values = evidence.values(path)
    if values and all(type(value) is str and _READING.fullmatch(value) for value in values[:500]):
        return _SPREAD
    numbers = [number for value in values if (number := _read_number(value)) is not None]
    if numbers and len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        # Numbers drawn from the same range at random would repeat more often.
        expected = len(values) ** 2 / 2 / (high - low + 1)
        if expected >= _SURPRISING and evidence.count((path,)).repeated / len(evidence.samples) <= _SELDOM * expected:
            return _CODES
        is_time = any(start <= low and high <= end for start, end in _TIMES)
        return _LONG if not is_time and (low >= _LONG_NUMBER or _is_series(numbers)) else _SPREAD
    values = values[:500]
    texts = [value for value in values if type(value) is str]
    coded = sum(not re.search(r"\s", text) and bool(re.search(r"\d|://", text)) for text in texts)
    return _CODES if texts and coded >= 0.9 * len(texts) else _WORDS


def _is_series(numbers: Sequence[float]) -> bool:
    """Whether numbers seem to have been given one after another: close together, and far from 0."""
    low, high = min(numbers), max(numbers)
    is_close = low >= _LEAST_OF_SERIES and high - low <= _SERIES_WIDTH * low
    is_year = _YEARS[0] <= low and high <= _YEARS[1]
    return is_close and not is_year and len(set(numbers)) >= _LEAST_SERIES


def _read_number(value: Any) -> float | None:
    """A number, also one spelled as text if it has no more digits than an amount may have."""
    if type(value) in (int, float):
        return float(value)
    is_short = type(value) is str and value.isascii() and value.isdigit() and int(value) < _LONG_NUMBER
    return float(value) if is_short and (value == "0" or value[0] != "0") else None


@lru_cache(maxsize=4_096)
def name_rank(name: str) -> int:
    """Lower for better names of a key; the same for all names that suggest none."""
    words = snake(name).split("_")
    if _PART_WORDS & set(words) or words[-1] not in _KEY_WORDS:
        return len(_KEY_WORDS)
    return _KEY_WORDS.index(words[-1])


def _preference(found: _Rated, order: Mapping[Path, int], targets: int | None) -> tuple[Any, ...]:
    """Sort key, best first: the verdict, the evidence, then the name, the shape of the values, and the order."""
    measures = found.measures
    place = (ACCEPTED, WAITING, REFUSED).index(found.verdict)
    # Whole items that repeat, repeat in all fields: a field that repeats more often than another one is the worse key.
    evidence = (round(measures.loss, 2), -round(measures.uniqueness, 2), -round(measures.presence, 1))
    named = sum(name_rank(path[-1]) if path else _KEY_WORDS.index("name") for path in found.fields) / len(found.fields)
    # A page stands for its item where few pages make it uncertain that a field does, and before names and numbers.
    is_page = found.fields == (TARGET_PATH,)
    is_few = targets is not None and targets < _FEW_TARGETS
    at = [order.get(path, 0) for path in found.fields]
    return (
        place,
        *evidence,
        not (is_page and is_few),
        min(named, _KEY_WORDS.index("name")),
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
    )
