"""What the steps of a load share: a fixed context, the strategy's state, and items kept between batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meter_pipeline.config.meter_yaml import StrategyConfig
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.sync.changes.in_memory import AtHand
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.items.texts import Texts
from meter_pipeline.sync.limits import Limits


@dataclass(frozen=True)
class LoadContext:
    """What stays the same while the jobs of one strategy are loaded.

    Attributes:
        lake: Takes the rows.
        ledger: Says which jobs count.
        strategy: The strategy's row in the ledger when the load began.
        limits: How much is kept in memory.
        config: The strategy's section of `meter.yaml`, or None.
        may_have_rows: Whether the lake may hold rows of the jobs already: on a reload, or after a crash.
    """

    lake: Lake
    ledger: Ledger
    strategy: StrategyRow
    limits: Limits
    config: StrategyConfig | None
    may_have_rows: bool

    @property
    def strategy_id(self) -> str:
        """Meter's id of the strategy."""
        return self.strategy.strategy_id

    @property
    def slug(self) -> str:
        """The strategy's name in the lake."""
        return self.strategy.slug


@dataclass(frozen=True)
class StrategyState:
    """What a step takes in and hands on.

    Attributes:
        fields: The fields of the strategy's items.
        rules: The item rules that its rows are made with.
        is_first: Whether no job of the strategy was accepted before, so that there are no rows to compare or rewrite.
    """

    fields: tuple[Field, ...]
    rules: ChosenRules
    is_first: bool


class ItemMemory:
    """Parsed items kept from one batch to the next: consecutive jobs of a target repeat most of their items.

    Attributes:
        texts: Distinct items of the jobs that fit into memory.
        is_typed: By number of a text, whether the strategy's fields hold its types.
        previous: The last job of each target, by job id, which the next batch is compared with.
    """

    def __init__(self) -> None:
        self.texts = Texts()
        self.is_typed = np.empty(0, np.bool_)
        self.previous: Mapping[str, AtHand] = {}

    def extend(self) -> None:
        """Makes `is_typed` as long as `texts`; new texts are not typed yet."""
        added = np.zeros(len(self.texts) - len(self.is_typed), np.bool_)
        self.is_typed = np.concatenate([self.is_typed, added])
