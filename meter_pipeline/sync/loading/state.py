"""What the steps of a load share: a fixed context, the strategy's state, and items kept between batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.errors import LedgerError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.parts import Part
from meter_pipeline.store.times import now
from meter_pipeline.sync.audit.profiler import Profiler
from meter_pipeline.sync.changes.in_memory import AtHand
from meter_pipeline.sync.items import readings
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.identity import Identity
from meter_pipeline.sync.items.readings import PLAIN, Readings, SeenTexts
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.items.texts import Texts
from meter_pipeline.sync.limits import Limits


@dataclass(frozen=True)
class LoadContext:
    """What stays the same while the jobs of one strategy are loaded.

    Attributes:
        lake: Takes the rows.
        ledger: Says which jobs count.
        draft: The strategy's rows as they will be after the next commit.
        strategy: The strategy's row in the ledger when the load began.
        limits: How much is kept in memory.
        config: The strategy's section of `meter.yaml`, or None.
    """

    lake: Lake
    ledger: Ledger
    draft: Draft
    strategy: StrategyRow
    limits: Limits
    config: StrategyConfig | None

    @property
    def strategy_id(self) -> str:
        """Meter's id of the strategy."""
        return self.strategy.strategy_id

    @property
    def slug(self) -> str:
        """The strategy's name in the lake."""
        return self.strategy.slug


def find_config(config: Config, strategy: StrategyRow) -> StrategyConfig | None:
    """The section of `meter.yaml` about a strategy, or None."""
    return config.strategy(strategy.slug, strategy.strategy_id, strategy.name)


def make_context(
    lake: Lake,
    ledger: Ledger,
    strategy: StrategyRow,
    parts: list[Part],
    config: Config,
    limits: Limits,
    *,
    swept_at: str | None,
) -> LoadContext:
    """The context of a load that is built on a state of the strategy; `swept_at` is `Ledger.swept_at` until now."""
    draft = lake.draft(strategy.slug, parts, ledger.name, swept_at)
    return LoadContext(lake, ledger, draft, strategy, limits, find_config(config, strategy))


def open_context(
    lake: Lake, ledger: Ledger, strategy_id: str, config: Config = Config(), limits: Limits = Limits()
) -> LoadContext:
    """The context of a load that is built on the strategy as it is now.

    Raises:
        LedgerError: The ledger does not know the strategy.
    """
    found = ledger.state_of([strategy_id]).get(strategy_id)
    if found is None:
        raise LedgerError(f"the strategy {strategy_id} is not known: run `meter-pipeline sync`")
    return make_context(lake, ledger, *found, config, limits, swept_at=ledger.swept_at)


@dataclass(frozen=True)
class StrategyState:
    """What a step takes in and hands on.

    Attributes:
        fields: The fields of the strategy's items.
        rules: The item rules that its rows are made with.
        version: The strategy's version in the ledger, which the next commit is built on.
        is_first: Whether no job of the strategy was accepted before, so that there are no rows to compare or rewrite.
        is_outdated: Whether its rows were made with other rules than these, or its texts read by other ones.
        readings: How the texts of its fields are read; known only if it is not outdated.
    """

    fields: tuple[Field, ...]
    rules: ChosenRules
    version: int
    is_first: bool
    is_outdated: bool = False
    readings: Readings = PLAIN

    @property
    def identity(self) -> Identity:
        """The keys and hashes of items: those of the rules, without fields that change although nothing else does."""
        moving = self.readings.moving
        return replace(self.rules, ignore=(*self.rules.ignore, *moving)).identity if moving else self.rules.identity


def read_state(context: LoadContext, *, is_first: bool | None = None) -> StrategyState:
    """The strategy's state as the ledger has it, with the item rules that `meter.yaml` asks for.

    Args:
        context: The load.
        is_first: Whether the strategy has no accepted job yet; None to ask the ledger.
    """
    if is_first is None:
        is_first = not context.ledger.with_accepted([context.strategy_id])
    strategy = context.strategy
    rules = item_rules.load(strategy.identity)
    wanted = rules.wanted(context.config, now())
    known = readings.load(strategy.readings)
    is_outdated = not is_first and (known is None or not rules.rows_alike(wanted))
    is_outdated |= rules.items != wanted.items and bool(context.draft.of("raw"))
    return StrategyState(columns.load(strategy.fields), wanted, strategy.version, is_first, is_outdated, known or PLAIN)


class ItemMemory:
    """Parsed items kept from one batch to the next: consecutive jobs of a target repeat most of their items.

    Attributes:
        texts: Distinct items of the jobs that fit into memory.
        profiler: Makes the jobs' profiles.
        is_typed: By number of a text, whether the strategy's fields hold its types.
        is_observed: By number of a text, whether the strategy's readings know its values.
        seen: Texts whose facts the strategy's readings have.
        previous: The last job of each target, by job id, which the next batch is compared with.
    """

    def __init__(self) -> None:
        self.texts = Texts()
        self.profiler = Profiler(self.texts)
        self.is_typed = np.empty(0, np.bool_)
        self.is_observed = np.empty(0, np.bool_)
        self.seen = SeenTexts()
        self.previous: Mapping[str, AtHand] = {}

    def without_items(self) -> ItemMemory:
        """A memory that has no items, but knows the texts that were seen."""
        memory = ItemMemory()
        memory.seen = self.seen
        return memory

    def extend(self) -> None:
        """Makes the marks as many as `texts`; new texts are neither typed nor observed yet."""
        added = np.zeros(len(self.texts) - len(self.is_typed), np.bool_)
        self.is_typed = np.concatenate([self.is_typed, added])
        self.is_observed = np.concatenate([self.is_observed, added])
