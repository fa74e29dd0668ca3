"""What a job is compared with: the accepted jobs of its target before it, and the ranges of what they showed.

Comes in: a profile and the jobs before it. Goes out: matrices with one line a job and one column a field, and the bands
that follow from these. Held jobs teach nothing. A lone flagged job does not teach the tests that flagged it. A released
job is where the tests that it failed start again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.comparison import Comparison, compare, compare_all
from meter_pipeline.sync.audit.findings import HELD, NEEDED, Finding
from meter_pipeline.sync.audit.profile import JobProfile, Shares, load

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MOST_JOBS = 20
#: Earlier accepted jobs that items and values may have come back from.
LOOKED_BACK = 8
# Jobs in a row that a test flagged, after which what it flags is normal.
_NORMAL_AFTER = 3


@dataclass(frozen=True, eq=False)
class PastJob:
    """A job of the target that precedes the judged one.

    Attributes:
        source: Its profile, or the bytes of it, which are not read before they are needed.
        outcome: `accepted`, `flagged` or `held`.
        findings: What was found about it.
        is_released: Whether a person accepted it although it was held.
        version: The version of the strategy that made it; None if unknown.
    """

    source: JobProfile | bytes
    outcome: str
    findings: tuple[Finding, ...] = ()
    is_released: bool = False
    version: int | None = None

    @cached_property
    def profile(self) -> JobProfile:
        """Its profile."""
        return load(self.source) if isinstance(self.source, bytes) else self.source

    @cached_property
    def is_accepted(self) -> bool:
        """Whether its items are in results."""
        return self.outcome != HELD or self.is_released

    @cached_property
    def failed(self) -> frozenset[tuple[str, str | None]]:
        """The tests that spoke, each with its field."""
        return frozenset((finding.test, finding.field) for finding in self.findings)


@dataclass(frozen=True)
class Band:
    """The range of what history showed, by field.

    Attributes:
        low: The smallest.
        high: The largest.
        width: How far beyond the range a value may be because history has that range.
        jobs: Number of jobs the range is of; with fewer than `NEEDED`, there is nothing to compare with.
    """

    low: Floats
    high: Floats
    width: Floats
    jobs: npt.NDArray[np.int64]

    @property
    def known(self) -> Mask:
        """Whether enough jobs are known."""
        return self.jobs >= NEEDED

    def above(self, seen: Floats) -> Floats:
        """How far a value is above the band; not positive where it is not, or nothing is known."""
        return np.where(self.known, seen - self.high - self.width, -np.inf)

    def below(self, seen: Floats) -> Floats:
        """How far a value is below the band; not positive where it is not, or nothing is known."""
        return np.where(self.known, self.low - self.width - seen, -np.inf)


def band(history: Floats, mask: Mask, patience: float = 1.0) -> Band:
    """The band of a matrix with one line a job; cells that are masked out or NaN do not count."""
    use = mask & ~np.isnan(history)
    jobs = use.sum(axis=0)
    some = jobs > 0
    low = np.where(some, np.where(use, history, np.inf).min(axis=0, initial=np.inf), 0.0)
    high = np.where(some, np.where(use, history, -np.inf).max(axis=0, initial=-np.inf), 0.0)
    # Few jobs show less of the range than many.
    width = (high - low) * (0.5 + 2 / np.maximum(jobs, 1)) * patience
    return Band(low, high, width, jobs)


@dataclass
class Baseline:
    """The accepted jobs before a job, beside the job itself.

    Args:
        now: The profile of the job that is judged.
        accepted: The accepted jobs of its target before it, in order of time; the last `MOST_JOBS` count.
        held: The jobs that were held since the last accepted one, in order of time.
        version: The version of the strategy that made the judged job.
    """

    now: JobProfile
    accepted: Sequence[PastJob]
    held: Sequence[PastJob] = ()
    version: int | None = None
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.accepted = list(self.accepted)[-MOST_JOBS:]
        self.profiles = [job.profile for job in self.accepted]
        paths = self.now.paths
        if any(profile.paths != paths for profile in self.profiles):
            more = {path for profile in self.profiles for path in profile.paths} - set(paths)
            paths = (*paths, *sorted(more))
        self.paths: tuple[str, ...] = paths
        #: Step tests are more patient after jobs that were left out.
        self.patience = float(np.sqrt(1 + len(self.held)))

    # -- matrices

    def places(self, profile: JobProfile) -> npt.NDArray[np.int64] | None:
        """The place of each of a profile's fields among `paths`; None if they are the same."""
        if profile.paths == self.paths:
            return None
        index = self._cache.get("index")
        if index is None:
            index = self._cache["index"] = {path: place for place, path in enumerate(self.paths)}
        return np.array([index[path] for path in profile.paths], np.int64)

    def spread(self, profile: JobProfile, values: npt.NDArray[Any], empty: float = 0.0) -> Floats:
        """A profile's column of fields as one of `paths`; `empty` for fields it has not."""
        places = self.places(profile)
        if places is None:
            return np.asarray(values, np.float64)
        result = np.full((len(self.paths), *values.shape[1:]), empty)
        result[places] = values
        return result

    def seen(self, column: Callable[[JobProfile], npt.NDArray[Any]], empty: float = 0.0) -> Floats:
        """A column of the judged job."""
        return self.spread(self.now, column(self.now), empty)

    def past(self, column: Callable[[JobProfile], npt.NDArray[Any]], empty: float = 0.0) -> Floats:
        """The same column of all accepted jobs, one line a job."""
        return np.stack([self.spread(profile, column(profile), empty) for profile in self.profiles])

    @cached_property
    def filled_now(self) -> Floats:
        """In how many rows of the job each field has a value."""
        return self.seen(lambda profile: profile.filled)

    @cached_property
    def filled_past(self) -> Floats:
        """In how many rows of each accepted job each field has a value."""
        return self.past(lambda profile: profile.filled)

    @cached_property
    def rows_past(self) -> Floats:
        """The rows of each accepted job, as a column."""
        return np.array([[max(profile.rows, 1)] for profile in self.profiles], np.float64)

    # -- comparisons

    @cached_property
    def comparisons(self) -> list[Comparison | None]:
        """Each accepted job beside the one before it; None for the first."""
        return [None, *compare_all(list(zip(self.profiles[1:], self.profiles, strict=False)))]

    def past_steps(self, column: Callable[[Comparison], Floats]) -> Floats:
        """A column of the comparisons, one line a job; NaN where there is nothing to compare.

        It is kept, since several tests use the same columns, each against several jobs: `column` is a named function.
        """
        key = ("steps", column)
        if key not in self._cache:
            self._cache[key] = self._past_steps(column)
        lines: Floats = self._cache[key]
        return lines

    def _past_steps(self, column: Callable[[Comparison], Floats]) -> Floats:
        lines = np.full((len(self.profiles), len(self.paths)), np.nan)
        for line, (profile, comparison) in enumerate(zip(self.profiles, self.comparisons, strict=True)):
            if comparison is not None and comparison.matched:
                lines[line] = self.spread(profile, column(comparison), np.nan)
        lines.flags.writeable = False
        return lines

    @cached_property
    def nearest(self) -> tuple[JobProfile, Comparison] | None:
        """The job among the last accepted ones that shares most items with the judged one, and what it shows.

        This is the last one, unless that brought other items: after a job of another page, the one before it.
        """
        best: tuple[JobProfile, Comparison] | None = None
        for profile in self.profiles[: -1 - LOOKED_BACK : -1]:
            found = compare(self.now, profile)
            if found is None or not found.matched:
                continue
            if best is None or found.matched > 1.5 * best[1].matched:
                best = profile, found
            if max(found.known, found.kept) >= 0.5:
                break
        return best

    # -- what counts

    def mask(self, test: str, *, steps: bool = False) -> Mask:
        """Which accepted jobs teach a test, by field; for a test of steps also the job after one that does not."""
        key = ("mask", test, steps)
        if key not in self._cache:
            self._cache[key] = self._mask(test, self.paths, steps=steps)
        mask: Mask = self._cache[key]
        return mask

    def job_mask(self, test: str) -> Mask:
        """Which accepted jobs teach a test of the job as a whole."""
        return self._mask(test, (None,), steps=False)[:, 0]

    def _mask(self, test: str, paths: Sequence[str | None], *, steps: bool) -> Mask:
        mask = np.ones((len(self.accepted), len(paths)), np.bool_)
        self._restart_with_version(mask, paths)
        spoken = [
            (line, {name for tested, name in job.failed if tested == test}) for line, job in enumerate(self.accepted)
        ]
        if not any(fields for _, fields in spoken):
            return mask
        index = {path: place for place, path in enumerate(paths)}
        runs: dict[str | None, int] = {}
        for line, fields in spoken:
            runs = {name: runs.get(name, 0) + 1 for name in fields}
            for name in fields:
                place = index.get(name)
                if place is None:
                    continue
                if self.accepted[line].is_released:
                    mask[: line + steps, place] = False
                    continue
                is_normal = runs[name] >= _NORMAL_AFTER
                mask[line - runs[name] + 1 : line + 1, place] = is_normal
                if steps and not is_normal and line + 1 < len(mask):
                    mask[line + 1, place] = False
        return mask

    def _restart_with_version(self, mask: Mask, paths: Sequence[str | None]) -> None:
        """Forgets what fields were like in versions of the strategy that had other fields."""
        if self.version is None:
            return
        older = [job.version is not None and job.version != self.version for job in self.accepted]
        if not any(older):
            return
        same = [job.profile for job, is_older in zip(self.accepted, older, strict=True) if not is_older]
        current = {path for profile in [*same, self.now] for path in profile.paths}
        former = {
            path for profile, is_older in zip(self.profiles, older, strict=True) if is_older for path in profile.paths
        }
        differing = [place for place, path in enumerate(paths) if (path in current) != (path in former)]
        mask[np.ix_(np.array(older), np.array(differing, np.int64))] = False

    @property
    def is_new_version(self) -> bool:
        """Whether fewer than `NEEDED` accepted jobs are of the version that made the judged job."""
        if self.version is None or all(job.version in (None, self.version) for job in self.accepted):
            return False
        return sum(job.version == self.version for job in self.accepted) < NEEDED


