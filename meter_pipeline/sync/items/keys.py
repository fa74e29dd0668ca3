"""Finds the key of a strategy's items by evidence: a pure function of the accepted jobs, whatever order they came in.

The search walks through the jobs in order of time and examines a bounded sample at growing distances. A key that a
sample supports stands until a later sample refutes it or shows a better one, and is final once much has changed around
it. A job that is loaded late leaves no trace: the answer is again that of all jobs in order of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meter_pipeline.sync.items.candidates import ACCEPTED, FIELDS, REFUSED, TARGET, Candidate, Search, rank
from meter_pipeline.sync.items.samples import JobSample

# Jobs of a sample, and pages of one item each in a sample: many of these weigh less than one list.
SAMPLE_JOBS, SAMPLE_PAGES = 12, 96
# The sample is examined again when the number of comparable jobs has grown by this factor.
_GROWTH = 1.25
# A key is final with this many comparisons and changes around it, or after this many comparable jobs.
_SURE_STEPS, _SURE_CHANGES, _ENOUGH_EXAMINED = 4, 20, 60
# Differences in stability and uniqueness up to this are no difference.
_TIE = 0.005
_ONE_ITEM_SHARE = 0.9


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
    def place(self) -> tuple[str, str]:
        """The job's place in time."""
        return self.time, self.job_id


@dataclass(frozen=True)
class KeySearch:
    """What the accepted jobs up to a checkpoint support; the starting point for the next one.

    Attributes:
        key: The key; None while the evidence supports none.
        search: The last search, with all candidates; None before two jobs of one target exist.
        examined: Number of comparable jobs up to the last checkpoint.
        is_final: Whether no later job can change the key.
    """

    key: Candidate | None = None
    search: Search | None = None
    examined: int = 0
    is_final: bool = False


def find_key(
    jobs: Iterable[JobRef],
    read: Callable[[Sequence[JobRef]], Sequence[JobSample]],
    known: KeySearch = KeySearch(),
) -> KeySearch:
    """The key that the accepted jobs support.

    Args:
        jobs: All accepted jobs of the strategy, in any order.
        read: Returns the samples of jobs: see `sample_positions` for the items of each. Called once for each
            checkpoint, with jobs that earlier checkpoints had too.
        known: What an earlier call returned, to go on from there. Leave it out if a job has been accepted since then
            that is earlier than one of those: the answer is again that of all jobs in order of time.
    """
    if known.is_final:
        return known
    for examined, sample in checkpoints(jobs, known.examined):
        search = search_key(read(sample))
        key = _kept(known.key, search)
        is_sure = key is not None and search.steps >= _SURE_STEPS and key.changed >= _SURE_CHANGES
        known = KeySearch(key, search, examined, is_final=is_sure or (key is not None and examined >= _ENOUGH_EXAMINED))
        if known.is_final:
            break
    return known


def _kept(key: Candidate | None, search: Search) -> Candidate | None:
    """The key after one more search: the old one while it is as good as the best, since a change costs a rebuild."""
    best = search.key
    if key is None or (best is not None and best.fields == key.fields):
        return best
    now = next((found for found in search.candidates if (found.kind, found.fields) == (key.kind, key.fields)), None)
    if now is None or now.verdict == REFUSED:
        return best
    if best is None:
        return now
    is_better = best.stability > now.stability + _TIE or best.uniqueness > now.uniqueness + _TIE
    return best if is_better or (key.kind == TARGET and best.kind == FIELDS) else now


def checkpoints(jobs: Iterable[JobRef], examined: int = 0) -> Iterator[tuple[int, list[JobRef]]]:
    """The samples to examine one after another, each with the number of comparable jobs up to its last job.

    Args:
        jobs: Accepted jobs, in any order.
        examined: Number of comparable jobs that need not be examined again.
    """
    seen: set[str] = set()
    known: list[JobRef] = []
    comparable, wanted = 0, 1
    for job in sorted(jobs, key=lambda job: job.place):
        if job.items < 1:
            continue
        known.append(job)
        if job.target_id not in seen:
            seen.add(job.target_id)
            continue
        comparable += 1
        if comparable >= wanted:
            wanted = max(comparable + 1, int(comparable * _GROWTH))
            if comparable > examined:
                yield comparable, choose_sample(known)


def choose_sample(jobs: Sequence[JobRef]) -> list[JobRef]:
    """The latest jobs of the busiest targets, in order of time: a list's items change more the longer one waits."""
    counts = Counter(job.target_id for job in jobs)
    busiest = sorted(
        ((target, count) for target, count in counts.items() if count > 1), key=lambda pair: (-pair[1], pair[0])
    )
    room = SAMPLE_PAGES if _is_one_item_each(jobs) else SAMPLE_JOBS
    deep = max(room // max(len(busiest), 1), 4)
    sample: list[JobRef] = []
    for target, count in busiest:
        share = min(count, deep, room - len(sample))
        if share < 2:
            break
        sample += sorted((job for job in jobs if job.target_id == target), key=lambda job: job.place)[-share:]
    return sorted(sample, key=lambda job: job.place)


def search_key(samples: Sequence[JobSample]) -> Search:
    """The key that samples support, and all candidates with their evidence.

    Pages of one item each are compared together. Lists are compared page by page; if that supports no key, and runs
    are known, run by run, since items may have moved to another page of the same run.

    Args:
        samples: Samples of jobs, in any order.
    """
    ordered = sorted((sample for sample in samples if sample.items), key=lambda sample: sample.place)
    if _is_one_item_each(ordered):
        return rank(_join_pages(ordered), with_targets=True)
    lists = [sample for sample in ordered if sample.items > 1]
    search = rank(lists)
    if search.key is None:
        joined = _join_runs(lists)
        if len(joined) < len(lists):
            by_run = rank(joined)
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


def check_key(fields: Sequence[str], samples: Sequence[JobSample]) -> Candidate | None:
    """How a key that is in use does in newer jobs, to find one that has become unstable or repeats.

    Args:
        fields: The key as in `meter.yaml`.
        samples: Samples of recent jobs.

    Returns:
        The key's own row, or None if the jobs have nothing to compare; `refused` if it no longer holds.
    """
    search = search_key(samples)
    wanted = tuple(fields)
    return next((found for found in search.candidates if found.fields == wanted), None)


def explain_none(search: Search | None) -> str:
    """Why a strategy has no key, in one line, with the best candidates."""
    if search is None or not search.steps:
        return "no key: no two jobs of one page have items to compare"
    likely = [found for found in search.candidates if found.kind == "fields" and found.verdict != ACCEPTED][:3]
    named = "; ".join(f"{' + '.join(found.fields)} ({found.reason})" for found in likely)
    return (
        f"no key: every change shows as removed + added; candidates: {named or 'none'}; "
        "set one with `key` in meter.yaml"
    )
