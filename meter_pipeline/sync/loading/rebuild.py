"""Makes a strategy's results and changes again from raw, where they are to be keyed, hashed or typed by other rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow, times_of
from meter_pipeline.store.times import now
from meter_pipeline.sync.changes.feed import seen_before
from meter_pipeline.sync.containment import explain, refusal_explained
from meter_pipeline.sync.items import readings
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.readings import PLAIN, survey
from meter_pipeline.sync.items.results import rewrite
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.exchange import read_fields
from meter_pipeline.sync.loading.key_search import choose_key
from meter_pipeline.sync.loading.page_search import choose_compare
from meter_pipeline.sync.loading.rows import make_feed
from meter_pipeline.sync.loading.state import LoadContext, StrategyState, find_config, open_context, read_state
from meter_pipeline.sync.loading.unwrapping import Unwrapped, unwrap_again
from meter_pipeline.sync.loading.updates import KEEP, JobUpdate
from meter_pipeline.sync.report import Problem, SyncReport


class RekeyError(MeterPipelineError):
    """A strategy cannot be keyed like this; the message is one line with the way out."""


def rebuild_rows(
    context: LoadContext,
    state: StrategyState,
    accepted: Sequence[JobRow] | None = None,
    others: Sequence[JobUpdate] = (),
) -> StrategyState:
    """Makes the rows of all accepted jobs again with the rules of `state`, in one commit; returns the state after it.

    Args:
        context: The strategy; what its draft holds already is committed, too.
        state: The strategy's state.
        accepted: The accepted jobs; those of the ledger when None.
        others: Updates of other jobs.
    """
    rows = list(context.ledger.jobs(context.strategy_id, ("accepted",))) if accepted is None else list(accepted)
    times = times_of(rows)
    unwrapped: Unwrapped | None = None
    try:
        if item_rules.load(context.strategy.identity).items != state.rules.items:
            unwrapped = unwrap_again(context, state.rules.items)
            rows = [replace(row, items=unwrapped.counts.get(row.job_id, 0)) for row in rows]
            state = _begin_again(context, state, rows, unwrapped.counts)
            held = context.ledger.jobs(context.strategy_id, ("held",))
            others = [*others, *(_recount(JobUpdate(row.job_id, "held"), unwrapped) for row in held)]
        fields = state.rules.floor(columns.settle(state.fields))
        # Read again: when rows are outdated, the texts behind the readings may be read by other rules now.
        seen = survey(context.draft.scan("raw", times, RAW.names), fields)
        state = replace(state, fields=fields, readings=PLAIN.with_facts(seen).settle(fields, state.rules))
        duplicates = rewrite(context.draft, fields, state.identity, times, state.readings, context.limits)
        entered = [] if unwrapped is None else list(map(seen_before, rows))
        state = choose_compare(context, state, entered, [], is_rekeyed=True)
        counts = make_feed(context, state).rebuild(state.identity, map(seen_before, rows))
        updates = [
            _recount(
                JobUpdate(job_id, "accepted", duplicates=duplicates.get(job_id, 0), changes=counts.rows[job_id]),
                unwrapped,
            )
            for job_id in times
        ]
        jobs = [update.as_row() for update in (*updates, *others)]
        parts = context.draft.change()
        rules, values = state.rules.dump(), state.readings.dump()
        commit = Commit(context.strategy_id, state.version, jobs, parts, fields, rules, readings=values)
        version = context.ledger.commit(commit)
    except BaseException:
        context.draft.discard()
        raise
    context.draft.settle()
    return replace(state, version=version, is_outdated=False)


def _begin_again(
    context: LoadContext, state: StrategyState, accepted: Sequence[JobRow], counts: Mapping[str, int]
) -> StrategyState:
    """The state with the fields and the key of the items that the accepted jobs have now."""
    fields: tuple[Field, ...] = ()
    for found in read_fields(context.draft, times_of(accepted)):
        fields = columns.merge_fields(fields, found)
    return choose_key(context, replace(state, fields=fields, is_first=not accepted), [], [], counts)


def _recount(update: JobUpdate, unwrapped: Unwrapped | None) -> JobUpdate:
    """The update of a job with its number of items, if it was unwrapped again."""
    if unwrapped is None:
        return update
    rejection = unwrapped.rejections.get(update.job_id, KEEP)
    return replace(update, items=unwrapped.counts.get(update.job_id, 0), rejection=rejection)


def rekey(lake: Lake, ledger: Ledger, strategy: StrategyRow, rules: ChosenRules, limits: Limits = Limits()) -> bool:
    """Makes a strategy's rows again under its claim.

    Args:
        lake: The lake.
        ledger: The ledger.
        strategy: The strategy.
        rules: The item rules of the new rows; where they have no key, one is looked for in the accepted jobs.
        limits: How much is kept in memory.

    Returns:
        False if another sync holds the claim; nothing was done then.
    """
    claim = ledger.claims.try_claim(strategy.slug)
    if claim is None:
        return False
    try:
        context = open_context(lake, ledger, strategy.strategy_id, limits=limits)
        state = replace(read_state(context, is_first=False), rules=rules)
        if rules.source == item_rules.NONE and rules.items == item_rules.load(context.strategy.identity).items:
            state = choose_key(context, state, [], [])
        with refusal_explained("the rows were not made again", "try again"):
            rebuild_rows(context, state)
    finally:
        claim.release()
    return True


def rebuild_outdated(
    ledger: Ledger,
    lake: Lake,
    config: Config,
    report: SyncReport,
    strategy_ids: Collection[str] | None = None,
    *,
    limits: Limits = Limits(),
) -> None:
    """Makes rows again whose item rules are not those of `meter.yaml`, or that an older version of the code made.

    Args:
        ledger: The ledger.
        lake: The lake.
        config: The contents of `meter.yaml`.
        report: Gets a problem for each strategy whose rows could not be made again.
        strategy_ids: Only these strategies; None for all.
        limits: How much is kept in memory.
    """
    strategies = [row for row in ledger.strategies() if strategy_ids is None or row.strategy_id in strategy_ids]
    with_accepted: set[str] | None = None
    for strategy in strategies:
        current = item_rules.load(strategy.identity)
        wanted = current.wanted(find_config(config, strategy), now())
        is_current = current.rows_alike(wanted) and readings.load(strategy.readings) is not None
        if is_current:
            continue
        if current.items == wanted.items:
            if with_accepted is None:
                with_accepted = ledger.with_accepted([row.strategy_id for row in strategies])
            if strategy.strategy_id not in with_accepted:
                continue
        try:
            rekey(lake, ledger, strategy, wanted, limits)
        except Exception as error:
            # Its rows stay as they were; the other strategies have nothing to do with it.
            trouble = explain(error)
            report.problems.append(Problem("", strategy.slug, "known", trouble.reason, is_ours=trouble.is_ours))


def asked(
    config: Config,
    strategy: StrategyRow,
    key: Sequence[str] | None,
    ignore: Sequence[str] | None,
    *,
    found: bool = False,
) -> ChosenRules:
    """The item rules of a strategy when a user asks for a key, or for fields to ignore.

    Args:
        config: The contents of `meter.yaml`.
        strategy: The strategy.
        key: Field paths of the key, none for no key; None leaves the key as it is.
        ignore: Field paths whose values are no change; None leaves them as they are.
        found: Whether the key is to be found in the data again.

    Raises:
        RekeyError: `meter.yaml` has other rules, and would win with the next sync.
    """
    section = find_config(config, strategy)
    current = item_rules.load(strategy.identity).wanted(section, now())
    wanted = current
    if key is not None and (tuple(key) != current.key or current.source != item_rules.CONFIGURED):
        wanted = wanted.with_key(tuple(key), now())
    if found:
        wanted = wanted.without_key()
    if ignore is not None:
        wanted = replace(wanted, ignore=tuple(ignore))
    if section is not None and not wanted.rows_alike(wanted.wanted(section, now())):
        raise RekeyError(f"{config.path}:{section.line} says how {strategy.slug} is keyed: change it there and sync")
    return wanted
