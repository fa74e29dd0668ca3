"""Which runs have changed content: unseen runs of schedules, history, changelog and comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from meter_pipeline.sandbox.content import Content, canonicalize, read_json
from meter_pipeline.sandbox.filters import build_matcher, keep_rows
from meter_pipeline.sandbox.records import COMPLETED, Job, Schedule, Strategy, completion_key, find_previous_run
from meter_pipeline.sandbox.world import World


@dataclass(frozen=True)
class Unseen:
    """What a read of a schedule's changes shows, and the jobs it would mark as seen."""

    shown: list[tuple[Job, Content | None]]
    flagged: list[Job]


def has_changes(world: World, schedule: Schedule, job: Job) -> bool:
    """Whether a completed run's content differs from the run before it on the same url."""
    before = find_previous_run(schedule, job)
    if before is None:
        return world.faults.first_is_change
    return world.digest(before).content_hash != world.digest(job).content_hash


def find_unseen(world: World, schedule: Schedule, filter_text: str | None) -> Unseen:
    """The runs with changed content that are not marked as seen, oldest first."""
    faults = world.faults
    keeps = build_matcher(filter_text) if filter_text else None
    shown: list[tuple[Job, Content | None]] = []
    flagged: list[Job] = []
    for job in schedule.unseen:
        if job.status != COMPLETED:
            if faults.failed_in_changes:
                shown.append((job, None))
                flagged.append(job)
            continue
        if not has_changes(world, schedule, job):
            continue
        content = world.content(job)
        if keeps is not None:
            content = keep_rows(content, keeps)
        empty = keeps is not None and not content.items
        if not (empty and faults.drop_empty):
            shown.append((job, content))
        if not empty or faults.filter_flags_hidden:
            flagged.append(job)
    return Unseen(shown, flagged)


def flag(schedule: Schedule, flagged: list[Job]) -> None:
    """Mark these runs as seen."""
    gone = set(map(id, flagged))
    schedule.unseen = [job for job in schedule.unseen if id(job) not in gone]


def list_history(world: World, strategy: Strategy) -> Iterator[tuple[Job, bool | None]]:
    """Every job of a strategy, newest first, with whether its content differs from the completed job before it."""
    entries: list[tuple[Job, bool | None]] = []
    before: str | None = None
    for job in strategy.jobs:
        if job.status != COMPLETED:
            entries.append((job, False if job.is_terminal else None))
            continue
        content_hash = world.digest(job).content_hash
        entries.append((job, world.faults.first_is_change if before is None else before != content_hash))
        before = content_hash
    return reversed(entries)


def list_changed_runs(world: World, schedule: Schedule) -> list[Job]:
    """The schedule's completed runs with changed content, newest first."""
    runs = sorted((job for target in schedule.targets.values() for job in target),
                  key=completion_key, reverse=True)  # fmt: skip
    return [job for job in runs if has_changes(world, schedule, job)]


def find_new_and_removed(
    world: World, schedule: Schedule, job: Job, filter_text: str | None
) -> tuple[list[bytes], ...]:
    """The rows of a run that the run before it did not have, and the reverse."""
    before = find_previous_run(schedule, job)
    keeps = build_matcher(filter_text) if filter_text else None
    here = world.content(job)
    there = world.content(before) if before else Content([])
    if keeps is not None:
        here, there = keep_rows(here, keeps), keep_rows(there, keeps)
    return _find_surplus(here, there), _find_surplus(there, here)


def _find_surplus(here: Content, there: Content) -> list[bytes]:
    counts = Counter(map(canonicalize, there.items))
    rest = []
    for item in here.items:
        key = canonicalize(item)
        if counts[key] > 0:
            counts[key] -= 1
        else:
            rest.append(item)
    return rest


def compare(world: World, job: Job, other: Job) -> dict[str, object]:
    """How two completed jobs differ: content, shape, similarity of the rows (0 to 1) and their number."""
    here, there = world.digest(job), world.digest(other)
    fields = [set((digest.signature or {}).get("fields", [])) for digest in (here, there)]
    left, right = world.content(job), world.content(other)
    total = len(left.items) + len(right.items)
    alike = total - len(_find_surplus(left, right)) - len(_find_surplus(right, left))
    return {
        "content_hash_match": here.content_hash == there.content_hash,
        "structural_match": fields[0] == fields[1],
        "semantic_similarity": round(alike / total, 4) if total else 1.0,
        "item_count_diff": (there.count or 0) - (here.count or 0),
        "structural_changes": [f"field removed: {name}" for name in sorted(fields[0] - fields[1])]
        + [f"field added: {name}" for name in sorted(fields[1] - fields[0])],
    }


def pick_first_rows(content: Content, count: int = 5) -> list[bytes]:
    """Rows for a preview: the first few that are objects."""
    return [item for item in content.items[:count] if isinstance(read_json(item), dict)]
