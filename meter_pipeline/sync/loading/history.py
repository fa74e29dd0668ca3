"""What precedes a job: the judged jobs of its target, read once for each load and kept in memory while it goes on.

Jobs are judged in order of time. Those of the load itself join the history at once; if the load fails before they are
committed, so does this object end.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from meter_pipeline.store.item_json import parse_items
from meter_pipeline.store.lake.lake import PROFILES
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.store.ledger.findings import JudgedJobs, Known, read_findings
from meter_pipeline.store.ledger.rows import FindingRow, JudgedRow
from meter_pipeline.sync.audit.baseline import MOST_JOBS, PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, FLAGGED, HELD, Finding
from meter_pipeline.sync.audit.profile import JobProfile, is_current
from meter_pipeline.sync.audit.profiler import PieceProfiler
from meter_pipeline.sync.loading.state import LoadContext

Place = tuple[str, str]

# Profiles that are kept in memory from batch to batch, of some kilobytes each.
_MOST_KEPT = 4_000
#: Most accepted jobs of a strategy that verdicts on its other targets know.
MOST_OTHERS = 60
# Members of a strategy at Meter that do not change what it scrapes.
_DESCRIBING = ("name", "description", "attempts", "status")


@dataclass(frozen=True)
class _Entry:
    """A judged job in its target's history."""

    place: Place
    target_id: str
    past: PastJob

    def __lt__(self, other: _Entry) -> bool:
        return self.place < other.place


@dataclass
class _Line:
    """The judged jobs of a target in order of time, complete up to `end`; None if no later job is loaded."""

    entries: list[_Entry] = field(default_factory=list)
    end: Place | None = None

    def covers(self, first: Place, last: Place) -> bool:
        """Whether it has what verdicts on jobs from `first` to `last` need."""
        return (self.end is None or last <= self.end) and (not self.entries or first > self.entries[-1].place)


def _place_of(entry: _Entry) -> Place:
    return entry.place


class History:
    """The judged jobs of a strategy.

    Args:
        context: The load; its draft gets profiles that are missing, made from raw.
        known: What is known of the strategy, if nothing was committed since; None to ask the ledger.
    """

    def __init__(self, context: LoadContext, known: Known | None = None) -> None:
        self._context = context
        self._judged = JudgedJobs(context.ledger, context.strategy_id, known)
        #: Where the last job is that was committed; None if there is none.
        self._latest = self._judged.latest()
        self._is_new = self._latest is None
        self._added: Place | None = None
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._forgotten: set[str] = set()
        self._own: list[_Entry] = []
        self._replaced: set[str] = set()
        self._stored_others: list[_Entry] | None = None

    # -- reading

    def prepare(self, spans: Mapping[str, tuple[Place, Place]], again: Collection[str] = ()) -> None:
        """Reads what verdicts on the jobs of a batch need.

        Args:
            spans: Where the first and the last job of the batch are, by target.
            again: Ids of jobs of the batch that were loaded before: what is known of them counts no longer.
        """
        missing = {}
        for target_id, (first, last) in spans.items():
            line = self._lines.get(target_id)
            if line is not None and line.covers(first, last):
                self._lines.move_to_end(target_id)
            elif self._is_new and target_id not in self._forgotten and line is None:
                self._lines[target_id] = _Line()
            else:
                missing[target_id] = first, last
        if not missing:
            return
        rows = {
            target_id: [row for row in self._judged.of_target(target_id, *span, MOST_JOBS) if row.job_id not in again]
            for target_id, span in missing.items()
        }
        entries = self._read([row for found in rows.values() for row in found])
        for target_id, (_, last) in missing.items():
            found = [entries[row.job_id] for row in rows[target_id] if row.job_id in entries]
            is_latest = self._latest is None or last > self._latest
            self._lines[target_id] = _Line(sorted(found), None if is_latest else last)
            self._lines.move_to_end(target_id)

    def before(self, target_id: str, place: Place) -> list[PastJob]:
        """The jobs of a prepared target that precede a place, as far as verdicts need them."""
        line = self._lines[target_id]
        entries = line.entries[: bisect_left(line.entries, place, key=_place_of)]
        return [entry.past for entry in _needed(entries) if entry.place[1] != place[1]]

    def others(self, target_id: str, place: Place) -> Iterator[JobProfile]:
        """The profiles of the last accepted jobs of the strategy's other targets before a place, in order of time."""
        latest: dict[str, _Entry] = {}
        for entry in self._accepted_before(place):
            if entry.target_id != target_id:
                latest.pop(entry.target_id, None)
                latest[entry.target_id] = entry
        for entry in latest.values():
            yield entry.past.profile

    def version_at(self, time: str) -> int | None:
        """The number of the strategy's version at a time; None if there was only one."""
        starts = self._version_starts
        return None if not starts else sum(start <= time for start in starts)

    # -- the load

    def add(self, target_id: str, place: Place, past: PastJob) -> None:
        """Adds a job that was judged; it replaces what is known of the same job."""
        entry = _Entry(place, target_id, past)
        insort(self._lines[target_id].entries, entry)
        self._added = max(place, self._added or place)
        if self._latest is not None and place <= self._latest:
            self._replaced.add(place[1])
        if past.is_accepted:
            insort(self._own, entry)
            if len(self._own) > 4 * MOST_OTHERS:
                del self._own[: -2 * MOST_OTHERS]

    def settle(self) -> None:
        """Notes that the jobs so far were committed."""
        if self._added is not None:
            self._latest = max(self._added, self._latest or self._added)
        kept = 0
        for target_id, line in reversed(list(self._lines.items())):
            if line.end is None:
                line.entries = _needed(line.entries)
            kept += len(line.entries)
            if kept > _MOST_KEPT:
                del self._lines[target_id]
                self._forgotten.add(target_id)

    # -- details

    @cached_property
    def _version_starts(self) -> list[str]:
        """When each version but the first was seen first."""
        starts, last = [], None
        for seen_at, text in self._judged.versions():
            record = json.loads(text)
            scraping = {name: value for name, value in record.items() if name not in _DESCRIBING}
            if last is not None and scraping != last:
                starts.append(seen_at)
            last = scraping
        return starts

    def _accepted_before(self, place: Place) -> list[_Entry]:
        own = self._own[: bisect_left(self._own, place, key=_place_of)]
        is_late = self._latest is not None and place <= self._latest
        if not is_late and (self._is_new or len(own) >= MOST_OTHERS):
            return own[-MOST_OTHERS:]
        stored = self._stored_others
        if stored is None or is_late:
            rows = self._judged.accepted_before(place, MOST_OTHERS)
            stored = sorted(self._read([row for row in rows if row.job_id not in self._replaced]).values())
        if not is_late:
            self._stored_others = stored
        ids = self._replaced | {entry.place[1] for entry in own}
        return sorted([*(entry for entry in stored if entry.place[1] not in ids), *own])[-MOST_OTHERS:]

    def _read(self, rows: Sequence[JudgedRow]) -> dict[str, _Entry]:
        """The entries of jobs by id, with their profiles from the lake, or from their raw items where there is none."""
        profiles = self._read_profiles(rows)
        spoken = [row.job_id for row in rows if row.audit in (FLAGGED, HELD)]
        findings = read_findings(self._context.ledger, spoken) if spoken else {}
        return {
            row.job_id: _Entry(
                row.place, row.target_id, self._past(row, profiles[row.job_id], findings.get(row.job_id, ()))
            )
            for row in rows
            if row.job_id in profiles
        }

    def _past(self, row: JudgedRow, profile: bytes, findings: Sequence[FindingRow]) -> PastJob:
        is_held = row.state == "held" or row.audit == HELD
        outcome = HELD if is_held else FLAGGED if row.audit == FLAGGED else ACCEPTED
        return PastJob(
            profile,
            outcome,
            tuple(map(_finding, findings)),
            is_released=is_held and row.state == "accepted",
            version=self.version_at(row.completed_at),
        )

    def _read_profiles(self, rows: Sequence[JudgedRow]) -> dict[str, bytes]:
        times = {row.job_id: row.completed_at for row in rows}
        stored = self._context.draft.job_rows("profiles", ["job_id", "profile"], times).to_pydict()
        read = dict(zip(stored["job_id"], stored["profile"], strict=True))
        profiles = {job_id: profile for job_id, profile in read.items() if is_current(profile)}
        outdated = read.keys() - profiles.keys()
        # Items of a held job may be such that they cannot be parsed, unless they were.
        may_parse = {row.job_id for row in rows if row.state == "accepted"} | outdated
        lacking = [row for row in rows if row.job_id not in profiles and row.job_id in may_parse]
        if lacking:
            self._context.draft.remove("profiles", {job_id: times[job_id] for job_id in outdated})
            made = _profile_again(self._context, lacking)
            whole = {row.job_id: row.items or 0 for row in lacking}
            made = {job_id: profile for job_id, profile in made.items() if profile.items == whole[job_id]}
            self._context.draft.append("profiles", profile_rows(made))
            profiles |= {job_id: profile.dump() for job_id, profile in made.items()}
        return profiles


