"""Finds the key of a strategy's items by evidence: a pure function of the accepted jobs, whatever order they came in.

The search walks through the jobs in order of time and examines a bounded sample at growing distances. A key that a
sample supports stands until a later sample refutes it or shows a better one, and is final once much has changed around
it. A job that is loaded late leaves no trace: the answer is again that of all jobs in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meter_pipeline.config.field_paths import parse_path
from meter_pipeline.sync.items.candidates import (
    FIELDS,
    TARGET,
    Candidate,
    Search,
    examine,
    guess,
    rank,
)
from meter_pipeline.sync.items.coding import CodeBook
from meter_pipeline.sync.items.comparisons import Fields
from meter_pipeline.sync.items.samples import TARGET_PATH, WHOLE_ITEMS, JobSample, sample_size
from meter_pipeline.sync.items.verdicts import ACCEPTED, REFUSED

# Goes up when the same jobs may get another key: a search of another version begins again with the next job.
_VERSION = 3
# Most jobs of a sample, and the same of pages of one item each: many of these weigh less than one list.
SAMPLE_JOBS, SAMPLE_PAGES = 48, 96
# Small jobs: enough of them to have this many items together, and this number at least. Large jobs: no more of them
# than have this many items together, but this number at least.
_ENOUGH_ITEMS, _USUAL_JOBS = 120, 12
_SAMPLE_ITEMS, _LEAST_JOBS = 20_000, 4
# The sample is examined again when the number of comparable jobs has grown by this factor.
_GROWTH = 1.35
# A final or configured key is examined again after this many more comparable jobs; later after this growth.
_WATCHED_JOBS, _WATCHED_GROWTH, _WATCH_SAMPLE = 8, 1.05, 4
# A key is final after this many comparisons with this many matched items and changes around it, or after this many
# comparable jobs.
_SURE_STEPS, _SURE_MATCHED, _SURE_CHANGES, _ENOUGH_EXAMINED = 3, 100, 3, 60
# A text of words may be rewritten, or be that of a second item, once in a while: it takes this many comparisons of each
# target to be sure of one.
_SURE_ROUNDS = 10
# In lists of fewer items on average, two fields together are never sure by that, and in others only after as many
# changes: a second one that seldom changes looks like a part of the key at first.
_FEW_ITEMS, _SURE_CHANGES_TOGETHER = 20, 30
# Differences in stability and uniqueness up to this are no difference.
_TIE = 0.005
_ONE_ITEM_SHARE = 0.9
# Candidates that are kept with a search.
_KEPT = 8

Place = tuple[str, str]


@dataclass(frozen=True)
class JobRef:
    """An accepted job that the search may sample.

    Attributes:
        job_id: The job.
        target_id: What it scraped.
        time: When, ISO 8601; with the id it orders jobs.
        items: Number of its items.
        run: The run of several targets that the job belongs to, if known.
    """

    job_id: str
    target_id: str
    time: str
    items: int
    run: str | None = None

    @property
    def place(self) -> Place:
        """The job's place in time."""
        return self.time, self.job_id


@dataclass(frozen=True)
class KeySearch:
    """What the accepted jobs up to a checkpoint support; the starting point for the next one.

    Attributes:
        key: The key; None while the evidence supports none.
        search: The last search, with its best candidates; None before there was one.
        examined: Number of comparable jobs up to the last checkpoint: those with an earlier job of the same target.
        until: The place of the last job up to the last checkpoint; None before the first.
        is_final: Whether no later job can change the key.
        watched: How the key in use does in the last jobs up to the last checkpoint; None if nothing could be compared.
        version: Version of the rules that it followed.
    """

    key: Candidate | None = None
    search: Search | None = None
    examined: int = 0
    until: Place | None = None
    is_final: bool = False
    watched: Candidate | None = None
    version: int = _VERSION

    def survives(self, moved: Iterable[Place]) -> bool:
        """Whether it still holds when jobs at these places are accepted, or no longer are."""
        if self.version != _VERSION:
            return False
        return self.until is None or all(place > self.until for place in moved)

    def next_count(self, *, is_given: bool) -> int:
        """Number of comparable jobs at which there is something to examine again; `is_given`: the key is configured."""
        if self.until is None and not is_given:
            return 0
        return _next_count(self.examined, is_watched=is_given or self.is_final)

    def dump(self) -> dict[str, Any]:
        """The search as the ledger keeps it."""
        search = self.search
        dumped = search and {
            **vars(search),
            "key": _dump_candidate(search.key),
            "candidates": tuple(map(_dump_candidate, search.candidates)),
        }
        return {
            **vars(self),
            "key": _dump_candidate(self.key),
            "search": dumped,
            "watched": _dump_candidate(self.watched),
        }