@dataclass(frozen=True)
class Novelty:
    """How much of a job occurs in none of the jobs before it, by field.

    Attributes:
        seen: Share of the judged job's rows with a value, pattern or unit that is new.
        usual: The largest share of an accepted job that occurs in no other accepted job.
        newest: The most frequent new mark of each field; 0 where there is none.
    """

    seen: Floats
    usual: Floats
    newest: npt.NDArray[np.int64]


def novelty(
    baseline: Baseline,
    shares: Callable[[JobProfile], Shares],
    mask: Mask,
    totals: Callable[[JobProfile], npt.NDArray[Any]],
) -> Novelty:
    """What is new in a job's most frequent values, patterns or units.

    Args:
        baseline: The job and those before it.
        shares: Which of them.
        mask: Which jobs count, by field.
        totals: In how many rows of a job the fields have any.
    """
    count, jobs = len(baseline.paths), len(baseline.profiles)
    keys, lines, weights = [], [], []
    for job, profile in enumerate([*baseline.profiles, baseline.now]):
        own = shares(profile)
        places = baseline.places(profile)
        fields = own.fields.astype(np.int64)
        spread = fields if places is None else places[fields]
        keys.append(spread << 32 | own.marks.astype(np.int64))
        lines.append(np.full(len(fields), job))
        weights.append(own.counts / np.maximum(totals(profile)[fields], 1))
    key, line, weight = np.concatenate(keys), np.concatenate(lines), np.concatenate(weights).astype(np.float64)
    fields = key >> 32
    counts = (line == jobs) | (mask[np.minimum(line, jobs - 1), fields] if jobs else False)
    key, line, weight, fields = key[counts], line[counts], weight[counts], fields[counts]
    once, inverse = np.unique(key, return_inverse=True)
    inverse = inverse.reshape(-1)
    in_past = np.bincount(inverse[line < jobs], minlength=len(once))
    new = (line == jobs) & (in_past[inverse] == 0)
    seen = np.bincount(fields[new], weight[new], count).astype(np.float64)
    alone = (line < jobs) & (in_past[inverse] == 1)
    by_job = np.bincount(line[alone] * count + fields[alone], weight[alone], jobs * count).reshape(jobs, count)
    # The first job of all is new in itself; with few jobs the one that is most unlike the others says little.
    usual = by_job.max(axis=0, initial=0.0)
    newest = np.zeros(count, np.int64)
    order = np.argsort(weight[new], kind="stable")
    newest[fields[new][order]] = (key[new] & 0xFFFFFFFF)[order]
    return Novelty(seen, usual, newest)
