"""Finds out whether the pages of a strategy's runs are one list, by whether items move from page to page.

The answer is a function of the accepted jobs. It is sought at growing numbers of complete runs, in order of time, so
that it is the same whatever order jobs are loaded in; what was found is kept with the jobs that it depends on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from itertools import accumulate, takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.config.item_rules import PAGE, RUN
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.ledger.tables import target_id
from meter_pipeline.store.times import iso, moment, shift
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.changes.feed import seen_before
from meter_pipeline.sync.changes.runs import APART, Run, by_list, plan_steps
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.pages import Marks, judge_pages
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.loading.state import LoadContext, StrategyState

# Numbers of complete runs after which the pages are judged; after the last one they never are again.
_CHECKPOINTS = (2, 3, 4, 6, 8, 12, 16, 24)
# Runs beyond this number of items in all are not judged: their keys would not fit into memory.
_MOST_ITEMS = 1_000_000
_KEY = ("_meter_job_id", "_meter_item_key")


def choose_compare(
    context: LoadContext,
    state: StrategyState,
    entered: Sequence[Seen],
    left: Sequence[Seen],
    *,
    is_rekeyed: bool = False,
) -> StrategyState:
    """Decides whether pages or runs are compared, unless `meter.yaml` does.

    Args:
        context: The load; the typed rows in its draft are those of the jobs that are accepted now.
        state: The strategy's state.
        entered: Jobs that are accepted now.
        left: Jobs that were accepted before and no longer are, or have another target or time now; as they were.
        is_rekeyed: Whether items are keyed or hashed by other rules than before.

    Returns:
        The state with what is compared; where that is not what it was, the feed is to be rebuilt.
    """
    rules = state.rules
    if rules.compare_source == item_rules.CONFIGURED:
        return state
    known = dict(rules.pages or {})
    affected = _find_affected(context, state, known, [*entered, *left])
    affected |= {name: found["schedule_id"] for name, found in known.items() if is_rekeyed}
    if not affected and not known:
        return state
    if affected:
        jobs = _list_accepted(context, state, affected, entered, left)
        for name in sorted(affected):
            found = _judge(context.draft, rules, jobs.get(name, []), known.get(name))
            known.pop(name, None)
            known |= {} if found is None else {name: found}
    compare = RUN if any(found["compare"] == RUN for found in known.values()) else PAGE
    source = item_rules.FOUND if compare == RUN else item_rules.NONE
    return replace(state, rules=replace(rules, compare=compare, compare_source=source, pages=known or None))


def _find_affected(
    context: LoadContext, state: StrategyState, known: Mapping[str, Any], moved: Sequence[Seen]
) -> dict[str, str | None]:
    """Lists of several pages on which these jobs may change the judgement: schedules by list id."""
    lists = {name: jobs for name, jobs in by_list(moved).items() if not _is_settled(known.get(name), jobs)}
    targets = {name: {job.target_id for job in jobs} for name, jobs in lists.items()}
    if not lists:
        return {}
    if not state.is_first and any(len(pages) == 1 and name not in known for name, pages in targets.items()):
        times = sorted(job.time for jobs in lists.values() for job in jobs)
        around = context.ledger.lists_around(context.strategy_id, _shift(times[0], -APART), _shift(times[-1], APART))
        for schedule_id, parameters, target in around:
            targets.get(target_id(schedule_id, parameters), set()).add(target or "")
    return {name: lists[name][0].schedule_id for name, pages in targets.items() if len(pages) > 1 or name in known}


def _is_settled(found: Mapping[str, Any] | None, jobs: Sequence[Seen]) -> bool:
    """Whether a judgement is final, and rests on jobs that are all earlier than these."""
    if found is None or not found["is_final"]:
        return False
    end = _shift(found["until"], APART)
    return all(job.time > end for job in jobs)


def _shift(time: str, by: timedelta) -> str:
    known = moment(time or None)
    return time if known is None else iso(shift(known, by)) or time


def _list_accepted(
    context: LoadContext,
    state: StrategyState,
    lists: Mapping[str, str | None],
    entered: Sequence[Seen],
    left: Sequence[Seen],
) -> dict[str, list[Seen]]:
    """All jobs of some lists that are accepted now, by list."""
    moved = {job.job_id for job in (*entered, *left)}
    rows = [] if state.is_first else context.ledger.accepted_of(context.strategy_id, lists.values())
    return by_list([*entered, *(seen_before(row) for row in rows if row.job_id not in moved)])


def _judge(
    stored: PartSet, rules: ChosenRules, jobs: Sequence[Seen], known: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """What is compared of one list, and why; None while it has no two complete runs of several pages.

    Args:
        stored: The strategy's rows.
        rules: The item rules of these rows.
        jobs: The list's accepted jobs.
        known: What an earlier call returned.
    """
    runs = [step.run for step in plan_steps(jobs) if step.is_complete and len(step.run.jobs) > 1]
    sizes = accumulate(sum(job.items for job in run.jobs) for run in runs)
    few = runs[: sum(1 for _ in takewhile(lambda size: size <= _MOST_ITEMS, sizes))]
    checkpoints = [count for count in _CHECKPOINTS if count <= len(few)]
    if not checkpoints:
        return None
    if known is not None and known["digest"] == _digest(rules, few[: known["runs"]]):
        checkpoints = [] if known["is_final"] else [count for count in checkpoints if count > known["runs"]]
        if not checkpoints:
            return known
    pages = _read_marks(stored, few[: checkpoints[-1]])
    for count in checkpoints:
        evidence = judge_pages(pages[:count])
        if evidence.mode == RUN:
            break
    is_cut = len(few) < len(runs) and checkpoints[-1] == count
    return {
        "schedule_id": jobs[0].schedule_id,
        "compare": evidence.mode,
        "reason": evidence.reason,
        "runs": count,
        "until": few[count - 1].jobs[-1].time,
        "is_final": evidence.mode == RUN or count == _CHECKPOINTS[-1] or is_cut,
        "digest": _digest(rules, few[:count]),
    }


def _digest(rules: ChosenRules, runs: Sequence[Run]) -> str:
    """A digest of what a judgement depends on."""
    ids = [[job.job_id for job in run.jobs] for run in runs]
    return blake2b(json.dumps([rules.key, rules.by_page, rules.ignore, ids]).encode(), digest_size=12).hexdigest()


def _read_marks(stored: PartSet, runs: Sequence[Run]) -> list[dict[str, Marks]]:
    """For each run the marks of the keys on each page, by target."""
    times = {job.job_id: job.time for run in runs for job in run.jobs}
    batches = list(stored.job_batches("results", _KEY, times))
    if not batches:
        return [{} for _ in runs]
    rows = pa.Table.from_batches(batches)
    keys = rows[_KEY[1]].combine_chunks()
    marks = pc.index_in(keys, pc.unique(keys)).to_numpy(zero_copy_only=False).astype(np.int64)
    owners = pc.index_in(rows[_KEY[0]].combine_chunks(), pa.array(times, pa.string())).to_numpy(zero_copy_only=False)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(times) + 1))
    of_job = {id_: marks[order[start:end]] for id_, start, end in zip(times, bounds, bounds[1:], strict=False)}
    return [{job.target_id: of_job[job.job_id] for job in run.jobs} for run in runs]
