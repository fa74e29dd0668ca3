"""Rebuilds a strategy's results and changes from raw, where they are to be keyed, hashed or typed by other rules.

The ledger first notes the new rules as pending; whoever loads the strategy next finishes a rebuild that was killed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.changes.feed import Feed
from meter_pipeline.sync.containment import explain
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.results import rewrite
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.loading.updates import JobUpdate
from meter_pipeline.sync.report import Problem, SyncReport


class RekeyError(MeterPipelineError):
    """A strategy cannot be keyed like this; the message is one line with the way out."""


def rebuild_rows(
    lake: Lake,
    ledger: Ledger,
    strategy: StrategyRow,
    rules: ChosenRules,
    fields: Sequence[Field],
    *,
    large_bytes: int,
) -> tuple[Field, ...]:
    """Writes results and changes of all accepted jobs; the strategy's claim must be held.

    The strategy is marked as dirty; the caller decides when it no longer is.

    Args:
        lake: The lake.
        ledger: The ledger, which notes the rules before and after.
        strategy: The strategy.
        rules: The item rules of the new rows.
        fields: The strategy's fields.
        large_bytes: Jobs of this size or more are compared on disk.

    Returns:
        The fields, no narrower than `rules` demands.
    """
    strategy_id, wider = strategy.strategy_id, rules.floor(fields)
    ledger.commit(strategy_id, [], identity=replace(rules, pending=True).dump())
    ledger.mark_dirty([strategy_id])
    accepted = ledger.accepted(strategy_id)
    duplicates = rewrite(lake, strategy.slug, wider, rules.identity, accepted)
    Feed(lake, ledger, strategy, large_bytes).rebuild(rules.identity)
    updates = [JobUpdate(job_id, "accepted", duplicates=duplicates.get(job_id, 0)) for job_id in sorted(accepted)]
    rows = [update.as_row() for update in updates]
    ledger.commit(strategy_id, rows, identity=replace(rules, pending=False).dump(), fields=wider)
    return wider


def rekey(lake: Lake, ledger: Ledger, strategy: StrategyRow, rules: ChosenRules, *, large: int) -> bool:
    """Rebuilds a strategy's rows under its claim.

    Args:
        lake: The lake.
        ledger: The ledger.
        strategy: The strategy.
        rules: The item rules of the new rows.
        large: Jobs of this many bytes or more are compared on disk.

    Returns:
        False if another sync holds the claim; nothing was done then.
    """
    claim = ledger.claims.try_claim(strategy.slug)
    if claim is None:
        return False
    try:
        current = ledger.strategy(strategy.strategy_id) or strategy
        lake.sweep(strategy.slug)
        rebuild_rows(lake, ledger, current, rules, columns.load(current.fields), large_bytes=large)
        # The rows that a killed load may have left are for the next load to find.
        ledger.commit(strategy.strategy_id, [], dirty=current.dirty)
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
    large_bytes: int,
) -> None:
    """Rebuilds rows whose item rules are not those of `meter.yaml`, and finishes rebuilds that were killed.

    Args:
        ledger: The ledger.
        lake: The lake.
        config: The contents of `meter.yaml`.
        report: Gets a problem for each strategy that could not be rebuilt.
        strategy_ids: Only these strategies; None for all.
        large_bytes: Jobs of this size or more are compared on disk.
    """
    for strategy in ledger.strategies():
        if strategy_ids is not None and strategy.strategy_id not in strategy_ids:
            continue
        current = item_rules.load(strategy.identity)
        wanted = current.wanted(find_config(config, strategy), now())
        is_current = current.rows_alike(wanted) and not current.pending
        if is_current or not ledger.with_accepted([strategy.strategy_id]):
            continue
        try:
            rekey(lake, ledger, strategy, wanted, large=large_bytes)
        except Exception as error:
            # Its rows stay as they were; the other strategies have nothing to do with it.
            trouble = explain(error)
            report.problems.append(Problem("", strategy.slug, "known", trouble.reason, is_ours=trouble.is_ours))


def find_config(config: Config, strategy: StrategyRow) -> StrategyConfig | None:
    """The section of `meter.yaml` about a strategy, or None."""
    return config.strategy(strategy.slug, strategy.strategy_id, strategy.name)


def asked(
    config: Config, strategy: StrategyRow, key: Sequence[str] | None, ignore: Sequence[str] | None
) -> ChosenRules:
    """The item rules of a strategy when a user asks for a key, or for fields to ignore.

    Args:
        config: The contents of `meter.yaml`.
        strategy: The strategy.
        key: Field paths of the key, none for no key; None leaves the key as it is.
        ignore: Field paths whose values are no change; None leaves them as they are.

    Raises:
        RekeyError: `meter.yaml` has other rules, and would win with the next sync.
    """
    section = find_config(config, strategy)
    current = item_rules.load(strategy.identity).wanted(section, now())
    wanted = current
    if key is not None and tuple(key) != current.key:
        wanted = replace(wanted, key=tuple(key), source=item_rules.CONFIGURED, chosen_at=now(), evidence=None)
    if ignore is not None:
        wanted = replace(wanted, ignore=tuple(ignore))
    if section is not None and not wanted.rows_alike(wanted.wanted(section, now())):
        raise RekeyError(f"{config.path}:{section.line} says how {strategy.slug} is keyed: change it there and sync")
    return wanted