def load_search(form: Mapping[str, Any] | None) -> KeySearch:
    """The search that `KeySearch.dump` wrote; a new one without."""
    if form is None:
        return KeySearch()
    search = form["search"]
    if search is not None:
        search = Search(
            _load_candidate(search["key"]),
            tuple(_load_candidate(candidate) for candidate in search["candidates"]),
            search["jobs"],
            search["items"],
            search["steps"],
        )
    until = form["until"]
    key, watched = _load_candidate(form["key"]), _load_candidate(form["watched"])
    place = until and (until[0], until[1])
    return KeySearch(key, search, form["examined"], place, form["is_final"], watched, form.get("version", 1))


def list_candidates(form: Mapping[str, Any] | None) -> tuple[Candidate, ...]:
    """The candidates of a search as the ledger keeps it, best first; of a configured key that key alone."""
    known = load_search(form)
    if known.search is not None:
        return known.search.candidates
    return () if known.watched is None else (known.watched,)


def _dump_candidate(candidate: Candidate | None) -> dict[str, Any] | None:
    return None if candidate is None else dict(vars(candidate))


def _load_candidate(form: Mapping[str, Any] | None) -> Any:
    return form and Candidate(**{**form, "fields": tuple(form["fields"])})


def find_key(
    jobs: Iterable[JobRef],
    read: Callable[[Sequence[JobRef]], Sequence[JobSample]],
    known: KeySearch = KeySearch(),
    given: Sequence[str] | None = None,
) -> KeySearch:
    """The key that the accepted jobs support.

    Args:
        jobs: All accepted jobs of the strategy, in any order.
        read: Returns the samples of jobs: see `sample_positions` for the items of each. Called once for each
            checkpoint, with jobs that earlier checkpoints had too.
        known: What an earlier call returned, to go on from there. Leave it out unless `KeySearch.survives` what has
            been accepted since then: the answer is again that of all jobs in order of time.
        given: The key if it is configured: then none is looked for, and only `watched` is of interest.
    """
    line, book = _Line(jobs), CodeBook()
    if given is None and not known.is_final:
        for count in line.counts(known):
            known = _search_again(known, count, line.until(count), read, book)
            if known.is_final:
                break
    key = (FIELDS, given) if given is not None else (known.key.kind, known.key.fields) if known.key else None
    if key is not None and (given is not None or known.is_final):
        count = known.next_count(is_given=given is not None)
        if count <= line.comparable:
            # What is found here changes no row: only the last of several checkpoints is of interest.
            while (following := _next_count(count, is_watched=True)) <= line.comparable:
                count = following
            watched = check_key(*key, read(choose_sample(line.until(count), _WATCH_SAMPLE)), book)
            known = replace(known, examined=count, until=line.until(count)[-1].place, watched=watched)
    return known


def _search_again(
    known: KeySearch,
    count: int,
    jobs: Sequence[JobRef],
    read: Callable[[Sequence[JobRef]], Sequence[JobSample]],
    book: CodeBook,
) -> KeySearch:
    key = known.key if known.examined >= _SURE_STEPS else None
    search = search_key(read(choose_sample(jobs)), book, key.paths if key else ()) if count else guess(read(jobs), book)
    key = _kept(key, search)
    watched = None if key is None else _find_candidate(search, key)
    rounds = count / (len(jobs) - count)
    is_final = key is not None and (count >= _ENOUGH_EXAMINED or _is_sure(watched, search, rounds))
    kept = replace(search, candidates=search.candidates[:_KEPT])
    return KeySearch(key, kept, count, jobs[-1].place, is_final, watched)