def _needed(entries: Sequence[_Entry]) -> list[_Entry]:
    """The last `MOST_JOBS` accepted jobs, and at most as many held ones after the last of these."""
    accepted: list[_Entry] = []
    held: list[_Entry] = []
    for entry in reversed(entries):
        if entry.past.is_accepted:
            accepted.append(entry)
            if len(accepted) == MOST_JOBS:
                break
        elif not accepted and len(held) < MOST_JOBS:
            held.append(entry)
    return [*reversed(accepted), *reversed(held)]


def _finding(row: FindingRow) -> Finding:
    samples = tuple(json.loads(row.samples))
    return Finding(row.test, row.field, row.low, row.high, row.seen, samples, row.outcome, row.message)


def profile_rows(profiles: Mapping[str, JobProfile]) -> pa.Table:
    """Rows of the lake's `profiles`, from profiles by job id."""
    times = np.array([profile.time[:-1] for profile in profiles.values()], "datetime64[us]")
    data = [profile.dump() for profile in profiles.values()]
    return pa.table([list(profiles), times, data], schema=PROFILES)


def _profile_again(context: LoadContext, rows: Iterable[JudgedRow]) -> dict[str, JobProfile]:
    """Profiles of jobs that were loaded without one, from their raw items."""
    times = {row.job_id: row.completed_at for row in rows}
    profiles = {job_id: PieceProfiler(time).finish() for job_id, time in times.items()}
    current: tuple[str, PieceProfiler] | None = None
    for batch in context.draft.job_batches("raw", ["job_id", "item"], times):
        for job_id, start, end in find_runs(batch["job_id"]):
            if current is None or current[0] != job_id:
                if current is not None:
                    profiles[current[0]] = current[1].finish()
                current = job_id, PieceProfiler(times[job_id])
            current[1].feed(parse_items(batch["item"].slice(start, end - start).cast(pa.binary()).to_pylist()))
    if current is not None:
        profiles[current[0]] = current[1].finish()
    return profiles
