"""The asset `meter/results`: a partition for each strategy that has no asset of its own, where there are many.

Thousands of assets, with several checks each, make definitions slow to load and the UI slow to draw. Dagster keeps
partitions in its storage: a new strategy needs no reload, and definitions are as large for ten strategies as for ten
thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.assets.data_versions import VERSION_TAG
from meter_pipeline.defs.keys import ITEMS, LAKE_IO_MANAGER, OTHER_RESULTS
from meter_pipeline.defs.naming import Keys, Names

if TYPE_CHECKING:
    from meter_pipeline.defs.metadata.entries import Metadata
    from meter_pipeline.store.ledger.rows import StrategyRow


def split_off(
    strategies: Sequence[StrategyRow], declared: Collection[str], bound: int
) -> tuple[list[StrategyRow], bool]:
    """Returns the strategies that have an asset each, and whether there are others.

    Args:
        strategies: The strategies in the ledger.
        declared: Slugs of declared strategies, which always have an asset.
        bound: Most strategies that have an asset each without being declared.
    """
    if len(strategies) <= bound:
        return list(strategies), False
    return [strategy for strategy in strategies if strategy.slug in declared], True


def name_partitions(names: Names) -> str:
    """Returns the name of the set of partitions in Dagster's storage."""
    return names.qualify("meter_strategies")


def make_spec(names: Names, owners: Sequence[str]) -> dg.AssetSpec:
    """Returns the spec of the asset; Dagster materialises no partition by itself, a sync of the strategy does."""
    return dg.AssetSpec(
        OTHER_RESULTS,
        deps=[ITEMS],
        description="The typed items of every strategy that has no asset of its own: a partition for each, named by "
        "its slug, and a view in the schema `results` of the warehouse. Syncs materialise the partitions whose data "
        "changed. To sync some strategies alone, name them in the configuration of the job `sync`. A strategy that "
        "`meter.yaml` declares has an asset.",
        group_name="results",
        kinds={"meter", "parquet"},
        owners=owners,
        partitions_def=dg.DynamicPartitionsDefinition(name=name_partitions(names)),
        # An input of it then fails with the way out, and not in a folder of Dagster's own.
    ).with_io_manager_key(names.qualify(LAKE_IO_MANAGER))


class PartitionEvents:
    """Materialisations of the partitions of `meter/results`.

    Args:
        context: The running step.
        keys: Translates between the project's asset keys and this package's.
        names: Names of the account's definitions.
    """

    def __init__(self, context: dg.AssetExecutionContext, keys: Keys, names: Names) -> None:
        self._context, self._instance = context, context.instance
        self._key, self._partitions = keys.add_prefix(OTHER_RESULTS), name_partitions(names)

    def read_seen(self) -> dict[str, str | None]:
        """Reads the data version of each partition's latest materialisation, by slug."""
        tags = self._instance.event_log_storage.get_latest_tags_by_partition(
            self._key, dg.DagsterEventType.ASSET_MATERIALIZATION, tag_keys=[VERSION_TAG]
        )
        return {slug: found.get(VERSION_TAG) for slug, found in tags.items()}

    def register(self, slugs: Sequence[str]) -> None:
        """Adds the partitions that Dagster does not know yet, in one write: each takes as long as all together."""
        known = set(self._instance.get_dynamic_partitions(self._partitions))
        if new := [slug for slug in slugs if slug not in known]:
            self._instance.add_dynamic_partitions(self._partitions, new)

    def log(self, slug: str, version: str, facts: Metadata) -> None:
        """Logs the materialisation of a strategy's partition."""
        tags = {VERSION_TAG: version}
        self._context.log_event(dg.AssetMaterialization(self._key, partition=slug, metadata=facts, tags=tags))