def _is_sure(key: Candidate | None, search: Search, rounds: float) -> bool:
    """Whether a key has been seen so often that no later job is needed, after `rounds` comparisons of each target."""
    if key is None or key.is_makeshift or search.steps < _SURE_STEPS or (key.is_text and rounds < _SURE_ROUNDS):
        return False
    if len(key.fields) > 1 and search.items < _FEW_ITEMS * search.jobs:
        # Items that are still to come may have the same two values: so far a short list has had few.
        return False
    changes = _SURE_CHANGES if len(key.fields) < 2 else _SURE_CHANGES_TOGETHER
    return key.matched >= _SURE_MATCHED and key.changed >= changes


def _kept(key: Candidate | None, search: Search) -> Candidate | None:
    """The key after one more search: the old one while it is as good as the best, since a change costs a rebuild."""
    best = search.key
    if key is None or (best is not None and best.fields == key.fields):
        return best
    now = _find_candidate(search, key)
    if now is None or now.verdict == REFUSED:
        return best
    if best is None:
        # With more to go by than before, a doubt is a doubt; with less, the older jobs still count.
        return now if now.verdict == ACCEPTED or now.matched < key.matched else None
    is_better = best.stability > now.stability + _TIE or best.uniqueness > now.uniqueness + _TIE
    # Two fields became the key since one of them alone repeated or changed in jobs that are no longer in the sample.
    is_part = set(best.fields) < set(now.fields)
    is_better = is_better or (now.is_makeshift and not best.is_makeshift and not is_part)
    return best if is_better or (key.kind == TARGET and best.kind == FIELDS) else now


def _find_candidate(search: Search, key: Candidate) -> Candidate | None:
    return next((found for found in search.candidates if (found.kind, found.fields) == (key.kind, key.fields)), None)


def _next_count(count: int, *, is_watched: bool) -> int:
    if is_watched:
        return max(count + _WATCHED_JOBS, int(count * _WATCHED_GROWTH))
    return max(count + 1, int(count * _GROWTH))


class _Line:
    """The accepted jobs with items in order of time.

    Attributes:
        comparable: How many of them have an earlier job of the same target.
    """

    def __init__(self, jobs: Iterable[JobRef]) -> None:
        self._jobs = sorted((job for job in jobs if job.items > 0), key=lambda job: job.place)
        seen: set[str] = set()
        self._ends: list[int] = []
        for number, job in enumerate(self._jobs, 1):
            if job.target_id in seen:
                self._ends.append(number)
            seen.add(job.target_id)
        self.comparable = len(self._ends)

    def until(self, count: int) -> list[JobRef]:
        """The jobs up to the one that makes `count` of them comparable; the first job alone for 0."""
        return self._jobs[: self._ends[count - 1] if count else 1]

    def counts(self, known: KeySearch) -> Iterator[int]:
        """The checkpoints after those of `known`, as numbers of comparable jobs.

        While there are few comparable jobs, all of them are examined; what fewer showed has no part in it.
        """
        count = known.examined
        if not self.comparable:
            if known.until is None and self._jobs and self._jobs[0].items > WHOLE_ITEMS:
                yield 0
            return
        if count < _SURE_STEPS:
            few = min(self.comparable, _SURE_STEPS)
            if few > count:
                yield few
            count = few
        while count >= _SURE_STEPS and (count := _next_count(count, is_watched=False)) <= self.comparable:
            yield count


