"""Makes a strategy's results and changes anew from raw, where they are to be keyed, hashed or typed otherwise.

The ledger says first what is to come, and that it is pending; a kill in between is made good by whoever comes next.
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
from meter_pipeline.sync.items import rules as choices
from meter_pipeline.sync.items.results import rewrite
from meter_pipeline.sync.items.rules import Chosen
from meter_pipeline.sync.report import Problem, SyncReport


class RekeyError(MeterPipelineError):
    """A strategy cannot be keyed so; the message is one line with the way out."""


def make_anew(
    lake: Lake, ledger: Ledger, strategy: StrategyRow, chosen: Chosen, fields: Sequence[Field], *, large: int
) -> tuple[Field, ...]:
    """Writes results and changes of all accepted jobs; the strategy's claim must be held.

    The strategy stays marked as dirty, if it was or is to be, by whoever calls.

    Args:
        lake: The lake.
        ledger: The ledger, told before and after.
        strategy: Whose rows these are.
        chosen: What they are made with.
        fields: The strategy's fields.
        large: From so many bytes on a job is compared on disk.

    Returns:
        The fields, no narrower than `chosen` says.
    """
    id_, wider = strategy.strategy_id, chosen.floor(fields)
    ledger.commit(id_, [], identity=replace(chosen, pending=True).dump())
    ledger.mark_dirty([id_])
    accepted = ledger.accepted(id_)
    duplicates = rewrite(lake, strategy.slug, wider, chosen.identity, accepted)
    Feed(lake, ledger, strategy, large).rebuild(chosen.identity)
    rows = [{"job_id": job, "state": "accepted", "duplicates": duplicates.get(job, 0)} for job in sorted(accepted)]
    ledger.commit(id_, rows, identity=replace(chosen, pending=False).dump(), fields=wider)
    return wider


def rekey(lake: Lake, ledger: Ledger, strategy: StrategyRow, chosen: Chosen, *, large: int) -> bool:
    """`make_anew` under the strategy's claim; `False` when another sync holds it, which then does the same."""
    claim = ledger.claims.try_claim(strategy.slug)
    if claim is None:
        return False
    try:
        current = ledger.strategy(strategy.strategy_id) or strategy
        lake.sweep(strategy.slug)
        make_anew(lake, ledger, current, chosen, columns.load(current.fields), large=large)
        # A load that was killed has rows to be looked for still.
        ledger.commit(strategy.strategy_id, [], dirty=current.dirty)
    finally:
        claim.release()
    return True


def refresh(
    ledger: Ledger,
    lake: Lake,
    config: Config,
    report: SyncReport,
    strategy_ids: Collection[str] | None = None,
    *,
    large: int,
) -> None:
    """Makes anew what is not as `meter.yaml` wants it, and what a killed rekey has left half made.

    Args:
        ledger: The ledger.
        lake: The lake.
        config: What `meter.yaml` says.
        report: Told which strategies could not be made anew, and why.
        strategy_ids: Only these strategies.
        large: From so many bytes on a job is compared on disk.
    """
    for strategy in ledger.strategies():
        if strategy_ids is not None and strategy.strategy_id not in strategy_ids:
            continue
        current = choices.load(strategy.identity)
        wanted = current.wanted(of(config, strategy), now())
        if (current.rows_alike(wanted) and not current.pending) or not ledger.with_accepted([strategy.strategy_id]):
            continue
        try:
            rekey(lake, ledger, strategy, wanted, large=large)
        except Exception as error:
            # Its rows stay as they were; the other strategies have nothing to do with it.
            trouble = explain(error)
            report.problems.append(Problem("", strategy.slug, "known", trouble.reason, is_ours=trouble.is_ours))


def of(config: Config, strategy: StrategyRow) -> StrategyConfig | None:
    """What `meter.yaml` says of a strategy."""
    return config.strategy(strategy.slug, strategy.strategy_id, strategy.name)


def asked(config: Config, strategy: StrategyRow, key: Sequence[str] | None, ignore: Sequence[str] | None) -> Chosen:
    """What a strategy is to be made with when somebody asks for it by hand.

    Raises:
        RekeyError: `meter.yaml` says otherwise, and would win with the next sync.
    """
    said = of(config, strategy)
    current = choices.load(strategy.identity).wanted(said, now())
    wanted = current
    if key is not None and tuple(key) != current.key:
        wanted = replace(wanted, key=tuple(key), source=choices.CONFIGURED, chosen_at=now(), evidence=None)
    if ignore is not None:
        wanted = replace(wanted, ignore=tuple(ignore))
    if said is not None and not wanted.rows_alike(wanted.wanted(said, now())):
        raise RekeyError(f"{config.path}:{said.line} says how {strategy.slug} is keyed: change it there and sync")
    return wanted
