"""The project's own definitions and those of Meter in one, also where an input's strategy is not known yet."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from meter_pipeline.defs.io import LakeIOManager
from meter_pipeline.defs.keys import slug_of
from meter_pipeline.defs.naming import Keys


def merge_meter_defs(*definitions: dg.Definitions) -> dg.Definitions:
    """`dagster.Definitions.merge` that also loads with results of strategies that nothing knows yet.

    Dagster refuses a whole code location when an asset takes an input that no asset is the source of, the sync job
    that could bring it included. Here such a `results/<slug>` becomes an external asset, until it is declared or a sync
    has seen the strategy and definitions are loaded again. An input of a strategy without data is an empty table.

    Example:
        `defs = merge_meter_defs(build_meter_defs(), dg.Definitions(assets=[cheap_books]))`
    """
    merged = dg.Definitions.merge(*definitions)
    unknown = [_external(merged, key) for key in sorted(_unknown_keys(merged))]
    external = [spec for spec in unknown if spec is not None]
    return dg.Definitions.merge(merged, dg.Definitions(assets=external)) if external else merged


def _unknown_keys(definitions: dg.Definitions) -> set[dg.AssetKey]:
    """Keys that something takes as an input or checks, and that nothing defines."""
    defined: set[dg.AssetKey] = set()
    wanted: set[dg.AssetKey] = set()
    for asset in [*(definitions.assets or ()), *(definitions.asset_checks or ())]:
        if isinstance(asset, dg.AssetsDefinition):
            defined |= set(asset.keys)
            wanted |= {*asset.keys_by_input_name.values(), *(check.asset_key for check in asset.check_specs)}
        elif isinstance(asset, (dg.AssetSpec, dg.SourceAsset)):
            defined.add(asset.key)
    return wanted - defined


def _external(definitions: dg.Definitions, key: dg.AssetKey) -> dg.AssetSpec | None:
    """The external asset for a results key of one of the instances; None for any other key."""
    for io_manager, slug in _readers(definitions, key):
        return dg.AssetSpec(
            key,
            description=f"No strategy {slug} is declared or known from a sync yet. Declare it (`strategies`), or sync "
            "and reload definitions.",
            group_name="results",
            kinds={"meter", "parquet"},
        ).with_io_manager_key(io_manager)
    return None


def _readers(definitions: dg.Definitions, key: dg.AssetKey) -> Iterator[tuple[str, str]]:
    """Names of the IO managers that read a results key, each with the strategy's slug."""
    for name, resource in (definitions.resources or {}).items():
        if isinstance(resource, LakeIOManager):
            keys = Keys(tuple(resource.key_prefix))
            slug = slug_of(keys.own(key))
            if slug is not None and keys.shown(keys.own(key)) == key:
                yield name, slug