def choose_sample(jobs: Sequence[JobRef], most: int | None = None) -> list[JobRef]:
    """The latest jobs of the busiest targets, in order of time: a list's items change more the longer one waits.

    Args:
        jobs: Jobs in order of time.
        most: How many, of lists; fewer of large ones. None for more of small ones, whose jobs tell little each.
    """
    by_target: dict[str, list[JobRef]] = {}
    for job in jobs:
        by_target.setdefault(job.target_id, []).append(job)
    busiest = sorted(by_target.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    largest = max(map(sample_size, (job.items for job in jobs)))
    if most is None:
        most = min(max(_ENOUGH_ITEMS // largest, _USUAL_JOBS), SAMPLE_JOBS)
    room = SAMPLE_PAGES if _is_one_item_each(jobs) else min(most, max(_SAMPLE_ITEMS // largest, _LEAST_JOBS))
    deep = max(room // max(sum(len(group) > 1 for group in by_target.values()), 1), 4)
    sample: list[JobRef] = []
    for _, group in busiest:
        share = min(len(group), deep, room - len(sample))
        if share < 2:
            break
        sample += sorted(group, key=lambda job: job.place)[-share:]
    return sorted(sample, key=lambda job: job.place)


def search_key(samples: Sequence[JobSample], book: CodeBook | None = None, kept: Fields = ()) -> Search:
    """The key that samples support, and all candidates with their evidence.

    Pages of one item each are compared together. Lists are compared page by page; if that supports no key, and runs
    are known, run by run, since items may have moved to another page of the same run.

    Args:
        samples: Samples of jobs, in any order.
        book: Codes that are known from other samples of the search.
        kept: The fields of the key so far.
    """
    ordered = sorted((sample for sample in samples if sample.items), key=lambda sample: sample.place)
    if _is_one_item_each(ordered):
        return rank(_join_pages(ordered), book, with_targets=True, kept=kept)
    lists = [sample for sample in ordered if sample.items > 1]
    search = rank(lists, book, kept=kept)
    if search.key is None:
        joined = _join_runs(lists)
        if len(joined) < len(lists):
            by_run = rank(joined, book, kept=kept)
            return by_run if by_run.key is not None else search
    return search


def _is_one_item_each(jobs: Sequence[JobRef] | Sequence[JobSample]) -> bool:
    return sum(job.items == 1 for job in jobs) >= _ONE_ITEM_SHARE * len(jobs)


def _join_pages(samples: Sequence[JobSample]) -> list[JobSample]:
    """Pages of one item as samples of all pages: the first job of each page, the second of each, and so on."""
    turns: dict[str, int] = {}
    joined: dict[int, list[JobSample]] = {}
    for sample in samples:
        turn = turns[sample.target_id] = turns.get(sample.target_id, -1) + 1
        joined.setdefault(turn, []).append(sample)
    return [_together(group, str(turn)) for turn, group in joined.items()]


def _join_runs(samples: Sequence[JobSample]) -> list[JobSample]:
    runs: dict[str, list[JobSample]] = {}
    for sample in samples:
        runs.setdefault(sample.run or sample.job_id, []).append(sample)
    return [replace(_together(group, run), owners=None) for run, group in runs.items()]


def _together(samples: Sequence[JobSample], run: str) -> JobSample:
    values = [value for sample in samples for value in sample.values]
    owners = [sample.target_id for sample in samples for _ in sample.values]
    items = sum(sample.items for sample in samples)
    return JobSample(run, "", samples[-1].time, items, values, owners=owners)


def check_key(
    kind: str, fields: Sequence[str], samples: Sequence[JobSample], book: CodeBook | None = None
) -> Candidate | None:
    """How a key that is in use does in newer jobs, to find one that has become unstable or repeats.

    Args:
        kind: `fields` or `target`.
        fields: The key as in `meter.yaml`; empty for the target.
        samples: Samples of recent jobs.
        book: Codes that are known from other samples.

    Returns:
        The key's own row, `refused` if it no longer holds; None if the jobs have nothing to compare.
    """
    ordered = sorted((sample for sample in samples if sample.items), key=lambda sample: sample.place)
    paths = (TARGET_PATH,) if kind == TARGET else tuple(map(parse_path, fields))
    if _is_one_item_each(ordered):
        return examine(_join_pages(ordered), paths, book, with_targets=True)
    if kind == TARGET:
        several = sum(sample.items > 1 for sample in ordered) / len(ordered)
        reason = f"{several:.0%} of pages have several items"
        return Candidate((), TARGET, 1.0, 1 - several, 0.0, None, 0, 0, REFUSED, reason)
    lists = [sample for sample in ordered if sample.items > 1]
    found = examine(lists, paths, book)
    if found is not None and found.verdict == REFUSED:
        joined = _join_runs(lists)
        by_run = examine(joined, paths, book) if len(joined) < len(lists) else None
        return found if by_run is None or by_run.verdict == REFUSED else by_run
    return found
